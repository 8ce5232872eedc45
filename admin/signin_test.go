package admin_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/admin"
)

// TestSigningOutReachesEveryReplica signs out at one of two processes with a key and a folder in common: the other refuses a copy of
// the cookie, and what was kept for a sign-in counts at one of them. A folder that can't be read refuses all.
func TestSigningOutReachesEveryReplica(t *testing.T) {
	folder, clock := t.TempDir(), now
	replica := func() *admin.Sessions {
		s, err := admin.NewSessions([]byte(strings.Repeat("k", 32)), false, func() time.Time { return clock })
		if err != nil {
			t.Fatal(err)
		}
		s.Share(folder, slog.New(slog.DiscardHandler))
		return s
	}
	first, second := replica(), replica()
	with := func(do func(http.ResponseWriter) error) *http.Request {
		w := httptest.NewRecorder()
		if err := do(w); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(w.Result().Cookies()[0])
		return r
	}
	start := func(w http.ResponseWriter) error { return first.Start(w, "alice", "oidc") }
	gone, left := with(start), with(start)
	if second.Of(gone) == nil || second.Of(left) == nil {
		t.Fatal("the other process does not know the sessions")
	}
	first.Stop(httptest.NewRecorder(), gone)
	for name, s := range map[string]*admin.Sessions{"the first": first, "the second": second, "a third": replica()} {
		if s.Of(gone) != nil || s.Of(left) == nil {
			t.Errorf("%s knows the session that was signed out: %v, the other: %v", name, s.Of(gone), s.Of(left))
		}
	}
	kept := with(func(w http.ResponseWriter) error { return first.Keep(w, "login", []byte("x"), time.Minute) })
	if _, ok := second.Take(httptest.NewRecorder(), kept, "login"); !ok {
		t.Error("what was kept does not count at the second")
	}
	if _, ok := first.Take(httptest.NewRecorder(), kept, "login"); ok {
		t.Error("what was kept counts twice")
	}
	clock = clock.Add(admin.SessionSpan + time.Minute)
	again := with(start)
	first.Stop(httptest.NewRecorder(), again)
	entries, err := os.ReadDir(filepath.Join(folder, admin.EndedFolder))
	if err != nil || len(entries) != 2 { // the last one, and .gitignore
		t.Errorf("%v: sessions that would have ended are left: %v", err, entries)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(folder, admin.EndedFolder)), os.WriteFile(filepath.Join(folder, admin.EndedFolder), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if second.Of(with(start)) != nil {
		t.Error("a session counts although nobody can tell whether it was signed out")
	}
}

// TestManySignIns begins and gives up many sign-ins: the entries that this leaves are bounded, in memory and in the folder
// that replicas share. A sign-out still takes effect.
func TestManySignIns(t *testing.T) {
	folder := t.TempDir()
	s, err := admin.NewSessions([]byte(strings.Repeat("k", 32)), false, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	s.Share(folder, slog.New(slog.DiscardHandler))
	request := func(w *httptest.ResponseRecorder) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/callback", nil)
		r.AddCookie(w.Result().Cookies()[0])
		return r
	}
	const many = admin.MaxTaken + 50
	for range many {
		w := httptest.NewRecorder()
		if err := s.Keep(w, "login", []byte("x"), time.Hour); err != nil {
			t.Fatal(err)
		}
		r := request(w)
		_, first := s.Take(httptest.NewRecorder(), r, "login")
		_, again := s.Take(httptest.NewRecorder(), r, "login")
		if !first || again {
			t.Fatalf("taken: %v, and again: %v", first, again)
		}
	}
	w := httptest.NewRecorder()
	if err := s.Start(w, "alice", "oidc"); err != nil {
		t.Fatal(err)
	}
	s.Stop(httptest.NewRecorder(), request(w))
	entries, err := os.ReadDir(filepath.Join(folder, admin.EndedFolder))
	if err != nil || len(entries) > admin.MaxTaken+2 { // the session, and .gitignore
		t.Errorf("%v: %d files are left of %d sign-ins", err, len(entries), many)
	}
	if got := s.Taken(); got > admin.MaxTaken {
		t.Errorf("%d sign-ins are remembered", got)
	}
	if s.Of(request(w)) != nil {
		t.Error("a session counts that was signed out")
	}
}

// TestSignOutRemovesNoOtherFiles has a symbolic link in the place of the folder, which an author of manifests could commit, and
// a folder with other files: none of them is removed.
func TestSignOutRemovesNoOtherFiles(t *testing.T) {
	for _, linked := range []bool{true, false} {
		into, folder := t.TempDir(), t.TempDir()
		if linked {
			if err := os.Symlink(folder, filepath.Join(into, admin.EndedFolder)); err != nil {
				t.Fatal(err)
			}
		} else if folder = filepath.Join(into, admin.EndedFolder); os.Mkdir(folder, 0o755) != nil {
			t.Fatal("no folder")
		}
		for _, name := range []string{"syslog.1", "0123456789abcdef.1", strings.Repeat("ab", 16) + ".1"} {
			if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := admin.NewSessions(nil, false, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		s.Share(into, slog.New(slog.DiscardHandler))
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		if err := s.Start(w, "alice", "oidc"); err != nil {
			t.Fatal(err)
		}
		r.AddCookie(w.Result().Cookies()[0])
		s.Stop(httptest.NewRecorder(), r)
		if s.Of(r) != nil {
			t.Error("signed in after signing out")
		}
		entries, err := os.ReadDir(folder)
		if err != nil || len(entries) != 3 { // without a link, one is removed and one is added
			t.Errorf("linked %v: %v %v", linked, err, entries)
		}
	}
}

// TestPathsToComeBackTo are of this site alone.
func TestPathsToComeBackTo(t *testing.T) {
	for to, want := range map[string]string{
		"/": "/", "/new?name=x&policy=read": "/new?name=x&policy=read", "": "/", "//evil.example": "/", "https://evil.example": "/",
		`/\evil.example`: "/", "/\t/evil.example": "/", "evil": "/", "/\r\nset-cookie: x": "/", "/é": "/",
	} {
		if got := admin.LocalPath(to); got != want {
			t.Errorf("%q: %q, want %q", to, got, want)
		}
	}
}

// TestKeptTexts come back once, to the browser that has them, for their purpose, in time.
func TestKeptTexts(t *testing.T) {
	clock := now
	s, err := admin.NewSessions(nil, true, func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := s.Keep(w, "a", []byte("secret text"), time.Minute); err != nil {
		t.Fatal(err)
	}
	cookie := w.Result().Cookies()[0]
	if cookie.Name != "__Host-patgate-a" || !cookie.HttpOnly || !cookie.Secure || cookie.Path != "/" || cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != 60 {
		t.Errorf("%+v", cookie)
	}
	take := func(name, purpose string) string {
		r := httptest.NewRequest("GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: name, Value: cookie.Value})
		if s.Of(r) != nil {
			t.Error("it counts as a session")
		}
		text, _ := s.Take(httptest.NewRecorder(), r, purpose)
		return string(text)
	}
	if got := take("__Host-patgate-b", "b") + take("__Host-patgate", "a"); got != "" {
		t.Errorf("of another purpose: %s", got)
	}
	if first, again := take(cookie.Name, "a"), take(cookie.Name, "a"); first != "secret text" || again != "" {
		t.Errorf("first %q, again %q", first, again)
	}
	clock = clock.Add(time.Minute)
	if got := take(cookie.Name, "a"); got != "" {
		t.Errorf("late: %s", got)
	}
}

// TestLogOut ends a session: the cookie is taken away, and a copy of it is worth nothing.
func TestLogOut(t *testing.T) {
	g := newOffice(t, nil)
	w := httptest.NewRecorder()
	if err := g.Sessions.Start(w, "alice", "test"); err != nil {
		t.Fatal(err)
	}
	session := as{raw: http.Header{"Cookie": {w.Result().Cookies()[0].String()}}}
	if got := g.do(session, "GET", "/api/v1/me", "").StatusCode; got != 200 {
		t.Fatalf("signed in: %d", got)
	}
	foreign := as{raw: http.Header{"Cookie": session.raw["Cookie"], "Sec-Fetch-Site": {"cross-site"}}}
	if got := g.do(foreign, "POST", "/logout", "").StatusCode; got != 403 {
		t.Errorf("from another site: %d", got)
	}
	answer := g.do(session, "POST", "/logout", "")
	if answer.StatusCode != 303 || answer.Header.Get("Location") != "/" || len(answer.Cookies()) != 1 || answer.Cookies()[0].MaxAge != -1 {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
	if got := g.do(session, "GET", "/api/v1/me", "").StatusCode; got != 401 {
		t.Errorf("signed out: %d", got)
	}
}
