package ruleset

import (
	"fmt"
	"slices"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
)

// Losses reports access that rows would open because a document was removed: a weaker gate would decide the requests of a
// removed gate, or a group was removed together with the gates that named it, and its tokens could do more.
func Losses(running *policy.Snapshot, rows *policy.Rows, now time.Time) []diag.Problem {
	rows = withObjectRows(running, rows)
	var problems []diag.Problem
	for _, loss := range running.Losses(rows.Gates) {
		problems = append(problems, lossProblem(loss.Gate.Source, "the Gate %s is gone, and %s would guard host %s and path %s/ in its place, expected it to stay: "+
			"to remove it, let %s name that host and path itself, or restart", loss.Gate.Name, loss.Falls.Name, loss.Host, loss.Prefix, loss.Falls.Name))
	}
	for _, loss := range running.GroupLosses(rows, now) {
		what := "be held by its policies"
		if loss.Cap {
			what = "end by its maxLifetime"
		}
		problems = append(problems, lossProblem(loss.Group.Source, "the UserGroup %s is gone, and the token %s would no longer %s, expected it to stay: "+
			"to remove it, first take its name out of the gates and let that load, then delete it, or restart", loss.Group.Name, loss.Token.Name, what))
	}
	return problems
}

// withObjectRows returns rows together with the running rows of cluster objects, which a load of files does not change.
func withObjectRows(running *policy.Snapshot, rows *policy.Rows) *policy.Rows {
	all := *rows
	all.Gates, all.Groups = slices.Clip(all.Gates), slices.Clip(all.Groups)
	for _, g := range running.Gates() {
		if g.Source.Origin != policy.OriginObjects {
			continue
		}
		all.Gates = append(all.Gates, g)
		all.Groups = append(all.Groups, g.Groups...)
	}
	return &all
}

// lossProblem returns a problem at the place of a removed row.
func lossProblem(at policy.Source, format string, args ...any) diag.Problem {
	return diag.Problem{File: at.File, Pos: diag.Pos{Line: at.Line, Column: 1}, Message: fmt.Sprintf(format, args...)}
}
