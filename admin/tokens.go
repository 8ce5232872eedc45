package admin

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
)

// Token is a token as its owner and administrators see it: never its value, nor a digest.
type Token struct {
	Name        string     `json:"name"`
	DisplayName string     `json:"displayName"`
	Description string     `json:"description,omitempty"`
	User        string     `json:"user,omitempty"`
	AnyUser     bool       `json:"anyUser,omitempty"`
	State       string     `json:"state"`
	Issued      time.Time  `json:"issued"`
	Expires     *time.Time `json:"expires,omitempty"`
	DaysLeft    *int       `json:"daysLeft,omitempty"`
	Hint        string     `json:"hint,omitempty"` // how its value begins
	Gates       []string   `json:"gates"`
	EveryGate   bool       `json:"everyGate,omitempty"`
	Schemes     []string   `json:"schemes"`
	Limits      []string   `json:"limits"` // in one line each; none where it may do all that its user may
	LastUsed    *Used      `json:"lastUsed,omitempty"`
	CreatedBy   string     `json:"createdBy,omitempty"`
	Suspended   bool       `json:"suspended,omitempty"`
	SuspendedBy string     `json:"suspendedBy,omitempty"`
	Revoked     *time.Time `json:"revoked,omitempty"`
	NotAccepted string     `json:"notAccepted,omitempty"` // why; it can be suspended and revoked
	Secret      string     `json:"secret,omitempty"`      // that has its value, which a controller makes; it can be suspended and revoked
}

// Apart reports whether the token can be suspended and revoked, and not changed.
func (t *Token) Apart() bool { return t.NotAccepted != "" || t.Secret != "" }

// Query is which tokens to list, and in which order.
type Query struct {
	User          string   // whose; empty: all that the caller may see
	Group         string   // whose members'; empty: every user's
	States        []string // any of these; none: every state
	Gate          string
	Text          string // in a name, display name, description, hint or user
	ExpiresBefore time.Time
	UnusedSince   time.Time
	Sort          string // one of Sorts, with a dash before it for the other direction; empty: name
	Limit         int    // default 50, at most 200
	Cursor        string // of the page before
}

// Page is a page of a list.
type Page struct {
	Items []Token `json:"items"`
	Next  string  `json:"next,omitempty"` // the cursor of the next page
	Total int     `json:"total"`
}

// Sorts are the orders of a list.
var Sorts = []string{"name", "displayName", "user", "issued", "expires", "lastUsed", "state"}

// The pages of a list.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// List returns the requested tokens that the caller may see.
func (m *Manager) List(ctx context.Context, c *Caller, q *Query) (*Page, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	v, err := m.view(ctx)
	if err != nil {
		return nil, err
	}
	var found []Token
	for name, doc := range v.tokens {
		if !c.sees(doc) || !v.memberOf(q.Group, string(doc.APIToken.User)) {
			continue
		}
		if t := m.token(v, name); q.matches(&t) {
			found = append(found, t)
		}
	}
	apart, err := m.o.Service.Apart(ctx)
	if err != nil {
		return nil, err
	}
	for name, a := range apart {
		if v.tokens[name] == nil && c.sees(a.Document) && v.memberOf(q.Group, string(a.Document.APIToken.User)) {
			if t := m.apart(name, &a); q.matches(&t) {
				found = append(found, t)
			}
		}
	}
	key, less := q.order()
	slices.SortFunc(found, less)
	page := &Page{Items: found, Total: len(found)}
	if q.Cursor != "" {
		at, err := q.position()
		if err != nil {
			return nil, err
		}
		page.Items = found[at.after(found, key, strings.HasPrefix(q.Sort, "-")):]
	}
	if limit := cmp.Or(q.Limit, defaultLimit); len(page.Items) > limit {
		page.Items = page.Items[:limit]
		last := &page.Items[limit-1]
		page.Next = cursor{q.Sort, key(last), last.Name}.text()
	}
	if page.Items == nil {
		page.Items = []Token{}
	}
	return page, nil
}

// sees reports whether the caller may see a token.
func (c *Caller) sees(doc *manifest.Document) bool {
	spec := doc.APIToken
	return c.Actor.Admin || string(spec.User) == c.User && !spec.AnyUser && !spec.Canary
}

// memberOf reports whether a user is in a group; an empty one holds everybody.
func (v *view) memberOf(group, user string) bool {
	if group == "" {
		return true
	}
	doc := v.set.Find(manifest.KindUserGroup, group)
	return doc != nil && doc.UserGroup != nil && slices.Contains(doc.UserGroup.Members, manifest.User(user))
}

// groups are the names of the UserGroups.
func (v *view) groups() (names []string) {
	for i := range v.set.Groups {
		names = append(names, v.set.Groups[i].Key())
	}
	return names
}

// states are the names of the states.
func states() (names []string) {
	for s := range policy.StateCount {
		names = append(names, s.String())
	}
	return names
}

func (q *Query) check() error {
	for _, s := range q.States {
		if !slices.Contains(states(), s) {
			return fieldProblem("state", "there is no such state, %s", diag.Suggest(s, states()))
		}
	}
	if field := strings.TrimPrefix(q.Sort, "-"); q.Sort != "" && !slices.Contains(Sorts, field) {
		return fieldProblem("sort", "there is no such order, %s", diag.Suggest(field, Sorts))
	}
	if q.Limit < 0 || q.Limit > maxLimit {
		return fieldProblem("limit", "the limit is out of range, expected 1 to %d", maxLimit)
	}
	return nil
}

func (q *Query) matches(t *Token) bool {
	switch {
	case q.User != "" && t.User != q.User,
		len(q.States) > 0 && !slices.Contains(q.States, t.State),
		q.Gate != "" && !slices.Contains(t.Gates, q.Gate),
		!q.ExpiresBefore.IsZero() && (t.Expires == nil || !t.Expires.Before(q.ExpiresBefore)),
		!q.UnusedSince.IsZero() && t.LastUsed != nil && !t.LastUsed.Time.Before(q.UnusedSince):
		return false
	}
	if q.Text == "" {
		return true
	}
	text := strings.ToLower(q.Text)
	return slices.ContainsFunc([]string{t.Name, t.DisplayName, t.Description, t.Hint, t.User}, func(s string) bool {
		return strings.Contains(strings.ToLower(s), text)
	})
}

// order returns what tokens are sorted by, and how. Names are different, so that no two are equal.
func (q *Query) order() (key func(*Token) string, less func(a, b Token) int) {
	field, down := strings.CutPrefix(q.Sort, "-")
	key = func(t *Token) string { return sortKey(t, field) }
	return key, func(a, b Token) int {
		n := cmp.Or(strings.Compare(key(&a), key(&b)), strings.Compare(a.Name, b.Name))
		if down {
			return -n
		}
		return n
	}
}

// never sorts after every time.
const never = "9999-12-31T23:59:59Z"

func sortKey(t *Token, field string) string {
	switch field {
	case "displayName":
		return strings.ToLower(t.DisplayName)
	case "user":
		return t.User
	case "issued":
		return t.Issued.UTC().Format(time.RFC3339)
	case "expires":
		if t.Expires == nil {
			return never
		}
		return t.Expires.UTC().Format(time.RFC3339)
	case "lastUsed":
		if t.LastUsed == nil {
			return ""
		}
		return t.LastUsed.Time.UTC().Format(time.RFC3339)
	case "state":
		return t.State
	}
	return ""
}

// cursor is the last token of a page. What comes after it stays so when tokens come and go.
type cursor struct {
	Sort string `json:"s,omitempty"`
	Key  string `json:"k,omitempty"`
	Name string `json:"n"`
}

func (c cursor) text() string {
	text, _ := json.Marshal(c) // of texts: it can't fail
	return base64.RawURLEncoding.EncodeToString(text)
}

// position reads the cursor of a query.
func (q *Query) position() (c cursor, err error) {
	text, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || json.Unmarshal(text, &c) != nil || c.Sort != q.Sort || c.Name == "" {
		return c, fieldProblem("cursor", "the cursor is none of this list, expected `next` of the page before, with the same order")
	}
	return c, nil
}

// after returns where the tokens begin that come after the cursor.
func (c cursor) after(list []Token, key func(*Token) string, down bool) int {
	for i := range list {
		n := cmp.Or(strings.Compare(key(&list[i]), c.Key), strings.Compare(list[i].Name, c.Name))
		if n > 0 && !down || n < 0 && down {
			return i
		}
	}
	return len(list)
}

// token returns a token of the view.
func (m *Manager) token(v *view, name string) Token {
	doc := v.tokens[name]
	t := m.written(name, doc)
	if row := v.snapshot.TokenByName(name); row != nil {
		t.fill(v.snapshot, row, m.o.Now())
	}
	t.end(doc)
	return t
}

// apart returns a token that the store keeps apart.
func (m *Manager) apart(name string, a *tokens.Apart) Token {
	t := m.written(name, a.Document)
	t.State, t.NotAccepted, t.Secret = cmp.Or(a.State, t.State), a.Problem, a.Secret
	t.end(a.Document)
	return t
}

// written returns what is written of a token. Its state is not known.
func (m *Manager) written(name string, doc *manifest.Document) Token {
	spec := doc.APIToken
	t := Token{
		Name: name, DisplayName: cmp.Or(spec.DisplayName, name), Description: spec.Description, User: string(spec.User), AnyUser: spec.AnyUser,
		State: policy.StateCount.String(), Issued: spec.Issued.UTC(), Hint: doc.Metadata.Annotations[tokens.HintAnnotation],
		CreatedBy: doc.Metadata.Annotations[tokens.CreatedByAnnotation], SuspendedBy: doc.Metadata.Annotations[tokens.SuspendedByAnnotation],
		Suspended: spec.Suspended, Gates: []string{}, Schemes: []string{}, Limits: []string{},
	}
	if !spec.Revoked.IsZero() {
		revoked := spec.Revoked.UTC()
		t.Revoked = &revoked
	}
	if m.o.Usage != nil {
		t.LastUsed = m.o.Usage(name)
	}
	return t
}

// end sets the state of a token that has ended: what broken manifests say of it counts too.
func (t *Token) end(doc *manifest.Document) {
	switch spec := doc.APIToken; {
	case spec.Ends.Revoked || t.Revoked != nil:
		t.State = policy.StateRevoked.String()
	case spec.Ends.Suspended || spec.Suspended:
		t.State = policy.StateSuspended.String()
	}
}

// fill adds what follows from a token's row.
func (t *Token) fill(s *policy.Snapshot, row *policy.Token, now time.Time) {
	t.State = s.State(row, now).String()
	t.EveryGate = len(row.Gates) == 0 && !row.Canary
	if end := row.End(); !end.IsZero() {
		end = end.UTC()
		days := int(math.Ceil(end.Sub(now).Hours() / 24))
		t.Expires, t.DaysLeft = &end, &days
	}
	var taken policy.Schemes
	for _, g := range tokens.GatesOf(s, row) {
		t.Gates = append(t.Gates, g.Name)
		taken |= g.Accepted(now)
	}
	for _, scheme := range []policy.Scheme{policy.Basic, policy.Bearer} {
		if taken.Has(scheme) && row.Takes(scheme) {
			t.Schemes = append(t.Schemes, scheme.String())
		}
	}
	for _, p := range row.Grant.Policies {
		if p.Name != "" {
			t.Limits = append(t.Limits, "policy "+p.Name)
			continue
		}
		for _, r := range p.Allow {
			t.Limits = append(t.Limits, r.Text())
		}
	}
}
