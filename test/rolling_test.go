package test

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/extauthz"
	"github.com/patgate/patgate/token"
)

// restarts is how often a replica is restarted, in turn.
var restarts = flag.Int("restarts", 4, "how often the tests of two replicas restart one")

// replicaFlags give Envoy time to see that a replica terminates; and the audit's reader, which
// is this test, time on machines that have more to do.
var replicaFlags = []string{"--drain-delay=800ms", "--audit-wait=2s"}

// TestRollingRestarts restarts two replicas behind one Envoy in turn, under load: no call
// that should be allowed is refused.
func TestRollingRestarts(t *testing.T) { onBothTransports(t, testRollingRestarts) }

func testRollingRestarts(t *testing.T) {
	r := startReplicas(t)
	for n := range *restarts {
		r.awaitHealthy(t, 2)
		r.load.awaitMore(t)
		r.replicas[n%2].drain()
		r.replicas[n%2].start(r.manifests, replicaFlags...)
	}
	r.wantNoneRefused(t)
}

// TestReplicasKilled kills two replicas behind one Envoy in turn, under load: no call that
// should be allowed is refused, though there is no warning.
func TestReplicasKilled(t *testing.T) {
	t.Setenv("PATGATE_TRANSPORT", extauthz.TransportH2)
	r := startReplicas(t)
	for n := range *restarts {
		r.awaitHealthy(t, 2)
		r.load.awaitMore(t)
		r.replicas[n%2].kill()
		r.awaitHealthy(t, 1)
		r.load.awaitMore(t)
		r.replicas[n%2].start(r.manifests, replicaFlags...)
	}
	r.wantNoneRefused(t)
}

// replicas are two of them behind an Envoy, and clients that call without end.
type replicas struct {
	manifests string
	replicas  []*patgate
	envoy     *envoy.Process
	load      *load
}

func startReplicas(t *testing.T) *replicas {
	t.Helper()
	value := token.Mint().Reveal()
	r := &replicas{manifests: t.TempDir()}
	write(t, filepath.Join(r.manifests, "m.yaml"), gateManifest+"---\n"+tokenManifest("ci", value, ""))
	r.replicas = []*patgate{startPatgate(t, r.manifests, replicaFlags...), startPatgate(t, r.manifests, replicaFlags...)}
	var clients string
	r.envoy, clients = startBalanced(t, r.replicas)
	r.load = startLoad(t, 6, "http://"+clients+"/rest/x", "Bearer "+value)
	return r
}

// wantNoneRefused ends the load. Envoy's counters show what went wrong.
func (r *replicas) wantNoneRefused(t *testing.T) {
	t.Helper()
	r.load.awaitMore(t)
	r.load.end()
	allowed, refused := r.load.allowed.Load(), r.load.refused.Load()
	t.Logf("%d calls were allowed and %d refused through %d restarts", allowed, refused, *restarts)
	if refused > 0 {
		reasons := map[string]int{}
		for _, p := range r.replicas {
			for _, e := range p.decisions() {
				reasons[e.Reason]++
			}
		}
		counted, err := r.envoy.Admin("/stats?usedonly&filter=cluster.patgate")
		t.Errorf("%d of %d calls were refused; patgate decided %v; Envoy counted (error: %v):\n%s", refused, refused+allowed, reasons, err, counted)
	}
}

// startBalanced runs an Envoy with the configuration that people copy, in front of several
// replicas. Health checks are as frequent as the test's drain is short, and there is time
// for machines that have more to do: what is slow for that is not what is looked for.
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
		"      interval: 1s\n      no_traffic_interval: 1s ", "      interval: 0.2s\n      no_traffic_interval: 0.2s ",
		"timeout: 0.5s", "timeout: 8s", "max_interval: 0.25s", "max_interval: 4s")(config)
	return startEnvoy(t, config, admin), clients
}

// awaitHealthy waits until Envoy counts this many replicas as healthy.
func (r *replicas) awaitHealthy(t *testing.T, n int) {
	t.Helper()
	want := fmt.Sprintf("cluster.patgate.membership_healthy: %d\n", n)
	got := ""
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		text, err := r.envoy.Admin("/stats?filter=cluster.patgate.membership_healthy")
		if got = text; err == nil && text == want {
			return
		}
	}
	t.Fatalf("not %d healthy replicas: %s", n, got)
}

// drain ends patgate as a rolling update does.
func (p *patgate) drain() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	<-p.exited
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("patgate exited with %d\n%s", code, p.log())
	}
	p.exited = make(chan struct{})
}
