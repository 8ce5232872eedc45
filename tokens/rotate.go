package tokens

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/token"
)

// MaxPrevious is the maximum number of replaced values of a token that are still valid.
const MaxPrevious = 3

// RotateRequest is a request for a new value of a token.
type RotateRequest struct {
	Request
	Name     string
	Overlap  time.Duration // for how long the value that is replaced stays good; 0: it ends at once
	Lifetime time.Duration // of the new value; 0: that of the one it replaces
	If       Revision      // that the token must have; empty: whichever it has
}

// RotatedToken is a token that has a new value, which is kept nowhere.
type RotatedToken struct {
	Receipt
	Secret    token.Secret
	Name      string
	User      string       // the token's; empty: any
	State     policy.State // of the token before
	Issued    time.Time
	Expires   time.Time // by its manifest; zero: never
	End       time.Time // the earlier of Expires and the user's cap; zero: never
	Until     time.Time // when the replaced value ends; zero: it has ended
	Shortened string    // why the new value does not live as long as the old one; may be empty
}

// rotation is a rotation under way.
type rotation struct {
	RotateRequest
	now    time.Time
	rights Rights
	row    *policy.Token
	doc    *manifest.Document
	made   RotatedToken
	change edit.Rotation
}

// Rotate mints a new value for a token and stores its digest. It returns an *UnknownError where there
// is no such token, and a *RefusedError for problems of the documents, for a token that is not good,
// for a lifetime beyond the user's cap and for whatever `patgate check` refuses.
func (s *Service) Rotate(ctx context.Context, req RotateRequest) (*RotatedToken, error) {
	set, err := s.Documents.Documents(ctx)
	if err != nil {
		return nil, err
	}
	if len(set.Problems) > 0 {
		return nil, &ProblemsError{set.Problems}
	}
	stored, err := s.get(ctx, &req.Request, req.Name)
	if err != nil {
		return nil, err
	}
	if req.If != "" && req.If != stored.Revision {
		return nil, &ConflictError{stored.File}
	}
	if s.isApart(set, req.Name) {
		return nil, refuseApart("", req.Name)
	}
	r := &rotation{RotateRequest: req, now: s.now(), doc: stored.Document}
	if err := r.prepare(set, stored); err != nil {
		return nil, err
	}
	change := &edit.Change{Rotation: &r.change}
	if _, has := stored.Document.Metadata.Annotations[HintAnnotation]; has {
		change.Fields = []edit.Field{{Annotation: true, Key: HintAnnotation, Value: hint(r.made.Secret)}}
	}
	after, err := change.Apply(stored.File, stored.Data, req.Name)
	if err != nil {
		return nil, Refuse(NotEditable, "", "%v: write these values on the lines of their keys and rotate again", err)
	}
	rotated := set.With(ruleset.File{Name: stored.File, Data: after})
	if len(rotated.Problems) > 0 {
		return nil, refusedFor(rotated.Problems)
	}
	if req.Name != req.Actor.Token { // who gets the new value can do what the token may
		if err := req.Actor.mayGrant(rotated, req.Name); err != nil {
			return nil, err
		}
	}
	if r.made.Receipt, err = s.Store.Apply(ctx, req.Name, stored.Revision, change); err != nil {
		return nil, err
	}
	s.event(&req.Request, Rotated, stored.Document)
	return &r.made, nil
}

// prepare decides what the rotation changes.
func (r *rotation) prepare(set *ruleset.Set, stored *Stored) error {
	if r.row = rowOf(&set.Rows, r.Name); r.row == nil {
		return &ConflictError{stored.File}
	}
	index, alone := policy.NewIndex(), set.Rows
	alone.Tokens = []*policy.Token{r.row} // its state depends on no other token
	if _, err := index.Replace(alone, r.now); err != nil {
		return err
	}
	r.rights = RightsOf(set, r.row.User, r.now)
	r.made = RotatedToken{Name: r.Name, User: r.row.User, State: index.Snapshot().State(r.row, r.now)}
	if err := r.checkState(); err != nil {
		return err
	}
	if err := r.setTimes(); err != nil {
		return err
	}
	r.made.Secret = token.Mint()
	r.change.Digest, r.change.Issued = token.Sum(r.made.Secret), r.made.Issued
	if !r.made.Expires.Equal(r.row.Expires) {
		r.change.Expires = r.made.Expires
	}
	return r.replace()
}

// checkState refuses a token that is not good, unless that is because it is suspended or its user is
// not admitted.
func (r *rotation) checkState() error {
	place := r.doc.Place(r.doc.Pos)
	state := r.made.State
	if end := r.row.End(); state == policy.StateSuspended && !end.IsZero() && !r.now.Before(end) {
		state = policy.StateExpired
	}
	switch state {
	case policy.StateRevoked:
		return Refuse(BadState, "", "%s: the token %s is revoked, and a revocation is final: create a new one with `patgate token create`", place, r.Name)
	case policy.StateCanary:
		return Refuse(BadState, "", "%s: the token %s is a canary, which no client presents: create a new one by hand", place, r.Name)
	case policy.StateExpired:
		return Refuse(BadState, "", "%s: the token %s expired at %s: create a new one with `patgate token create`", place, r.Name, writtenTime(r.row.End()))
	case policy.StateNotYetValid:
		return Refuse(BadState, "", "%s: the token %s begins at %s, expected one that has begun: rotate it then", place, r.Name, writtenTime(r.row.Issued))
	}
	return nil
}

func writtenTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// setTimes sets when the new value begins and ends: after as long a life as the old
// one had, within the user's cap.
func (r *rotation) setTimes() error {
	made, longest := &r.made, r.rights.MaxLifetime
	made.Issued = r.now.UTC().Truncate(time.Second)
	if longest > 0 && longest != policy.Forever {
		made.End = made.Issued.Add(longest)
	}
	life := r.Lifetime
	switch {
	case life > 0 && longest > 0 && life > longest:
		return beyondCap(life, &r.rights, made.User)
	case life == 0 && r.row.Expires.IsZero():
		return nil // the manifest sets no end; the cap counts by itself
	case life == 0:
		life = r.row.Expires.Sub(r.row.Issued)
		if longest > 0 && life > longest {
			made.Shortened = "group " + r.rights.CapBy.Key() + " gives " + made.User + " at most " + LifetimeText(longest)
			life = longest
		}
	}
	made.Expires = made.Issued.Add(life).Truncate(time.Second)
	if !made.Expires.After(made.Issued) {
		return Refuse(Invalid, "expires", "a lifetime of %s is too short, expected a second at least", life)
	}
	if made.End.IsZero() || made.Expires.Before(made.End) {
		made.End = made.Expires
	}
	return nil
}

// replace keeps the present value for the overlap, and those before it that still
// run. Its end is never later than it was. Without an overlap all of them end: then
// the token counts as leaked, and it is unknown which of its values was.
func (r *rotation) replace() error {
	t, change := r.row, &r.change
	var running []string
	for i, p := range t.Previous {
		if end := t.EndOf(p.Digest); r.Overlap <= 0 || !end.IsZero() && !r.now.Before(end) {
			change.Drop = append(change.Drop, i)
		} else {
			running = append(running, writtenTime(end))
		}
	}
	until := r.now.UTC().Add(r.Overlap).Truncate(time.Second)
	if end := t.End(); !end.IsZero() && end.Before(until) {
		until = end.Truncate(time.Second)
	}
	if !until.After(r.now) || r.Overlap <= 0 {
		return nil
	}
	if len(running) >= MaxPrevious {
		slices.Sort(running)
		return Refuse(TooMany, "previous", "%s: the token %s has %d replaced values that still run, until %s, expected at most %d with the present one: "+
			"wait for one to end, take one out of `previous`, or let all of them end at once by an overlap of 0",
			r.doc.Place(r.doc.Pos), t.Name, len(running), strings.Join(running, ", "), MaxPrevious)
	}
	r.made.Until = until
	change.Add = &edit.Replaced{Digest: t.Digest, Issued: t.Issued, Until: until}
	return nil
}
