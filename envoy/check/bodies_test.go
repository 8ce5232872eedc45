package check_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/envoy/check"
)

const bodyManifests = `
-- manifests/m.yaml --
apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: api}
spec: {schemes: [bearer], actAs: {header: x-on-behalf-of}}
---
apiVersion: patgate.dev/v1alpha1
kind: APIToken
metadata: {name: ci}
spec:
  user: alice
  digest: sha256:a225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8
  issued: 2026-01-01T00:00:00Z
  allow:
  - {methods: [POST], json: {a: b}, contentTypes: [application/json, application/vnd.x+json]}
`

// TestRoutesThatLeaveBodiesOut checks that the route of all other bodies comes after one that
// takes every body that a rule reads, and that no other leaves bodies out.
func TestRoutesThatLeaveBodiesOut(t *testing.T) {
	gates := gatesOf(t, t.TempDir(), txtar.Parse([]byte(bodyManifests)))
	first := piece("              - match: {prefix: \"/\", headers", "              - match: {prefix: \"/\"}\n")
	second := piece("              - match: {prefix: \"/\"}\n", "          http_filters:\n")
	both := strings.Replace(first, "(application/json)", `(application/json|application/vnd\\.x\\+json)`, 1)
	off := strings.Replace(both, "timeout: 0s}\n", "timeout: 0s}\n                typed_per_filter_config: {envoy.filters.http.ext_authz: {"+perRoute+", check_settings: {disable_request_body_buffering: true}}}\n", 1)
	header := func(with string) string {
		at, end := strings.Index(both, ", headers"), strings.Index(both, "\n")
		return both[:at] + with + both[end:]
	}
	for _, c := range []struct {
		name, routes string
		good         bool
	}{
		{"both types first", both + second, true},
		{"any JSON first", header(`, headers: [{name: Content-Type, string_match: {safe_regex: {regex: "(?i).*json.*"}}}]}`) + second, true},
		{"one type alone", first + second, false},
		{"the other route first", second + both, false},
		{"both leave bodies out", off + second, false},
		{"of another path", strings.Replace(both, `{prefix: "/",`, `{prefix: "/other",`, 1) + second, false},
		{"of some methods", header(`, headers: [{name: ":method", string_match: {exact: POST}}, {name: content-type, string_match: {safe_regex: {regex: ".*"}}}]}`) + second, false},
		{"of another header", header(`, headers: [{name: accept, string_match: {safe_regex: {regex: ".*"}}}]}`) + second, false},
		{"of all but JSON", header(`, headers: [{name: content-type, invert_match: true, string_match: {safe_regex: {regex: ".*"}}}]}`) + second, false},
		{"in these letters alone", strings.Replace(both, "(?i)", "", 1) + second, false},
		{"with a condition on the query", strings.Replace(both, `{prefix: "/",`, `{prefix: "/", query_parameters: [{name: a, present_match: true}],`, 1) + second, false},
		{"an answer by itself", strings.Replace(both, "route: {cluster: upstream, timeout: 0s}", "direct_response: {status: 404}", 1) + second, false},
	} {
		text := strings.Replace(envoy.Standalone, first+second, c.routes, 1)
		if !strings.Contains(text, c.routes) {
			t.Fatalf("%s: the routes are not in the text", c.name)
		}
		list := found(t, "envoy.yaml", text, gates)
		if missing := slices.Contains(codesOf(list), check.BodyMissing); missing == c.good {
			t.Errorf("%s: found %v", c.name, list)
		}
	}
}
