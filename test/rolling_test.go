//go:build rolling

package test

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/token"
)

// restarts is how often a replica is restarted, in turn.
const restarts = 20

// TestRollingRestarts restarts the two replicas behind one Envoy in turn, under load: calls
// that should be allowed are. The drain is longer than Envoy takes to see it.
func TestRollingRestarts(t *testing.T) {
	value := token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+tokenManifest("ci", value, ""))
	const drain = "--drain-delay=800ms"
	replicas := []*patgate{startPatgate(t, dir, drain), startPatgate(t, dir, drain)}
	e, clients := startBalanced(t, replicas)
	l := startLoad(t, 6, "http://"+clients+"/rest/x", "Bearer "+value)
	for n := range restarts {
		awaitHealthy(t, e, 2)
		l.awaitMore(t)
		replicas[n%2].restart(dir, drain)
	}
	l.awaitMore(t)
	l.end()
	allowed, refused := l.allowed.Load(), l.refused.Load()
	t.Logf("%d calls were allowed and %d refused through %d restarts", allowed, refused, restarts)
	if refused > 0 {
		t.Errorf("%d of %d calls were refused", refused, refused+allowed)
	}
}

// startBalanced runs an Envoy with the configuration that people copy, in front of several
// replicas, with health checks as often as the test's drain is short.
func startBalanced(t *testing.T, replicas []*patgate) (e *envoy.Process, clients string) {
	t.Helper()
	clients = freeAddr(t)
	admin, api := freeAddr(t), startUpstream(t)
	config, err := envoy.Render(envoy.Addresses{Admin: admin, Clients: clients, Upstream: api.addr, Patgate: replicas[0].addr})
	if err != nil {
		t.Fatal(err)
	}
	// The line of the first replica, again with the port of the second.
	port := func(p *patgate) string { return p.addr[strings.LastIndexByte(p.addr, ':')+1:] }
	at := strings.Index(config, port(replicas[0]))
	from := strings.LastIndexByte(config[:at], '\n')
	to := at + strings.IndexByte(config[at:], '\n')
	line := config[from:to]
	config = replacing(t, line, line+strings.Replace(line, port(replicas[0]), port(replicas[1]), 1),
		"      interval: 1s\n      no_traffic_interval: 1s ", "      interval: 0.2s\n      no_traffic_interval: 0.2s ")(config)
	return startEnvoy(t, config, admin), clients
}

// awaitHealthy waits until Envoy counts this many replicas as healthy.
func awaitHealthy(t *testing.T, e *envoy.Process, n int) {
	t.Helper()
	want := fmt.Sprintf("cluster.patgate.membership_healthy: %d\n", n)
	got := ""
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		text, err := e.Admin("/stats?filter=cluster.patgate.membership_healthy")
		if got = text; err == nil && text == want {
			return
		}
	}
	t.Fatalf("not %d healthy replicas: %s", n, got)
}

// restart drains patgate and starts it again.
func (p *patgate) restart(manifests string, flags ...string) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	<-p.exited
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("patgate exited with %d\n%s", code, p.log())
	}
	p.exited = make(chan struct{})
	p.start(manifests, flags...)
}
