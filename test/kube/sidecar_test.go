//go:build kube

package kube

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/patgate/patgate/envoy"
)

// TestSidecar runs patgate's container of the sidecar example as the API server admits
// it, and a real Envoy with the configuration of the example's ConfigMap, on the socket
// that the two share.
func TestSidecar(t *testing.T) {
	ns := newNamespace(t)
	example := filepath.Join(docs, "sidecar")
	for _, d := range documents(ns.kubectl("kustomize", example)) {
		ns.pipe(namespaceOf.ReplaceAllString(d, "  namespace: "+ns.name), "apply", "--server-side", "--validate=strict", "-f", "-")
	}
	dir, manifests := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(manifests, "gate.yaml"), []byte(read(t, filepath.Join(example, "manifests", "gate.yaml"))), 0o644); err != nil {
		t.Fatal(err)
	}
	value := newToken(t, dir, manifests) // the example's ci-bot has a value that no one knows
	added := asJSON(t, object{"data": map[string]any{"ci-bot.yaml": read(t, filepath.Join(dir, "ci-bot.yaml"))}})
	ns.kubectl("patch", "configmap", "jira-manifests", "--patch", added)

	s := runPod(ns, podTemplate(ns.get("deployment", "jira")))
	s.front(func(a envoy.Addresses) (string, error) {
		config := read(t, filepath.Join(s.pod.volume("envoy"), "envoy.yaml"))
		for mark, address := range map[string]string{"ADMIN": a.Admin, "CLIENTS": a.Clients, "UPSTREAM": a.Upstream} {
			config = readdress(t, config, mark, address)
		}
		return strings.ReplaceAll(config, "/run/patgate/", s.pod.volume("socket")+"/"), nil
	})
	s.decides(value)

	patgate(t, "token", "revoke", "ci-bot", "--manifests", dir, "--yes")
	revoked := asJSON(t, object{"data": map[string]any{"ci-bot.yaml": read(t, filepath.Join(dir, "ci-bot.yaml"))}})
	ns.kubectl("patch", "configmap", "jira-manifests", "--patch", revoked)
	s.pod.sync()
	s.patgate.await("the revocation", func() bool {
		status, _ := s.ask("GET", "/rest/api/2/issue/JRA-9", "Bearer "+value)
		return status == 401
	})
	s.ends()
}

// readdress puts an address into the line of a configuration that ends in a mark.
func readdress(t testing.TB, config, mark, address string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`\{socket_address: \{address: [^}]*\}\}(.*# ` + mark + `\n)`)
	if len(line.FindAllString(config, -1)) != 1 {
		t.Fatalf("not one line of the configuration is marked %s", mark)
	}
	return line.ReplaceAllString(config, fmt.Sprintf("{socket_address: {address: %s, port_value: %s}}$1", host, port))
}
