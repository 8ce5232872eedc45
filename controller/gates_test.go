package controller

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// gateAt serves /revision at an address, with the objects that it has.
func gateAt(t *testing.T, address string, objects *atomic.Value) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/revision" {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprintf(w, `{"revision": 3, "objects": [%s]}`, objects.Load())
	}))
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func tokensUpTo(version int, namespace string) string {
	return fmt.Sprintf(`{"kind": "APIToken", "namespace": %q, "resourceVersion": "%d"}`, namespace, version)
}

// TestEveryAddressOfANameIsAGate asks all addresses of a name, and counts those on which a version runs.
func TestEveryAddressOfANameIsAGate(t *testing.T) {
	var one, two, three atomic.Value
	one.Store(tokensUpTo(9, ""))
	two.Store(tokensUpTo(10, ""))
	three.Store(tokensUpTo(10, "elsewhere"))
	port := gateAt(t, "127.0.0.1:0", &one)
	gateAt(t, "127.0.0.2:"+port, &two)
	gateAt(t, "127.0.0.3:"+port, &three)
	g, err := newGates([]string{"http://gates.example:" + port}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}
	g.lookUp = func(context.Context, string) ([]string, error) { return addresses, nil }
	check := func(want string) {
		t.Helper()
		g.asked = g.asked.Add(-2 * resolveEvery)
		g.refresh(t.Context())
		if got := g.inForce("APIToken", "team-a", 10).String(); !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	check("in force on 1 of 2 replicas: http://127.0.0.1:" + port + " has not taken it in yet")
	one.Store(tokensUpTo(11, "") + "," + tokensUpTo(11, "other"))
	check("in force on 2 of 2 replicas")
	three.Store(tokensUpTo(4, "team-a"))
	check("in force on 2 of 3 replicas: http://127.0.0.3:" + port)
	three.Store("")
	check("in force on 2 of 3 replicas: http://127.0.0.3:" + port + ": it has no objects of the cluster yet")
	addresses = []string{"127.0.0.1", "127.0.0.4"}
	check("in force on 1 of 2 replicas: http://127.0.0.4:" + port + ": ")
	g.lookUp = func(context.Context, string) ([]string, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "gates.example"}
	}
	check("in force on 0 of 1 replicas: http://gates.example:" + port + ": lookup gates.example: no such host")
	if g.inForce("APIToken", "team-a", 0).all() || (reach{}).all() {
		t.Error("what no gate is known to run counts as in force")
	}
}

// TestGateStatus checks which URLs are refused.
func TestGateStatus(t *testing.T) {
	for _, bad := range []string{"", "gates:9192", "ftp://gates", "http://"} {
		if _, err := newGates([]string{bad}, nil); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if _, err := newGates(nil, nil); err == nil {
		t.Error("no URL is accepted")
	}
}
