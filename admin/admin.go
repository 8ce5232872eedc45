// Package admin manages tokens over HTTP. People create, see, limit and end their own tokens; administrators see and
// end everybody's. It identifies the caller, looks up the rights that the caller's groups give now, and calls
// tokens.Service for every change: rules, caps and names are decided there.
//
// Manager has the operations of the API and of the page. Handler has the routes.
package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
	"github.com/patgate/patgate/usage"
)

// Options of a Manager and its Handler. Zero values mean the defaults, where one is named.
type Options struct {
	Service   *tokens.Service                // makes every change; its Events are set here
	Snapshot  func() *policy.Snapshot        // what runs: it evaluates the tokens that sign in
	Audit     Recorder                       // gets changes, refusals and decisions about tokens that sign in
	InForce   func(Change) bool              // waits until a change takes effect; nil: that is not known
	Gate      string                         // the Gate at which tokens sign in; empty: none may
	Header    string                         // that the proxy in front sets to the user; empty: none is believed
	Sessions  *Sessions                      // of browsers; nil: none
	Links     *Links                         // one-time links that sign in; nil: none
	Others    bool                           // others ways to sign in are registered later
	Secure    bool                           // secure mode: what exists can be ended and not changed
	Usage     func(token string) *Used       // what is known of a token's use; nil: nothing
	Rules     func(token string) usage.Token // how its rules were used, in Rules and OtherRules; nil: that is not known
	Recent    func(token string) []Call
	TokenName func(string) string // a token's name here, by that of the servers; nil: the same
	Now       func() time.Time    // default: time.Now
	Logger    *slog.Logger        // default: none
}

// Recorder writes audit events. It returns an error for an allow whose event could not be written.
type Recorder interface {
	Record(ctx context.Context, e *audit.Event) error
}

// Change describes what a change wrote, and to which token.
type Change struct {
	Token    string
	File     string
	Revision tokens.Revision // of the file
}

// Used describes the last use of a token.
type Used struct {
	Time     time.Time `json:"time"`
	Client   string    `json:"client,omitempty"`
	Gate     string    `json:"gate,omitempty"`
	Scheme   string    `json:"scheme,omitempty"`
	Previous bool      `json:"previous,omitempty"` // by a value that a rotation replaced
	Count    uint64    `json:"count,omitempty"`    // since the server started
}

// UsedBy returns the part of a token's usage that people see; nil: it was not used.
func UsedBy(t *usage.Token) *Used {
	if t == nil {
		return nil
	}
	return &Used{
		Time: t.Last, Client: t.LastClient, Gate: t.LastGate, Scheme: t.LastScheme, Count: uint64(t.Count),
		Previous: t.PreviousLast != nil && !t.PreviousLast.Before(t.Last),
	}
}

// Call is one decision about a token.
type Call struct {
	Time     time.Time `json:"time"`
	ID       string    `json:"id"`
	Decision string    `json:"decision"`
	Reason   string    `json:"reason"`
	Status   int       `json:"status,omitempty"`
	Gate     string    `json:"gate,omitempty"`
	Method   string    `json:"method,omitempty"`
	Path     string    `json:"path,omitempty"`
	Client   string    `json:"client,omitempty"`
	Rule     string    `json:"rule,omitempty"`
	Detail   string    `json:"detail,omitempty"` // what did not match, or was wrong
}

// Manager has the operations of the API and the page. Make one with New.
type Manager struct {
	o      Options
	create sync.Mutex // creations take turns: their number is limited
	mu     sync.Mutex
	seen   *view         // the last documents
	index  *policy.Index // of the last good ones
}

// Handler serves the management of tokens. Make one with New.
type Handler struct {
	*Manager
	mux     *http.ServeMux
	protect *http.CrossOriginProtection
	bodies  chan struct{}    // has a value for each large body that is held
	signIn  http.HandlerFunc // what a browser without a session gets; nil: a problem
	signIns []SignIn
	failed  func(http.ResponseWriter, *http.Request, *Problem) // what a browser gets where signing in fails; nil: a problem
	nothing func(http.ResponseWriter, *http.Request, *Problem) // what a browser gets where there is nothing; nil: a problem
}

// ErrNoSignIn reports that there is no way to sign in.
var ErrNoSignIn = errors.New("there is no way to sign in, expected a gate for tokens, a header of the proxy in front, OpenID Connect or a login link")

// New returns a Handler with the routes of the API. The page adds its own.
func New(o Options) (*Handler, error) {
	if o.Gate == "" && o.Header == "" && o.Links == nil && !o.Others {
		return nil, ErrNoSignIn
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Manager{o: o}
	o.Service.Events = m.changed
	h := &Handler{Manager: m, mux: http.NewServeMux(), protect: http.NewCrossOriginProtection(), bodies: make(chan struct{}, largeBodies)}
	h.routes()
	return h, nil
}

// Handle adds a route for those who are signed in. Others get the sign-in of HandleSignIn, or a
// problem.
func (h *Handler) Handle(pattern string, f func(http.ResponseWriter, *http.Request, *Caller)) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c, problem := h.caller(r)
		switch {
		case problem != nil && problem.Status == http.StatusUnauthorized && h.signIn != nil && len(r.Header.Values("Authorization")) == 0:
			h.signIn(w, r)
		case problem != nil:
			h.refuse(w, r, c, problem)
		default:
			c.Via = tokens.ViaPage
			f(w, r, c)
		}
	})
}

// HandlePublic adds a route for everybody.
func (h *Handler) HandlePublic(pattern string, f http.HandlerFunc) { h.mux.HandleFunc(pattern, f) }

// HandleSignIn sets what a browser without a session gets in place of a page.
func (h *Handler) HandleSignIn(f http.HandlerFunc) { h.signIn = f }

// HandleNothing sets what a browser gets where there is no page, in place of a problem in JSON.
func (h *Handler) HandleNothing(f func(http.ResponseWriter, *http.Request, *Problem)) { h.nothing = f }

// maxBody is how much of a request's body is read.
const maxBody = 1 << 20

// Bodies are read before the caller is identified. Many of them at a time must not fill the memory of a process that also
// answers checks.
const (
	smallBody   = 16 << 10 // up to this length a body is read at once
	largeBodies = 16       // the number of larger bodies that are read at a time
)

// within limits how long a request may take.
const within = 10 * time.Second

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	setHeaders(w.Header())
	if err := h.protect.Check(r); err != nil {
		h.crossOrigin(w, r)
		return
	}
	handler, pattern := h.mux.Handler(r)
	if pattern == "" {
		h.noRoute(w, r, handler)
		return
	}
	if r.ContentLength < 0 || r.ContentLength > smallBody {
		select {
		case h.bodies <- struct{}{}:
			defer func() { <-h.bodies }()
		case <-ctx.Done():
			h.refuse(w, r, nil, problem(http.StatusServiceUnavailable, policy.Overloaded.String(), "too many large requests at a time: try again soon"))
			return
		}
	}
	h.mux.ServeHTTP(w, r)
}

// setHeaders forbids everything that the answer does not need. A page allows what it shows.
func setHeaders(to http.Header) {
	to.Set("Cache-Control", "no-store")
	to.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	to.Set("X-Content-Type-Options", "nosniff")
	to.Set("X-Frame-Options", "DENY")
	to.Set("Referrer-Policy", "no-referrer")
}

func (h *Handler) crossOrigin(w http.ResponseWriter, r *http.Request) {
	h.refuse(w, r, nil, problem(http.StatusForbidden, "cross_origin", "another site sent this request, expected it from this one"))
}

// noRoute answers what no route matches as the mux would, with a problem.
func (h *Handler) noRoute(w http.ResponseWriter, r *http.Request, mux http.Handler) {
	var said said
	said.header = http.Header{}
	mux.ServeHTTP(&said, r)
	p := problem(http.StatusNotFound, "not_found", "there is nothing at this path")
	if said.status == http.StatusMethodNotAllowed && !isUnknownAction(r.URL.Path) {
		methods := allowed(r.URL.Path, said.header.Get("Allow"))
		w.Header().Set("Allow", methods)
		p = problem(said.status, "method_not_allowed", "this path does not take %s, expected %s", plainMethod(r.Method), methods)
	}
	if h.nothing != nil && said.status == http.StatusNotFound && isBrowser(r) {
		h.nothing(w, r, p)
		return
	}
	h.write(w, r, p)
}

// isBrowser reports whether a browser requests a page.
func isBrowser(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/api/") && !strings.HasPrefix(r.URL.Path, "/rest/")
}

// said notes what a handler answers, and drops the body.
type said struct {
	header http.Header
	status int
}

func (s *said) Header() http.Header         { return s.header }
func (s *said) WriteHeader(status int)      { s.status = status }
func (s *said) Write(b []byte) (int, error) { return len(b), nil }

func plainMethod(m string) string {
	if len(m) > 16 {
		return "this method"
	}
	return m
}
