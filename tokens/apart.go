package tokens

import (
	"context"
	"slices"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/ruleset"
)

// Apart is a token that is none of the documents: it is not accepted, or a controller makes its values. It can be
// revoked and suspended.
type Apart struct {
	Document *manifest.Document
	State    string // as a Snapshot has it; empty: it is not known
	Problem  string // why it is not accepted; empty: it is
	Secret   string // that has its value; empty: none
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

// suspendApart suspends a token that is none of the documents, which nothing can be in the way of. All else is refused.
func (s *Service) suspendApart(ctx context.Context, r *UpdateRequest, stored *Stored, fields []edit.Field) (*UpdatedToken, error) {
	only := !slices.ContainsFunc(r.Fields, func(f edit.Field) bool { return f.Key != "suspended" || f.Value != true })
	if !only {
		return nil, Refuse(NotEditable, r.Fields[0].Key, "the token %s is not accepted, or `patgate controller` makes its values: expected a suspension or a revocation, or a change of its object", r.Name)
	}
	receipt, err := s.Store.Apply(ctx, r.Name, stored.Revision, &edit.Change{Fields: fields})
	if err != nil {
		return nil, err
	}
	s.event(&r.Request, Updated, stored.Document, "suspended")
	return &UpdatedToken{receipt, stored.Document}, nil
}

// isApart reports whether a token that is stored is none of the documents.
func (s *Service) isApart(set *ruleset.Set, name string) bool {
	_, aside := s.Store.(Aside)
	return aside && set.Find(manifest.KindAPIToken, name) == nil
}
