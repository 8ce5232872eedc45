package admin

import (
	_ "embed"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/tokens"
)

//go:embed openapi.json
var openAPI []byte

func (h *Handler) getOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPI)
}

// queryOf reads the parameters of a list.
func queryOf(r *http.Request) (*Query, error) {
	values := r.URL.Query()
	q := &Query{
		User: values.Get("user"), Group: values.Get("group"), Gate: values.Get("gate"), Text: values.Get("q"),
		Sort: values.Get("sort"), Cursor: values.Get("cursor"),
	}
	for _, list := range values["state"] {
		for state := range strings.SplitSeq(list, ",") {
			if state != "" || len(values["state"]) > 0 {
				q.States = append(q.States, state)
			}
		}
	}
	for name, to := range map[string]*time.Time{"expiresBefore": &q.ExpiresBefore, "unusedSince": &q.UnusedSince} {
		if !values.Has(name) {
			continue
		}
		t, ok := manifest.ParseTime(values.Get(name))
		if !ok {
			return nil, fieldProblem(name, "%s is no time, expected one such as 2026-07-30T00:00:00Z (RFC 3339)", name)
		}
		*to = t
	}
	if values.Has("limit") {
		n, err := strconv.Atoi(values.Get("limit"))
		if err != nil || n < 1 || n > maxLimit || len(values["limit"]) > 1 {
			return nil, fieldProblem("limit", "the limit is no number from 1 to %d, expected one", maxLimit)
		}
		q.Limit = n
	}
	if values.Has("sort") && q.Sort == "" {
		return nil, fieldProblem("sort", "an empty order, expected one of %s", strings.Join(Sorts, ", "))
	}
	if values.Has("cursor") && q.Cursor == "" {
		return nil, fieldProblem("cursor", "an empty cursor, expected `next` of the page before")
	}
	return q, nil
}

func (h *Handler) listTokens(_ http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	q, err := queryOf(r)
	if err != nil {
		return nil, err
	}
	return h.List(r.Context(), c, q)
}

// newTokenOf reads what a new token is to be.
func newTokenOf(o *object) *NewToken {
	n := &NewToken{}
	n.DisplayName, _ = o.text("displayName")
	n.Description, _ = o.text("description")
	user, said := o.text("user")
	if n.User = user; said && user == "" {
		o.fail("user", "the user is empty, expected one or no key at all")
	}
	n.AnyUser, _ = o.flag("anyUser")
	if n.AnyUser && said {
		o.fail("anyUser", "beside user, expected one of the two")
	}
	n.ActAs, _ = o.texts("actAs")
	n.Logins, _ = o.texts("logins")
	n.Canary, _ = o.flag("canary")
	n.ExpiresIn, _ = o.lifetime("expiresIn")
	n.Expires, _ = o.moment("expires")
	n.Forever, _ = o.flag("forever")
	n.Policies, _ = o.texts("policies")
	n.Allow, _ = o.objects("allow")
	n.LimitTo, _ = o.texts("limitTo")
	n.Unrestricted, _ = o.flag("unrestricted")
	n.Schemes, _ = o.texts("schemes")
	n.Gates, _ = o.texts("gates")
	if clients, there := o.object("clients"); there {
		n.AllowFrom, _ = clients.texts("allow")
		n.DenyFrom, _ = clients.texts("deny")
		o.within(clients)
	}
	for _, line := range n.LimitTo {
		if strings.TrimSpace(line) == "" {
			o.fail("limitTo", "an empty line, expected a rule")
		}
	}
	return n
}

// within takes over what is wrong with an object within.
func (o *object) within(inner *object) {
	if err := inner.done(); err != nil && o.problem == nil {
		o.problem = ProblemOf(err)
	}
}

func (h *Handler) createToken(w http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	o, err := readBody(r, "application/json", false)
	if err != nil {
		return nil, err
	}
	n := newTokenOf(o)
	if err := o.done(); err != nil {
		return nil, err
	}
	made, err := h.Create(r.Context(), c, n)
	if err != nil {
		return nil, err
	}
	setTag(w, made.Revision)
	w.Header().Set("Location", "/api/v1/tokens/"+made.Name)
	return answered{http.StatusCreated, made}, nil
}

func (h *Handler) previewToken(_ http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	o, err := readBody(r, "application/json", false)
	if err != nil {
		return nil, err
	}
	n, try := newTokenOf(o), tryOf(o)
	if err := o.done(); err != nil {
		return nil, err
	}
	return h.Preview(r.Context(), c, n, try)
}

// tryOf reads the request to try; nil: there is none.
func tryOf(o *object) *Try {
	request, there := o.object("request")
	if !there {
		return nil
	}
	t := &Try{Headers: map[string]string{}}
	t.Method, _ = request.text("method")
	t.Path, _ = request.text("path")
	t.Host, _ = request.text("host")
	t.Gate, _ = request.text("gate")
	t.Scheme, _ = request.text("scheme")
	t.Body, _ = request.text("body")
	t.TLS, _ = request.flag("tls")
	if client, there := request.text("client"); there {
		addr, err := netip.ParseAddr(client)
		if t.Client = addr; err != nil {
			request.fail("client", "no address, expected one such as 10.20.0.5")
		}
	}
	if headers, there := request.object("headers"); there {
		for name := range headers.fields {
			t.Headers[name], _ = headers.text(name)
		}
		request.within(headers)
	}
	if t.Scheme != "" && t.Scheme != "basic" && t.Scheme != "bearer" {
		request.fail("scheme", "no scheme, expected basic or bearer")
	}
	o.within(request)
	return t
}

func (h *Handler) revokeTokens(_ http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	if !c.Actor.Admin { // whatever the body is
		return h.RevokeMany(r.Context(), c, &Many{})
	}
	o, err := readBody(r, "application/json", false)
	if err != nil {
		return nil, err
	}
	m := &Many{}
	m.User, _ = o.text("user")
	m.Group, _ = o.text("group")
	m.Names, _ = o.texts("names")
	m.DryRun, _ = o.flag("dryRun")
	expect, said := o.number("expect", 0, 1_000_000)
	m.Expect = int(expect)
	named := 0
	for _, is := range []bool{m.User != "", m.Group != "", len(m.Names) > 0} {
		if is {
			named++
		}
	}
	switch {
	case named != 1:
		o.fail("names", "expected one of user, group and names, and something in it")
	case !said && !m.DryRun:
		o.fail("expect", "expect is missing, expected the number of tokens that a dry run shows")
	}
	if err := o.done(); err != nil {
		return nil, err
	}
	return h.RevokeMany(r.Context(), c, m)
}

// nameOf returns the token of a path such as /tokens/NAME:revoke, and what to do with it.
func nameOf(r *http.Request) (name, action string) {
	name, action, _ = strings.Cut(r.PathValue("name"), ":")
	return name, action
}

// allowed returns the methods that a path takes. Where several of the API's paths share a route, the
// mux names those of all.
func allowed(path, byMux string) string {
	rest, token := strings.CutPrefix(path, "/api/v1/tokens/")
	name, action, acts := strings.Cut(rest, ":")
	switch {
	case isCompatible(path) && strings.HasSuffix(path, "/tokens/search"), token && acts && slices.Contains(actions, action):
		return "POST"
	case token && !acts && name != "" && !strings.Contains(name, "/"):
		return "GET, HEAD, PATCH"
	}
	return byMux
}

// isUnknownAction reports whether a path names something that can't be done with a token.
func isUnknownAction(path string) bool {
	name, ofToken := strings.CutPrefix(path, "/api/v1/tokens/")
	_, action, acts := strings.Cut(name, ":")
	return ofToken && acts && !slices.Contains(actions, action)
}

// actions are the operations on one token by POST.
var actions = []string{"revoke", "rotate"}

func (h *Handler) postToken(w http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	name, action := nameOf(r)
	must, err := h.matches(r, c, name)
	if err != nil {
		return nil, err
	}
	switch action {
	case "revoke":
		return h.revokeToken(w, r, c, name)
	case "rotate":
		return h.rotateToken(w, r, c, name, must)
	case "":
		w.Header().Set("Allow", "GET, HEAD, PATCH")
		return nil, problem(http.StatusMethodNotAllowed, "method_not_allowed", "a token takes no POST, expected :revoke or :rotate after its name, or PATCH")
	}
	return nil, problem(http.StatusNotFound, "not_found", "there is nothing at this path, expected one of :%s", strings.Join(actions, " and :"))
}

// misdirected refuses another method than POST for what is done by POST.
func misdirected(w http.ResponseWriter, r *http.Request) error {
	_, action := nameOf(r)
	switch {
	case action == "":
		return nil
	case slices.Contains(actions, action):
		w.Header().Set("Allow", "POST")
		return problem(http.StatusMethodNotAllowed, "method_not_allowed", "this path takes POST alone")
	}
	return problem(http.StatusNotFound, "not_found", "there is nothing at this path")
}

// matches compares If-Match with the token's revision. It returns the revision that the token must still have when it is
// changed; empty: any.
func (h *Handler) matches(r *http.Request, c *Caller, name string) (tokens.Revision, error) {
	tags := tagsOf(r)
	if len(tags) == 0 || slices.Contains(tags, "*") {
		return "", nil
	}
	d, err := h.Get(r.Context(), c, name)
	if err != nil {
		return "", about(name, err)
	}
	if !slices.Contains(tags, tagOf(d.Revision)) {
		return "", about(name, problem(http.StatusPreconditionFailed, "changed", "the token has changed since: read it again"))
	}
	return d.Revision, nil
}

func setTag(w http.ResponseWriter, r tokens.Revision) { w.Header().Set("ETag", tagOf(r)) }

// tagOf returns the ETag of a revision.
func tagOf(r tokens.Revision) string { return `"` + string(r) + `"` }

// tagsOf returns the ETags of If-Match (RFC 9110). Revisions hold no commas. A weak ETag matches no token.
func tagsOf(r *http.Request) (tags []string) {
	for _, list := range r.Header.Values("If-Match") {
		for tag := range strings.SplitSeq(list, ",") {
			if tag = strings.TrimSpace(tag); tag != "" && tag != "*" && !strings.HasSuffix(tag, `"`) {
				tag = `"` + tag + `"` // some clients leave the quotes out
			}
			if tag != "" {
				tags = append(tags, tag)
			}
		}
	}
	return tags
}
