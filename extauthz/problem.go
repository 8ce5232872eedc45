package extauthz

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// problem is the body of a refusal (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Reason string `json:"reason"`
	ID     string `json:"id"`

	// ErrorMessages repeats the detail, for clients of Jira.
	ErrorMessages []string `json:"errorMessages,omitempty"`

	// Version and Error make it a JSON-RPC error too, for clients of an MCP server.
	Version string     `json:"jsonrpc,omitempty"`
	Error   *callFault `json:"error,omitempty"`
}

// maxDetail keeps the body below 4 KiB, however its detail is escaped.
const maxDetail = 600

// problemBody writes the body of a refusal. What is wrong with a credential stays in
// the audit: to the caller every bad one is the same.
func (a *answer) problemBody(code int) string {
	p := &problem{Type: "about:blank", Title: http.StatusText(code), Status: code, Reason: a.decision.Reason.String(), ID: a.id} // panic: problem
	if code == http.StatusUnauthorized && a.given {
		p.Reason = "invalid_token"
	}
	p.Detail = cut(token.Mask(a.detail(p.Reason)), maxDetail)
	if gate := a.decision.Gate; gate != nil && gate.ErrorMessages {
		p.ErrorMessages = []string{p.Detail}
	}
	if code == http.StatusForbidden && a.decision.RefusesMessage() {
		p.Version, p.Error = "2.0", &callFault{Code: refusedCallCode, Message: cut(p.Detail, maxFault)}
	}
	return p.json()
}

// json is the problem as JSON, and a line end.
func (p *problem) json() string {
	if len(p.ErrorMessages) == 0 && p.Error == nil && isPlainJSON(p.Detail) && isPlainJSON(p.Reason) && isPlainJSON(p.ID) {
		return `{"type":"` + p.Type + `","title":"` + p.Title + `","status":` + strconv.Itoa(p.Status) + `,"detail":"` + p.Detail +
			`","reason":"` + p.Reason + `","id":"` + p.ID + `"}` + "\n"
	}
	return p.encoded()
}

func (p *problem) encoded() string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(p); err != nil { // of strings and a number: it can't fail
		return ""
	}
	return b.String()
}

// isPlainJSON reports whether a text is the same in JSON.
func isPlainJSON(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}

// detail returns what the caller can do about the refusal.
func (a *answer) detail(reason string) string {
	d := &a.decision
	if reason == "invalid_token" {
		return "The credential is not accepted. Ask " + contact(d) + " and give this id."
	}
	switch d.Reason {
	case policy.BadTarget:
		return "The request can't be evaluated safely: " + d.Detail + "."
	case policy.MethodOverride:
		return "A header asks for another method or URL than the request's. Send the request itself."
	case policy.NoGate:
		return "No gate guards this host and path."
	case policy.TLSRequired:
		return "This API is served over HTTPS alone."
	case policy.ClientDenied:
		return "This address may not call here" + a.ruleDetail() + "."
	case policy.NoCredential:
		return "An API token is required" + a.howTo() + "."
	case policy.GateDenied:
		return "The token is not for gate " + gateName(d) + "."
	case policy.ActAsDenied:
		return "The caller may not act for that user."
	case policy.RuleDenied:
		return upperFirst(d.Where()) + " denies this request."
	case policy.NoRuleMatched:
		return a.noRule()
	case policy.BodyUnavailable:
		return upperFirst(a.where()) + " checks the " + checked(d.Failed) + ", and " + d.Problem + a.node() + "."
	case policy.QueryUnreadable:
		return upperFirst(a.where()) + " checks the query, and " + d.Problem + a.part() + "."
	case policy.NotReady:
		return "No manifests are loaded yet. Try again soon."
	case policy.AuditUnavailable:
		return "The decision could not be audited in time. Try again soon."
	case policy.Overloaded:
		return "Too many checks at once, or no time for this one. Try again soon."
	}
	return "A fault of patgate. Ask " + contact(d) + " and give this id."
}

// contact returns the contact that a problem names.
func contact(d *policy.Decision) string {
	switch {
	case d.Gate == nil:
		return "the owner of this API"
	case d.Gate.Contact != "":
		return d.Gate.Contact
	}
	return "the owner of " + d.Gate.Name
}

// where names the rule that decided, to the holder of a good token. A forwarded caller,
// who is unknown, sees the rule only if it is a deny rule.
func (a *answer) where() string {
	if d := &a.decision; d.Token != nil || d.Reason == policy.RuleDenied {
		return d.Where()
	}
	return ""
}

// checked names what a rule checks that the body may decide.
func checked(part policy.Part) string {
	switch part {
	case policy.PartMethod:
		return "method"
	case policy.PartMCP:
		return "MCP message"
	}
	return "JSON body"
}

func (a *answer) noRule() string {
	where := a.where()
	if where == "" {
		return "No rule allows this request."
	}
	return "No rule allows this request. " + upperFirst(where) + " came nearest; what did not match" + a.part() + "."
}

// part names the part of the rule that failed, never patterns, ranges or values.
func (a *answer) part() string {
	if part := unmatched(&a.decision); part != "" && a.where() != "" {
		return ": " + part
	}
	return ""
}

// node names the part of the body that a rule checks, where it checks a part.
func (a *answer) node() string {
	if a.decision.PartName == "" {
		return ""
	}
	return a.part()
}

// unmatched names the part of a rule that did not match or could not be decided.
func unmatched(d *policy.Decision) string {
	switch d.Failed {
	case policy.PartQuery, policy.PartJSON, policy.PartMCP:
		if d.PartName == "" {
			break
		}
		return fmt.Sprintf("%s %s", d.Failed, strconv.Quote(d.PartName))
	}
	return d.Failed.String()
}

func (a *answer) ruleDetail() string {
	if where := a.where(); where != "" {
		return " (" + where + ")"
	}
	return ""
}

// howTo describes how the gate takes tokens.
func (a *answer) howTo() string {
	if takes := a.decision.Gate.Accepted(a.now).String(); takes != "" {
		return ", in the Authorization header as " + takes
	}
	return ""
}

func upperFirst(s string) string {
	if s == "" {
		return "A rule"
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
