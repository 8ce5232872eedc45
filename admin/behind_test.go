package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/patgate/patgate/admin"
)

// behind is what an Envoy sends on that has asked patgate, which let a token in.
func behind(user string, tokens ...string) as {
	return as{header: user, raw: http.Header{"X-Patgate-Token": tokens}}
}

// TestATokenBehindTheProxyBoundsItsCaller sends a limited token's name by the header of the default, with and without a
// Gate of the management, and by that of another Gate.
func TestATokenBehindTheProxyBoundsItsCaller(t *testing.T) {
	const wide = `{"displayName": "Wide", "unrestricted": true, "expiresIn": "7d"}`
	for name, c := range map[string]struct{ gate, header string }{
		"the management's Gate": {"tokens", "X-Patgate-Token"},
		"no Gate":               {"", "X-Patgate-Token"},
		"another Gate's header": {"", "X-Token-Name"},
		"names of the servers":  {"tokens", "X-Patgate-Token"},
	} {
		home := ""
		g := newRig(t, func(o *admin.Options) {
			if o.Gate = c.gate; name == "names of the servers" {
				home = "team/"
				o.TokenName = func(name string) string { return strings.TrimPrefix(name, "team/") }
			}
		})
		g.Store.Put("page.yaml", "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: page}\nspec: {hosts: [page.example.com], schemes: [bearer], upstream: {tokenHeader: x-token-name}}\n")
		g.put("narrow", "  user: alice\n  limitTo: |\n    [post]/api/v1/tokens\n")
		g.put("mine", "  user: alice\n  unrestricted: true\n")
		for row, want := range map[string]int{"narrow": http.StatusForbidden, "mine": http.StatusCreated} {
			who := as{header: "alice", raw: http.Header{c.header: {home + row}}}
			if answer := g.do(who, "POST", "/api/v1/tokens", wide); answer.StatusCode != want {
				t.Errorf("%s, %s: %d, want %d: %s", name, row, answer.StatusCode, want, textOf(t, answer))
			}
		}
	}
}
