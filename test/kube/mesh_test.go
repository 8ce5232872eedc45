//go:build kube

package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMeshObjects has the API server validate what `patgate envoy-config` prints for a mesh,
// for gates that need different objects.
func TestMeshObjects(t *testing.T) {
	installCRDs(t)
	const gate = "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata:\n  name: jira\nspec:\n"
	gates := []struct{ name, manifests string }{
		{"plain", gate + "  schemes: [bearer]\n"},
		{"rules on bodies", gate + "  anonymous:\n    allow:\n    - methods: [POST]\n      path: /x\n      json: {kind: bug}\n"},
		{"clients by x-forwarded-for", gate + "  clients: {allow: [10.0.0.0/8]}\n  clientIP: {source: xff, trustedHops: 2}\n"},
		{"clients by a header", gate + "  clients: {allow: [10.0.0.0/8]}\n  clientIP: {source: header, header: x-real-client}\n"},
		{"headers of its own", gate + "  actAs: {header: x-acting-for}\n  upstream: {userHeader: x-user, authorization: keep}\n"},
		{"TLS wanted", gate + "  requireTLS: true\n"},
	}
	variants := [][]string{nil, {"--namespace", "shop", "--gateway", "front", "--patgate", "patgate.gates.svc.cluster.local:9443", "--patgate-tls", "client"}}
	for _, mesh := range []string{"istio", "envoy-gateway"} {
		for _, g := range gates {
			t.Run(mesh+" "+g.name, func(t *testing.T) {
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, "gate.yaml"), []byte(g.manifests), 0o644); err != nil {
					t.Fatal(err)
				}
				var all []string
				for _, flags := range variants {
					list := documents(patgate(t, append([]string{"envoy-config", "--for", mesh, "--manifests", dir}, flags...)...))
					if len(list) < 3 {
						t.Errorf("%d objects: %s", len(list), strings.Join(list, "---"))
					}
					all = append(all, list...)
				}
				newNamespace(t).takes(all)
			})
		}
	}
}

// TestFrontObjects has the API server validate what `patgate front-config` prints for Kubernetes: the CRDs of the
// Gateway API are those of its experimental channel. A field that is unknown is refused.
func TestFrontObjects(t *testing.T) {
	installCRDs(t)
	const gate = "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata:\n  name: jira\nspec:\n"
	for name, manifests := range map[string]string{
		"every host":      gate + "  schemes: [bearer]\n",
		"hosts":           gate + "  hosts: [jira.example.com, \"*.example.org\"]\n",
		"rules on bodies": gate + "  anonymous:\n    allow:\n    - methods: [POST]\n      path: /x\n      json: {kind: bug}\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "gate.yaml"), []byte(manifests), 0o644); err != nil {
				t.Fatal(err)
			}
			ns := newNamespace(t)
			for kind, objects := range map[string][]string{"gateway-api": {"HTTPRoute", "ReferenceGrant"}, "ingress-nginx": {"Ingress", "ConfigMap"}} {
				all := documents(patgate(t, "front-config", "--for", kind, "--manifests", dir))
				for i, want := range objects {
					if len(all) != len(objects) || !strings.Contains(all[i], "kind: "+want+"\n") {
						t.Errorf("%s: %d objects, want %v: %s", kind, len(all), objects, strings.Join(all, "---"))
					}
				}
				ns.takes(all)
			}
		})
	}
}
