package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
)

// NewTokenOf reads what a new token is to be from the fields that the API takes.
func NewTokenOf(fields map[string]any) (*NewToken, error) {
	o := &object{fields: fields}
	n := newTokenOf(o)
	return n, o.done()
}

// ChangeOf reads a change of a token from the fields of a merge patch: nil takes a field out.
func ChangeOf(fields map[string]any) ([]edit.Field, error) {
	o := &object{fields: fields, nulls: true}
	list := fieldsOf(o)
	return list, o.done()
}

// LifetimeOf reads a length of life or of an overlap; empty: 0.
func LifetimeOf(field, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	o := &object{fields: map[string]any{field: text}}
	d, _ := o.lifetime(field)
	return d, o.done()
}

// Now returns the Manager's time.
func (m *Manager) Now() time.Time { return m.o.Now() }

// Secure reports whether secure mode is on.
func (m *Manager) Secure() bool { return m.o.Secure }

// Observes reports whether the calls of tokens are seen here.
func (m *Manager) Observes() bool { return m.o.Recent != nil }

// Counts reports whether the uses of tokens are known here, so that one without any was not used.
func (m *Manager) Counts() bool { return m.o.Usage != nil }

// PolicyView is a TokenPolicy that tokens can name.
type PolicyView struct {
	Name  string   `json:"name"`
	Rules []string `json:"rules"` // in words
}

// Policies lists the policies that tokens can name.
func (m *Manager) Policies(ctx context.Context) ([]PolicyView, error) {
	v, err := m.view(ctx)
	if err != nil {
		return nil, err
	}
	list := []PolicyView{}
	for _, p := range v.good.Rows.Policies {
		shown := PolicyView{Name: p.Name}
		for _, r := range p.Allow {
			shown.Rules = append(shown.Rules, ruleWords(r))
		}
		for _, r := range p.Deny {
			shown.Rules = append(shown.Rules, "never: "+ruleWords(r))
		}
		list = append(list, shown)
	}
	slices.SortFunc(list, func(a, b PolicyView) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Examples shows the rules of a token that there is by requests.
func (m *Manager) Examples(ctx context.Context, c *Caller, name string) ([]Example, error) {
	v, err := m.view(ctx)
	if err != nil {
		return nil, err
	}
	row := v.snapshot.TokenByName(name)
	if doc := v.tokens[name]; doc == nil || !c.sees(doc) || row == nil {
		return nil, about(name, &tokens.UnknownError{Name: name})
	}
	return examplesOf(around(v.good, name), row, m.o.Now())
}

// GroupView is a UserGroup, as administrators see it.
type GroupView struct {
	Name        string
	Members     []string
	Admin       bool
	Create      bool
	MaxLifetime string // empty: it sets none
	Max         int    // live tokens of a member; 0: no limit
	Policies    []string
	Live        int // tokens of its members
}

// Person is a user that has tokens or is in a group, as administrators see them.
type Person struct {
	User   string
	Groups []string
	Live   int  // tokens
	Left   bool // they are in no group, and have live tokens
}

// administrators refuses everybody else.
func administrators(c *Caller, what string) error {
	if c.Actor.Admin {
		return nil
	}
	return problem(http.StatusForbidden, "no_right", "administrators alone see %s, expected `admin: true` in a UserGroup of yours", what)
}

// Groups lists the groups, for administrators.
func (m *Manager) Groups(ctx context.Context, c *Caller) ([]GroupView, error) {
	if err := administrators(c, "the groups"); err != nil {
		return nil, err
	}
	v, err := m.view(ctx)
	if err != nil {
		return nil, err
	}
	live, err := m.liveByUser(ctx, v)
	if err != nil {
		return nil, err
	}
	list := []GroupView{}
	for _, doc := range v.good.Groups {
		spec := doc.UserGroup
		g := GroupView{Name: doc.Metadata.Name.Text, Admin: spec.Admin}
		for _, member := range spec.Members {
			g.Members = append(g.Members, string(member))
			g.Live += live[string(member)]
		}
		if row := v.snapshot.Group(g.Name); row != nil {
			if row.MaxLifetime != 0 {
				g.MaxLifetime = tokens.LifetimeText(row.MaxLifetime)
			}
			for _, p := range row.Policies {
				g.Policies = append(g.Policies, p.Name)
			}
		}
		if spec.Tokens != nil {
			g.Create, g.Max = spec.Tokens.Create, int(spec.Tokens.Max)
		}
		slices.Sort(g.Members)
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b GroupView) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// People lists the users that have live tokens or are in a group, for administrators: those first
// who left.
func (m *Manager) People(ctx context.Context, c *Caller) ([]Person, error) {
	if err := administrators(c, "who has tokens"); err != nil {
		return nil, err
	}
	v, err := m.view(ctx)
	if err != nil {
		return nil, err
	}
	people := map[string]*Person{}
	of := func(user string) *Person {
		if people[user] == nil {
			people[user] = &Person{User: user}
		}
		return people[user]
	}
	for _, doc := range v.good.Groups {
		for _, member := range doc.UserGroup.Members {
			p := of(string(member))
			p.Groups = append(p.Groups, doc.Metadata.Name.Text)
		}
	}
	live, err := m.liveByUser(ctx, v)
	if err != nil {
		return nil, err
	}
	for user, n := range live {
		of(user).Live = n
	}
	list := []Person{}
	for _, p := range people {
		p.Left = len(p.Groups) == 0
		slices.Sort(p.Groups)
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Person) int {
		return cmp.Or(-compareBool(a.Left, b.Left), strings.Compare(a.User, b.User))
	})
	return list, nil
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// liveByUser counts the tokens of each user that are neither revoked nor past their end, with those that the store keeps
// apart.
func (m *Manager) liveByUser(ctx context.Context, v *view) (map[string]int, error) {
	live := map[string]int{}
	count := func(doc *manifest.Document, isLive bool) {
		if spec := doc.APIToken; isLive && !spec.AnyUser && spec.User != "" {
			live[string(spec.User)]++
		}
	}
	for name, doc := range v.tokens {
		count(doc, isLive(m.stateOf(v, name, doc)))
	}
	apart, err := m.o.Service.Apart(ctx)
	for name, a := range apart {
		state := m.apart(name, &a).State
		count(a.Document, v.tokens[name] == nil && state != policy.StateRevoked.String() && state != policy.StateExpired.String())
	}
	return live, err
}

// stateOf is a token's state, without what else is shown of it.
func (m *Manager) stateOf(v *view, name string, doc *manifest.Document) policy.State {
	if doc.APIToken.Ends.Revoked || !doc.APIToken.Revoked.IsZero() {
		return policy.StateRevoked
	}
	row := v.snapshot.TokenByName(name)
	if row == nil {
		return policy.StateCount
	}
	return v.snapshot.State(row, m.o.Now())
}

func isLive(s policy.State) bool {
	return s != policy.StateRevoked && s != policy.StateExpired && s != policy.StateCanary
}

// TryOf reads a request to try from the fields of the API.
func TryOf(fields map[string]any) (*Try, error) {
	o := &object{fields: map[string]any{"request": fields}}
	t := tryOf(o)
	return t, o.done()
}

// Expected returns a problem of a request of the page.
func Expected(status int, reason, field, text string) *Problem {
	p := problem(status, reason, "%s", text)
	if p.Field = field; field != "" {
		p.Errors = map[string]string{field: p.Detail}
	}
	return p
}
