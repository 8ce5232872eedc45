package tokens

import (
	"context"
	"slices"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// ListedToken is a token in a list.
type ListedToken struct {
	Name         string     `json:"name"`
	DisplayName  string     `json:"displayName,omitempty"`
	User         string     `json:"user"`
	AnyUser      bool       `json:"anyUser,omitempty"`
	State        string     `json:"state"`
	Issued       time.Time  `json:"issued"`
	Expires      *time.Time `json:"expires,omitempty"`
	Revoked      *time.Time `json:"revoked,omitempty"`
	Gates        []string   `json:"gates"` // by name, also where the token is for every gate
	EveryGate    bool       `json:"everyGate,omitempty"`
	Groups       []string   `json:"groups,omitempty"`       // of its user
	Previous     int        `json:"previous,omitempty"`     // older values that are still good
	Unrestricted bool       `json:"unrestricted,omitempty"` // it may do whatever its user may
	ActAs        bool       `json:"actAs,omitempty"`        // it may act for other users
	Source       string     `json:"source"`
}

// Query selects tokens to list. The zero value lists all.
type Query struct {
	States []string      // any of these; none: every state
	User   string        // whose tokens; empty: everybody's
	Within time.Duration // only those that are good now and end within it; 0: whenever they end
	ByEnd  bool          // those that end first come first; otherwise by name
	Now    time.Time     // at which their states are looked at
}

// List returns the requested tokens of a snapshot. The documents say how they are shown.
func List(snapshot *policy.Snapshot, set *ruleset.Set, q *Query) []ListedToken {
	list := []ListedToken{}
	snapshot.Tokens(func(t *policy.Token) bool {
		if state := snapshot.State(t, q.Now); q.matches(t, state) {
			list = append(list, listed(snapshot, set, t, state, q.Now))
		}
		return true
	})
	if q.ByEnd {
		slices.SortStableFunc(list, byEnd)
	}
	return list
}

func (q *Query) matches(t *policy.Token, state policy.State) bool {
	if len(q.States) > 0 && !slices.Contains(q.States, state.String()) || q.User != "" && t.User != q.User {
		return false
	}
	end := t.End()
	return q.Within == 0 ||
		!t.Revoked && !t.Canary && state != policy.StateExpired && !end.IsZero() && !end.After(q.Now.Add(q.Within))
}

// byEnd puts what ends first first, and what never ends last.
func byEnd(a, b ListedToken) int {
	switch {
	case a.Expires == nil && b.Expires == nil:
		return 0
	case a.Expires == nil:
		return 1
	case b.Expires == nil:
		return -1
	}
	return a.Expires.Compare(*b.Expires)
}

func listed(snapshot *policy.Snapshot, set *ruleset.Set, t *policy.Token, state policy.State, now time.Time) ListedToken {
	l := ListedToken{
		Name: t.Name, User: t.User, AnyUser: t.AnyUser, State: state.String(), Issued: t.Issued.UTC(), Expires: instant(t.End()),
		Gates: []string{}, EveryGate: len(t.Gates) == 0 && !t.Canary, Groups: groupNames(t.Groups),
		Unrestricted: t.Grant.Unrestricted, ActAs: len(t.ActAs) > 0, Source: t.Source.String(),
	}
	for _, g := range GatesOf(snapshot, t) {
		l.Gates = append(l.Gates, g.Name)
	}
	for _, p := range t.Previous {
		if now.Before(t.EndOf(p.Digest)) {
			l.Previous++
		}
	}
	if doc := set.Find(manifest.KindAPIToken, t.Name); doc != nil && doc.APIToken != nil {
		l.DisplayName, l.Revoked = doc.APIToken.DisplayName, instant(doc.APIToken.Revoked.Time)
	}
	return l
}

// Users lists the users that have tokens, by name.
func Users(snapshot *policy.Snapshot) []string {
	var users []string
	snapshot.Tokens(func(t *policy.Token) bool {
		if t.User != "" {
			users = append(users, t.User)
		}
		return true
	})
	slices.Sort(users)
	return slices.Compact(users)
}

// GatesOf returns the gates that a token is for, by name. A canary is for none.
func GatesOf(s *policy.Snapshot, t *policy.Token) []*policy.Gate {
	var gates []*policy.Gate
	for _, g := range s.Gates() {
		if t.For(g) && !t.Canary {
			gates = append(gates, g)
		}
	}
	return gates
}

// List returns the requested tokens that the actor may see: administrators and the user of
// the command line see all, others their own.
func (s *Service) List(ctx context.Context, actor Actor, q Query) ([]ListedToken, error) {
	set, snapshot, err := s.good(ctx, &q.Now)
	if err != nil {
		return nil, err
	}
	if !actor.Admin && !actor.byHand() {
		q.User = actor.User
		if q.User == "" {
			return []ListedToken{}, nil
		}
	}
	return List(snapshot, set, &q), nil
}

// Describe returns all that is known of a token that the actor may see, at a moment; zero: now.
func (s *Service) Describe(ctx context.Context, actor Actor, name string, now time.Time) (*View, error) {
	set, snapshot, err := s.good(ctx, &now)
	if err != nil {
		return nil, err
	}
	doc, err := Find(set, name)
	if err != nil {
		return nil, err
	}
	if err := actor.mayChange(doc); err != nil {
		return nil, err
	}
	view := Describe(snapshot, snapshot.TokenByName(name), doc, now)
	return &view, nil
}

// ProblemsError reports that documents have problems, so that tokens can't be listed.
type ProblemsError struct{ Problems []diag.Problem }

// Error returns the problems, one a line.
func (e *ProblemsError) Error() string {
	return (&RefusedError{Reasons: diag.Strings(e.Problems)}).Error()
}

// good returns documents without problems, and what they decide.
func (s *Service) good(ctx context.Context, now *time.Time) (*ruleset.Set, *policy.Snapshot, error) {
	if now.IsZero() {
		*now = s.now()
	}
	set, err := s.Documents.Documents(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(set.Problems) > 0 {
		return nil, nil, &ProblemsError{set.Problems}
	}
	index := policy.NewIndex()
	if _, err := index.Replace(set.Rows, *now); err != nil {
		return nil, nil, err
	}
	return set, index.Snapshot(), nil
}
