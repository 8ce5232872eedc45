package admin

import (
	"net/http"
	"strings"
)

// SignIn is a way for people to sign in with a browser.
type SignIn struct {
	Name string // for people, such as the host of an identity provider
	Path string // that begins it; its parameter `to` is the path to come back to
}

// AddSignIn adds a way to sign in, for the page to offer.
func (h *Handler) AddSignIn(s SignIn) { h.signIns = append(h.signIns, s) }

// SignIns returns the ways to sign in with a browser. It is empty where there are none but a login
// link or the proxy in front.
func (h *Handler) SignIns() []SignIn { return h.signIns }

// HandleFailure sets what a browser gets where signing in fails, in place of a problem in JSON.
func (h *Handler) HandleFailure(f func(http.ResponseWriter, *http.Request, *Problem)) { h.failed = f }

// SignInFailed answers a browser whose sign-in is refused, and writes the audit event.
func (h *Handler) SignInFailed(w http.ResponseWriter, r *http.Request, reason string, status int, text string) {
	p := problem(status, reason, "%s", text)
	h.recordRefusal(r, nil, p)
	if h.failed != nil {
		h.failed(w, r, p)
		return
	}
	h.write(w, r, p)
}

// SignedIn begins the session of a user, and sends the browser to a path of this site.
func (h *Handler) SignedIn(w http.ResponseWriter, r *http.Request, user, how, to string) {
	if !isUser(user) || h.o.Sessions == nil || h.o.Sessions.Start(w, user, how) != nil {
		h.SignInFailed(w, r, "no_user", http.StatusForbidden, "nothing says which user this is: you are not signed in")
		return
	}
	http.Redirect(w, r, LocalPath(to), http.StatusSeeOther)
}

// maxReturn is the maximum length of the path to return to.
const maxReturn = 1024

// LocalPath returns a path of this site, with its query, to send a browser to: / for any other text.
func LocalPath(to string) string {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || len(to) > maxReturn || strings.ContainsFunc(to, bad) {
		return "/"
	}
	return to
}

// logOut ends the session of a browser.
func (h *Handler) logOut(w http.ResponseWriter, r *http.Request) {
	if h.o.Sessions != nil {
		h.o.Sessions.Stop(w, r)
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
