package server

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// newIdle returns a server of an empty directory that does not run, and the file of its audit.
func newIdle(t *testing.T) (*Server, *os.File) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "audit"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	s, err := New(Options{Manifests: []string{t.TempDir()}, Listen: "127.0.0.1:0", StatusListen: "127.0.0.1:0", Audit: out})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = s.status.Close(), s.listener.Close() })
	return s, out
}

// TestStatusIndex follows the links of the status port's first page. Before a load, readyz alone says no.
func TestStatusIndex(t *testing.T) {
	s, _ := newIdle(t)
	handler := s.statusHandler()
	get := func(path string) *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		return answer
	}
	page := get("/")
	links := regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page.Body.String(), -1)
	if page.Code != http.StatusOK || page.Header().Get("Content-Type") != "text/html; charset=utf-8" || len(links) != 5 {
		t.Errorf("%d %s\n%s", page.Code, page.Header(), page.Body)
	}
	for _, link := range links {
		want := http.StatusOK
		if link[1] == "readyz" {
			want = http.StatusServiceUnavailable
		}
		if answer := get("/" + link[1]); answer.Code != want {
			t.Errorf("%s: %d, want %d", link[1], answer.Code, want)
		}
	}
	if answer := get("/other"); answer.Code != http.StatusNotFound {
		t.Errorf("/other: %d", answer.Code)
	}
}

// slowReader is a client that does not read its answer.
type slowReader struct {
	header http.Header
	begun  chan<- struct{}
	let    <-chan struct{}
	once   sync.Once
}

func (w *slowReader) Header() http.Header { return w.header }
func (w *slowReader) WriteHeader(int)     {}
func (w *slowReader) Write(b []byte) (int, error) {
	w.once.Do(func() { w.begun <- struct{}{} })
	<-w.let
	return len(b), nil
}

// TestFewReadersAreServedAtATime has clients that request large answers and do not read them: few answers are held, and the
// other pages are served. A large head is refused.
func TestFewReadersAreServedAtATime(t *testing.T) {
	s, _ := newIdle(t)
	s.seen()(&policy.Decision{Effect: policy.Allow, Token: &policy.Token{Name: "a"}}, &audit.Event{Time: time.Now()})
	server := s.newStatusServer()
	go func() { _ = server.Serve(s.status) }()
	defer server.Close()
	begun, let := make(chan struct{}, 100), make(chan struct{})
	var all sync.WaitGroup
	for range 3 * statusUsages {
		all.Go(func() {
			w := &slowReader{header: http.Header{}, begun: begun, let: let}
			server.Handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/usage", nil))
		})
	}
	for range statusUsages {
		<-begun
	}
	for path, want := range map[string]int{"/livez": http.StatusOK, "/revision": http.StatusOK, "/metrics": http.StatusOK, "/livez?" + strings.Repeat("x", 2*statusHeader): http.StatusRequestHeaderFieldsTooLarge} {
		answer, err := http.Get("http://" + s.StatusAddr().String() + path)
		if err != nil || answer.Body.Close() != nil || answer.StatusCode != want {
			t.Errorf("%.20s: %v, %+v", path, err, answer)
		}
	}
	if len(begun) > 0 {
		t.Errorf("more than %d answers are held", statusUsages)
	}
	close(let)
	all.Wait()
}
