package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/tokens"
)

// Problem is why a request was refused (RFC 9457). Reason is stable.
type Problem struct {
	Type   string            `json:"type"`
	Title  string            `json:"title"`
	Status int               `json:"status"`
	Detail string            `json:"detail"`
	Reason string            `json:"reason"`
	Field  string            `json:"field,omitempty"`  // of the request
	Errors map[string]string `json:"errors,omitempty"` // of the request's fields

	token string // that the request was about
	err   error  // a fault, for the log
}

// problemTypes begins the type of every problem.
const problemTypes = "https://patgate.dev/problems/"

func problem(status int, reason, format string, args ...any) *Problem {
	detail := format
	if len(args) > 0 {
		detail = fmt.Sprintf(format, args...)
	}
	return &Problem{Type: problemTypes + reason, Title: http.StatusText(status), Status: status, Reason: reason, Detail: token.Mask(detail)}
}

// fieldProblem is a problem of one field of the request.
func fieldProblem(field, format string, args ...any) *Problem {
	p := problem(http.StatusBadRequest, "invalid", format, args...)
	p.Field, p.Errors = field, map[string]string{field: p.Detail}
	return p
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// statuses are the statuses of refusals.
var statuses = map[tokens.Code]int{
	tokens.Invalid: http.StatusBadRequest, tokens.BeyondCap: http.StatusBadRequest, tokens.TooMany: http.StatusBadRequest,
	tokens.NameTaken: http.StatusConflict, tokens.BadState: http.StatusConflict, tokens.NotEditable: http.StatusConflict, tokens.BadDocument: http.StatusConflict,
	tokens.BeyondGrant: http.StatusForbidden, tokens.NoRight: http.StatusForbidden, tokens.Widens: http.StatusForbidden,
}

// ProblemOf returns the problem that an error of an operation is.
func ProblemOf(err error) *Problem {
	var p *Problem
	var refused *tokens.RefusedError
	var unknown *tokens.UnknownError
	var conflict *tokens.ConflictError
	var broken *tokens.ProblemsError
	var away *tokens.UnavailableError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &refused):
		status, known := statuses[refused.Code]
		if !known {
			status = http.StatusBadRequest
		}
		p = problem(status, string(refused.Code), "%s", withoutPlaces(strings.Join(refused.Reasons, "\n")))
		if p.Field = refused.Field; p.Field != "" {
			p.Errors = map[string]string{p.Field: p.Detail}
		}
		return p
	case errors.As(err, &unknown):
		return problem(http.StatusNotFound, "unknown_token", "there is no such token among those that you may see")
	case errors.As(err, &conflict):
		return problem(http.StatusConflict, "conflict", "somebody else changed it meanwhile: nothing is written, read it again")
	case errors.As(err, &broken):
		return problem(http.StatusServiceUnavailable, "manifests_broken", "the manifests have problems, and nothing can be told of tokens: an administrator sees them with `patgate check`")
	case errors.As(err, &away):
		p = problem(http.StatusServiceUnavailable, "store_unavailable", "the tokens can't be read or written now, an administrator sees why in patgate's log: nothing is written, try again")
		p.err = err
		return p
	case errors.As(err, &large):
		return problem(http.StatusRequestEntityTooLarge, "too_large", "the body is larger than 1 MiB, expected less")
	}
	p = problem(http.StatusInternalServerError, "internal", "a fault of patgate, its log says which")
	p.err = err
	return p
}

// places matches places in manifests, as the command line prints them. A time is none: digits follow each colon of a place, and
// nothing follows them.
var places = regexp.MustCompile(`(?m)^\S+:\d+:\d+: | \(\S+:\d+(:\d+)?\)| at \S+:\d+:\d+\b( and \S+:\d+:\d+\b)*`)

// withoutPlaces removes places from a text: callers of the API do not have the server's files.
func withoutPlaces(text string) string { return places.ReplaceAllString(text, "") }

// refuse writes a problem, and its audit event.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, c *Caller, p *Problem) {
	h.recordRefusal(r, c, p)
	h.write(w, r, p)
}

// recordRefusal writes the event of a refusal of the API or the page.
func (m *Manager) recordRefusal(r *http.Request, c *Caller, p *Problem) {
	if p.err != nil {
		m.o.Logger.Error("a management request failed", "method", r.Method, "path", r.URL.Path, "error", token.Mask(p.err.Error()))
	}
	e := &audit.Event{
		Time: m.o.Now(), Kind: audit.ManageRefused, Severity: audit.Notice, Reason: p.Reason, Status: p.Status, Token: p.token,
		Method: r.Method, Path: r.URL.EscapedPath(), Peer: peerOf(r), UserAgent: r.UserAgent(), Via: string(viaOf(r)),
	}
	if c != nil {
		e.By, e.Via = c.User, string(c.Via)
	}
	_ = m.o.Audit.Record(r.Context(), e) // only an allow can fail
}

// Refuse answers a request of the page that an operation refused: it writes the audit event, and
// returns the problem to show.
func (h *Handler) Refuse(r *http.Request, c *Caller, err error) *Problem {
	p := ProblemOf(err)
	h.recordRefusal(r, c, p)
	return p
}

// write writes a problem in the form of the path: Atlassian's clients read errorMessages.
func (h *Handler) write(w http.ResponseWriter, r *http.Request, p *Problem) {
	if p.Status == http.StatusUnauthorized {
		for _, challenge := range h.challenges() {
			w.Header().Add("WWW-Authenticate", challenge)
		}
	}
	var body any = p
	contentType := "application/problem+json"
	if isCompatible(r.URL.Path) {
		body, contentType = compatible(p), "application/json"
	}
	writeJSON(w, p.Status, contentType, body)
}

// compatibleProblem is a problem as clients of Atlassian's API read it too.
type compatibleProblem struct {
	*Problem
	ErrorMessages []string          `json:"errorMessages"`
	Errors        map[string]string `json:"errors"`
}

func compatible(p *Problem) compatibleProblem {
	c := compatibleProblem{Problem: p, ErrorMessages: []string{p.Detail}, Errors: p.Errors}
	if c.Errors == nil {
		c.Errors = map[string]string{}
	}
	return c
}

// writeJSON writes an answer. What goes wrong then is the connection's.
func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(true)
	if err := e.Encode(body); err != nil {
		status, contentType = http.StatusInternalServerError, "application/problem+json"
		b.Reset()
		b.WriteString(`{"type":"about:blank","status":500}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}
