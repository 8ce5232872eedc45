package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// TestReferring puts a policy and a group in the place of others: tokens refer to the new ones, also beside rules of
// their own, and those of an older snapshot do not.
func TestReferring(t *testing.T) {
	old, next := &Policy{Name: "p"}, &Policy{Name: "p", Allow: []*Rule{{Name: "more"}}}
	staff, staffNext := &Group{Name: "g", Members: []string{"u"}}, &Group{Name: "g", Members: []string{"u"}}
	other, own := &Policy{Name: "other"}, &Policy{}
	row := func(name string, groups []*Group, policies ...*Policy) *Token {
		return &Token{Name: name, User: map[bool]string{true: "u", false: "v"}[len(groups) > 0], Digest: token.Sum(token.NewSecret("value of " + name)), Fingerprint: Fingerprint{1}, Groups: groups, Grant: Grant{Policies: policies}}
	}
	x := NewIndex()
	if _, err := x.Replace(Rows{Policies: []*Policy{old, other}, Groups: []*Group{staff}, Tokens: []*Token{
		row("by-both", []*Group{staff}, old), row("by-grant", nil, other, old), row("by-group", []*Group{staff}, other),
		row("not", nil, other), row("with-own", nil, old, own),
	}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	before := x.Snapshot()
	change, err := x.Apply(Changes{Refer: true, Old: Rows{Policies: []*Policy{old}, Groups: []*Group{staff}}, New: Rows{Policies: []*Policy{next}, Groups: []*Group{staffNext}}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(change.Names.Changed, " "), "UserGroup/g TokenPolicy/p APIToken/by-both APIToken/by-grant APIToken/by-group APIToken/with-own"; got != want || change.Changed != 6 {
		t.Errorf("changed: %d, %s, want %s", change.Changed, got, want)
	}
	for name, want := range map[string][]*Policy{"by-both": {next}, "by-grant": {other, next}, "by-group": {other}, "not": {other}, "with-own": {next, own}} {
		if got := x.Snapshot().TokenByName(name); !slices.Equal(got.Grant.Policies, want) || slices.Contains(got.Groups, staff) {
			t.Errorf("%s refers to %v and %v", name, got.Grant.Policies, got.Groups)
		}
		if got := before.TokenByName(name); slices.Contains(got.Grant.Policies, next) || slices.Contains(got.Groups, staffNext) {
			t.Errorf("%s of the older snapshot refers to %v and %v", name, got.Grant.Policies, got.Groups)
		}
	}
	if groups := x.Snapshot().GroupsOf("u"); len(groups) != 1 || groups[0] != staffNext {
		t.Errorf("the user is in %v", groups)
	}
}
