package server

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"
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
