package tokens

import (
	"context"
	"slices"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// ListedToken is a token in a list.
type ListedToken struct {
	Name      string     `json:"name"`
	User      string     `json:"user"`
	AnyUser   bool       `json:"anyUser,omitempty"`
	State     string     `json:"state"`
	Issued    time.Time  `json:"issued"`
	Expires   *time.Time `json:"expires,omitempty"`
	Gates     []string   `json:"gates"` // by name, also where the token is for every gate
	EveryGate bool       `json:"everyGate,omitempty"`
}

// Query is which tokens to list. The zero value lists all.
type Query struct {
	States []string  // any of these; none: every state
	User   string    // whose tokens; empty: everybody's
	Now    time.Time // at which their states are looked at
}

// List returns the tokens of a snapshot that are asked for, by name.
func List(snapshot *policy.Snapshot, q *Query) []ListedToken {
	list := []ListedToken{}
	snapshot.Tokens(func(t *policy.Token) bool {
		state := snapshot.State(t, q.Now)
		if (len(q.States) == 0 || slices.Contains(q.States, state.String())) && (q.User == "" || t.User == q.User) {
			list = append(list, listed(snapshot, t, state))
		}
		return true
	})
	return list
}

func listed(snapshot *policy.Snapshot, t *policy.Token, state policy.State) ListedToken {
	l := ListedToken{
		Name: t.Name, User: t.User, AnyUser: t.AnyUser, State: state.String(), Issued: t.Issued.UTC(),
		Expires: instant(t.End()), Gates: []string{}, EveryGate: len(t.Gates) == 0 && !t.Canary,
	}
	for _, g := range GatesOf(snapshot, t) {
		l.Gates = append(l.Gates, g.Name)
	}
	return l
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

// List returns the tokens that are asked for and that the actor may see: administrators and whoever
// runs the command line see all, others their own.
func (s *Service) List(ctx context.Context, actor Actor, q Query) ([]ListedToken, error) {
	_, snapshot, err := s.good(ctx, &q.Now)
	if err != nil {
		return nil, err
	}
	if !actor.Admin && !actor.byHand() {
		q.User = actor.User
		if q.User == "" {
			return []ListedToken{}, nil
		}
	}
	return List(snapshot, &q), nil
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

// ProblemsError says that documents have problems, and nothing can be told of tokens.
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
