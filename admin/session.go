package admin

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"sync"
	"time"
)

// SessionSpan is the maximum lifetime of a session.
const SessionSpan = 8 * time.Hour

// Session is a browser that somebody has signed in with. It says who they are, and never what they
// may do.
type Session struct {
	ID   string    `json:"id"`
	User string    `json:"user"`
	End  time.Time `json:"end"`
	How  string    `json:"how"` // by which they signed in, such as oidc or link
}

// Sessions seals sessions into cookies. Processes that have the same key share them; one that was
// ended by signing out is remembered by the process that ended it, and by all that Share a folder.
type Sessions struct {
	shared *endedFiles // nil: none
	logger *slog.Logger

	seal   cipher.AEAD
	secure bool
	now    func() time.Time

	mu    sync.Mutex
	ended map[string]time.Time // sessions that were signed out, until they would have ended
	taken map[string]time.Time // kept texts that were taken, likewise; at most maxTaken
	swept time.Time
}

// Everyone who reaches the page can begin a sign-in and return from it without signing in, so the entries that this leaves are
// bounded. Beyond maxTaken a browser with a copy of its cookie may take a text twice. The code of the identity provider, which
// goes with it, still works once.
const (
	maxTaken   = 2_000
	sweepEvery = time.Minute
)

// minSessionKey is the minimum number of bytes of a session key.
const minSessionKey = 32

// NewSessions returns sessions that are sealed with a key; none: one of this process alone. Cookies
// are for HTTPS alone where secure is set.
func NewSessions(key []byte, secure bool, now func() time.Time) (*Sessions, error) {
	if key == nil {
		key = make([]byte, minSessionKey)
		_, _ = rand.Read(key) // never fails
	}
	if len(key) < minSessionKey {
		return nil, errors.New("the session key is too short, expected 32 bytes at least: openssl rand -base64 32 makes one")
	}
	derived, err := hkdf.Key(sha256.New, key, nil, "patgate session cookie", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	if now == nil {
		now = time.Now
	}
	return &Sessions{seal: seal, secure: secure, now: now, ended: map[string]time.Time{}, taken: map[string]time.Time{}}, nil
}

// Share lets processes know of each other's sessions that were signed out, by a directory that all of them write to.
// What can't be kept there is logged.
func (s *Sessions) Share(directory string, logger *slog.Logger) {
	s.shared, s.logger = &endedFiles{folder: filepath.Join(directory, EndedFolder)}, logger
}

// Cookie is the name of the cookie.
func (s *Sessions) Cookie() string {
	if s.secure {
		return "__Host-patgate"
	}
	return "patgate"
}

// Start begins a session of a user.
func (s *Sessions) Start(w http.ResponseWriter, user, how string) error {
	if !isUser(user) {
		return errors.New("no name of a user, expected one")
	}
	text, err := json.Marshal(Session{ID: rand.Text(), User: user, End: s.now().Add(SessionSpan).UTC(), How: how})
	if err != nil {
		return err
	}
	s.set(w, base64.RawURLEncoding.EncodeToString(s.seal.Seal(nil, nil, text, []byte(s.Cookie()))), int(SessionSpan/time.Second))
	return nil
}

func (s *Sessions) set(w http.ResponseWriter, value string, age int) {
	s.setNamed(w, s.Cookie(), value, age)
}

func (s *Sessions) setNamed(w http.ResponseWriter, name, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	})
}

// Of returns the session of a request, or nil.
func (s *Sessions) Of(r *http.Request) *Session {
	cookies := r.CookiesNamed(s.Cookie())
	if len(cookies) != 1 {
		return nil
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookies[0].Value)
	if err != nil {
		return nil
	}
	text, err := s.seal.Open(nil, nil, sealed, []byte(s.Cookie()))
	if err != nil {
		return nil
	}
	var session Session
	if json.Unmarshal(text, &session) != nil || !isUser(session.User) || !s.now().Before(session.End) || s.hasEnded(session.ID, session.End) {
		return nil
	}
	return &session
}

func (s *Sessions) hasEnded(id string, until time.Time) bool {
	s.mu.Lock()
	_, ended := s.ended[id]
	s.mu.Unlock()
	return ended || s.shared != nil && s.shared.has(id, until)
}

// Stop ends the session of a request, and takes its cookie away.
func (s *Sessions) Stop(w http.ResponseWriter, r *http.Request) {
	if session := s.Of(r); session != nil {
		s.end(s.ended, session.ID, session.End)
	}
	s.set(w, "", -1)
}

// end remembers in a map that a session, or what was kept, counts no more. It reports whether it counted until now.
func (s *Sessions) end(in map[string]time.Time, id string, until time.Time) bool {
	first, forgets := s.endHere(in, id, until)
	if !first || s.shared == nil || forgets {
		return first
	}
	first, err := s.shared.add(id, until, s.now())
	if err != nil {
		s.logger.Error("other replicas could not be notified that a session was signed out", "error", err)
		return true
	}
	return first
}

// endHere remembers it in this process, and reports whether another text that was taken is forgotten for it.
func (s *Sessions) endHere(in map[string]time.Time, id string, until time.Time) (first, forgets bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	_, ended := in[id]
	in[id] = until
	if forgets = len(s.taken) > maxTaken; forgets {
		for other := range s.taken {
			if other != id {
				delete(s.taken, other)
				break
			}
		}
	}
	return !ended, forgets
}

// sweep forgets what has ended by itself, now and then. mu is held.
func (s *Sessions) sweep() {
	now := s.now()
	if since := now.Sub(s.swept); since >= 0 && since < sweepEvery {
		return
	}
	s.swept = now
	over := func(_ string, end time.Time) bool { return !now.Before(end) }
	maps.DeleteFunc(s.ended, over)
	maps.DeleteFunc(s.taken, over)
}

// kept is the content of a sealed cookie.
type kept struct {
	ID   string    `json:"id"`
	Text []byte    `json:"text"`
	End  time.Time `json:"end"`
}

// Keep seals a text into a cookie that the same browser sends back: for signing in, between leaving
// and coming back. A purpose is letters, digits and dashes.
func (s *Sessions) Keep(w http.ResponseWriter, purpose string, text []byte, span time.Duration) error {
	sealed, err := json.Marshal(kept{rand.Text(), text, s.now().Add(span).UTC()})
	if err != nil {
		return err
	}
	name := s.Cookie() + "-" + purpose
	s.setNamed(w, name, base64.RawURLEncoding.EncodeToString(s.seal.Seal(nil, nil, sealed, []byte(name))), int(span/time.Second))
	return nil
}

// Take returns what was kept for a purpose, once: it takes the cookie away, and refuses a copy of it.
func (s *Sessions) Take(w http.ResponseWriter, r *http.Request, purpose string) ([]byte, bool) {
	name := s.Cookie() + "-" + purpose
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 {
		return nil, false
	}
	s.setNamed(w, name, "", -1)
	sealed, err := base64.RawURLEncoding.DecodeString(cookies[0].Value)
	if err != nil {
		return nil, false
	}
	text, err := s.seal.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return nil, false
	}
	var k kept
	if json.Unmarshal(text, &k) != nil || !s.now().Before(k.End) || !s.end(s.taken, k.ID, k.End) {
		return nil, false
	}
	return k.Text, true
}
