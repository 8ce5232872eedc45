package admin

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/patgate/patgate/policy"
)

// patToken is a token as clients of Atlassian's API know it.
type patToken struct {
	ID           int64    `json:"id"`
	Name         string   `json:"name"`
	Owner        *patUser `json:"userProfileResource,omitempty"`
	CreatedAt    string   `json:"createdAt"`
	LastAccessed string   `json:"lastAccessedAt,omitempty"`
	ExpiringAt   string   `json:"expiringAt"`
	RawToken     string   `json:"rawToken,omitempty"`
}

type patUser struct {
	Username string `json:"username"`
}

// patTime is the format of times in Atlassian's API: the offset is never Z.
const patTime = "2006-01-02T15:04:05.000-0700"

// patForever is the end of a token that has none.
const patForever = "9999-12-31T23:59:59.000+0000"

// ID is a number for a token: below 2^53, as JavaScript's numbers, and the same as long as the token
// has its name.
func ID(name string) int64 {
	sum := sha256.Sum256([]byte("patgate token id\x00" + name))
	return int64(binary.BigEndian.Uint64(sum[:])>>11) | 1
}

func patOf(t *Token) patToken {
	p := patToken{ID: ID(t.Name), Name: t.DisplayName, CreatedAt: t.Issued.UTC().Format(patTime), ExpiringAt: patForever}
	if t.Expires != nil {
		p.ExpiringAt = t.Expires.UTC().Format(patTime)
	}
	if t.LastUsed != nil {
		p.LastAccessed = t.LastUsed.Time.UTC().Format(patTime)
	}
	return p
}

// own returns the caller's tokens that are not revoked, in the order of their creation.
func (m *Manager) own(ctx context.Context, user string) ([]Token, error) {
	v, err := m.view(ctx)
	if err != nil {
		return nil, err
	}
	var list []Token
	for name, doc := range v.tokens {
		if spec := doc.APIToken; string(spec.User) == user && !spec.AnyUser && !spec.Canary && spec.Revoked.IsZero() && !spec.Ends.Revoked {
			list = append(list, m.token(v, name))
		}
	}
	slices.SortFunc(list, func(a, b Token) int {
		if n := a.Issued.Compare(b.Issued); n != 0 {
			return n
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list, nil
}

func (h *Handler) patList(_ http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	list, err := h.own(r.Context(), c.User)
	if err != nil {
		return nil, err
	}
	shown := []patToken{}
	for i := range list {
		shown = append(shown, patOf(&list[i]))
	}
	return shown, nil
}

// maxPatName is how many characters a name has at most in their API.
const maxPatName = 40

// checkDisplayName refuses a name that the user has already.
func (m *Manager) checkDisplayName(ctx context.Context, user, name string) error {
	list, err := m.own(ctx, user)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(list, func(t Token) bool { return t.DisplayName == name }) {
		return fieldProblem("name", "you have a token of this name already, expected another name")
	}
	return nil
}

func (h *Handler) patCreate(_ http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	o, err := readBody(r, "application/json", false)
	if err != nil {
		return nil, err
	}
	n := &NewToken{Unrestricted: true, clamp: true}
	n.DisplayName, _ = o.text("name")
	days, said := o.number("expirationDuration", 1, 1_000_000_000)
	switch {
	case strings.TrimSpace(n.DisplayName) == "":
		o.fail("name", "the name is missing or empty, expected one")
	case utf8.RuneCountInString(n.DisplayName) > maxPatName:
		o.fail("name", "the name is too long, expected at most %d characters", maxPatName)
	}
	o.names = append(o.names, slices.Collect(keys(o.fields))...) // their clients may send more, which means nothing here
	if err := o.done(); err != nil {
		return nil, err
	}
	n.ExpiresIn = time.Duration(min(days, 100_000)) * 24 * time.Hour
	if n.Forever = !said; n.Forever && c.Rights.MaxLifetime > 0 {
		n.Forever, n.ExpiresIn = false, c.Rights.MaxLifetime
	}
	if n.ExpiresIn == policy.Forever {
		n.Forever, n.ExpiresIn = true, 0
	}
	made, err := h.Create(r.Context(), c, n)
	if err != nil {
		return nil, err
	}
	p := patOf(&made.Token)
	p.RawToken = made.Value
	return answered{http.StatusCreated, p}, nil
}

func keys(fields map[string]any) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range fields {
			if !yield(name) {
				return
			}
		}
	}
}

func (h *Handler) patDelete(w http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	if r.PathValue("id") == "search" {
		w.Header().Set("Allow", "POST")
		return nil, problem(http.StatusMethodNotAllowed, "method_not_allowed", "this path takes POST alone")
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	list, listErr := h.own(r.Context(), c.User)
	if listErr != nil {
		return nil, listErr
	}
	var found []string
	for _, t := range list {
		if err == nil && ID(t.Name) == id {
			found = append(found, t.Name)
		}
	}
	if len(found) != 1 {
		return nil, problem(http.StatusNotFound, "unknown_token", "you have no token of this id")
	}
	if _, err := h.Revoke(r.Context(), c, found[0]); err != nil {
		return nil, err
	}
	return answered{http.StatusNoContent, nil}, nil
}

// patPage is a page of their search.
type patPage struct {
	Values []patToken `json:"values"`
	Page   int64      `json:"page"`
	Limit  int64      `json:"limit"`
	Size   int        `json:"size"`
	Last   bool       `json:"isLastPage"`
}

// maxPatLimit is how many tokens a page of their search has at most.
const maxPatLimit = 100

func (h *Handler) patSearch(_ http.ResponseWriter, r *http.Request, c *Caller) (any, error) {
	if !c.Actor.Admin {
		return nil, problem(http.StatusForbidden, "no_right", "administrators alone search the tokens of others")
	}
	o, err := readBody(r, "application/json", true)
	if err != nil {
		return nil, err
	}
	p := patPage{Values: []patToken{}, Limit: maxPatLimit}
	p.Page, _ = o.number("page", 0, 1_000_000)
	if limit, said := o.number("limit", 1, 1_000_000); said {
		p.Limit = min(limit, maxPatLimit)
	}
	name, _ := o.text("name")
	users, _ := o.texts("userKeys")
	o.names = append(o.names, slices.Collect(keys(o.fields))...)
	if err := o.done(); err != nil {
		return nil, err
	}
	found, err := h.search(r.Context(), name, users)
	if err != nil {
		return nil, err
	}
	from := min(p.Page*p.Limit, int64(len(found)))
	to := min(from+p.Limit, int64(len(found)))
	for i := from; i < to; i++ {
		shown := patOf(&found[i])
		shown.Owner = &patUser{found[i].User}
		p.Values = append(p.Values, shown)
	}
	p.Size, p.Last = len(p.Values), to == int64(len(found))
	return p, nil
}

// search returns the tokens of users that are not revoked, by owner and name.
func (m *Manager) search(ctx context.Context, name string, users []string) (found []Token, err error) {
	v, err := m.view(ctx)
	if err != nil {
		return nil, err
	}
	name = strings.ToLower(name)
	for n, doc := range v.tokens {
		spec := doc.APIToken
		if spec.Canary || spec.AnyUser || !spec.Revoked.IsZero() || len(users) > 0 && !slices.Contains(users, string(spec.User)) {
			continue
		}
		if t := m.token(v, n); strings.Contains(strings.ToLower(t.DisplayName), name) {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b Token) int { return strings.Compare(a.User+"\x00"+a.Name, b.User+"\x00"+b.Name) })
	return found, nil
}
