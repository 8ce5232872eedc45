package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
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
		return nil, &net.DNSError{Err: "no such host", Name: "gates.example", IsNotFound: true}
	}
	check("in force on 0 of 1 replicas: http://gates.example:" + port + ": lookup gates.example: no such host")
	if g.inForce("APIToken", "team-a", 0).all() || (reach{}).all() {
		t.Error("what no gate is known to run counts as in force")
	}
}

// TestInForceStays lets replicas go, fall behind and come: what was in force on every one stays so for the lapse, and no longer.
func TestInForceStays(t *testing.T) {
	refused := func() *replica { return &replica{failure: "connection refused"} }
	runs := func(version uint64) *replica { return &replica{runs: map[string]uint64{"APIToken/": version}} }
	elsewhere := &replica{runs: map[string]uint64{"APIToken/other": 1}}
	type step struct {
		after    time.Duration
		replicas []*replica
		stays    bool
	}
	for name, steps := range map[string][]step{
		"one is away for a moment":       {{0, []*replica{runs(10), runs(10)}, true}, {lapse / 2, []*replica{runs(10), refused()}, true}, {lapse / 2, []*replica{runs(10), runs(12)}, true}, {lapse - 1, []*replica{runs(10), refused()}, true}},
		"one goes":                       {{0, []*replica{runs(10), runs(10)}, true}, {1, []*replica{runs(10), refused()}, true}, {lapse, []*replica{runs(10), refused()}, false}, {1, []*replica{runs(10), runs(10)}, true}},
		"one is taken away":              {{0, []*replica{runs(10), runs(10)}, true}, {1, []*replica{runs(10)}, true}, {2 * lapse, []*replica{runs(10)}, true}},
		"one falls behind":               {{0, []*replica{runs(10)}, true}, {1, []*replica{runs(9)}, true}, {lapse, []*replica{runs(9)}, false}, {lapse, []*replica{runs(9)}, false}, {1, []*replica{runs(10)}, true}},
		"one never had it":               {{0, []*replica{runs(10), runs(9)}, false}},
		"one comes, and never answers":   {{0, []*replica{runs(10)}, true}, {1, []*replica{runs(10), refused()}, true}, {lapse, []*replica{runs(10), refused()}, false}},
		"one comes, and is behind":       {{0, []*replica{runs(10)}, true}, {1, []*replica{runs(10), runs(9)}, false}},
		"one comes that does not follow": {{0, []*replica{runs(10)}, true}, {1, []*replica{runs(10), elsewhere}, true}, {lapse, []*replica{runs(10), elsewhere}, true}},
		"none follows it any more":       {{0, []*replica{runs(10)}, true}, {1, []*replica{elsewhere}, false}},
		"all are taken away":             {{0, []*replica{runs(10)}, true}, {1, nil, true}, {lapse, nil, false}},
		"a controller begins, none yet":  {{0, nil, true}, {lapse, nil, false}},
		"a controller begins, one away":  {{0, []*replica{runs(10), refused()}, true}, {lapse, []*replica{runs(10), refused()}, false}},
	} {
		t.Run(name, func(t *testing.T) {
			clock := time.Now()
			g := &gates{now: func() time.Time { return clock }, none: clock, replicas: map[string]*replica{}, logger: slog.New(slog.DiscardHandler)}
			for i, s := range steps {
				clock = clock.Add(s.after)
				now := map[string]*replica{}
				for n, r := range s.replicas {
					own := *r
					now[fmt.Sprint(n)] = &own
				}
				g.take(now)
				if got := g.stays("APIToken", "team-a", 10); got != s.stays {
					t.Errorf("step %d: it stays: %v", i, got)
				}
			}
		})
	}
}

// TestFailuresAreTheSameEachTime checks that a failure which lasts is called the same: else each look would change each status.
func TestFailuresAreTheSameEachTime(t *testing.T) {
	asked := func(err error) error { return &url.Error{Op: "Get", URL: "http://gate:9192/revision", Err: err} }
	op := func(err error) error {
		return &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 40123}, Addr: &net.TCPAddr{Port: 9192}, Err: err}
	}
	for want, err := range map[string]error{
		"connect: connection refused":                asked(op(os.NewSyscallError("connect", syscall.ECONNREFUSED))),
		"no answer within 1s":                        asked(context.DeadlineExceeded),
		"lookup gates: no such host":                 &net.DNSError{Name: "gates", Server: "10.0.0.10:53", IsNotFound: true, Err: "no such host"},
		"lookup gates: no answer from a name server": asked(op(&net.DNSError{Name: "gates", Err: "read udp 10.1.0.2:40123->10.0.0.10:53: i/o timeout", IsTimeout: true})),
		"/revision answers 404, expected 200":        errors.New("/revision answers 404, expected 200"),
		"read: connection reset by peer":             asked(op(os.NewSyscallError("read", syscall.ECONNRESET))),
	} {
		if got := failureOf(err); got != want {
			t.Errorf("%s, want %s", got, want)
		}
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
