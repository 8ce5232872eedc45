package loader_test

import (
	"os"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

// TestRemovedGroupMustNotWidenTokens deletes a group together with the gate that named it: while a token
// is left that could do more without, the load is rejected.
func TestRemovedGroupMustNotWidenTokens(t *testing.T) {
	manifest := func(kind, name, spec string) string {
		return "apiVersion: patgate.dev/v1alpha1\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec: {" + spec + "}\n---\n"
	}
	apiToken := func(spec string) string {
		return manifest("APIToken", "ci", "digest: "+token.Sum(token.NewSecret("value")).String()+", issued: 2026-05-01T00:00:00Z, unrestricted: true, "+spec)
	}
	const (
		bounds  = "the UserGroup staff is gone, and the token ci would no longer be held by its policies, expected it to stay"
		end     = "the UserGroup staff is gone, and the token ci would no longer end by its maxLifetime, expected it to stay"
		policy  = "members: [alice, bob], policies: [no-users]"
		cap     = "members: [alice, bob], tokens: {maxLifetime: 60d}"
		members = "members: [alice]"
	)
	for name, c := range map[string]struct {
		group  string // that goes, with the gate that names it
		token  string
		stays  string // other manifests
		rights string // of the gate that stays
		want   string
	}{
		"its policies":                 {group: policy, token: "user: alice", want: bounds},
		"its cap":                      {group: cap, token: "user: alice", want: end},
		"no bounds":                    {group: members, token: "user: alice"},
		"tokens without an end":        {group: "members: [alice], tokens: {maxLifetime: forever}", token: "user: alice"},
		"a token of somebody else":     {group: policy, token: "user: carol"},
		"a revoked token":              {group: policy, token: "user: alice, revoked: 2026-06-01T00:00:00Z"},
		"a suspended token":            {group: policy, token: "user: alice, suspended: true", want: bounds},
		"an expired token":             {group: policy, token: "user: alice, expires: 2026-05-02T00:00:00Z"},
		"one that ends before the cap": {group: cap, token: "user: alice, expires: 2026-06-28T00:00:00Z"},
		"one that ends after the cap":  {group: cap, token: "user: alice, expires: 2099-01-01T00:00:00Z", want: end},
		"whose older value ends after it": {group: cap, want: end, token: "user: alice, expires: 2026-06-28T00:00:00Z, " +
			"previous: [{digest: " + token.Sum(token.NewSecret("older")).String() + ", issued: 2026-04-01T00:00:00Z, until: 2026-06-20T00:00:00Z}]"},
		"whose older value has ended either way": {group: cap, token: "user: alice, expires: 2026-06-28T00:00:00Z, " +
			"previous: [{digest: " + token.Sum(token.NewSecret("older")).String() + ", issued: 2026-01-01T00:00:00Z, until: 2026-05-15T00:00:00Z}]"},
		"a token of any user":            {group: policy, token: "anyUser: true, schemes: [basic]", want: bounds},
		"the cap of a token of any user": {group: cap, token: "anyUser: true, schemes: [basic]", want: end},
		"one that may speak for members": {group: policy, token: "user: carol, actAs: ['al.*']", rights: "actAs: {header: x-for}", want: bounds},
		"where no gate listens to it":    {group: policy, token: "user: carol, actAs: ['al.*']"},
		"one that may speak for others":  {group: policy, token: "user: carol, actAs: ['c.*']", rights: "actAs: {header: x-for}"},
		"the same bounds by another": {group: policy, token: "user: alice",
			stays: manifest("UserGroup", "people", "members: [alice, bob], policies: [no-users]")},
		"the cap by another": {group: cap, token: "user: alice",
			stays: manifest("UserGroup", "people", "members: [alice], tokens: {maxLifetime: 90d}")},
		"the same bounds, observed": {group: policy, token: "user: alice",
			stays: manifest("UserGroup", "people", "members: [alice], policies: [other]") + manifest("TokenPolicy", "other", "enforcement: observe, deny: [{path: /rest/user.*}]"), want: bounds},
		"a gate that does not admit its members": {group: policy, token: "user: alice",
			stays: manifest("UserGroup", "guests", "members: [carol]"), rights: "groups: [guests]"},
		"a gate that admits them by another group": {group: policy, token: "user: alice",
			stays: manifest("UserGroup", "guests", "members: [alice]"), rights: "groups: [guests]", want: bounds},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, t.TempDir())
			rights := "hosts: [wiki.example.com], schemes: [basic, bearer]"
			if c.rights != "" {
				rights += ", " + c.rights
			}
			write(t, h.dir+"/stays.yaml", manifest("Gate", "wiki", rights)+manifest("TokenPolicy", "no-users", "deny: [{path: /rest/user.*}]")+apiToken(c.token)+c.stays)
			write(t, h.dir+"/gate.yaml", manifest("Gate", "jira", "hosts: [jira.example.com], groups: [staff]"))
			write(t, h.dir+"/group.yaml", manifest("UserGroup", "staff", c.group))
			if r := h.load(); r.Rejected() {
				t.Fatal(r.Problems)
			}
			for _, name := range []string{"gate", "group"} {
				if err := os.Remove(h.dir + "/" + name + ".yaml"); err != nil {
					t.Fatal(err)
				}
			}
			r := h.load()
			if c.want == "" && r.Rejected() || c.want != "" && (len(r.Problems) != 1 || !strings.Contains(r.Problems[0].String(), "group.yaml:1:1: "+c.want)) {
				t.Errorf("problems %v, want %q", r.Problems, c.want)
			}
			if stays := h.index.Snapshot().Group("staff") != nil; stays != (c.want != "") {
				t.Errorf("the group runs: %v", stays)
			}
		})
	}
}

// TestAGroupIsRemovedOnPurpose takes its name out of the gate first.
func TestAGroupIsRemovedOnPurpose(t *testing.T) {
	h := newHarness(t, t.TempDir())
	group := "apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: staff}\nspec: {members: [alice], tokens: {maxLifetime: 900d}}\n"
	write(t, h.dir+"/gate.yaml", strings.Replace(gateNamed("jira"), "spec: {", "spec: {groups: [staff], ", 1))
	write(t, h.dir+"/group.yaml", group)
	write(t, h.dir+"/token.yaml", tokenNamed("a", ""))
	h.load()
	remove := func() {
		t.Helper()
		if err := os.Remove(h.dir + "/group.yaml"); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	write(t, h.dir+"/gate.yaml", gateNamed("jira"))
	if r := h.load(); !r.Rejected() {
		t.Error("both at once: the load was taken")
	}
	write(t, h.dir+"/group.yaml", group)
	if r := h.load(); r.Rejected() {
		t.Errorf("the name taken out: %v", r.Problems)
	}
	remove()
	if r := h.load(); r.Rejected() || h.index.Snapshot().Group("staff") != nil {
		t.Errorf("then the group deleted: %v", r.Problems)
	}
}

// TestAGroupIsRenamed changes a group's name wherever it is used, in a file in which its
// policy moves down a line.
func TestAGroupIsRenamed(t *testing.T) {
	m := func(kind, name, spec string) string {
		return "apiVersion: patgate.dev/v1alpha1\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec: {" + spec + "}\n---\n"
	}
	h := newHarness(t, t.TempDir())
	all := func(comment, group string) {
		write(t, h.dir+"/all.yaml", comment+m("Gate", "jira", "groups: ["+group+"]")+m("UserGroup", group, "members: [alice], policies: [no-users]")+
			m("TokenPolicy", "no-users", "deny: [{path: /rest/user.*}]")+tokenNamed("a", ""))
	}
	all("", "staff")
	if r := h.load(); r.Rejected() {
		t.Fatal(r.Problems)
	}
	all("# a comment\n", "people")
	if r := h.load(); r.Rejected() {
		t.Error(r.Problems)
	}
}
