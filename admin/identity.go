package admin

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
)

// Caller is the user of one request, with the rights that their groups give them now.
type Caller struct {
	User    string
	Actor   tokens.Actor
	Rights  tokens.Rights
	Via     tokens.Via
	Session *Session // of a browser; nil: none
}

// request is what a change of the caller says of them.
func (c *Caller) request() tokens.Request { return tokens.Request{Actor: c.Actor, Via: c.Via} }

// identity is the identity that a request claims.
type identity struct {
	user    string
	token   string // that was presented
	session *Session
}

// unauthorized is the one answer to every credential that is not accepted.
func unauthorized() *Problem {
	return problem(http.StatusUnauthorized, "unauthorized", "sign in first: the request has no credential that is accepted here")
}

// caller finds out who asks, and looks up their rights. A header Authorization decides alone; then
// comes the header of the proxy in front, then the session.
func (h *Handler) caller(r *http.Request) (*Caller, *Problem) {
	id, p := h.identify(r)
	if p != nil {
		return nil, p
	}
	if !isUser(id.user) {
		return nil, unauthorized() // an empty one would be the person who runs the command line
	}
	actor, rights, err := h.o.Service.Actor(r.Context(), id.user)
	if err != nil {
		return nil, ProblemOf(err)
	}
	actor.Token = id.token
	return &Caller{User: id.user, Actor: actor, Rights: rights, Via: viaOf(r), Session: id.session}, nil
}

func (h *Handler) identify(r *http.Request) (identity, *Problem) {
	switch {
	case h.o.Gate != "" && len(r.Header.Values("Authorization")) > 0:
		return h.byToken(r)
	case h.o.Gate == "" && h.o.Header == "" && len(r.Header.Values("Authorization")) > 0:
		return identity{}, unauthorized()
	case h.o.Header != "" && len(r.Header.Values(h.o.Header)) > 0:
		return h.byHeader(r)
	case h.o.Sessions != nil:
		if s := h.o.Sessions.Of(r); s != nil {
			return identity{user: s.User, session: s}, nil
		}
	}
	return identity{}, unauthorized()
}

// byHeader believes the proxy in front, which alone reaches this listener. Where that is an Envoy that asks patgate,
// the user must be the one that the token proves: tokens of any user, and those that act for others, name one at will.
func (h *Handler) byHeader(r *http.Request) (identity, *Problem) {
	values := r.Header.Values(h.o.Header)
	if len(values) != 1 || !isUser(values[0]) || len(r.Header.Values(policy.HeaderUserAsserted)) > 0 {
		return identity{}, unauthorized()
	}
	snapshot := h.o.Snapshot()
	names := tokensByHeader(snapshot, r.Header)
	if len(names) == 0 {
		return identity{user: values[0]}, nil
	}
	if h.o.TokenName != nil {
		names[0] = h.o.TokenName(names[0])
	}
	row := snapshot.TokenByName(names[0])
	if len(names) > 1 || row == nil || row.AnyUser || row.User != values[0] {
		return identity{}, unauthorized()
	}
	return identity{user: values[0], token: row.Name}, nil
}

// defaultTokenHeader is the header that names the token where a Gate names no other.
const defaultTokenHeader = "x-patgate-token"

// tokensByHeader are the tokens with which Gates let the request in. A token bounds what its caller may grant. The
// headers are those of all Gates: the Gate that decided may be another than the management's own.
func tokensByHeader(s *policy.Snapshot, h http.Header) (names []string) {
	headers := []string{defaultTokenHeader}
	for _, gate := range s.Gates() {
		if gate.Upstream != nil && gate.Upstream.TokenHeader != "" {
			headers = append(headers, strings.ToLower(gate.Upstream.TokenHeader))
		}
	}
	slices.Sort(headers)
	for _, name := range slices.Compact(headers) {
		names = append(names, h.Values(name)...)
	}
	return names
}

// isUser reports whether a text can be a user's name.
func isUser(text string) bool {
	return text != "" && len(text) <= 256 && utf8.ValidString(text) && strings.TrimSpace(text) == text &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// byToken evaluates the request at the management's Gate, as the server would there.
func (h *Handler) byToken(r *http.Request) (identity, *Problem) {
	request, err := requestOf(r, h.o.Gate)
	if err != nil {
		return identity{}, ProblemOf(err)
	}
	request.Time = h.o.Now()
	snapshot := h.o.Snapshot()
	d := policy.Evaluate(snapshot, request, nil)
	if d.Effect == policy.Allow && (d.Reason != policy.OK || d.Shadowed || d.Token == nil || d.Principal.Asserted || d.Principal.Actor != "") {
		d.Refuse(policy.TokenUnknown) // nothing proves who asks
	}
	if err := h.recordDecision(r, request, &d, snapshot.Revision().Number); err != nil {
		return identity{}, problem(http.StatusServiceUnavailable, "audit_unavailable", "the audit event could not be written in time: try again soon")
	}
	switch {
	case d.Effect == policy.Allow:
		return identity{user: d.Principal.User, token: d.Token.Name}, nil
	case d.Status() == http.StatusForbidden:
		return identity{}, problem(http.StatusForbidden, d.Reason.String(), "%s", refusalText(&d))
	case d.Status() == http.StatusUnauthorized:
		return identity{}, unauthorized()
	}
	return identity{}, problem(d.Status(), d.Reason.String(), "the token was not accepted here: %s", d.Reason)
}

// refusalText says why a good token may not do this.
func refusalText(d *policy.Decision) string {
	text := fmt.Sprintf("the token may not do this at the gate %s (%s)", d.Gate.Name, d.Reason)
	if where := d.Where(); where != "" {
		text += ": " + where
	}
	return text
}

// requestOf is the request as the policy sees it. Its body is read, and can be read again.
func requestOf(r *http.Request, gate string) (*policy.Request, error) {
	target := r.RequestURI
	if target == "" {
		target = r.URL.RequestURI()
	}
	p := &policy.Request{
		Method: r.Method, Target: policy.NewTarget(target), Host: r.Host, Route: gate, RouteNamed: true,
		TLS: r.TLS != nil, Peer: peerOf(r), Header: headerOf(r.Header),
	}
	p.Credential = policy.ParseAuthorization(p.Header.Get("authorization"))
	body, err := readAll(r)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if len(body) > 0 {
		p.Body = policy.Body{State: policy.BodyWhole, Bytes: body}
	}
	return p, nil
}

// peerOf is the address that the connection comes from; the zero value for a unix socket.
func peerOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// header is the headers of a request, one entry a value, with names in lower case.
type header []struct{ name, value string }

func headerOf(from http.Header) header {
	var h header
	for name, values := range from {
		for _, v := range values {
			h = append(h, struct{ name, value string }{strings.ToLower(name), v})
		}
	}
	slices.SortStableFunc(h, func(a, b struct{ name, value string }) int { return strings.Compare(a.name, b.name) })
	return h
}

// Get implements policy.Header.
func (h header) Get(name string) (value string, count int) {
	var values []string
	for _, e := range h {
		if e.name == name {
			values = append(values, e.value)
		}
	}
	return strings.Join(values, ","), len(values)
}

// Len implements policy.Header.
func (h header) Len() int { return len(h) }

// At implements policy.Header.
func (h header) At(i int) (name, value string) { return h[i].name, h[i].value }

// recordDecision writes the event of a decision about a token that signs in.
func (h *Handler) recordDecision(r *http.Request, q *policy.Request, d *policy.Decision, revision uint64) error {
	e := &audit.Event{
		Time: q.Time, Kind: audit.Decision, Severity: audit.Info, ID: rand.Text(), Decision: d.Effect.String(), Reason: d.Reason.String(), Status: d.Status(),
		Gate: h.o.Gate, Scheme: d.Scheme.String(), User: d.Principal.User, UserAsserted: d.Principal.Asserted, Actor: d.Principal.Actor, Previous: d.Previous,
		Detail: d.Detail, Peer: q.Peer, Method: q.Method, Host: policy.WithoutPort(q.Host), Path: q.Target.Raw, Query: q.Target.Query, UserAgent: r.UserAgent(),
		TLS: q.TLS, RouteNamed: true, BodyState: q.Body.State.String(), Revision: revision, Secret: q.Credential.Secret, Credential: q.Credential.Text,
	}
	if d.Token != nil {
		e.Token = d.Token.Name
	}
	if d.Located {
		e.Client, e.ClientSource = d.Client, d.ClientBy.String()
	}
	if d.Rule != nil {
		e.Policy, e.Rule, e.Source = d.Rule.Policy, d.Rule.Name, d.Rule.Source.String()
	}
	switch {
	case d.Reason == policy.TokenCanary:
		e.Severity = audit.Alert
	case d.Effect != policy.Allow:
		e.Severity = audit.Notice
	}
	return h.o.Audit.Record(r.Context(), e)
}

// challenges are the authentication schemes that a 401 advertises.
func (h *Handler) challenges() (list []string) {
	gate := h.o.Snapshot().Gate(h.o.Gate)
	if gate != nil && gate.Challenges(h.o.Now()).Has(policy.Bearer) {
		list = append(list, `Bearer realm="patgate"`)
	}
	if gate != nil && gate.Challenges(h.o.Now()).Has(policy.Basic) {
		list = append(list, `Basic realm="patgate", charset="UTF-8"`)
	}
	return list
}

// viaOf is the way on which a request comes.
func viaOf(r *http.Request) tokens.Via {
	if strings.HasPrefix(r.URL.Path, "/api/") || isCompatible(r.URL.Path) {
		return tokens.ViaAPI
	}
	return tokens.ViaPage
}

// changed writes the event of a change.
func (m *Manager) changed(e tokens.Event) {
	_ = m.o.Audit.Record(eventContext, &audit.Event{
		Time: e.Time, Kind: audit.Kind(e.Action), Severity: audit.Info, By: e.By, Via: string(e.Via), Token: e.Token, User: e.User, Fields: e.Fields,
	})
}
