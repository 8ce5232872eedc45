package admin_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/patgate/patgate/admin"
)

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
	if err := g.sessions.Start(w, "alice", "test"); err != nil {
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
