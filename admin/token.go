package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token/snippet"
	"github.com/patgate/patgate/tokens"
	"github.com/patgate/patgate/usage"
)

// Details are all that is shown of one token.
type Details struct {
	Token
	Why       string               `json:"why,omitempty"`       // what its state follows from
	ExpiresBy string               `json:"expiresBy,omitempty"` // what sets its end
	Policies  []string             `json:"policies,omitempty"`
	Allow     []any                `json:"allow,omitempty"`
	LimitTo   []string             `json:"limitTo,omitempty"`
	Free      bool                 `json:"unrestricted,omitempty"`
	Clients   *tokens.ClientsView  `json:"clients,omitempty"`
	ActAs     []string             `json:"actAs,omitempty"`
	Logins    []string             `json:"logins,omitempty"`
	Previous  []PreviousValue      `json:"previous,omitempty"`
	Rules     []RuleView           `json:"rules"`
	Inactive  []tokens.RefusalView `json:"deactivated,omitempty"`
	Revision  tokens.Revision      `json:"-"` // the ETag
	InForce   *bool                `json:"inForce,omitempty"`
}

// RuleView is a rule of the token, or one that bounds it.
type RuleView struct {
	tokens.RuleView
	Uses     *int64     `json:"uses,omitempty"` // calls that it allowed since the server started; nil: that is not known
	LastUsed *time.Time `json:"lastUsed,omitempty"`
}

// PreviousValue is a value that a rotation replaced.
type PreviousValue struct {
	Issued string `json:"issued"`
	Until  string `json:"until"`
	Ended  bool   `json:"ended"`
}

// Get returns one token.
func (m *Manager) Get(ctx context.Context, c *Caller, name string) (*Details, error) {
	v, err := m.view(ctx)
	if err != nil {
		return nil, err
	}
	doc := v.tokens[name]
	if doc == nil {
		return m.getApart(ctx, c, name)
	}
	if !c.sees(doc) {
		return nil, &tokens.UnknownError{Name: name}
	}
	stored, err := m.o.Service.Store.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	d := &Details{Token: m.token(v, name), Revision: stored.Revision, Rules: []RuleView{}}
	if row := v.snapshot.TokenByName(name); row != nil {
		shown := tokens.Describe(v.snapshot, row, doc, m.o.Now())
		d.Why, d.ExpiresBy, d.Clients, d.ActAs, d.Logins, d.Inactive = shown.Why, shown.ExpiresBy, shown.Clients, shown.ActAs, shown.Logins, shown.Deactivated
		d.ExpiresBy = withoutPlaces(d.ExpiresBy)
		d.Policies, d.Free = shown.Policies, shown.Unrestricted
		for _, p := range shown.Previous {
			d.Previous = append(d.Previous, PreviousValue{p.Issued.Format(timeLayout), p.Until.Format(timeLayout), p.Ended})
		}
		d.Rules = m.rules(name, shown.Rules)
	}
	if spec, err := edit.Spec(stored.File, stored.Data, name); err == nil {
		d.Allow, _ = spec["allow"].([]any)
		lines, _ := spec["limitTo"].(string)
		d.LimitTo = slices.DeleteFunc(strings.Split(lines, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	}
	return d, nil
}

// getApart returns a token that the store keeps apart.
func (m *Manager) getApart(ctx context.Context, c *Caller, name string) (*Details, error) {
	apart, err := m.o.Service.Apart(ctx)
	if err != nil {
		return nil, err
	}
	a, ok := apart[name]
	if !ok || !c.sees(a.Document) {
		return nil, &tokens.UnknownError{Name: name}
	}
	stored, err := m.o.Service.Store.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	d := &Details{Token: m.apart(name, &a), Revision: stored.Revision, Rules: []RuleView{}}
	switch {
	case a.Problem != "":
		d.Why = "it is not accepted: " + a.Problem
	case a.Secret != "":
		d.Why = "`patgate controller` makes its value and writes it into the Secret " + a.Secret
	}
	return d, nil
}

// rules returns the rules of a token, with the uses of those that allow calls.
func (m *Manager) rules(name string, rules []tokens.RuleView) []RuleView {
	var used usage.Token
	if m.o.Rules != nil {
		used = m.o.Rules(name)
	}
	list := make([]RuleView, 0, len(rules))
	for _, r := range rules {
		r.Source = "" // where a manifest is says nothing to its owner
		shown := RuleView{RuleView: r}
		if m.o.Rules != nil && r.Level == policy.LevelGrant.String() && r.Kind == "allow" && !r.Observed {
			shown.use(&used)
		}
		list = append(list, shown)
	}
	return list
}

// use sets how the rule was used. A rule that was not counted apart may have been used.
func (r *RuleView) use(used *usage.Token) {
	i := slices.IndexFunc(used.Rules, func(u usage.RuleUse) bool { return u.Policy == r.Policy && u.Text == r.Text })
	switch {
	case i >= 0:
		r.Uses, r.LastUsed = &used.Rules[i].Count, &used.Rules[i].Last
	case used.OtherRules == 0:
		r.Uses = new(int64)
	}
}

// timeLayout is that of RFC 3339, in UTC.
const timeLayout = "2006-01-02T15:04:05Z07:00"

// secureMode refuses what secure mode does not allow.
func (m *Manager) secureMode(what string) error {
	if !m.o.Secure {
		return nil
	}
	return problem(http.StatusConflict, "secure_mode", "secure mode is on: %s is refused until patgate is started without --secure-mode; tokens can be created, rotated and revoked", what)
}

// about names the token that an error is about, for its audit event.
func about(name string, err error) error {
	if err == nil {
		return nil
	}
	p := ProblemOf(err)
	p.token = name
	return p
}

// after waits until a change is in force, if that can be known.
func (m *Manager) after(name string, r tokens.Receipt) *bool {
	if m.o.InForce == nil {
		return nil
	}
	runs := m.o.InForce(Change{name, r.File, r.Revision})
	return &runs
}

// Update changes fields of a token; must is the revision that it must have, or empty.
func (m *Manager) Update(ctx context.Context, c *Caller, name string, fields []edit.Field, must tokens.Revision) (*Details, error) {
	if err := m.secureMode("changing a token"); err != nil {
		return nil, about(name, err)
	}
	if len(fields) == 0 {
		return m.Get(ctx, c, name)
	}
	done, err := m.o.Service.Update(ctx, tokens.UpdateRequest{Request: c.request(), Name: name, Fields: fields, If: must})
	if err != nil {
		return nil, about(name, err)
	}
	return m.changedToken(ctx, c, name, done.Receipt)
}

// changedToken returns a token that was changed, once the change is in force.
func (m *Manager) changedToken(ctx context.Context, c *Caller, name string, r tokens.Receipt) (*Details, error) {
	runs := m.after(name, r)
	d, err := m.Get(ctx, c, name)
	if err != nil {
		return nil, about(name, err)
	}
	d.InForce = runs
	return d, nil
}

// Revoke ends a token. A second time gives the same answer.
func (m *Manager) Revoke(ctx context.Context, c *Caller, name string) (*Details, error) {
	done, err := m.o.Service.Revoke(ctx, tokens.RevokeRequest{Request: c.request(), Name: name})
	if err != nil {
		return nil, about(name, err)
	}
	d, err := m.changedToken(ctx, c, name, done.Receipt)
	if err != nil && ProblemOf(err).Status == http.StatusNotFound {
		return m.unlisted(name, done), nil
	}
	return d, err
}

// unlisted is a token that was revoked although it is not listed, as a store keeps tokens apart that are not accepted.
func (m *Manager) unlisted(name string, done *tokens.RevokedToken) *Details {
	spec, since := done.Document.APIToken, done.Since
	return &Details{
		Token: Token{
			Name: name, DisplayName: cmp.Or(spec.DisplayName, name), User: string(spec.User), State: policy.StateRevoked.String(),
			Issued: spec.Issued.UTC(), Revoked: &since, Gates: []string{}, Schemes: []string{}, Limits: []string{},
		},
		Revision: done.Revision, Rules: []RuleView{}, InForce: m.after(name, done.Receipt),
	}
}

// Snippets returns a client's code for calling with a token, in one language or all of them.
func (m *Manager) Snippets(ctx context.Context, c *Caller, name, language string) ([]Snippet, error) {
	if err := m.secureMode("the code of clients"); err != nil {
		return nil, about(name, err)
	}
	d, err := m.Get(ctx, c, name)
	if err != nil {
		return nil, err
	}
	v, err := m.view(ctx)
	if err != nil {
		return nil, err
	}
	languages := snippet.Languages()
	if language != "" {
		if !slices.Contains(languages, language) {
			return nil, fieldProblem("lang", "there is no code in this language, expected one of %s", strings.Join(languages, ", "))
		}
		languages = []string{language}
	}
	call := m.sampleCall(v, d)
	list := []Snippet{}
	for _, l := range languages {
		code, err := call.Code(l)
		if err != nil {
			return nil, problem(http.StatusConflict, "no_snippet", "there is no code for this token: %s", err)
		}
		list = append(list, Snippet{l, code})
	}
	return list, nil
}

// Snippet is a client's code in a language. The token's value is not in it.
type Snippet struct {
	Language string `json:"language"`
	Code     string `json:"code"`
}

// sampleCall is a request that the token may send: a GET that one of its rules allows, at the first of
// its gates that admits its user, by a scheme that the gate takes.
func (m *Manager) sampleCall(v *view, d *Details) snippet.Call {
	var gate *policy.Gate
	for _, name := range d.Gates {
		g, row := v.snapshot.Gate(name), v.snapshot.TokenByName(d.Name)
		if g != nil && row != nil && row.AdmittedAt(g) {
			gate = g
			break
		}
	}
	target := "/"
	if row := v.snapshot.TokenByName(d.Name); row != nil {
		examples, _ := examplesOf(around(v.good, d.Name), row, m.o.Now()) // without one, the call is of /
		for _, e := range examples {
			sample, get := strings.CutPrefix(e.Allowed, "GET ")
			if e.Denies || !get || strings.ContainsAny(sample, " ") {
				continue
			}
			target = sample
			if at := v.snapshot.Gate(e.Gate); at != nil {
				gate = at
			}
			break
		}
	}
	basic := slices.Contains(d.Schemes, "basic") && d.User != "" && !strings.Contains(d.User, ":")
	if gate != nil {
		basic = basic && gate.Accepted(m.o.Now()).Has(policy.Basic)
	}
	return snippet.Call{URL: "https://" + hostOf(gate) + target, User: d.User, Bearer: !basic}
}

// hostOf returns a host that a gate guards.
func hostOf(gate *policy.Gate) string {
	if gate != nil {
		for _, host := range gate.Hosts {
			if rest, wild := strings.CutPrefix(host, "*."); wild {
				return "api." + rest
			}
			if host != "*" && host != "" {
				return host
			}
		}
	}
	return "api.example.com"
}

// Calls returns the last decisions about a token, the latest first.
func (m *Manager) Calls(ctx context.Context, c *Caller, name string) ([]Call, error) {
	v, err := m.view(ctx)
	if err != nil {
		return nil, err
	}
	if doc := v.tokens[name]; doc == nil {
		if _, err := m.getApart(ctx, c, name); err != nil {
			return nil, about(name, err)
		}
	} else if !c.sees(doc) {
		return nil, about(name, &tokens.UnknownError{Name: name})
	}
	list := []Call{}
	if m.o.Recent != nil {
		list = append(list, m.o.Recent(name)...)
	}
	return list, nil
}
