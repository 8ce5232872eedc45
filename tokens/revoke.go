package tokens

import (
	"context"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
)

// RevokeRequest asks to end a token for ever.
type RevokeRequest struct {
	Request
	Name   string
	DryRun bool // find out whether it can be done
}

// RevokedToken is a token that is revoked.
type RevokedToken struct {
	Receipt
	Document *manifest.Document // as it was before
	Since    time.Time
	Before   bool // it was revoked already, and nothing is written
}

// Revoke writes `revoked` into a token's manifest. It works while other documents are broken, and a
// second time gives the same answer. It returns an *UnknownError where there is no such token, and a
// *RefusedError for a document that can't be changed.
func (s *Service) Revoke(ctx context.Context, r RevokeRequest) (*RevokedToken, error) {
	stored, err := s.get(ctx, &r.Request, r.Name)
	if err != nil {
		return nil, err
	}
	doc := stored.Document
	if since := doc.APIToken.Revoked; !since.IsZero() {
		return &RevokedToken{Document: doc, Since: since.Time, Before: true, Receipt: Receipt{File: stored.File, Revision: stored.Revision}}, nil
	}
	if doc.APIToken.Canary {
		return nil, Refuse(BadState, "", "%s: the token %s is a canary, which is always refused: delete its manifest to end it", doc.Place(doc.Pos), r.Name)
	}
	done := &RevokedToken{Document: doc, Since: s.now().UTC().Truncate(time.Second)}
	change := &edit.Change{Revoked: done.Since, DryRun: r.DryRun}
	if done.Receipt, err = s.Store.Apply(ctx, r.Name, stored.Revision, change); err != nil || r.DryRun {
		return done, err
	}
	s.event(&r.Request, Revoked, doc)
	return done, nil
}

// get returns a token that the actor may change.
func (s *Service) get(ctx context.Context, r *Request, name string) (*Stored, error) {
	stored, err := s.Store.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	return stored, r.Actor.mayChange(stored.Document)
}
