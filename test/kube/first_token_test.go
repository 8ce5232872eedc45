//go:build kube

package kube

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patgate/patgate/envoy"
)

const firstTokenPage = "../../docs/first-token.md"

// TestFirstToken runs the commands of the page about the first token against the API server, and the result:
// the pod of the chart, and real Envoys with the configurations of the example's ConfigMaps. The
// token passes, is in the audit, and is refused once it is revoked.
func TestFirstToken(t *testing.T) {
	ns := newNamespace(t)
	typist := newTypist(t, ns)
	commands := documented(t, firstTokenPage)
	value, revoked := "", 0
	for n, command := range commands {
		if strings.HasPrefix(command, "patgate token revoke ") {
			revoked = n
			break
		}
		if out := typist.types(command); strings.HasPrefix(command, "patgate token create ") {
			value = strings.TrimSpace(out)
		}
	}
	if len(value) != 41 || revoked == 0 {
		t.Fatalf("the page made a value of %d characters, and revokes it by command %d", len(value), revoked)
	}

	s := runPod(ns, podTemplate(ns.get("deployment", release)))
	s.front(func(a envoy.Addresses) (string, error) {
		config := newPod(ns, podTemplate(ns.get("deployment", "envoy"))).volume("config")
		text := read(t, filepath.Join(config, "envoy.yaml"))
		for mark, address := range map[string]string{"ADMIN": a.Admin, "CLIENTS": a.Clients, "UPSTREAM": a.Upstream, "PATGATE": s.address()} {
			text = readdress(t, text, mark, address)
		}
		return text, nil
	})
	s.decides(value)
	standIn(ns)

	for _, command := range commands[revoked:] {
		typist.types(command)
	}
	s.pod.sync()
	s.patgate.await("the revocation", func() bool {
		status, _ := s.ask("GET", "/rest/api/2/issue/JRA-9", "Bearer "+value)
		return status == 401
	})
	if typist.ran != 11 {
		t.Errorf("%d commands were run", typist.ran)
	}
	s.ends()
}

// standIn runs the example's stand-in for an API, which answers with the user that patgate names.
func standIn(ns *namespace) {
	ns.t.Helper()
	config := newPod(ns, podTemplate(ns.get("deployment", "api"))).volume("config")
	address, admin := freeAddr(), freeAddr()
	host, port, err := net.SplitHostPort(admin)
	if err != nil {
		ns.t.Fatal(err)
	}
	text := readdress(ns.t, read(ns.t, filepath.Join(config, "envoy.yaml")), "STANDIN", address)
	text += fmt.Sprintf("admin: {address: {socket_address: {address: %s, port_value: %s}}}\n", host, port)
	e, err := envoy.Start(ns.t.Context(), text, admin)
	if err != nil {
		ns.t.Fatal(err)
	}
	defer func() {
		if err := e.Stop(); err != nil {
			ns.t.Error(err)
		}
	}()
	s := &served{t: ns.t, ns: ns, url: "http://" + address}
	if status, body := s.ask("GET", "/", ""); status != 200 || !strings.Contains(body, "The API got the request") {
		ns.t.Errorf("the stand-in: %d %s", status, body)
	}
}

// typist runs the commands of a page in a separate checkout.
type typist struct {
	ns  *namespace
	dir string
	ran int
}

func newTypist(t testing.TB, ns *namespace) *typist {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{docs: "docs/examples", chart: "charts/patgate"} {
		if err := os.CopyFS(filepath.Join(dir, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	absolute, err := filepath.Abs(binary)
	if err == nil {
		err = os.Symlink(absolute, filepath.Join(dir, "patgate"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return &typist{ns: ns, dir: dir}
}

// types runs a command as a shell does, and returns its output. The namespace is the test's, which
// is there; what needs a kubelet is left out.
func (y *typist) types(command string) string {
	y.ns.t.Helper()
	for _, p := range []string{"kubectl create namespace ", "kubectl port-forward ", "kubectl logs ", "curl "} {
		if strings.HasPrefix(command, p) {
			return ""
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		y.ns.actFor(command)
	}()
	line := strings.NewReplacer("--namespace patgate", "--namespace "+y.ns.name, "namespaces={patgate}", "namespaces={"+y.ns.name+"}").Replace(command)
	script := "set -e; cd " + y.dir + " && PATH=" + y.dir + ":" + filepath.Dir(tool(y.ns.t, "kubectl")) + ":$PATH && " + line
	out, err := y.ns.c.command(y.ns.t, "sh", "", "-c", script)
	if err != nil {
		y.ns.t.Fatalf("%s: %v\n%s", command, err, out)
	}
	<-done
	y.ran++
	return out
}
