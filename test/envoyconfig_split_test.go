//go:build mesh

package test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// jsonRoute is the HTTPRoute for JSON, with its content types and the upstream's port.
const jsonRoute = `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api-json, namespace: default}
spec:
  parentRefs: [{name: api}]
  rules:
  - matches:
    - headers:
      - {type: RegularExpression, name: content-type, value: '%s'}
    backendRefs: [{name: upstream, port: %s}]
`

// TestMeshEnvoyGatewaySplit does what docs/envoy-gateway.md says under "Only JSON bodies": one HTTPRoute for
// JSON, and --bodiless-route for the other one. Uploads are then untouched.
func TestMeshEnvoyGatewaySplit(t *testing.T) {
	m := startMesh(t, twoGates)
	config := m.envoyGateway(t, func(objects string) string {
		pattern := regexp.MustCompile(`matches content-type by\n    # (\S+)\n`).FindStringSubmatch(objects)
		if pattern == nil {
			t.Fatalf("no pattern of content types in\n%s", objects)
		}
		return objects + fmt.Sprintf(jsonRoute, pattern[1], portOfAddress(t, m.api.addr))
	}, "--bodiless-route", "api")
	if n := strings.Count(config, `"encodeRawHeaders":true`); n != 2 {
		t.Errorf("the patches apply to %d filters, want 2", n)
	}
	large := func(c gatesCase) bool { return strings.Contains(c.name, "large") }
	cases := slices.DeleteFunc(gatewayCases(m.value), large)
	for _, c := range gatesCases(m.value) {
		if large(c) && c.ask.header["Content-Type"] != "" || c.name == "a body that is too large to be buffered" {
			cases = append(cases, c)
		}
	}
	runGates(t, plainClient, "http://"+m.clients, m.api, cases, m.patgate)
}
