// Package oidc signs people in to the management API and page with OpenID Connect: the authorization code flow with
// PKCE, and a state and a nonce that a sealed cookie binds to the browser. It identifies the person. What they may do
// is decided at each request, by their groups.
package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/patgate/patgate/admin"
)

// DefaultUserClaim is the claim that names the user.
const DefaultUserClaim = "preferred_username"

// The paths of signing in.
const (
	BeginPath    = "/login/oidc"
	CallbackPath = "/callback"
)

// Options of signing in with OpenID Connect. Zero values mean the defaults, where one is named.
type Options struct {
	Issuer     string // of the identity provider, which publishes its configuration below it
	ClientID   string
	SecretFile string // of the client's secret; read at each sign-in, so that it can be replaced
	UserClaim  string // that names the user; default DefaultUserClaim
	Redirect   string // URL of CallbackPath, as browsers see it; default: by the Host of each request

	Sessions *admin.Sessions
	Secure   bool             // browsers come with HTTPS
	Client   *http.Client     // default: one of this package
	Now      func() time.Time // default: time.Now
	Logger   *slog.Logger     // default: none
}

// OptionError says which option is invalid.
type OptionError struct{ Option, Message string }

// Error returns the message.
func (e *OptionError) Error() string { return e.Message }

// SignIn signs people in. Make one with New.
type SignIn struct {
	o        Options
	provider *provider
	handler  *admin.Handler
}

// New checks the options. It fetches the identity provider's configuration later, so that it
// need not be there yet.
func New(o Options) (*SignIn, error) {
	if o.UserClaim == "" {
		o.UserClaim = DefaultUserClaim
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return &SignIn{o: o, provider: newProvider(&o)}, nil
}

func (o *Options) check() error {
	switch {
	case o.ClientID == "":
		return &OptionError{"client-id", "missing, expected the name of the client at the identity provider"}
	case o.SecretFile == "":
		return &OptionError{"client-secret-file", "missing, expected a file with the secret of the client"}
	}
	if message := badURL(o.Issuer); message != "" {
		return &OptionError{"issuer", message}
	}
	if u, _ := url.Parse(o.Issuer); u.RawQuery != "" || u.Fragment != "" {
		return &OptionError{"issuer", o.Issuer + ": expected no query"}
	}
	if _, err := o.secret(); err != nil {
		return &OptionError{"client-secret-file", err.Error()}
	}
	if o.Redirect == "" {
		return nil
	}
	if message := badURL(o.Redirect); message != "" {
		return &OptionError{"redirect-url", message}
	}
	if u, _ := url.Parse(o.Redirect); u.Path != CallbackPath || u.RawQuery != "" || u.Fragment != "" {
		return &OptionError{"redirect-url", o.Redirect + ": expected the path " + CallbackPath}
	}
	return nil
}

// badURL says what is wrong with the URL of an identity provider, or of this site.
func badURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Sprintf("%q is no URL, expected one such as https://id.example.com", text)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return text + ": everyone on the network path could sign in as any user, expected https"
	}
	return ""
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// secret reads the secret of the client.
func (o *Options) secret() (string, error) {
	text, err := os.ReadFile(o.SecretFile)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return "", fmt.Errorf("%s: %w", o.SecretFile, err)
	}
	if secret := strings.TrimSpace(string(text)); secret != "" {
		return secret, nil
	}
	return "", fmt.Errorf("%s is empty, expected the secret of the client", o.SecretFile)
}

// Register adds the routes of signing in.
func (s *SignIn) Register(h *admin.Handler) {
	s.handler = h
	u, _ := url.Parse(s.o.Issuer)
	h.AddSignIn(admin.SignIn{Name: u.Host, Path: BeginPath})
	h.HandlePublic("GET "+BeginPath, s.begin)
	h.HandlePublic("GET "+CallbackPath, s.callback)
}

// Check fetches the identity provider's configuration, and logs that it is not available yet.
func (s *SignIn) Check(ctx context.Context) {
	if _, err := s.provider.get(ctx); err != nil {
		s.o.Logger.Warn("the identity provider does not answer, sign-in with it fails until it does", "issuer", s.o.Issuer, "error", err)
	}
}

// flow is the state that a browser keeps between leaving for the identity provider and coming back.
type flow struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"` // of PKCE
	Redirect string `json:"redirect"`
	To       string `json:"to"` // the path to come back to
}

// flowSpan limits how long signing in may take.
const flowSpan = 10 * time.Minute

// purpose is that of the cookie of a flow: two of them may be under way in two windows.
func purpose(state string) string { return "login-" + state[:min(8, len(state))] }

// begin sends a browser to the identity provider.
func (s *SignIn) begin(w http.ResponseWriter, r *http.Request) {
	p, err := s.provider.get(r.Context())
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	f := flow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Redirect: s.redirect(r), To: admin.LocalPath(r.URL.Query().Get("to"))}
	text, err := json.Marshal(f)
	if err == nil {
		err = s.o.Sessions.Keep(w, purpose(f.State), text, flowSpan)
	}
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	to := p.config(&s.o, "", f.Redirect).AuthCodeURL(f.State, oauth2.S256ChallengeOption(f.Verifier), oauth2.SetAuthURLParam("nonce", f.Nonce))
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// redirect is the URL at which the identity provider sends the browser back.
func (s *SignIn) redirect(r *http.Request) string {
	if s.o.Redirect != "" {
		return s.o.Redirect
	}
	scheme := "http"
	if s.o.Secure {
		scheme = "https"
	}
	return scheme + "://" + r.Host + CallbackPath
}

// callback signs in a browser that comes back.
func (s *SignIn) callback(w http.ResponseWriter, r *http.Request) {
	f, err := s.flow(w, r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	user, err := s.user(r.Context(), f, r.URL.Query())
	switch {
	case errors.Is(err, errUnavailable):
		s.unavailable(w, r, err)
	case err != nil:
		s.refuse(w, r, err)
	default:
		s.handler.SignedIn(w, r, user, "oidc", f.To)
	}
}

// flow returns what the browser kept, which counts once.
func (s *SignIn) flow(w http.ResponseWriter, r *http.Request) (*flow, error) {
	unknown := errors.New("this sign-in was not begun in this browser, is older than 10 minutes, or was used: sign in again")
	states := r.URL.Query()["state"]
	if len(states) != 1 || states[0] == "" || strings.ContainsFunc(states[0], func(c rune) bool { return (c < 'A' || c > 'Z') && (c < '0' || c > '9') }) {
		return nil, unknown
	}
	text, ok := s.o.Sessions.Take(w, r, purpose(states[0]))
	var f flow
	if !ok || json.Unmarshal(text, &f) != nil || subtle.ConstantTimeCompare([]byte(f.State), []byte(states[0])) != 1 {
		return nil, unknown
	}
	return &f, nil
}

func (s *SignIn) refuse(w http.ResponseWriter, r *http.Request, err error) {
	s.o.Logger.Warn("a sign-in is refused", "issuer", s.o.Issuer, "error", err)
	s.handler.SignInFailed(w, r, "sign_in_refused", http.StatusUnauthorized, err.Error())
}

func (s *SignIn) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	s.o.Logger.Warn("the identity provider does not answer", "issuer", s.o.Issuer, "error", err)
	s.handler.SignInFailed(w, r, "provider_unavailable", http.StatusServiceUnavailable, "the identity provider does not answer: try again soon")
}
