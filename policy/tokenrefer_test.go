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

// TestReferringLeavesObjects lets a group of files come whose members have tokens of files and of a cluster's objects: tokens of
// files alone are in it, also where a token was of objects before, and they are in no group of objects.
func TestReferringLeavesObjects(t *testing.T) {
	row := func(name, user, origin string, groups ...*Group) *Token {
		return &Token{Name: name, User: user, Source: Source{File: "f", Origin: origin}, Digest: token.Sum(token.NewSecret("value of " + name)), Fingerprint: Fingerprint{1}, Groups: groups}
	}
	foreign := &Group{Name: "foreign", Members: []string{"u"}, Source: Source{Origin: OriginObjects}}
	ofFile, ofObject, moves := row("of-file", "u", ""), row("of-object", "u", OriginObjects, foreign), row("moves", "v", OriginObjects)
	moved := *moves
	moved.Source.Origin, moved.Fingerprint = "", Fingerprint{2}
	x := NewIndex()
	for _, c := range []Changes{
		{All: true, Origin: OriginObjects, New: Rows{Groups: []*Group{foreign}, Tokens: []*Token{ofObject, moves, row("stays", "v", OriginObjects)}}},
		{All: true, New: Rows{Tokens: []*Token{ofFile, row("beside", "v", "")}}},
		{Old: Rows{Tokens: []*Token{moves}}, New: Rows{Tokens: []*Token{&moved}}},
		{Refer: true, New: Rows{Groups: []*Group{{Name: "g", Members: []string{"u", "v"}}, {Name: "n/g", Namespace: "n", Members: []string{"u"}}}}},
	} {
		if _, err := x.Apply(c, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"of-file": "g", "of-object": "foreign", "moves": "g", "beside": "g", "stays": ""} {
		var got []string
		for _, g := range x.Snapshot().TokenByName(name).Groups {
			got = append(got, g.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s is in %q, want %q", name, got, want)
		}
	}
}

// TestTokensOfGroups asks whom a group concerns: tokens of its members in its namespace, and tokens of any user.
func TestTokensOfGroups(t *testing.T) {
	row := func(name, namespace string, anyUser bool) *Token {
		return &Token{Name: name, Namespace: namespace, User: "u", AnyUser: anyUser, Digest: token.Sum(token.NewSecret(name)), Fingerprint: Fingerprint{1}}
	}
	x := NewIndex()
	if _, err := x.Replace(Rows{Tokens: []*Token{row("t", "", false), row("n/t", "n", false), row("n/any", "n", true)}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	var concerned []string
	for row := range x.Snapshot().TokensOf([]*Group{{Name: "g", Members: []string{"u"}}}) {
		concerned = append(concerned, row.Name)
	}
	if got := strings.Join(concerned, " "); got != "t n/any" {
		t.Errorf("concerned: %s", got)
	}
}
