package policy

import (
	"net/netip"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// TestGatesSuit asks tokens, each alone, whether next gates suit them.
func TestGatesSuit(t *testing.T) {
	basic, bearer := Schemes(0).With(Basic), Schemes(0).With(Bearer)
	ranges := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	ranged := &Policy{Name: "ranged", Deny: []*Rule{{Clients: ranges}}}
	plain := &Policy{Name: "plain", Allow: []*Rule{{}}}
	office := &Group{Name: "office", Members: []string{"u"}, Policies: []*Policy{plain, ranged}}
	a := &Gate{Name: "a", Schemes: basic}
	both := &Gate{Name: "a", Schemes: basic | bearer}
	others := &Gate{Name: "a", Schemes: basic, ActAsHeader: "x-for"}
	foreign := &Gate{Name: "n/a", Namespace: "n", Schemes: bearer}
	next, open := func(g ...*Gate) []*Gate { return g }, func(g ...*Gate) []*Gate { return g }
	for name, c := range map[string]struct {
		token      Token
		next, open []*Gate
		suits      bool
	}{
		"for every gate":                        {Token{}, next(a), nil, true},
		"for every gate of which there is none": {Token{Schemes: bearer}, next(foreign), nil, true},
		"for one that is there":                 {Token{Gates: []string{"a"}}, next(a, foreign), nil, true},
		"for one that is not":                   {Token{Gates: []string{"a", "b"}}, next(a), nil, false},
		"a canary for one that is not":          {Token{Gates: []string{"b"}, Canary: true}, next(a), nil, false},
		"in no scheme of every gate":            {Token{Schemes: bearer}, next(a, foreign), nil, false},
		"in a scheme of one":                    {Token{Schemes: bearer}, next(both), nil, true},
		"in one of its namespace's":             {Token{Schemes: bearer, Namespace: "n"}, next(a, foreign), nil, true},
		"in no scheme of those named":           {Token{Schemes: bearer, Gates: []string{"a"}}, next(a, &Gate{Name: "b", Schemes: bearer}), nil, false},
		"in a scheme of one of those named":     {Token{Schemes: bearer, Gates: []string{"a", "b"}}, next(a, &Gate{Name: "b", Schemes: bearer}), nil, true},
		"of any user, without Basic":            {Token{AnyUser: true}, next(&Gate{Name: "a", Schemes: bearer}), nil, false},
		"of any user, with Basic":               {Token{AnyUser: true, Schemes: bearer}, next(a), nil, true},
		"a canary in no scheme":                 {Token{Schemes: bearer, Canary: true}, next(a), nil, true},
		"of objects":                            {Token{Gates: []string{"b"}, Source: Source{Origin: OriginObjects}}, next(a), nil, true},
		"of a file that changes":                {Token{Gates: []string{"b"}, Source: Source{File: "changes"}}, next(a), nil, true},

		"without ranges, at an open gate": {Token{Grant: Grant{Policies: []*Policy{plain}}}, next(a), open(a), true},
		"its ranges, at no open gate":     {Token{Clients: Ranges{Allow: ranges}}, next(a), nil, true},
		"its ranges":                      {Token{Clients: Ranges{Allow: ranges}}, next(a), open(a), false},
		"its ranges, of those denied":     {Token{Clients: Ranges{Deny: ranges}, Gates: []string{"a"}}, next(a), open(a), false},
		"its ranges, at another gate":     {Token{Clients: Ranges{Allow: ranges}, Gates: []string{"a"}}, next(a, foreign), open(foreign), true},
		"in another namespace":            {Token{Clients: Ranges{Allow: ranges}}, next(a, foreign), open(foreign), true},
		"named from another namespace":    {Token{Clients: Ranges{Allow: ranges}, Gates: []string{"n/a"}}, next(a, foreign), open(foreign), false},
		"those of a policy":               {Token{Grant: Grant{Policies: []*Policy{plain, ranged}}}, next(a), open(a), false},
		"those of its own rules":          {Token{Grant: Grant{Policies: []*Policy{plain, {Allow: []*Rule{{}, {Clients: ranges}}}}}}, next(a), open(a), false},
		"rules of its own without any":    {Token{Grant: Grant{Policies: []*Policy{plain, {Allow: []*Rule{{}}}}}}, next(a), open(a), true},
		"those of a policy beside rules":  {Token{Grant: Grant{Policies: []*Policy{ranged, {Allow: []*Rule{{}}}}}}, next(a), open(a), false},
		"those of a group":                {Token{User: "u", Groups: []*Group{office}}, next(a), open(a), false},
		"of any user, of a group":         {Token{AnyUser: true}, next(a), open(a), false},
		"of whom it acts for":             {Token{ActAs: []*Pattern{mustPattern(t, "u")}}, next(others), open(others), false},
		"where it can't act for them":     {Token{ActAs: []*Pattern{mustPattern(t, "u")}}, next(a), open(a), true},
	} {
		t.Run(name, func(t *testing.T) {
			c.token.Name, c.token.Digest = "t", token.Sum(token.NewSecret("value"))
			x := NewIndex()
			rows := Rows{Gates: []*Gate{{Name: "before"}}, Groups: []*Group{office}, Policies: []*Policy{plain, ranged}, Tokens: []*Token{&c.token}}
			if _, err := x.Replace(rows, time.Now()); err != nil {
				t.Fatal(err)
			}
			if got := x.Snapshot().GatesSuit(c.next, c.open, func(file string) bool { return file != "changes" }); got != c.suits {
				t.Errorf("suits: %v", got)
			}
		})
	}
}

func mustPattern(t *testing.T, text string) *Pattern {
	t.Helper()
	p, err := SharedPattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
