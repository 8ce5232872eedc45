// Package page is the web page on which people manage their tokens. It shows what admin.Manager returns and calls it
// for every change: rules, caps and rights are decided there. The server renders every page. Without JavaScript
// everything works but copying, the warning before leaving, and the preview while typing.
package page

import (
	"bytes"
	"cmp"
	"embed"
	"html/template"
	"io/fs"
	"net/http"

	"github.com/patgate/patgate/admin"
)

//go:embed templates assets
var files embed.FS

// contentPolicy lets a page load its own style sheet, script and icon only. Nothing is inline.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// site answers the requests of the page.
type site struct {
	h     *admin.Handler
	views map[string]*template.Template
	sent  *once
}

// Add adds the page to the management.
func Add(h *admin.Handler) error {
	s := &site{h: h, views: map[string]*template.Template{}, sent: newOnce(h.Now)}
	names, err := fs.Glob(files, "templates/view_*.html")
	if err != nil {
		return err
	}
	shared, err := template.New("").Funcs(functions(h.Now)).ParseFS(files, "templates/part_*.html")
	if err != nil {
		return err
	}
	for _, name := range names {
		one, err := shared.Clone()
		if err != nil {
			return err
		}
		if s.views[name], err = one.ParseFS(files, name); err != nil {
			return err
		}
	}
	s.routes()
	return nil
}

func (s *site) routes() {
	s.h.HandleSignIn(s.signIn)
	s.h.HandleFailure(s.signInFailed)
	s.h.HandleNothing(s.nothing)
	s.h.HandlePublic("GET /assets/{file}", s.asset)
	for pattern, answer := range map[string]answerer{
		"GET /{$}":                    s.mine,
		"GET /new":                    s.newForm,
		"POST /new":                   s.newToken,
		"GET /tokens/{name}":          s.token,
		"POST /tokens/{name}/try":     s.try,
		"GET /tokens/{name}/edit":     s.editForm,
		"POST /tokens/{name}/edit":    s.edit,
		"POST /tokens/{name}/suspend": s.suspend,
		"GET /tokens/{name}/rotate":   s.rotateForm,
		"POST /tokens/{name}/rotate":  s.rotate,
		"GET /tokens/{name}/revoke":   s.revokeForm,
		"POST /tokens/{name}/revoke":  s.revoke,
		"GET /all":                    s.all,
		"POST /all/revoke":            s.revokeMany,
		"GET /people":                 s.people,
		"GET /groups":                 s.groups,
	} {
		s.h.Handle(pattern, func(w http.ResponseWriter, r *http.Request, c *admin.Caller) {
			if err := answer(w, r, c); err != nil {
				s.fail(w, r, c, err)
			}
		})
	}
}

// answerer answers a request of a signed-in user. It has written nothing where it returns an
// error.
type answerer func(http.ResponseWriter, *http.Request, *admin.Caller) error

// frame holds the parts that all pages show.
type frame struct {
	Title   string
	At      string // the part of the site that it belongs to
	User    string // empty: no user is signed in
	Admin   bool
	Create  bool
	SignOut bool
	Secure  bool
	Counts  bool   // uses of tokens are known
	Done    string // what was done just now
	Problem *admin.Problem
}

func (s *site) frame(r *http.Request, c *admin.Caller, at, title string) frame {
	return frame{
		Title: title, At: at, User: c.User, Admin: c.Rights.Admin, Create: c.Rights.Create || c.Rights.Admin, SignOut: c.Session != nil,
		Secure: s.h.Secure(), Counts: s.h.Counts(), Done: doneTexts[r.URL.Query().Get("done")],
	}
}

// doneTexts say what was done before a page is shown.
var doneTexts = map[string]string{
	"changed":   "The token is changed.",
	"unchanged": "Nothing was changed.",
	"suspended": "The token is suspended: requests with it are refused until you lift that.",
	"lifted":    "The token works again.",
	"revoked":   "The token is revoked. No request is let through with it again.",
}

// show writes a page.
func (s *site) show(w http.ResponseWriter, status int, view string, data any) error {
	return s.write(w, status, view, "page", data)
}

func (s *site) write(w http.ResponseWriter, status int, view, part string, data any) error {
	var b bytes.Buffer
	if err := s.views["templates/view_"+view+".html"].ExecuteTemplate(&b, part, data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", contentPolicy)
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
	return nil
}

// problemView is a page that says why there is no other.
type problemView struct {
	frame
	Back string
}

// fail shows why a request was refused.
func (s *site) fail(w http.ResponseWriter, r *http.Request, c *admin.Caller, err error) {
	p := s.h.Refuse(r, c, err)
	v := problemView{s.frame(r, c, "", problemTitle(p)), "/"}
	v.Problem = p
	if s.show(w, p.Status, "problem", v) != nil {
		http.Error(w, "a fault of patgate", http.StatusInternalServerError)
	}
}

func problemTitle(p *admin.Problem) string {
	switch p.Status {
	case http.StatusNotFound:
		return "There is no such token"
	case http.StatusForbidden:
		return "You may not do that"
	case http.StatusConflict:
		return "That did not happen"
	}
	return cmp.Or(p.Title, "Something went wrong")
}

// nothing answers a browser on a path without a page.
func (s *site) nothing(w http.ResponseWriter, _ *http.Request, p *admin.Problem) {
	v := problemView{frame{Title: "There is no such page", Problem: p}, "/"}
	if s.show(w, p.Status, "problem", v) != nil {
		http.Error(w, "a fault of patgate", http.StatusInternalServerError)
	}
}

// signInView offers the ways to sign in.
type signInView struct {
	frame
	Ways []admin.SignIn
	To   string // where to come back to
}

// signIn answers a browser without a session.
func (s *site) signIn(w http.ResponseWriter, r *http.Request) {
	v := signInView{frame: frame{Title: "Sign in"}, Ways: s.h.SignIns(), To: "/"}
	if r.Method == http.MethodGet {
		v.To = r.URL.RequestURI()
	}
	s.showSignIn(w, http.StatusUnauthorized, v)
}

func (s *site) signInFailed(w http.ResponseWriter, _ *http.Request, p *admin.Problem) {
	s.showSignIn(w, p.Status, signInView{frame: frame{Title: "You are not signed in", Problem: p}, Ways: s.h.SignIns(), To: "/"})
}

func (s *site) showSignIn(w http.ResponseWriter, status int, v signInView) {
	if s.show(w, status, "signin", v) != nil {
		http.Error(w, "a fault of patgate", http.StatusInternalServerError)
	}
}

// assetTypes are the files that pages load.
var assetTypes = map[string]string{
	"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
}

func (s *site) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	kind, known := assetTypes[name]
	data, err := files.ReadFile("assets/" + name)
	if !known || err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(data)
}
