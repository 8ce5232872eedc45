package test

import (
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// kills is how often the process is killed: `make chaos` does it 500 times.
var kills = flag.Int("kills", 25, "how often TestKilledUnderLoad kills patgate")

// TestKilledUnderLoad kills patgate at random moments while clients call through Envoy:
// whatever the upstream got has its event on the pipe, no client gets anything but the API's
// answer or a refusal, and patgate works again after each start.
func TestKilledUnderLoad(t *testing.T) { onBothTransports(t, testKilledUnderLoad) }

func testKilledUnderLoad(t *testing.T) {
	value := token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+tokenManifest("ci", value, ""))
	s := startSystem(t, dir, nil)
	l := startLoad(t, 8, "http://"+s.clients+"/rest/x", "Bearer "+value)
	for range *kills {
		l.awaitMore(t)
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond) // a random moment, not a wait
		s.kill()
		s.start(dir)
	}
	l.awaitMore(t)
	l.end()
	s.wantLast(value)
	s.wantInvariants(l)
	t.Logf("%d calls were allowed and %d refused while patgate was killed %d times; the slowest took %v",
		l.allowed.Load(), l.refused.Load(), *kills, l.slowest())
}

// load is clients that call as fast as they can, and their results: answers of
// the API, and refusals with 503. Anything else fails the test.
type load struct {
	allowed, refused atomic.Int64
	took             atomic.Int64 // nanoseconds, of the slowest
	stop             chan struct{}
	running          sync.WaitGroup
}

func startLoad(t *testing.T, clients int, url, authorization string) *load {
	l := &load{stop: make(chan struct{})}
	for range clients {
		l.running.Go(func() {
			client := &http.Client{Timeout: 10 * time.Second}
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				start := time.Now()
				status, err := call(client, url, authorization)
				storeMax(&l.took, int64(time.Since(start)))
				switch {
				case err != nil:
					t.Errorf("a call failed: %v", err)
					return
				case status == http.StatusOK:
					l.allowed.Add(1)
				case status == http.StatusServiceUnavailable:
					l.refused.Add(1)
				default:
					t.Errorf("status %d", status)
				}
			}
		})
	}
	return l
}

func (l *load) slowest() time.Duration {
	return time.Duration(l.took.Load()).Round(time.Millisecond)
}

// end ends the load, and waits for the calls in flight.
func (l *load) end() {
	close(l.stop)
	l.running.Wait()
}

// awaitMore waits until some more calls were allowed.
func (l *load) awaitMore(t *testing.T) {
	t.Helper()
	n := l.allowed.Load() + 20
	for deadline := time.Now().Add(30 * time.Second); l.allowed.Load() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d calls were allowed, and no more are", l.allowed.Load())
		}
	}
}

// call calls an API and returns the status.
func call(client *http.Client, url, authorization string) (int, error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", authorization)
	answer, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

// kill ends patgate as the kernel does when memory is short.
func (p *patgate) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	<-p.exited
	p.exited = make(chan struct{})
}

// wantLast makes one more decision and waits for its event, so that those before it are
// there, too.
func (s *system) wantLast(value string) {
	s.t.Helper()
	got := s.http(s.t, ask{path: "/rest/last", authorization: "Bearer " + value})
	if got.status != http.StatusOK {
		s.t.Errorf("the last call: status %d", got.status)
	}
}
