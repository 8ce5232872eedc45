package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

func digest(text string) token.Digest { return token.Sum(token.NewSecret(text)) }

func row(name, value string, previous ...string) *policy.Token {
	t := &policy.Token{Name: name, User: name, Digest: digest(value)}
	for _, p := range previous {
		t.Previous = append(t.Previous, policy.PreviousValue{Digest: digest(p)})
	}
	return t
}

// replace returns what changed, without the names.
func replace(t *testing.T, x *policy.Index, tokens ...*policy.Token) policy.Change {
	t.Helper()
	c, err := x.Replace(policy.Rows{Tokens: tokens}, now)
	if err != nil {
		t.Fatal(err)
	}
	c.Names = nil
	return c
}

func TestReplaceNamesWhatChanged(t *testing.T) {
	x := policy.NewIndex()
	names := func(rows policy.Rows) policy.ChangedNames {
		t.Helper()
		c, err := x.Replace(rows, now)
		if err != nil {
			t.Fatal(err)
		}
		if c.Names == nil {
			return policy.ChangedNames{}
		}
		return *c.Names
	}
	gate := &policy.Gate{Name: "jira", Hosts: []string{policy.AnyHost}, Prefixes: []string{""}}
	a, b, group := row("a", "1"), row("b", "2"), &policy.Group{Name: "users"}
	for i, step := range []struct {
		rows                    policy.Rows
		added, changed, removed string
	}{
		{policy.Rows{Gates: []*policy.Gate{gate}, Tokens: []*policy.Token{a, b}}, "Gate/jira APIToken/a APIToken/b", "", ""},
		{policy.Rows{Gates: []*policy.Gate{gate}, Tokens: []*policy.Token{a, b}}, "", "", ""},
		{policy.Rows{Gates: []*policy.Gate{gate}, Tokens: []*policy.Token{a, row("b", "3")}, Groups: []*policy.Group{group}}, "UserGroup/users", "APIToken/b", ""},
		{policy.Rows{Gates: []*policy.Gate{gate}, Policies: []*policy.Policy{{Name: "p"}}}, "TokenPolicy/p", "", "UserGroup/users APIToken/a APIToken/b"},
	} {
		got := names(step.rows)
		for _, list := range []struct {
			got  []string
			want string
		}{{got.Added, step.added}, {got.Changed, step.changed}, {got.Removed, step.removed}} {
			if strings.Join(list.got, " ") != list.want {
				t.Errorf("step %d: %q, want %q", i, list.got, list.want)
			}
		}
	}
	var many []*policy.Token
	for i := range 100 {
		many = append(many, row(fmt.Sprint("t", i), fmt.Sprint("v", i)))
	}
	if got := names(policy.Rows{Tokens: many}); len(got.Added) != 20 {
		t.Errorf("%d names", len(got.Added))
	}
}

// holds checks that each value leads to a token of this name, or to none.
func holds(t *testing.T, x *policy.Index, want map[string]string) {
	t.Helper()
	for value, name := range want {
		d := digest(value)
		got := ""
		if tok := x.Snapshot().Token(&d); tok != nil {
			got = tok.Name
		}
		if got != name {
			t.Errorf("%s leads to %q, want %q", value, got, name)
		}
	}
}

func TestReplaceCountsAndKeepsWhatIsTheSame(t *testing.T) {
	x := policy.NewIndex()
	a, b := row("a", "1"), row("b", "2")
	if c := replace(t, x, a, b); c != (policy.Change{Revision: 1, Added: 2}) {
		t.Errorf("%+v", c)
	}
	if c := replace(t, x, a, b); c != (policy.Change{Revision: 2}) {
		t.Errorf("the same again: %+v", c)
	}
	if c := replace(t, x, a, row("b", "3"), row("c", "2")); c != (policy.Change{Revision: 3, Added: 1, Changed: 1}) {
		t.Errorf("%+v", c)
	}
	holds(t, x, map[string]string{"1": "a", "2": "c", "3": "b"})
	if c := replace(t, x, a); c != (policy.Change{Revision: 4, Removed: 2}) {
		t.Errorf("%+v", c)
	}
	holds(t, x, map[string]string{"1": "a", "2": "", "3": ""})
}

func TestDigestsMayMoveBetweenTokens(t *testing.T) {
	x := policy.NewIndex()
	replace(t, x, row("a", "1"), row("b", "2"))
	replace(t, x, row("a", "2"), row("b", "1"))
	holds(t, x, map[string]string{"1": "b", "2": "a"})
	replace(t, x, row("a", "3", "2"), row("b", "4", "1"))
	holds(t, x, map[string]string{"1": "b", "2": "a", "3": "a", "4": "b"})
	replace(t, x, row("z", "1"))
	holds(t, x, map[string]string{"1": "z", "2": "", "3": "", "4": ""})
}

func TestASnapshotStaysAsItIs(t *testing.T) {
	x := policy.NewIndex()
	replace(t, x, row("a", "1"))
	before := x.Snapshot()
	replace(t, x)
	d := digest("1")
	if before.Token(&d) == nil || before.Revision().Number != 1 {
		t.Error("a snapshot changed under its reader")
	}
	if x.Snapshot().Token(&d) != nil || x.Snapshot().Revision().Number != 2 {
		t.Error("the change is not seen")
	}
}

func TestRevokeEarly(t *testing.T) {
	x := policy.NewIndex()
	replace(t, x, row("a", "1", "old"), row("b", "2"), row("c", "3"), row("d", "4"))
	names, revision, err := x.RevokeEarly([]policy.Ending{
		{Token: "a", Digest: digest("old"), Revoked: true}, {Token: "nobody", Digest: digest("nobody's"), Revoked: true},
		{Token: "b", Digest: digest("2"), Suspended: true}, {Token: "a", Digest: digest("old"), Suspended: true},
		{Token: "mine", Digest: digest("3"), Revoked: true}, {Token: "d", Digest: digest("3"), Suspended: true},
	})
	if err != nil || revision != 2 || !slices.Equal(names, []string{"a", "b"}) {
		t.Fatalf("%v, revision %d, %v", names, revision, err)
	}
	s := x.Snapshot()
	if s.Revision().Number != 2 || !s.TokenByName("a").Revoked || !s.TokenByName("b").Suspended {
		t.Error("the rows are not revoked")
	}
	for _, other := range []string{"c", "d"} {
		if row := s.TokenByName(other); row.Revoked || row.Suspended {
			t.Errorf("the token %s was ended by a document of another name or digest", other)
		}
	}
	if names, revision, err := x.RevokeEarly([]policy.Ending{{Token: "a", Digest: digest("1"), Revoked: true}}); err != nil || len(names) != 0 || revision != 2 {
		t.Errorf("again: %v, revision %d, %v", names, revision, err)
	}
}

// TestReadersSeeWholeRevisions runs readers concurrently with a writer: every snapshot must hold
// rows of one generation alone.
func TestReadersSeeWholeRevisions(t *testing.T) {
	x := policy.NewIndex()
	generation := func(g int) policy.Rows {
		p := &policy.Policy{Name: "p", Source: policy.Source{Line: g}}
		r := policy.Rows{
			Gates:    []*policy.Gate{{Name: "g", Source: policy.Source{Line: g}, Hosts: []string{"*"}, Prefixes: []string{""}}},
			Policies: []*policy.Policy{p},
		}
		for i := range 20 {
			tok := row(fmt.Sprint("t", i), fmt.Sprint(i))
			tok.Source.Line, tok.Grant.Policies = g, []*policy.Policy{p}
			r.Tokens = append(r.Tokens, tok)
		}
		return r
	}
	if _, err := x.Replace(generation(1), now); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() {
			d := digest(fmt.Sprint(i))
			for {
				select {
				case <-done:
					return
				default:
				}
				s := x.Snapshot()
				g := int(s.Revision().Number)
				tok := s.Token(&d)
				if tok.Source.Line != g || tok.Grant.Policies[0].Source.Line != g || s.Gate("g").Source.Line != g || s.Policy("p").Source.Line != g {
					t.Errorf("revision %d holds a token of %d, its policy of %d, a gate of %d", g,
						tok.Source.Line, tok.Grant.Policies[0].Source.Line, s.Gate("g").Source.Line)
					return
				}
			}
		})
	}
	for g := 2; g <= 300; g++ {
		if _, err := x.Replace(generation(g), now); err != nil {
			t.Error(err)
		}
	}
	close(done)
	readers.Wait()
}
