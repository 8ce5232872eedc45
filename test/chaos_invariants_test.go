package test

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The invariants under any fault, checked at the end of each test that causes one.

// answerBound is how long a call through Envoy may take, whatever goes on. Envoy gives a
// check half a second, tries included; the rest is for a machine that is busy with tests.
const answerBound = 5 * time.Second

// wantInvariants checks that every request that reached the upstream has the event of its
// allow on the pipe, and that every call of a load has been answered within its bound. Call
// it when no call is in flight. Gaps between events are checked
// as each event arrives (patgate.line).
func (s *system) wantInvariants(l *load) {
	s.t.Helper()
	missing, reached, allows := s.unaccounted()
	for deadline := time.Now().Add(20 * time.Second); missing > 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		missing, reached, allows = s.unaccounted() // the pipe has it, and its reader may not
	}
	if missing > 0 || reached == 0 {
		s.t.Errorf("%d of the %d requests that reached the upstream have no event", missing, reached)
	}
	if n := s.upstream.requests.Load(); n > int64(allows) {
		s.t.Errorf("the upstream got %d requests for %d allows", n, allows)
	}
	if l != nil && l.slowest() > answerBound {
		s.t.Errorf("a call took %v, want at most %v", l.slowest(), answerBound)
	}
}

// unaccounted counts the requests that reached the upstream and have no event so far, all
// that reached it, and the events of allows.
func (s *system) unaccounted() (missing, reached, allows int) {
	allowed := map[string]bool{}
	for _, e := range s.decisions() {
		if e.Decision == "allow" {
			allowed[e.ID] = true
		}
	}
	s.upstream.ids.Range(func(id, _ any) bool {
		if reached++; !allowed[id.(string)] {
			missing++
		}
		return true
	})
	return missing, reached, len(allowed)
}

// usage is what a process holds, by its metrics.
type usage struct {
	goroutines, descriptors int
	resident                int64 // bytes
}

// usage scrapes it. The scrape's own connection is closed, so that it does not count.
func (p *patgate) usage() usage {
	p.t.Helper()
	m := p.metrics()
	return usage{int(m["go_goroutines"]), int(m["process_open_fds"]), int64(m["process_resident_memory_bytes"])}
}

// metrics scrapes all values, by their names and labels as written.
func (p *patgate) metrics() map[string]float64 {
	p.t.Helper()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + p.status + "/metrics")
	if err != nil {
		p.t.Fatalf("no metrics: %v\n%s", err, p.log())
	}
	defer answer.Body.Close()
	values := map[string]float64{}
	for s := bufio.NewScanner(answer.Body); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil && name != "#" {
			values[name] = v
		}
	}
	return values
}

// slack is how many goroutines and descriptors come and go by themselves: those of a
// scrape, of a file that is read, of timers.
const slack = 8

// wantNoLeaks requires a process whose clients are gone to hold, after a while, no more
// than at its start.
func (p *patgate) wantNoLeaks(settled usage) {
	p.t.Helper()
	select {
	case <-p.exited:
		return
	default:
	}
	http.DefaultClient.CloseIdleConnections()
	var u usage
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		u = p.usage()
		if u.goroutines <= settled.goroutines+slack && u.descriptors <= settled.descriptors+slack {
			return
		}
	}
	p.t.Errorf("without clients there are %d goroutines and %d descriptors, at the start there were %d and %d",
		u.goroutines, u.descriptors, settled.goroutines, settled.descriptors)
}

// TestLeaksAreSeen checks that the rig sees a leak: a client that does not leave is counted.
func TestLeaksAreSeen(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/m.yaml", gateManifest)
	p := startPatgate(t, dir)
	before := p.usage()
	var open []interface{ Close() error }
	for range 2 * slack {
		f := dialFrames(t, p.addr)
		f.awaitSettings(t)
		open = append(open, f)
	}
	if u := p.usage(); u.descriptors <= before.descriptors+slack || u.goroutines <= before.goroutines+slack {
		t.Errorf("%d clients, and of %+v came %+v", len(open), before, u)
	}
	for _, f := range open {
		_ = f.Close()
	}
}
