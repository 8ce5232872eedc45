package admin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/patgate/patgate/admin"
)

// TestBodiesThatDoNotArrive has clients that send less than they said, or too slowly.
func TestBodiesThatDoNotArrive(t *testing.T) {
	g := newOffice(t, nil)
	for name, c := range map[string]struct {
		err    error
		status int
		reason string
	}{
		"slow":  {os.ErrDeadlineExceeded, http.StatusRequestTimeout, "request_timeout"},
		"short": {io.ErrUnexpectedEOF, http.StatusBadRequest, "bad_body"},
	} {
		for _, path := range []string{"/api/v1/tokens", "/rest/pat/latest/tokens"} {
			for _, credential := range []string{"X-Forwarded-User", "Authorization"} {
				r := httptest.NewRequestWithContext(t.Context(), "POST", path, io.MultiReader(strings.NewReader("{"), failing{c.err}))
				r.Header.Set("Content-Type", "application/json")
				if r.Header.Set(credential, "alice"); credential == "Authorization" {
					r.Header.Set(credential, "Bearer "+g.values["mine"].Reveal())
				}
				w := httptest.NewRecorder()
				g.Handler.ServeHTTP(w, r)
				if got := read(t, w.Result()); w.Code != c.status || got["reason"] != c.reason {
					t.Errorf("%s, %s by %s: %d %v", name, path, credential, w.Code, got)
				}
			}
		}
	}
}

// failing is a body that can't be read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// waiting is a body that does not come until it is let go.
type waiting struct {
	begun chan<- struct{}
	let   <-chan struct{}
	once  sync.Once
}

func (w *waiting) Read([]byte) (int, error) {
	w.once.Do(func() { w.begun <- struct{}{} })
	<-w.let
	return 0, io.EOF
}

// TestManyLargeBodies has many callers without a valid credential, each with a body that may become large: few of these are read
// at a time, small ones are not delayed, and every caller gets an answer.
func TestManyLargeBodies(t *testing.T) {
	g := newOffice(t, nil)
	begun, let, answered := make(chan struct{}, 1000), make(chan struct{}), make(chan int, 1000)
	ask := func(length int64) {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/tokens", &waiting{begun: begun, let: let})
		r.ContentLength = length
		r.Header.Set("Authorization", "Bearer unknown")
		w := httptest.NewRecorder()
		g.Handler.ServeHTTP(w, r)
		answered <- w.Code
	}
	const many = 3 * admin.LargeBodies
	for i := range many {
		go ask([]int64{-1, 1 << 20, admin.SmallBody + 1}[i%3])
	}
	for range admin.LargeBodies {
		<-begun
	}
	go ask(admin.SmallBody)
	<-begun
	if runtime.Gosched(); len(begun) > 0 {
		t.Errorf("more than %d bodies are read at a time", admin.LargeBodies)
	}
	close(let)
	for range many + 1 {
		if code := <-answered; code != http.StatusUnauthorized {
			t.Errorf("answered with %d", code)
		}
	}
	if read := len(begun) + admin.LargeBodies + 1; read != many+1 {
		t.Errorf("%d bodies were read", read)
	}
}

// TestProblemsNameTheField has requests of which one field is wrong.
func TestProblemsNameTheField(t *testing.T) {
	g := newOffice(t, nil)
	for name, c := range map[string]struct{ path, body, field, detail string }{
		"an unknown field":         {"/api/v1/tokens", `{"displayName": "x", "digest": "y"}`, "digest", "expected some of"},
		"a field where none is":    {"/api/v1/tokens/mine:revoke", `{"x": 1}`, "x", "expected none at all"},
		"an unknown group":         {"/api/v1/tokens:revoke", `{"group": "user", "dryRun": true}`, "group", "did you mean users?"},
		"an unknown name":          {"/api/v1/tokens:revoke", `{"names": ["mine", "min"], "dryRun": true}`, "names", "did you mean mine?"},
		"an overlap that is none":  {"/api/v1/tokens/mine:rotate", `{"overlap": "soon"}`, "overlap", "expected one such as"},
		"a negative overlap":       {"/api/v1/tokens/mine:rotate", `{"overlap": "-1h"}`, "overlap", "expected one such as"},
		"an end that comes later":  {"PATCH /api/v1/tokens/mine", `{"expires": "2026-07-29T00:00:00Z"}`, "expires", "may only move earlier"},
		"a scheme that is unknown": {"PATCH /api/v1/tokens/mine", `{"schemes": ["digest"]}`, "spec.schemes[0]", "expected one of"},
	} {
		method, path, given := strings.Cut(c.path, " ")
		if !given {
			method, path = "POST", c.path
		}
		who := "root"
		if method == "PATCH" {
			who = "alice"
		}
		got := read(t, g.do(as{header: who}, method, path, c.body))
		if errors, _ := got["errors"].(map[string]any); got["field"] != c.field || errors[c.field] != got["detail"] || !strings.Contains(got["detail"].(string), c.detail) {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, none := range []string{"0", "0s", "0m", "0h", "0d", "0w"} { // as the OpenAPI document has it
		if answer := g.do(as{header: "alice"}, "POST", "/api/v1/tokens/mine:rotate", `{"overlap": "`+none+`"}`); answer.StatusCode != http.StatusOK || read(t, answer)["previous"] != nil {
			t.Errorf("an overlap of %s: %d", none, answer.StatusCode)
		}
	}
}

// TestNoPlacesOfFiles has answers about manifests: where the server keeps them is not in any.
func TestNoPlacesOfFiles(t *testing.T) {
	g := newOffice(t, nil)
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/api/v1/tokens", `{"displayName": "x", "policies": ["read"], "expiresIn": "300d"}`},
		{"POST", "/api/v1/tokens", `{"displayName": "x", "policies": ["nothing"]}`},
		{"POST", "/api/v1/tokens", `{"displayName": "x", "policies": ["read"], "unrestricted": true}`},
		{"POST", "/api/v1/tokens", `{"displayName": "x", "limitTo": ["("]}`},
		{"POST", "/rest/pat/latest/tokens", `{"name": "mine"}`},
		{"PATCH", "/api/v1/tokens/mine", `{"expires": "2029-01-01T00:00:00Z"}`},
		{"POST", "/api/v1/tokens/mine:revoke", ""},
		{"POST", "/api/v1/tokens/mine:rotate", ""},
		{"GET", "/api/v1/tokens/mine", ""},
		{"GET", "/api/v1/tokens/limited", ""},
		{"GET", "/api/v1/tokens", ""},
	} {
		if text := textOf(t, g.do(as{header: "alice"}, c.method, c.path, c.body)); strings.Contains(text, ".yaml") {
			t.Errorf("%s %s %s: %s", c.method, c.path, c.body, text)
		}
	}
}

// TestTimesStayInProblems has refusals that name a time: it looks like a place of a file, and is none.
func TestTimesStayInProblems(t *testing.T) {
	g := newOffice(t, nil)
	g.put("past", "  user: alice\n  policies: [read]\n  expires: 2026-05-02T00:00:00Z\n")
	for call, want := range map[string]string{
		"PATCH /api/v1/tokens/past":       "the token past ended at 2026-05-02T00:00:00Z, and its end is final: create a new one",
		"POST /api/v1/tokens/past:rotate": "the token past expired at 2026-05-02T00:00:00Z: create a new one with `patgate token create`",
	} {
		method, path, _ := strings.Cut(call, " ")
		body := `{}`
		if method == "PATCH" {
			body = `{"expires": "2026-06-20T00:00:00Z"}`
		}
		if got := read(t, g.do(as{header: "alice"}, method, path, body)); got["detail"] != want {
			t.Errorf("%s: %v, want %s", call, got, want)
		}
	}
}

// TestRotationsWithOneETag has two clients that rotate what both have read: one of them is refused, and the value of the
// other stays good.
func TestRotationsWithOneETag(t *testing.T) {
	g := newOffice(t, nil)
	tag := g.do(as{header: "alice"}, "GET", "/api/v1/tokens/mine", "").Header.Get("ETag")
	statuses := make(chan int)
	for range 8 {
		go func() {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/tokens/mine:rotate", nil)
			r.Header.Set("X-Forwarded-User", "alice")
			r.Header.Set("If-Match", tag)
			w := httptest.NewRecorder()
			g.Handler.ServeHTTP(w, r)
			statuses <- w.Code
		}()
	}
	done := 0
	for range 8 {
		switch status := <-statuses; status {
		case http.StatusOK:
			done++
		case http.StatusPreconditionFailed, http.StatusConflict:
		default:
			t.Errorf("%d", status)
		}
	}
	if done != 1 {
		t.Errorf("%d rotations were made, want 1", done)
	}
}
