package tokens

import (
	"context"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/token"
)

// RevokeRequest is a request to end a token forever.
type RevokeRequest struct {
	Request
	Name   string
	Delete bool // delete the manifest instead, and leave tombstones
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
	if r.Delete {
		return s.delete(ctx, &r, stored)
	}
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

// Ends are the values of a deleted token, and until when each must be remembered.
type Ends map[token.Digest]time.Time

// Deleter is a Store that can delete manifests and remember that.
type Deleter interface {
	// Delete deletes the manifest of the token that has this revision, and remembers the values
	// until they would have ended. A dry run finds out whether it could.
	Delete(ctx context.Context, name string, was Revision, until Ends, dryRun bool) (Receipt, error)
}

// delete deletes a token's manifest. While other documents are broken a running server keeps what it
// has, so that a deletion would not count: it is refused then.
func (s *Service) delete(ctx context.Context, r *RevokeRequest, stored *Stored) (*RevokedToken, error) {
	doc := stored.Document
	store, able := s.Store.(Deleter)
	set, err := s.Documents.Documents(ctx)
	switch {
	case err != nil:
		return nil, err
	case !able:
		return nil, Refuse(NotEditable, "delete", "%s: tokens are not deleted here, expected a revocation", doc.Place(doc.Pos))
	case len(set.Problems) > 0:
		return nil, Refuse(NotEditable, "delete", "the manifests have problems, so that a running server would not follow the deletion, the first is %s: revoke the token without it", set.Problems[0])
	}
	now := s.now()
	done := &RevokedToken{Document: doc, Since: now.UTC().Truncate(time.Second)}
	if done.Receipt, err = store.Delete(ctx, r.Name, stored.Revision, untils(set, doc, now), r.DryRun); err != nil || r.DryRun {
		return done, err
	}
	s.event(&r.Request, Revoked, doc)
	return done, nil
}

// untils returns when each value of a token would end, of those that have not ended.
func untils(set *ruleset.Set, doc *manifest.Document, now time.Time) Ends {
	spec := doc.APIToken
	longest, _ := set.LongestLifetime(doc.Metadata.Namespace, string(spec.User))
	ends := Ends{}
	add := func(digest manifest.Digest, issued time.Time, written ...time.Time) {
		end := edit.Forever
		if longest > 0 && longest != policy.Forever {
			written = append(written, issued.Add(longest))
		}
		for _, w := range written {
			if !w.IsZero() && w.Before(end) {
				end = w
			}
		}
		if now.Before(end) {
			ends[digest.Sum] = end
		}
	}
	add(spec.Digest, spec.Issued.Time, spec.Expires.Time)
	for _, p := range spec.Previous {
		add(p.Digest, p.Issued.Time, spec.Expires.Time, p.Until.Time)
	}
	return ends
}

// get returns a token that the actor may change.
func (s *Service) get(ctx context.Context, r *Request, name string) (*Stored, error) {
	stored, err := s.Store.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	return stored, r.Actor.mayChange(stored.Document)
}
