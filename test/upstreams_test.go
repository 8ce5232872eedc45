//go:build upstreams

package test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/patgate/patgate/test/upstreams/lookalikes"
)

// upstreamRequests is how many requests each API gets. The seed makes them the same ones
// in every run.
const (
	upstreamRequests = 2400
	upstreamSeed     = 10
)

// TestUpstreams sends look-alikes to real APIs through a real Envoy, and checks the
// invariant: what the API reports to have read satisfies the rule that allowed the request.
// What each API reads without patgate becomes the tables of docs/upstreams.md.
func TestUpstreams(t *testing.T) {
	list := startAPIs(t)
	found := newReadings()
	t.Run("apis", func(t *testing.T) {
		for _, a := range list {
			t.Run(a.name, func(t *testing.T) {
				t.Parallel()
				a.direct(t, found)
				a.hold(t, found)
			})
		}
	})
	found.compare(t, list)
}

// startAPIs runs all APIs at once.
func startAPIs(t *testing.T) []*api {
	t.Helper()
	dir := os.Getenv("PATGATE_TEST_UPSTREAMS")
	if dir == "" {
		t.Fatal("PATGATE_TEST_UPSTREAMS is not set: run `make test-upstreams`")
	}
	sources, err := filepath.Abs("upstreams")
	if err != nil {
		t.Fatal(err)
	}
	list := apis()
	p := &parts{dir: dir, sources: sources, t: t}
	var wg sync.WaitGroup
	for _, a := range list {
		a.addr = quietAddr(t)
		wg.Go(func() {
			if err := a.start(t, p); err != nil {
				t.Errorf("%s: %v", a.name, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return list
}

// hold sends the requests through Envoy and checks each answer. Faults that attacks found
// have separate tests.
func (a *api) hold(t *testing.T, found *readings) {
	suite := lookalikes.New(a.profile)
	p, clients := a.behind(t, suite)
	faults := map[string][]lookalikes.Request{}
	reached, sent := map[string]int{}, 0
	for _, q := range suite.Requests(upstreamSeed, upstreamRequests) {
		if q.Fault != "" {
			faults[q.Fault] = append(faults[q.Fault], q)
			continue
		}
		sent++
		if holds(t, suite, &q, clients, found) {
			reached[q.Kind]++
		}
	}
	for _, fault := range slices.Sorted(maps.Keys(faults)) {
		t.Run(fault, func(t *testing.T) {
			for _, q := range faults[fault] {
				sent++
				holds(t, suite, &q, clients, found)
			}
		})
	}
	t.Logf("%d requests, the API reported for %v", sent, reached)
	if sent < 2000 {
		t.Errorf("%d requests were sent, want 2,000 at least", sent)
	}
	p.holdsNo(suite.Secrets())
}

// behind puts the Envoy that `patgate envoy-config` prints for the manifests in front of the
// API, and returns its address for clients.
func (a *api) behind(t *testing.T, suite *lookalikes.Suite) (p *patgate, clients string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), suite.Manifests())
	p = startPatgate(t, dir)
	clients, admin := quietAddr(t), quietAddr(t)
	config := envoyConfig(t, "--for", "standalone", "--manifests", dir, "--listen", clients, "--admin", admin, "--upstream", a.addr, "--patgate", p.addr)
	startEnvoy(t, config, admin)
	return p, clients
}

// holds sends a request and checks the answer. reached is true where the API reported.
func holds(t *testing.T, suite *lookalikes.Suite, q *lookalikes.Request, clients string, found *readings) (reached bool) {
	t.Helper()
	answer, err := q.Send(clients)
	if err != nil {
		found.silence(t, q, err)
		return false
	}
	found.verdict(q, answer)
	reached, broken := suite.Check(q, answer)
	for _, text := range broken {
		t.Errorf("%s: %s", q, text)
	}
	if q.Kind == "ordinary" && !reached {
		t.Errorf("%s: status %d: %s", q, answer.Status, answer.Body)
	}
	return reached
}
