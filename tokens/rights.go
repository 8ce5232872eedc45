package tokens

import (
	"context"
	"slices"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// Actor is the caller. The zero value is the user of the command line, who is not known: there the
// rights of the token's user count.
type Actor struct {
	User  string
	Admin bool   // may do everything with tokens; see Service.Actor
	Token string // the name of the token that asks, if one does: it grants no more than it has
}

// byHand reports whether the actor is the user of the command line.
func (a *Actor) byHand() bool { return a.User == "" && a.Token == "" }

// Rights are what a user's groups allow with tokens.
type Rights struct {
	Admin       bool
	Create      bool
	Mentioned   bool          // a group has rights or limits for tokens
	MaxLifetime time.Duration // 0: no group sets one; policy.Forever: no end
	CapBy       *manifest.Document
	Max         int // live tokens; 0: no limit
	Held        int // live tokens
}

// RightsOf looks up the rights that groups give a user now. Groups in a namespace give none: a team must not make
// its members administrators of everybody's tokens.
func RightsOf(set *ruleset.Set, user string, now time.Time) Rights {
	var r Rights
	for _, doc := range set.Groups {
		spec := doc.UserGroup
		if doc.Metadata.Namespace != "" || !slices.Contains(spec.Members, manifest.User(user)) {
			continue
		}
		r.Admin = r.Admin || spec.Admin
		if spec.Tokens != nil {
			r.Mentioned = true
			r.Create = r.Create || spec.Tokens.Create
			r.Max = max(r.Max, int(spec.Tokens.Max))
		}
	}
	r.MaxLifetime, r.CapBy = set.LongestLifetime("", user)
	for _, t := range set.Tokens {
		if string(t.APIToken.User) == user && live(t.APIToken, r.MaxLifetime, now) {
			r.Held++
		}
	}
	return r
}

// live reports whether a token is neither revoked nor past its end. An undecidable one counts as live.
func live(t *manifest.APIToken, longest time.Duration, now time.Time) bool {
	if t.Canary || t.Ends.Revoked || !t.Revoked.IsZero() {
		return false
	}
	end := t.Expires.Time
	if longest > 0 && longest != policy.Forever && !t.Issued.IsZero() {
		if by := t.Issued.Add(longest); end.IsZero() || by.Before(end) {
			end = by
		}
	}
	return end.IsZero() || now.Before(end)
}

// Actor looks up a user's rights. It is done for each request: rights are never kept.
func (s *Service) Actor(ctx context.Context, user string) (Actor, Rights, error) {
	set, err := s.Documents.Documents(ctx)
	if err != nil {
		return Actor{}, Rights{}, err
	}
	rights := RightsOf(set, user, s.now())
	return Actor{User: user, Admin: user != "" && rights.Admin}, rights, nil
}

// mayCreate refuses what the actor may not create for the user.
func (a *Actor) mayCreate(rights *Rights, r *CreateRequest) error {
	user := r.Token.User
	switch {
	case a.Admin:
		return nil
	case !a.byHand() && (r.Token.Canary || len(r.Token.ActAs)+len(r.Token.Logins) > 0):
		return Refuse(NoRight, adminField(&r.Token), "administrators alone create such a token, expected `admin: true` in a UserGroup of yours")
	case !a.byHand() && (r.Token.AnyUser || user != a.User):
		return Refuse(NoRight, "user", "%s may create tokens for themselves alone, expected the user %s: an administrator creates others", a.User, a.User)
	case r.Token.AnyUser:
		return nil // the command line: no groups grant its rights
	case a.byHand() && !rights.Mentioned:
		return nil
	case !rights.Create:
		return Refuse(NoRight, "user", "no group gives %s the right to create tokens, expected `tokens.create: true` in a UserGroup of theirs", user)
	case rights.Max > 0 && rights.Held >= rights.Max:
		return Refuse(TooMany, "user", "%s holds %d live tokens, and their groups allow %d (`tokens.max`): revoke one first", user, rights.Held, rights.Max)
	}
	return nil
}

// adminField names the field that only administrators set.
func adminField(t *edit.NewToken) string {
	switch {
	case t.Canary:
		return "canary"
	case len(t.ActAs) > 0:
		return "actAs"
	}
	return "logins"
}

// mayChange refuses a token that is not the actor's.
func (a *Actor) mayChange(doc *manifest.Document) error {
	if a.byHand() || a.Admin || string(doc.APIToken.User) == a.User && !doc.APIToken.AnyUser && !doc.APIToken.Canary {
		return nil
	}
	return &UnknownError{Name: doc.Key()} // others' tokens are not shown to exist
}
