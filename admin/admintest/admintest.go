// Package admintest sets up a management API over a store in memory, for tests of the API and of its page.
package admintest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
	"github.com/patgate/patgate/tokens/storetest"
)

// Now is the time at which the tests run.
var Now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// Setup is a management API with its store, its audit log and its sessions.
type Setup struct {
	Store    *storetest.Map
	Log      *Log
	Sessions *admin.Sessions
	Handler  *admin.Handler
	t        testing.TB
}

// New starts a management API with these manifests. change edits its options first; nil: they stay.
func New(t testing.TB, manifests string, change func(*admin.Options)) *Setup {
	t.Helper()
	s := &Setup{Store: new(storetest.Map), Log: new(Log), Sessions: Sessions(t, Now), t: t}
	s.Store.Put("office.yaml", manifests)
	clock := func() time.Time { return Now }
	o := admin.Options{
		Service: &tokens.Service{Store: s.Store, Documents: s.Store, Now: clock}, Snapshot: s.snapshot, Audit: s.Log, Sessions: s.Sessions, Now: clock,
	}
	if change != nil {
		change(&o)
	}
	var err error
	if s.Handler, err = admin.New(o); err != nil {
		t.Fatal(err)
	}
	return s
}

// snapshot returns the decision over what is stored now.
func (s *Setup) snapshot() *policy.Snapshot {
	set, err := s.Store.Documents(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	index := policy.NewIndex()
	if _, err := index.Replace(set.Rows, Now); err != nil {
		s.t.Fatal(err)
	}
	return index.Snapshot()
}

// Sessions returns sessions that run at a time. All have the same key.
func Sessions(t testing.TB, at time.Time) *admin.Sessions {
	t.Helper()
	sessions, err := admin.NewSessions([]byte(strings.Repeat("k", 32)), true, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// Cookie returns the cookie of a new session of user.
func Cookie(t testing.TB, sessions *admin.Sessions, user string) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	if err := sessions.Start(w, user, "test"); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0]
}

// Send sends a request, in a new session of user unless user is empty.
func (s *Setup) Send(user string, r *http.Request) *http.Response {
	s.t.Helper()
	if user != "" {
		r.AddCookie(Cookie(s.t, s.Sessions, user))
	}
	w := httptest.NewRecorder()
	s.Handler.ServeHTTP(w, r)
	return w.Result()
}

// Log keeps audit events.
type Log struct {
	mu     sync.Mutex
	events []audit.Event
	full   bool
}

// Record implements admin.Recorder.
func (l *Log) Record(_ context.Context, e *audit.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full && e.Decision == audit.Allow {
		return audit.ErrUnavailable
	}
	l.events = append(l.events, *e)
	return nil
}

// Fill makes the log refuse events of allowed requests from now on.
func (l *Log) Fill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full = true
}

// Events returns the events since the last Take.
func (l *Log) Events() []audit.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// Take returns the kinds of the events since the last Take.
func (l *Log) Take() (kinds []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		kinds = append(kinds, string(e.Kind))
	}
	l.events = nil
	return kinds
}
