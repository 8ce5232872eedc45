package admin

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/patgate/patgate/explain"
	"github.com/patgate/patgate/lint"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/tokens"
)

// Preview describes a token before it is created.
type Preview struct {
	Name      string               `json:"name"`
	May       []string             `json:"may"` // in words
	Expires   *time.Time           `json:"expires,omitempty"`
	ExpiresBy string               `json:"expiresBy,omitempty"`
	Gates     []string             `json:"gates"`
	Schemes   []string             `json:"schemes"`
	Examples  []Example            `json:"examples"`
	Warnings  []string             `json:"warnings"`
	Verdict   *explain.Explanation `json:"verdict,omitempty"` // about the request
}

// Example is a rule, a request that it decides, and a similar one that it does not.
type Example struct {
	Policy  string `json:"-"` // of the rule; empty: the token itself
	Rule    string `json:"rule"`
	Denies  bool   `json:"denies,omitempty"`
	Gate    string `json:"gate,omitempty"`
	Allowed string `json:"allowed,omitempty"`
	Refused string `json:"refused,omitempty"`
	Note    string `json:"note,omitempty"`
}

// Try is a request to evaluate with a token, or with one that does not exist yet.
type Try struct {
	Method, Path, Host, Gate, Scheme string
	Client                           netip.Addr
	TLS                              bool
	Headers                          map[string]string
	Body                             string
}

// Preview does what Create does, and writes nothing.
func (m *Manager) Preview(ctx context.Context, c *Caller, n *NewToken, try *Try) (*Preview, error) {
	if n.AnyUser || n.User != "" && n.User != c.User {
		if err := m.secureMode("the preview of what another user may do"); err != nil {
			return nil, err
		}
	}
	r, err := n.request(c)
	if err != nil {
		return nil, err
	}
	if r.Token.Name, err = m.o.Service.FreeName(ctx, n.DisplayName); err != nil {
		return nil, err
	}
	made, after, err := m.o.Service.PreviewCreate(ctx, r)
	if err != nil {
		return nil, err
	}
	return m.previewOf(after, made, try)
}

func (m *Manager) previewOf(after *ruleset.Set, made *tokens.NewToken, try *Try) (*Preview, error) {
	alone := around(after, made.Name)
	index := policy.NewIndex()
	if _, err := index.Replace(alone.Rows, m.o.Now()); err != nil {
		return nil, err
	}
	snapshot := index.Snapshot()
	row, doc := snapshot.TokenByName(made.Name), alone.Find(manifest.KindAPIToken, made.Name)
	if row == nil || doc == nil {
		return nil, fmt.Errorf("the token %s is not among the documents", made.Name)
	}
	shown := tokens.Describe(snapshot, row, doc, m.o.Now())
	p := &Preview{
		Name: made.Name, May: words(row), Expires: shown.Expires, ExpiresBy: shown.ExpiresBy, Gates: shown.Gates, Schemes: shown.Schemes,
		Warnings: append([]string{}, made.Warnings...), Examples: []Example{},
	}
	if _, group := policy.Cap(row.Groups); group != nil {
		p.ExpiresBy = "group " + group.Name
	}
	if row.Expires.IsZero() && shown.Expires == nil {
		p.ExpiresBy = ""
	}
	p.Warnings = append(p.Warnings, warningsAbout(alone, doc, m.o.Now())...)
	examples, err := examplesOf(alone, row, m.o.Now())
	if err != nil {
		return nil, err
	}
	p.Examples = append(p.Examples, examples...)
	if try != nil {
		p.Verdict, err = m.ask(alone, made.Name, try)
	}
	return p, err
}

// Try explains what would become of a request with a token that there is.
func (m *Manager) Try(ctx context.Context, c *Caller, name string, try *Try) (*explain.Explanation, error) {
	v, err := m.view(ctx)
	if err != nil {
		return nil, err
	}
	if doc := v.tokens[name]; doc == nil || !c.sees(doc) {
		return nil, about(name, &tokens.UnknownError{Name: name})
	}
	return m.ask(around(v.good, name), name, try)
}

// around returns a token, and the documents that bear on it.
func around(set *ruleset.Set, name string) *ruleset.Set {
	names := map[string]bool{}
	for _, docs := range [][]*manifest.Document{set.Gates, set.Groups, set.Policies} {
		for _, doc := range docs {
			names[doc.File] = true
		}
	}
	if doc := set.Find(manifest.KindAPIToken, name); doc != nil {
		names[doc.File] = true
	}
	in := ruleset.Input{Origin: "the manifests"}
	set.Files(func(file string, data []byte) bool {
		if names[file] {
			in.Files = append(in.Files, ruleset.File{Name: file, Data: data})
		}
		return true
	})
	return ruleset.Load(in, ruleset.Options{AllowEmpty: true})
}

// ask evaluates one request.
func (m *Manager) ask(set *ruleset.Set, name string, try *Try) (*explain.Explanation, error) {
	q := &explain.Request{
		Now: m.o.Now(), Method: try.Method, Target: try.Path, Host: try.Host, Gate: try.Gate, TLS: try.TLS, Client: try.Client, Token: name,
		Header: map[string][]string{}, Body: []byte(try.Body),
	}
	if q.Method == "" {
		q.Method = "GET"
	}
	switch try.Scheme {
	case "basic":
		q.Scheme = policy.Basic
	case "bearer":
		q.Scheme = policy.Bearer
	}
	for header, value := range try.Headers {
		q.Header[header] = []string{value}
	}
	if q.Host == "" && q.Gate == "" && len(set.Rows.Gates) > 0 {
		q.Gate = gateFor(set, name)
	}
	e, err := explain.Answer(set.Rows, q)
	if err != nil {
		return nil, fieldProblem("request", "%s", err)
	}
	for i := range e.Rules {
		e.Rules[i].Source = ""
	}
	return e, nil
}

// gateFor is the first gate that a token is for.
func gateFor(set *ruleset.Set, name string) string {
	for _, t := range set.Rows.Tokens {
		for _, g := range set.Rows.Gates {
			if t.Name == name && t.For(g) {
				return g.Name
			}
		}
	}
	return set.Rows.Gates[0].Name
}

// words say what a token may do.
func words(t *policy.Token) []string {
	list := []string{}
	if t.Canary {
		list = append(list, "nothing: it is refused everywhere, and its use is reported")
	}
	if t.Grant.Unrestricted {
		list = append(list, "everything that its user may do")
	}
	for _, p := range t.Grant.Policies {
		by := ""
		if p.Name != "" {
			by = " (policy " + p.Name + ")"
		}
		for _, r := range p.Allow {
			list = append(list, ruleWords(r)+by)
		}
		for _, r := range p.Deny {
			list = append(list, "never: "+ruleWords(r)+by)
		}
	}
	return list
}

// ruleWords says what requests a rule is about.
func ruleWords(r *policy.Rule) string {
	text := "any method"
	if len(r.Methods) > 0 {
		text = strings.Join(r.Methods, ", ")
	}
	text += " of " + pathWords(r.Path)
	var where []string
	for _, q := range r.Query {
		where = append(where, fmt.Sprintf("the query's %s matches %s", q.Name, q.Pattern))
	}
	for _, n := range r.JSON {
		where = append(where, fmt.Sprintf("the body's %s matches %s", n.Text, n.Pattern))
	}
	if r.MCP != nil {
		where = append(where, "the MCP message is of "+r.MCP.Text())
	}
	if len(r.Clients) > 0 {
		var from []string
		for _, p := range r.Clients {
			from = append(from, p.String())
		}
		where = append(where, "the client is in "+strings.Join(from, ", "))
	}
	if len(where) > 0 {
		text += ", where " + strings.Join(where, " and ")
	}
	return text
}

// pathWords says which paths a pattern matches: the shapes that are common, in words.
func pathWords(p *policy.Pattern) string {
	if p == nil {
		return "any path"
	}
	text := p.String()
	for _, shape := range []struct{ end, words string }{{"(/.*)?", " and all below it"}, {"/.*", "/ and all below it"}, {"", ""}} {
		if path, ok := strings.CutSuffix(text, shape.end); ok && strings.HasPrefix(path, "/") && regexp.QuoteMeta(path) == path {
			return path + shape.words
		}
	}
	return "paths that match " + text
}

// examplesOf shows the token's rules by requests.
func examplesOf(set *ruleset.Set, row *policy.Token, now time.Time) (list []Example, err error) {
	rows := set.Rows
	rows.Policies = nil
	own := map[*policy.Rule]bool{}
	for _, t := range set.Rows.Tokens {
		if t.Name != row.Name {
			continue
		}
		rows.Tokens = []*policy.Token{t}
		for _, p := range t.Grant.Policies {
			if p.Name != "" {
				rows.Policies = append(rows.Policies, p)
			}
			for _, r := range append(append([]*policy.Rule{}, p.Allow...), p.Deny...) {
				own[r] = true
			}
		}
	}
	found, err := lint.Examples(rows, now)
	if err != nil {
		return nil, err
	}
	for _, e := range found {
		if !own[e.Rule] {
			continue
		}
		shown := Example{Policy: e.Rule.Policy, Rule: e.Rule.Text(), Denies: e.Deny, Gate: e.Gate, Allowed: asked(e.Hit), Refused: asked(e.Near), Note: e.Note}
		if e.Deny {
			shown.Allowed, shown.Refused = asked(e.Near), asked(e.Hit)
		}
		list = append(list, shown)
	}
	return list, nil
}

func asked(a *lint.Asked) string {
	if a == nil {
		return ""
	}
	text := a.Method + " " + a.Target
	if a.Client.IsValid() {
		text += " from " + a.Client.String()
	}
	if len(a.Body) > 0 {
		text += " with the body " + string(a.Body)
	}
	return text
}

// warningsAbout are the warnings of `patgate check` about a token.
func warningsAbout(set *ruleset.Set, doc *manifest.Document, now time.Time) (list []string) {
	for _, p := range lint.Lint(set, now) {
		if p.File == doc.File && p.Suppressed == "" && inDocument(set, doc, p.Pos.Line) {
			list = append(list, p.Message)
		}
	}
	return list
}

// inDocument reports whether a line of a file is in a document.
func inDocument(set *ruleset.Set, doc *manifest.Document, line int) bool {
	if line < doc.Pos.Line {
		return false
	}
	for _, other := range set.Tokens {
		if other.File == doc.File && other.Pos.Line > doc.Pos.Line && line >= other.Pos.Line {
			return false
		}
	}
	return true
}

// warningsOf are the warnings of `patgate check` about a token that there is.
func (m *Manager) warningsOf(ctx context.Context, name string) []string {
	v, err := m.view(ctx)
	if err != nil {
		return nil
	}
	set := around(v.good, name)
	if doc := set.Find(manifest.KindAPIToken, name); doc != nil {
		return warningsAbout(set, doc, m.o.Now())
	}
	return nil
}
