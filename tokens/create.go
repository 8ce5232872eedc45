package tokens

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/token"
)

// DefaultLifetime is the lifetime of a new token if the request does not say.
const DefaultLifetime = 90 * 24 * time.Hour

// The annotations that changes of tokens leave.
const (
	HintAnnotation        = "patgate.dev/hint"         // the beginning of the value, so that people recognize it
	FormAnnotation        = "patgate.dev/form"         // the digest of the form that made the token
	CreatedByAnnotation   = "patgate.dev/created-by"   // who created the token
	SuspendedByAnnotation = "patgate.dev/suspended-by" // who may lift a suspension
)

// CreateRequest is a request for a token. Its Digest, Issued and Annotations are the Service's to set.
type CreateRequest struct {
	Request
	Token    edit.NewToken
	Lifetime time.Duration // 0: until Token.Expires, or the shorter of DefaultLifetime and the user's cap; policy.Forever: no end
	Clamp    bool          // a lifetime beyond the cap becomes the cap
	Distinct bool          // the user has no other token of this display name that is not revoked
	Form     string        // the identifier of a form, which creates one token only; empty: none
}

// Exclusive is a Store that several processes may have, of which one creates tokens at a time: so
// that the limits on their number hold.
type Exclusive interface {
	// Exclusive waits until no other process creates tokens. Documents have those that others have
	// created by then.
	Exclusive(ctx context.Context) (release func(), err error)
}

// NewToken is a token that was created. Its value is kept nowhere.
type NewToken struct {
	Receipt
	Secret   token.Secret
	Name     string
	User     string
	AnyUser  bool
	Issued   time.Time
	Expires  time.Time    // zero: no end
	Warnings []string     // what its user should know, in short; package lint says more of After
	After    *ruleset.Set // the documents with the token among them, for warnings about it
	Bearer   bool         // no gate takes it with Basic
}

// Create mints a value, checks the manifest of its token together with all others, and stores it. It
// returns a *RefusedError for a name that is taken, a lifetime beyond the user's cap, what the actor
// may not do, and whatever `patgate check` refuses.
func (s *Service) Create(ctx context.Context, r CreateRequest) (*NewToken, error) {
	if x, ok := s.Store.(Exclusive); ok {
		release, err := x.Exclusive(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	p, err := s.prepareCreate(ctx, &r)
	if err != nil {
		return nil, err
	}
	if p.made.Receipt, err = s.Store.Apply(ctx, p.made.Name, "", &edit.Change{Create: &p.token}); err != nil {
		return nil, err
	}
	s.event(&r.Request, Created, p.doc)
	if err := s.recount(ctx, &r, p); err != nil {
		return nil, err
	}
	return &p.made, nil
}

// PreviewCreate does what Create does, and stores nothing: the value that it minted is worth nothing.
// It also returns the documents with the token among them.
func (s *Service) PreviewCreate(ctx context.Context, r CreateRequest) (*NewToken, *ruleset.Set, error) {
	p, err := s.prepareCreate(ctx, &r)
	if err != nil {
		return nil, nil, err
	}
	p.made.Secret = token.Secret{}
	return &p.made, p.after, nil
}

// prepared is a token that may be stored.
type prepared struct {
	token edit.NewToken
	made  NewToken
	doc   *manifest.Document
	after *ruleset.Set

	rights Rights // of its user
}

func (s *Service) prepareCreate(ctx context.Context, r *CreateRequest) (*prepared, error) {
	t := r.Token
	file, err := s.Documents.FileFor(t.Name)
	if err != nil {
		return nil, err
	}
	set, err := s.Documents.Documents(ctx)
	if err != nil {
		return nil, err
	}
	if len(set.Problems) > 0 {
		return nil, &ProblemsError{set.Problems}
	}
	rights := RightsOf(set, t.User, s.now())
	if err := errors.Join(isFree(set, t.Name), r.Actor.mayCreate(&rights, r), isDistinct(set, r), isFirst(set, r)); err != nil {
		return nil, first(err)
	}
	if err := s.setTimes(&t, r, &rights); err != nil {
		return nil, err
	}
	secret := token.Mint()
	t.Digest = token.Sum(secret)
	t.Annotations = map[string]string{HintAnnotation: hint(secret)}
	if by := r.Actor.creator(); by != "" {
		t.Annotations[CreatedByAnnotation] = by
	}
	if r.Form != "" {
		t.Annotations[FormAnnotation] = formDigest(r)
	}
	p := &prepared{token: t, rights: rights, made: NewToken{
		Secret: secret, Name: t.Name, User: t.User, AnyUser: t.AnyUser, Issued: t.Issued, Expires: t.Expires, Warnings: warnings(set, t.User),
	}}
	return p, s.check(p, set, file, &r.Actor)
}

// check checks the new token together with all documents.
func (s *Service) check(p *prepared, set *ruleset.Set, file string, actor *Actor) error {
	text, err := p.token.YAML()
	if err != nil {
		return &RefusedError{Invalid, "", []string{err.Error()}}
	}
	p.after = set.With(ruleset.File{Name: file, Data: text})
	if len(p.after.Problems) > 0 {
		return refusedFor(p.after.Problems)
	}
	p.doc = p.after.Find(manifest.KindAPIToken, p.made.Name)
	row := rowOf(&p.after.Rows, p.made.Name)
	if p.doc == nil || row == nil {
		return Refuse(Invalid, "name", "%q is no name of a token, expected lower-case letters, digits, `-` and `.`", p.made.Name)
	}
	p.made.After = p.after
	p.made.Bearer = bearerAlone(&p.after.Rows, row, s.now())
	return actor.mayGrant(p.after, p.made.Name)
}

// first returns the first of joined errors.
func first(err error) error {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		return many.Unwrap()[0]
	}
	return err
}

// hint returns the beginning of a value: enough to recognize it, too little to guess it.
func hint(secret token.Secret) string {
	value := secret.Reveal()
	return value[:min(len(value), len(token.Prefix)+4)]
}

// creator returns the creator of a token, from its annotation.
func (a *Actor) creator() string {
	if a.byHand() && a.Admin {
		return "command line, as admin"
	}
	return a.User
}

// rowOf finds a token among rows, or nil.
func rowOf(rows *policy.Rows, name string) *policy.Token {
	i := slices.IndexFunc(rows.Tokens, func(t *policy.Token) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return rows.Tokens[i]
}

// bearerAlone reports whether a token can't be presented with Basic at any gate.
func bearerAlone(rows *policy.Rows, t *policy.Token, now time.Time) bool {
	if !t.Takes(policy.Basic) {
		return true
	}
	takesBasic := func(g *policy.Gate) bool { return t.For(g) && g.Accepted(now).Has(policy.Basic) }
	return len(rows.Gates) > 0 && !slices.ContainsFunc(rows.Gates, takesBasic)
}

// SentError reports that a form has made a token before.
type SentError struct{ Name string }

// Error returns the message.
func (e *SentError) Error() string {
	return "this form was sent already, and has made the token " + e.Name
}

// isFirst refuses a form that has made a token, in this process or another. A revoked token does not count: recount revokes
// one whose value was not given out, and the form may be sent again.
func isFirst(set *ruleset.Set, r *CreateRequest) error {
	if r.Form == "" {
		return nil
	}
	digest := formDigest(r)
	for _, doc := range set.Tokens {
		if doc.Metadata.Annotations[FormAnnotation] == digest && doc.APIToken.Revoked.IsZero() {
			return &SentError{doc.Metadata.Name.Text}
		}
	}
	return nil
}

// formDigest names a form of its sender.
func formDigest(r *CreateRequest) string {
	sum := sha256.Sum256([]byte(r.Actor.User + "\x00" + r.Form))
	return hex.EncodeToString(sum[:8])
}

// isDistinct refuses a display name that another token of the user has.
func isDistinct(set *ruleset.Set, r *CreateRequest) error {
	if !r.Distinct {
		return nil
	}
	for _, doc := range set.Tokens {
		if t := doc.APIToken; string(t.User) == r.Token.User && !t.AnyUser && !t.Canary && t.Revoked.IsZero() && !t.Ends.Revoked && t.DisplayName == r.Token.DisplayName {
			return Refuse(Invalid, "displayName", "%s has a token of this name already, expected another name", r.Token.User)
		}
	}
	return nil
}

// isFree refuses a name that a token has.
func isFree(set *ruleset.Set, name string) error {
	if other := set.Find(manifest.KindAPIToken, name); other != nil {
		return Refuse(NameTaken, "name", "the name %s is taken, by the token at %s: expected another one", name, other.Place(other.Metadata.Name.At))
	}
	return nil
}

// setTimes sets when the token begins and ends, within the longest lifetime that the
// user's groups give.
func (s *Service) setTimes(t *edit.NewToken, r *CreateRequest, rights *Rights) error {
	t.Issued = s.now().UTC().Truncate(time.Second)
	if t.Canary {
		t.Expires = time.Time{} // it is always refused
		return nil
	}
	asked, longest := r.Lifetime, rights.MaxLifetime
	if asked == 0 && !t.Expires.IsZero() {
		asked = t.Expires.Sub(t.Issued)
	}
	if asked == 0 {
		asked = DefaultLifetime
		if longest > 0 {
			asked = min(asked, longest)
		}
	}
	if longest > 0 && asked > longest {
		if !r.Clamp {
			return beyondCap(asked, rights, t.User)
		}
		asked = longest
	}
	t.Expires = time.Time{}
	if asked != policy.Forever {
		t.Expires = t.Issued.Add(asked)
	}
	return nil
}

func beyondCap(asked time.Duration, rights *Rights, user string) error {
	return Refuse(BeyondCap, "expires", "a lifetime of %s is beyond the cap: group %s gives %s at most %s (%s)",
		LifetimeText(asked), rights.CapBy.Key(), user, LifetimeText(rights.MaxLifetime), rights.CapBy.Place(rights.CapBy.Pos))
}

// warnings reports a user whom no gate admits: their token would be deactivated.
func warnings(set *ruleset.Set, user string) []string {
	if len(set.Gates) == 0 {
		return []string{"there is no Gate in the manifests yet, without which every request is refused: `patgate check --help` shows one"}
	}
	if user == "" {
		return nil
	}
	var wanted []string
	for _, g := range set.Gates {
		if len(g.Gate.Groups) == 0 {
			return nil
		}
		for _, ref := range g.Gate.Groups {
			group := set.Find(manifest.KindUserGroup, g.Resolve(ref))
			if group == nil || group.UserGroup == nil || slices.Contains(group.UserGroup.Members, manifest.User(user)) {
				return nil
			}
			wanted = append(wanted, ref.Text)
		}
	}
	slices.Sort(wanted)
	return []string{fmt.Sprintf("%s is in none of the groups whose members may use tokens (%s): the token is refused until they are",
		user, strings.Join(slices.Compact(wanted), ", "))}
}

// LifetimeText writes a lifetime as people do.
func LifetimeText(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == policy.Forever:
		return "forever"
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}
