package admin

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"sync"
	"time"
)

// LinkSpan is the lifetime of a login link.
const LinkSpan = 10 * time.Minute

// linkPath begins the path of a login link.
const linkPath = "/login/link/"

// Links are one-time links that sign users in, on loopback. The zero value has none.
type Links struct {
	Now func() time.Time // default: time.Now

	mu    sync.Mutex
	links []link
}

type link struct {
	code, user string
	end        time.Time
}

func (l *Links) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}

// New returns the path of a new link for a user.
func (l *Links) New(user string) string {
	made := link{rand.Text(), user, l.now().Add(LinkSpan)}
	l.mu.Lock()
	l.links = append(l.links, made)
	l.mu.Unlock()
	return linkPath + made.code
}

// take returns the user of a link, which works no more then.
func (l *Links) take(code string) (user string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, k := range l.links {
		if subtle.ConstantTimeCompare([]byte(k.code), []byte(code)) == 1 {
			l.links = append(l.links[:i:i], l.links[i+1:]...)
			return k.user, l.now().Before(k.end)
		}
	}
	return "", false
}

// followLink signs in with a link.
func (h *Handler) followLink(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet { // HEAD, by programs that check links in messages: the link stays valid
		w.WriteHeader(http.StatusNoContent)
		return
	}
	user, ok := h.o.Links.take(r.PathValue("code"))
	if !ok {
		h.SignInFailed(w, r, "link_used", http.StatusUnauthorized, "this link was used, or is older than 10 minutes: restart patgate for another one")
		return
	}
	h.SignedIn(w, r, user, "link", "/")
}
