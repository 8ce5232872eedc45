package loader_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

// TestRevivals loads manifests after others and checks which tokens' validity was extended: the
// same whether a file of tokens changed alone or a policy with it.
func TestRevivals(t *testing.T) {
	const (
		revoked = "`revoked` was removed"
		issued  = "`issued` was moved later"
		end     = "the end was moved later"
	)
	group := func(spec string) string {
		return "apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: g}\nspec: {" + spec + "}\n"
	}
	manifest := func(name, value, spec string) string {
		return "---\napiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: " + name + "}\nspec: {digest: " +
			token.Sum(token.NewSecret(value)).String() + ", unrestricted: true, " + spec + "}\n"
	}
	previous := func(value, until string) string {
		return ", previous: [{digest: " + token.Sum(token.NewSecret(value)).String() + ", issued: 2026-05-01T00:00:00Z, until: " + until + "}]"
	}
	const alice = "user: alice, issued: 2026-05-01T00:00:00Z"
	const anybody = "anyUser: true, schemes: [basic], issued: 2026-05-01T00:00:00Z"
	for name, c := range map[string]struct {
		old, new           string // tokens
		oldGroup, newGroup string
		gate               string
		want               string // "name: how"
	}{
		"nothing":                               {old: manifest("a", "1", alice), new: manifest("a", "1", alice+", displayName: A")},
		"revoked removed":                       {old: manifest("a", "1", alice+", revoked: 2026-05-02T00:00:00Z"), new: manifest("a", "1", alice), want: "a: " + revoked},
		"revoked removed, renamed":              {old: manifest("a", "1", alice+", revoked: 2026-05-02T00:00:00Z"), new: manifest("b", "1", alice), want: "b: " + revoked},
		"suspended removed":                     {old: manifest("a", "1", alice+", suspended: true"), new: manifest("a", "1", alice)},
		"revoked moved":                         {old: manifest("a", "1", alice+", revoked: 2026-05-02T00:00:00Z"), new: manifest("a", "1", alice+", revoked: 2026-05-03T00:00:00Z")},
		"an end added":                          {old: manifest("a", "1", alice), new: manifest("a", "1", alice+", expires: 2027-01-01T00:00:00Z")},
		"an end earlier":                        {old: manifest("a", "1", alice+", expires: 2027-01-01T00:00:00Z"), new: manifest("a", "1", alice+", expires: 2026-09-01T00:00:00Z")},
		"an end later":                          {old: manifest("a", "1", alice+", expires: 2027-01-01T00:00:00Z"), new: manifest("a", "1", alice+", expires: 2027-02-01T00:00:00Z"), want: "a: " + end},
		"an end removed":                        {old: manifest("a", "1", alice+", expires: 2027-01-01T00:00:00Z"), new: manifest("a", "1", alice), want: "a: " + end},
		"issued later":                          {old: manifest("a", "1", alice), new: manifest("a", "1", "user: alice, issued: 2026-05-02T00:00:00Z"), want: "a: " + issued},
		"issued earlier":                        {old: manifest("a", "1", alice), new: manifest("a", "1", "user: alice, issued: 2026-04-02T00:00:00Z")},
		"a rotation":                            {old: manifest("a", "1", alice), new: manifest("a", "2", "user: alice, issued: 2026-06-01T00:00:00Z"+previous("1", "2026-06-02T00:00:00Z"))},
		"an older value that ends later":        {old: manifest("a", "2", alice+previous("1", "2026-06-02T00:00:00Z")), new: manifest("a", "2", alice+previous("1", "2026-06-03T00:00:00Z")), want: "a: " + end},
		"an older value that is one of its own": {old: manifest("a", "2", alice+previous("1", "2026-06-02T00:00:00Z")), new: manifest("a", "2", alice) + manifest("b", "1", alice), want: "b: " + end},
		"later and revoked":                     {old: manifest("a", "1", alice+", expires: 2027-01-01T00:00:00Z"), new: manifest("a", "1", alice+", revoked: 2026-06-01T00:00:00Z")},
		"a cap raised":                          {old: manifest("a", "1", alice), new: manifest("a", "1", alice), oldGroup: "members: [alice], tokens: {maxLifetime: 90d}", newGroup: "members: [alice], tokens: {maxLifetime: 91d}", want: "a: " + end},
		"a cap removed":                         {old: manifest("a", "1", alice), new: manifest("a", "1", alice), oldGroup: "members: [alice], tokens: {maxLifetime: 90d}", newGroup: "members: [alice]", want: "a: " + end},
		"a cap beyond the end":                  {old: manifest("a", "1", alice+", expires: 2026-06-01T00:00:00Z"), new: manifest("a", "1", alice+", expires: 2026-06-01T00:00:00Z"), oldGroup: "members: [alice], tokens: {maxLifetime: 90d}", newGroup: "members: [alice]"},
		"a cap for any user":                    {old: manifest("a", "1", anybody), new: manifest("a", "1", anybody), oldGroup: "members: [alice], tokens: {maxLifetime: 90d}", newGroup: "members: [alice], tokens: {maxLifetime: 91d}", want: "a: " + end},
		"a user who left the cap":               {old: manifest("a", "1", alice), new: manifest("a", "1", alice), oldGroup: "members: [alice], tokens: {maxLifetime: 90d}", newGroup: "members: [], tokens: {maxLifetime: 90d}", want: "a: " + end},
		"a user who left the gates":             {old: manifest("a", "1", alice), new: manifest("a", "1", alice), oldGroup: "members: [alice], tokens: {maxLifetime: 90d}", newGroup: "members: [], tokens: {maxLifetime: 90d}", gate: "groups: [g]"},
	} {
		for _, whole := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", name, whole), func(t *testing.T) {
				h := newHarness(t, t.TempDir())
				write(t, h.dir+"/gate.yaml", "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: jira}\nspec: {hosts: [jira.example.com], "+c.gate+"}\n")
				write(t, h.dir+"/policy.yaml", "apiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: p}\nspec: {deny: [{path: /a}]}\n")
				write(t, h.dir+"/tokens.yaml", c.old)
				if c.oldGroup != "" {
					write(t, h.dir+"/group.yaml", group(c.oldGroup))
				}
				if r := h.load(); r.Rejected() || len(r.Revived) > 0 {
					t.Fatal(r.Problems, r.Revived)
				}
				write(t, h.dir+"/tokens.yaml", c.new)
				if c.newGroup != "" {
					write(t, h.dir+"/group.yaml", group(c.newGroup))
				}
				if whole {
					write(t, h.dir+"/policy.yaml", "apiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: p}\nspec: {deny: [{path: /b}]}\n")
				}
				var got []string
				if r := h.load(); r != nil {
					if r.Rejected() {
						t.Fatal(r.Problems)
					}
					for _, v := range r.Revived {
						got = append(got, v.Token+": "+v.How.String())
					}
				}
				if strings.Join(got, ", ") != c.want {
					t.Errorf("revived %q, want %q", got, c.want)
				}
			})
		}
	}
}

// TestATokenRevokedEarlyComesBack mends a load that revoked a token, without its `revoked`.
func TestATokenRevokedEarlyComesBack(t *testing.T) {
	h := newHarness(t, t.TempDir())
	write(t, h.dir+"/gate.yaml", gateNamed("jira"))
	write(t, h.dir+"/a.yaml", tokenNamed("a", ""))
	h.load()
	write(t, h.dir+"/a.yaml", tokenNamed("a", "  revoked: 2026-06-01T00:00:00Z\n"))
	write(t, h.dir+"/broken.yaml", "kind: [")
	h.load()
	write(t, h.dir+"/a.yaml", tokenNamed("a", ""))
	if err := os.Remove(h.dir + "/broken.yaml"); err != nil {
		t.Fatal(err)
	}
	if r := h.load(); r.Rejected() || len(r.Revived) != 1 || r.Revived[0].Token != "a" {
		t.Errorf("%+v", r)
	}
}
