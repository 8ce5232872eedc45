package tokens

import (
	"context"
	"fmt"
	"slices"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// UpdateRequest is a request for other values of a token's fields.
type UpdateRequest struct {
	Request
	Name   string
	If     Revision     // that the token must have; empty: whichever it has
	Fields []edit.Field // of the spec; see Editable
}

// UpdatedToken is a token that was changed.
type UpdatedToken struct {
	Receipt
	Document *manifest.Document // as it is now
}

// Editable are the fields that Update changes. `revoked`, `digest`, `issued` and `previous` have
// methods of their own, and whose token it is does not change.
var Editable = []string{
	"displayName", "description", "policies", "allow", "limitTo", "unrestricted", "gates", "schemes", "clients", "expires", "suspended",
}

// Update changes fields of a token's manifest. Only an administrator, or the user of the command
// line, may let a token do more than before; no one revives one that has ended.
func (s *Service) Update(ctx context.Context, r UpdateRequest) (*UpdatedToken, error) {
	for _, f := range r.Fields {
		if f.Annotation || !slices.Contains(Editable, f.Key) {
			return nil, Refuse(NotEditable, f.Key, "%s can't be changed, %s", f.Key, diag.Suggest(f.Key, Editable))
		}
	}
	stored, err := s.get(ctx, &r.Request, r.Name)
	if err != nil {
		return nil, err
	}
	if r.If != "" && r.If != stored.Revision {
		return nil, &ConflictError{stored.File}
	}
	fields, err := suspension(&r, stored.Document)
	if err != nil {
		return nil, err
	}
	set, err := s.Documents.Documents(ctx)
	if err != nil {
		return nil, err
	}
	if s.isApart(set, r.Name) {
		return s.suspendApart(ctx, &r, stored, fields)
	}
	change := &edit.Change{Fields: fields}
	doc, err := s.checkUpdate(set, &r, stored, change)
	if err != nil {
		return nil, err
	}
	receipt, err := s.Store.Apply(ctx, r.Name, stored.Revision, change)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range r.Fields {
		names = append(names, f.Key)
	}
	s.event(&r.Request, Updated, doc, names...)
	return &UpdatedToken{receipt, doc}, nil
}

// Suspend suspends a token, or lifts its suspension. A user lifts only a suspension that they set.
func (s *Service) Suspend(ctx context.Context, r Request, name string, suspended bool) (*UpdatedToken, error) {
	f := edit.Field{Key: "suspended"}
	if suspended {
		f.Value = true
	}
	return s.Update(ctx, UpdateRequest{Request: r, Name: name, Fields: []edit.Field{f}})
}

// suspension adds to a change of `suspended` who suspended the token, and so may lift that. An administrator, or the user of
// the command line, takes over an earlier suspension by another user, who can no longer lift it.
func suspension(r *UpdateRequest, doc *manifest.Document) ([]edit.Field, error) {
	i := slices.IndexFunc(r.Fields, func(f edit.Field) bool { return f.Key == "suspended" })
	if i < 0 {
		return r.Fields, nil
	}
	above := r.Actor.Admin || r.Actor.byHand()
	was, has := doc.Metadata.Annotations[SuspendedByAnnotation]
	by := edit.Field{Annotation: true, Key: SuspendedByAnnotation}
	if r.Fields[i].Value == true {
		if doc.APIToken.Suspended && !above {
			return r.Fields, nil // it was done before, by another
		}
		if r.Actor.User != "" {
			by.Value = r.Actor.User
		}
		if by.Value == nil && !has || by.Value == was {
			return r.Fields, nil
		}
		return append(slices.Clone(r.Fields), by), nil
	}
	if doc.APIToken.Suspended && !above && was != r.Actor.User {
		return nil, Refuse(Widens, "suspended", "%s did not suspend the token %s, expected an administrator to lift it", r.Actor.User, r.Name)
	}
	if !has {
		return r.Fields, nil
	}
	return append(slices.Clone(r.Fields), by), nil
}

// checkUpdate checks the changed token together with all documents, and what it may do.
func (s *Service) checkUpdate(set *ruleset.Set, r *UpdateRequest, stored *Stored, change *edit.Change) (*manifest.Document, error) {
	if len(set.Problems) > 0 {
		return nil, &ProblemsError{set.Problems}
	}
	text, err := change.Apply(stored.File, stored.Data, r.Name)
	if err != nil {
		return nil, &RefusedError{NotEditable, "", []string{err.Error()}}
	}
	after := set.With(ruleset.File{Name: stored.File, Data: text})
	if len(after.Problems) > 0 {
		return nil, refusedFor(after.Problems)
	}
	was, err := stateOf(set, r.Name)
	if err != nil {
		return nil, err
	}
	is, err := stateOf(after, r.Name)
	if err != nil {
		return nil, err
	}
	if was.Token == nil || is.Token == nil {
		return nil, &ConflictError{stored.File}
	}
	rights := RightsOf(set, was.User, s.now())
	if err := s.mayBecome(r, &was, &is, &rights); err != nil {
		return nil, err
	}
	if widened(&was, &is) != "" {
		err = r.Actor.mayGrant(after, r.Name)
	}
	return after.Find(manifest.KindAPIToken, r.Name), err
}

// mayBecome refuses changes that the actor may not make, or that no one may.
func (s *Service) mayBecome(r *UpdateRequest, was, is *state, rights *Rights) error {
	now := s.now()
	if end := was.End(); !end.IsZero() && !now.Before(end) && later(is.End(), end) {
		return Refuse(BadState, "expires", "the token %s ended at %s, and its end is final: create a new one", r.Name, writtenTime(end))
	}
	if !is.Expires.Equal(was.Expires) && rights.MaxLifetime > 0 && rights.MaxLifetime != policy.Forever {
		asked := policy.Forever
		if !is.Expires.IsZero() {
			asked = is.Expires.Sub(is.Issued)
		}
		if asked > rights.MaxLifetime {
			return beyondCap(asked, rights, is.User)
		}
	}
	if r.Actor.Admin || r.Actor.byHand() {
		return nil
	}
	before := *was.Token
	before.Suspended = false // suspension has checked who did it
	compared := state{&before, was.rules}
	switch field := widened(&compared, is); field {
	case "":
	case "expires":
		return Refuse(Widens, field, "the end of the token %s may only move earlier, expected one before %s: rotate it for a value that lives longer", r.Name, writtenTime(was.End()))
	default:
		return Refuse(Widens, field, "%s", fmt.Sprintf("%s of the token %s may only become less, expected what is there without some of it: an administrator may add to it", field, r.Name))
	}
	return nil
}
