package admin

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/tokens"
)

// NewToken is a request for a token. Its fields have the names of those in manifests.
type NewToken struct {
	DisplayName  string
	Description  string
	User         string // empty: the caller
	AnyUser      bool
	ActAs        []string
	Logins       []string
	Canary       bool
	ExpiresIn    time.Duration // 0: until Expires, or the shorter of 90 days and the user's cap
	Expires      time.Time
	Forever      bool
	Policies     []string
	Allow        []any
	LimitTo      []string
	Unrestricted bool
	Schemes      []string
	Gates        []string
	AllowFrom    []string
	DenyFrom     []string
	Form         string // of the page, which makes one token only, whichever process it is sent to; empty: none

	clamp bool // a lifetime beyond the cap becomes the cap
}

// Created is a new token, or a new value of one. The value is shown this once.
type Created struct {
	Details
	Value    string   `json:"value"`
	Warnings []string `json:"warnings"`
}

// maxDisplayName is how many characters a display name has at most.
const maxDisplayName = 200

// request returns the request to the tokens service.
func (n *NewToken) request(c *Caller) (tokens.CreateRequest, error) {
	r := tokens.CreateRequest{Request: c.request(), Lifetime: n.ExpiresIn, Clamp: n.clamp, Distinct: n.clamp, Form: n.Form}
	switch ends := n.ends(); {
	case strings.TrimSpace(n.DisplayName) == "":
		return r, fieldProblem("displayName", "the display name is missing or empty, expected what people call the token")
	case utf8.RuneCountInString(n.DisplayName) > maxDisplayName:
		return r, fieldProblem("displayName", "the display name is too long, expected at most %d characters", maxDisplayName)
	case ends > 1:
		return r, fieldProblem("expires", "more than one of expires, expiresIn and forever, expected one")
	case !n.Expires.IsZero() && !n.Expires.After(time.Time{}):
		return r, fieldProblem("expires", "no time, expected one")
	case len(n.Policies)+len(n.Allow)+len(n.LimitTo) == 0 && !n.Unrestricted && !n.Canary:
		return r, fieldProblem("limitTo", "nothing says what the token may do, expected limitTo, allow, policies or unrestricted")
	}
	if n.Forever {
		r.Lifetime = policy.Forever
	}
	user := n.User
	if user == "" && !n.AnyUser && !n.Canary {
		user = c.User
	}
	r.Token = edit.NewToken{
		DisplayName: n.DisplayName, Description: n.Description, User: user, AnyUser: n.AnyUser, ActAs: n.ActAs, Logins: n.Logins, Canary: n.Canary, Expires: n.Expires, Policies: n.Policies,
		Allow: n.Allow, LimitTo: n.LimitTo, Unrestricted: n.Unrestricted, Schemes: n.Schemes, Gates: n.Gates, AllowFrom: n.AllowFrom, DenyFrom: n.DenyFrom,
	}
	return r, nil
}

// ends counts the ways in which the request says when the token ends.
func (n *NewToken) ends() (ways int) {
	for _, said := range []bool{n.ExpiresIn != 0, !n.Expires.IsZero(), n.Forever} {
		if said {
			ways++
		}
	}
	return ways
}

// Create creates a token. Its name is made of its display name.
func (m *Manager) Create(ctx context.Context, c *Caller, n *NewToken) (*Created, error) {
	r, err := n.request(c)
	if err != nil {
		return nil, err
	}
	if !n.Expires.IsZero() && !n.Expires.After(m.o.Now()) {
		return nil, fieldProblem("expires", "the end is in the past, expected a later one")
	}
	made, err := m.createFree(ctx, &r, n)
	if err != nil {
		return nil, err
	}
	return m.shown(ctx, c, made.Name, made.Receipt, made.Secret, made.Warnings)
}

// triedNames is how many names are tried where others take them meanwhile.
const triedNames = 8

// createFree creates a token under a name that is free. Creations take turns, so that the limits on
// their number hold.
func (m *Manager) createFree(ctx context.Context, r *tokens.CreateRequest, n *NewToken) (*tokens.NewToken, error) {
	m.create.Lock()
	defer m.create.Unlock()
	var err error
	for range triedNames {
		if r.Token.Name, err = m.o.Service.FreeName(ctx, n.DisplayName); err != nil {
			return nil, err
		}
		if n.clamp {
			if err := m.checkDisplayName(ctx, r.Token.User, n.DisplayName); err != nil {
				return nil, err
			}
		}
		made, failed := m.o.Service.Create(ctx, *r)
		var conflict *tokens.ConflictError
		var refused *tokens.RefusedError
		if errors.As(failed, &conflict) || errors.As(failed, &refused) && refused.Code == tokens.NameTaken {
			err = failed // another process has created one of that name
			continue
		}
		return made, failed
	}
	return nil, err
}

// shown returns a token together with its value, once it is in force.
func (m *Manager) shown(ctx context.Context, c *Caller, name string, r tokens.Receipt, secret token.Secret, warnings []string) (*Created, error) {
	d, err := m.changedToken(ctx, c, name, r)
	if err != nil {
		return nil, err
	}
	if warnings == nil {
		warnings = []string{}
	}
	warnings = append(warnings, m.warningsOf(ctx, name)...)
	return &Created{Details: *d, Value: secret.Reveal(), Warnings: warnings}, nil
}

// Rotate gives a token a new value. The one before runs on for the overlap. must is the revision that the token must
// have, or empty.
func (m *Manager) Rotate(ctx context.Context, c *Caller, name string, overlap, lifetime time.Duration, must tokens.Revision) (*Created, error) {
	done, err := m.o.Service.Rotate(ctx, tokens.RotateRequest{Request: c.request(), Name: name, Overlap: overlap, Lifetime: lifetime, If: must})
	if err != nil {
		return nil, about(name, err)
	}
	var warnings []string
	if done.Shortened != "" {
		warnings = append(warnings, "the new value does not live as long as the one before: "+done.Shortened)
	}
	return m.shown(ctx, c, name, done.Receipt, done.Secret, warnings)
}

// Many is a request to revoke many tokens: those of a user, of the members of a group, or of these names.
type Many struct {
	User, Group string
	Names       []string
	DryRun      bool
	Expect      int // how many it is; a dry run says it
}

// RevokedMany is the result of revoking many tokens.
type RevokedMany struct {
	Count   int               `json:"count"` // of tokens that are not revoked yet
	Names   []string          `json:"names"`
	DryRun  bool              `json:"dryRun,omitempty"`
	Failed  map[string]string `json:"failed,omitempty"` // why, by name
	InForce *bool             `json:"inForce,omitempty"`
}

// RevokeMany revokes many tokens at once. Administrators alone may.
func (m *Manager) RevokeMany(ctx context.Context, c *Caller, r *Many) (*RevokedMany, error) {
	if !c.Actor.Admin {
		return nil, problem(http.StatusForbidden, "no_right", "administrators alone revoke many tokens at once, expected `admin: true` in a UserGroup of yours")
	}
	v, err := m.view(ctx)
	if err != nil {
		return nil, err
	}
	all, err := m.all(ctx, v)
	if err != nil {
		return nil, err
	}
	if err := v.knows(r, all); err != nil {
		return nil, err
	}
	done := &RevokedMany{Names: v.revocable(r, all), DryRun: r.DryRun}
	done.Count = len(done.Names)
	switch {
	case r.DryRun:
		return done, nil
	case r.Expect != done.Count:
		return nil, problem(http.StatusConflict, "unexpected_count", "it is %d tokens, not %d: nothing is revoked; a dry run shows which, and `expect` repeats their number", done.Count, r.Expect)
	}
	for _, name := range done.Names {
		one, err := m.o.Service.Revoke(ctx, tokens.RevokeRequest{Request: c.request(), Name: name})
		if err != nil {
			if done.Failed == nil {
				done.Failed = map[string]string{}
			}
			done.Failed[name] = ProblemOf(err).Detail
			continue
		}
		if runs := m.after(name, one.Receipt); done.InForce == nil || runs != nil && !*runs {
			done.InForce = runs // all of them, or not
		}
	}
	return done, nil
}

// all returns the documents of all tokens by their names, with those that the store keeps apart.
func (m *Manager) all(ctx context.Context, v *view) (map[string]*manifest.Document, error) {
	apart, err := m.o.Service.Apart(ctx)
	if err != nil || len(apart) == 0 {
		return v.tokens, err
	}
	all := maps.Clone(v.tokens)
	for name, a := range apart {
		all[name] = cmp.Or(all[name], a.Document)
	}
	return all, nil
}

// knows refuses a group or token that no manifest has: after a typing error too few tokens would be revoked. A user may be in
// no manifest.
func (v *view) knows(r *Many, all map[string]*manifest.Document) error {
	if r.Group != "" && v.set.Find(manifest.KindUserGroup, r.Group) == nil {
		return fieldProblem("group", "no UserGroup is called %q, %s", r.Group, diag.Suggest(r.Group, v.groups()))
	}
	for _, name := range r.Names {
		if all[name] == nil {
			return fieldProblem("names", "no token is called %q, %s", name, diag.Suggest(name, slices.Sorted(maps.Keys(all))))
		}
	}
	return nil
}

// revocable lists those of all tokens that a request names and that are not revoked yet.
func (v *view) revocable(r *Many, all map[string]*manifest.Document) (names []string) {
	names = []string{}
	for name, doc := range all {
		spec := doc.APIToken
		named := len(r.Names) > 0 && slices.Contains(r.Names, name) ||
			r.User != "" && string(spec.User) == r.User && !spec.AnyUser || r.Group != "" && spec.User != "" && v.memberOf(r.Group, string(spec.User))
		if named && !spec.Canary && spec.Revoked.IsZero() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
