// Package replay evaluates the requests of an audit log against other manifests, and reports who would be newly allowed
// and newly denied. It uses policy.Evaluate, as the server does. It never guesses what an event does not hold: such an
// event is counted as one that can't be replayed, with the reason.
package replay

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// Side is one state of the manifests, ready to be asked. Its tokens have made-up values, as manifests hold
// digests alone.
type Side struct {
	snapshot *policy.Snapshot
	tokens   map[string]*armed
	bodies   map[place][]*policy.Rule // rules on bodies, by the name of their file and their line
}

// armed is a token with made-up values.
type armed struct {
	row      *policy.Token
	value    token.Secret
	digest   token.Digest
	previous []token.Digest // as row.Previous
}

// place is the place of a rule, without the directory: the server may have read it under another one.
type place struct {
	file string
	line int
}

// NewSide makes manifests ready to be asked.
func NewSide(rows policy.Rows, now time.Time) (*Side, error) {
	s := &Side{tokens: map[string]*armed{}, bodies: map[place][]*policy.Rule{}}
	rows.Tokens = slices.Clone(rows.Tokens)
	for i, t := range rows.Tokens {
		a := &armed{value: token.Mint()}
		row := *t
		row.Digest = token.Sum(a.value)
		row.Previous = slices.Clone(t.Previous)
		for j := range row.Previous {
			row.Previous[j].Digest = token.Sum(token.Mint())
			a.previous = append(a.previous, row.Previous[j].Digest)
		}
		a.row, a.digest, rows.Tokens[i] = &row, row.Digest, &row
		s.tokens[t.Name] = a
	}
	s.noteRules(&rows)
	index := policy.NewIndex()
	if _, err := index.Replace(rows, now); err != nil {
		return nil, err
	}
	s.snapshot = index.Snapshot()
	return s, nil
}

// noteRules notes the rules that look at bodies.
func (s *Side) noteRules(rows *policy.Rows) {
	seen := map[*policy.Policy]bool{}
	note := func(policies []*policy.Policy) {
		for _, p := range policies {
			if seen[p] {
				continue
			}
			seen[p] = true
			for _, r := range slices.Concat(p.Allow, p.Deny) {
				if at := placeOf(r); r.ReadsBody() && !slices.Contains(s.bodies[at], r) {
					s.bodies[at] = append(s.bodies[at], r)
				}
			}
		}
	}
	note(rows.Policies)
	for _, g := range rows.Gates {
		note(g.Policies)
		if g.Anonymous != nil {
			note(g.Anonymous.Policies)
		}
	}
	for _, g := range rows.Groups {
		note(g.Policies)
	}
	for _, t := range rows.Tokens {
		note(t.Grant.Policies)
	}
}

func placeOf(r *policy.Rule) place { return place{path.Base(r.Source.File), r.Source.Line} }

// parsePlace reads `FILE:LINE`.
func parsePlace(text string) (place, bool) {
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return place{}, false
	}
	line, err := strconv.Atoi(text[at+1:])
	return place{path.Base(text[:at]), line}, err == nil
}

// bodyText writes the conditions of a rule on the body.
func bodyText(r *policy.Rule) string {
	text := strings.Join(r.BodyTypes(), ",")
	for i := range r.JSON {
		text += "\n" + r.JSON[i].Text + "=" + r.JSON[i].Pattern.String()
	}
	if r.MCP != nil {
		text += "\nmcp " + r.MCP.Text()
	}
	return text
}
