package tokens

import (
	"context"
	"slices"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/ruleset"
)

// Apart is a token that Documents leave out, because it is not accepted or a controller makes its values. It can be
// revoked and suspended, and not changed otherwise.
type Apart struct {
	Document *manifest.Document
	State    string // from a Snapshot; empty: not known
	Problem  string // why it is not accepted; empty: it is accepted
	Secret   string // the name of the Secret with its value; empty: none
}

// Aside is a Store that keeps tokens apart.
type Aside interface {
	// Apart returns the tokens that are kept apart, by their names.
	Apart(ctx context.Context) (map[string]Apart, error)
}

// Apart returns the tokens that the store keeps apart, by their names.
func (s *Service) Apart(ctx context.Context) (map[string]Apart, error) {
	if store, ok := s.Store.(Aside); ok {
		return store.Apart(ctx)
	}
	return nil, nil
}

// suspendApart suspends a token that the store keeps apart. It refuses any other change.
func (s *Service) suspendApart(ctx context.Context, r *UpdateRequest, stored *Stored, fields []edit.Field) (*UpdatedToken, error) {
	only := !slices.ContainsFunc(r.Fields, func(f edit.Field) bool { return f.Key != "suspended" || f.Value != true })
	if !only {
		return nil, refuseApart(r.Fields[0].Key, r.Name)
	}
	receipt, err := s.Store.Apply(ctx, r.Name, stored.Revision, &edit.Change{Fields: fields})
	if err != nil {
		return nil, err
	}
	s.event(&r.Request, Updated, stored.Document, "suspended")
	return &UpdatedToken{receipt, stored.Document}, nil
}

// refuseApart refuses a change of a token that the store keeps apart.
func refuseApart(field, name string) error {
	return Refuse(NotEditable, field, "the token %s is not accepted, or `patgate controller` makes its values: expected a suspension or a revocation, or a change of its object", name)
}

// isApart reports whether the store keeps a token apart.
func (s *Service) isApart(set *ruleset.Set, name string) bool {
	_, aside := s.Store.(Aside)
	return aside && set.Find(manifest.KindAPIToken, name) == nil
}
