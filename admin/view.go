package admin

import (
	"context"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/tokens"
)

// eventContext is that of the events of changes, which outlive their requests.
var eventContext = context.Background()

// view holds the documents at a moment.
type view struct {
	set      *ruleset.Set                  // as they are stored, problems and all
	tokens   map[string]*manifest.Document // of set, those that decode
	good     *ruleset.Set                  // the last without problems
	snapshot *policy.Snapshot              // of good
}

// view reads the documents. Where they have problems, states and rules are those of the last good
// ones; what is revoked or suspended since shows all the same.
func (m *Manager) view(ctx context.Context) (*view, error) {
	set, err := m.o.Service.Documents.Documents(ctx)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen != nil && m.seen.set == set {
		return m.seen, nil
	}
	v := &view{set: set, tokens: make(map[string]*manifest.Document, len(set.Tokens)), good: set}
	for _, doc := range set.Tokens {
		if doc.APIToken != nil {
			v.tokens[doc.Key()] = doc
		}
	}
	switch {
	case len(set.Problems) > 0 && m.seen == nil:
		return nil, &tokens.ProblemsError{Problems: set.Problems}
	case len(set.Problems) > 0:
		v.good, v.snapshot = m.seen.good, m.seen.snapshot
	default:
		if v.snapshot, err = m.snapshot(set); err != nil {
			return nil, err
		}
	}
	m.seen = v
	return v, nil
}

// snapshot returns a set as the policy sees it, at the cost of what differs from the last good one.
func (m *Manager) snapshot(set *ruleset.Set) (*policy.Snapshot, error) {
	var before *ruleset.Set
	if m.index == nil {
		m.index = policy.NewIndex()
	} else if m.seen != nil {
		before = m.seen.good
	}
	changes := set.ChangesFrom(before)
	_, err := m.index.Apply(changes, m.o.Now())
	if err != nil && !changes.All {
		_, err = m.index.Replace(set.Rows, m.o.Now())
	}
	return m.index.Snapshot(), err
}
