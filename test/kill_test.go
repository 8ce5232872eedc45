package test

import (
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

// kills is how often the process is killed.
const kills = 25

// TestKilledUnderLoad kills patgate at random moments while clients call through Envoy:
// whatever the upstream got has its event on the pipe, nobody gets anything but the API's
// answer or a refusal, and all is well again after each start.
func TestKilledUnderLoad(t *testing.T) {
	value := token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+tokenManifest("ci", value, ""))
	s := startSystem(t, dir, nil)
	var allowed, refused atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() {
			client := &http.Client{Timeout: 10 * time.Second}
			for {
				select {
				case <-stop:
					return
				default:
				}
				status, err := call(client, "http://"+s.clients+"/rest/x", "Bearer "+value)
				switch {
				case err != nil:
					t.Errorf("a call failed: %v", err)
				case status == http.StatusOK:
					allowed.Add(1)
				case status == http.StatusServiceUnavailable:
					refused.Add(1)
				default:
					t.Errorf("status %d", status)
				}
			}
		})
	}
	for range kills {
		before := allowed.Load()
		awaitMore(t, &allowed, before+20)
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond) // a random moment, not a wait
		s.kill()
		s.start(dir)
	}
	awaitMore(t, &allowed, allowed.Load()+20)
	close(stop)
	load.Wait()
	seen := map[string]bool{}
	missing, reached := 0, 0
	s.wantLast(value)
	for _, e := range s.decisions() {
		if e.Decision == "allow" {
			seen[e.ID] = true
		}
	}
	s.upstream.ids.Range(func(id, _ any) bool {
		if reached++; !seen[id.(string)] {
			missing++
		}
		return true
	})
	t.Logf("%d calls were allowed and %d refused while patgate was killed %d times", allowed.Load(), refused.Load(), kills)
	if missing > 0 || reached == 0 {
		t.Errorf("%d of the %d requests that reached the upstream have no event", missing, reached)
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

// awaitMore waits until a count has reached a number.
func awaitMore(t *testing.T, count *atomic.Int64, n int64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); count.Load() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the count stays at %d", count.Load())
		}
	}
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
