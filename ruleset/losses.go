package ruleset

import (
	"fmt"
	"slices"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
)

// Losses returns what rows would open that the running revision keeps shut because a document is
// gone: a gate is gone and a weaker one would guard what it guarded, or a group is gone together
// with the gates that named it, and tokens could do more without its word.
func Losses(running *policy.Snapshot, rows *policy.Rows, now time.Time) []diag.Problem {
	rows = besideObjects(running, rows)
	var problems []diag.Problem
	for _, loss := range running.Losses(rows.Gates) {
		problems = append(problems, gone(loss.Gate.Source, "the Gate %s is gone, and %s would guard host %s and path %s/ in its place, expected it to stay: "+
			"to remove it, let %s name that host and path itself, or restart", loss.Gate.Name, loss.Falls.Name, loss.Host, loss.Prefix, loss.Falls.Name))
	}
	for _, loss := range running.GroupLosses(rows, now) {
		what := "be held by its policies"
		if loss.Cap {
			what = "end by its maxLifetime"
		}
		problems = append(problems, gone(loss.Group.Source, "the UserGroup %s is gone, and the token %s would no longer %s, expected it to stay: "+
			"to remove it, first take its name out of the gates and let that load, then delete it, or restart", loss.Group.Name, loss.Token.Name, what))
	}
	return problems
}

// besideObjects returns rows together with those that come from objects, which stay whatever a load brings.
func besideObjects(running *policy.Snapshot, rows *policy.Rows) *policy.Rows {
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

// gone is a problem with a row that is gone, at the place where it was.
func gone(at policy.Source, format string, args ...any) diag.Problem {
	return diag.Problem{File: at.File, Pos: diag.Pos{Line: at.Line, Column: 1}, Message: fmt.Sprintf(format, args...)}
}
