package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/token"
)

// Token is one credential as the index holds it: the digest of its value, never the
// value. Rows are immutable once they are in an Index.
type Token struct {
	Name        string // with its namespace in front, where it has one: team-a/ci
	Namespace   string
	Source      Source
	Fingerprint Fingerprint
	NotAccepted bool // it is at fault, or names what is: its value counts as unknown

	User      string // the principal; empty for a token of any user
	AnyUser   bool
	Logins    []string // further names accepted as the Basic user
	Digest    token.Digest
	Issued    time.Time
	Expires   time.Time // zero: the manifest sets no end
	Previous  []PreviousValue
	Revoked   bool
	Suspended bool
	Canary    bool

	Schemes Schemes  // zero: those of the gate
	Gates   []string // empty: every gate of its namespace
	Clients Ranges
	Grant   Grant
	ActAs   []*Pattern

	Groups []*Group // of User in the token's namespace, by name; empty for a token of any user

	own string // the text of rules of its own that are not among its policies (see Snapshot.Outline); empty: none
}

// PreviousValue is a value that a rotation replaced, and when it ends.
type PreviousValue struct {
	Digest        token.Digest
	Issued, Until time.Time
}

// Group is a UserGroup: its members' right to have tokens and the bounds on them.
type Group struct {
	Name        string // with its namespace in front, where it has one
	Namespace   string
	Source      Source
	Fingerprint Fingerprint
	Members     []string
	Policies    []*Policy     // bounds on the members' tokens
	MaxLifetime time.Duration // 0: this group sets none; Forever: no end
	Admin       bool
	Create      bool // members may create tokens for themselves
}

// Forever is the lifetime without an end.
const Forever = time.Duration(1<<63 - 1)

// Skew is the clock skew that is tolerated: how far in the future a token may have been issued.
const Skew = 5 * time.Minute

// SoonSpan is the time before its end in which a token counts as expiring soon.
const SoonSpan = 5 * 24 * time.Hour

// Cap returns the longest maxLifetime of the groups, and the group that sets it; nil: none does.
func Cap(groups []*Group) (longest time.Duration, group *Group) {
	for _, g := range groups {
		if g.MaxLifetime > longest { // mutant: shortest-cap-counts
			longest, group = g.MaxLifetime, g
		}
	}
	return longest, group
}

// lifetime is when a presented value was issued and when it ends; a zero end is never.
type lifetime struct {
	issued, end time.Time
	previous    bool
}

// lifetime returns the span of the value with this digest: it ends at the earliest of
// the manifest's word and of the cap that the user's groups set, also when the cap
// came later.
func (t *Token) lifetime(d token.Digest, groups []*Group) lifetime {
	l := lifetime{issued: t.Issued, end: t.Expires}
	if !t.Digest.Equal(d) {
		l.previous = true
		l.issued, l.end = time.Time{}, time.Unix(0, 0) // ended, unless found below
		for i := range t.Previous {
			if p := &t.Previous[i]; p.Digest.Equal(d) {
				l.issued, l.end = p.Issued, earlier(t.Expires, p.Until)
			}
		}
	}
	if longest, _ := Cap(groups); longest > 0 && longest != Forever { // mutant: cap-does-not-count
		l.end = earlier(l.end, l.issued.Add(longest))
	}
	return l
}

// earlier returns the earlier of two ends, of which a zero one never comes.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (l lifetime) notYetValid(now time.Time) bool { return l.issued.After(now.Add(Skew)) }
func (l lifetime) expired(now time.Time) bool     { return !l.end.IsZero() && !now.Before(l.end) } // mutant: one-instant-longer
func (l lifetime) soon(now time.Time) bool {
	return !l.end.IsZero() && !now.Before(l.end.Add(-SoonSpan))
}

// Takes reports whether the token may be presented in this way.
func (t *Token) Takes(s Scheme) bool {
	return (t.Schemes == 0 || t.Schemes.Has(s)) && (!t.AnyUser || s == Basic)
}

// belongsTo reports whether a presented user may use the token.
func (t *Token) belongsTo(user string) bool {
	if t.AnyUser {
		return presentableUser(user)
	}
	return user == t.User || slices.Contains(t.Logins, user) // mutant: any-user
}

// forGate reports whether the token is for a gate, and the gate for tokens of its namespace.
func (t *Token) forGate(g *Gate) bool {
	if !g.admitsTokensOf(t.Namespace) {
		return false
	}
	return len(t.Gates) == 0 && t.Namespace == g.Namespace || slices.Contains(t.Gates, g.Name)
}

// State is the state of a token at a moment. It is computed and never stored.
type State uint8

// The states, the first that holds.
const (
	StateRevoked State = iota
	StateSuspended
	StateCanary
	StateNotYetValid
	StateExpired
	StateDeactivated // no gate admits its user
	StateExpiresSoon
	StateActive
	StateCount
)

// String returns the state's stable name.
func (s State) String() string {
	return [...]string{"revoked", "suspended", "canary", "not-yet-valid", "expired",
		"deactivated", "expires-soon", "active", "unknown"}[min(s, StateCount)]
}

// State computes a token's state at a moment.
func (s *Snapshot) State(t *Token, now time.Time) State {
	l := t.lifetime(t.Digest, t.Groups)
	switch {
	case t.Revoked:
		return StateRevoked
	case t.Suspended:
		return StateSuspended
	case t.Canary:
		return StateCanary
	case l.notYetValid(now):
		return StateNotYetValid
	case l.expired(now):
		return StateExpired
	case !t.AnyUser && !s.admitted(t):
		return StateDeactivated
	case l.soon(now):
		return StateExpiresSoon
	}
	return StateActive
}

// End returns when the token's current value ends; zero where nothing ends it.
func (t *Token) End() time.Time { return t.EndOf(t.Digest) }

// EndOf returns when one of the token's values ends, the current one or a previous one;
// zero where nothing ends it. A value that it does not have has ended.
func (t *Token) EndOf(d token.Digest) time.Time { return t.lifetime(d, t.Groups).end }

// admitted reports whether one of the token's gates admits its user.
func (s *Snapshot) admitted(t *Token) bool {
	for _, g := range s.revision.gates.byName {
		if t.For(g) && !g.Invalid && t.AdmittedAt(g) {
			return true
		}
	}
	return false
}

// For reports whether the token is for a gate.
func (t *Token) For(g *Gate) bool { return t.forGate(g) }

// AdmittedAt reports whether a gate admits the token's user, as far as that is known:
// of a token of any user it is the one who presents it.
func (t *Token) AdmittedAt(g *Gate) bool {
	return t.AnyUser || g.admits(t.Groups) || slices.ContainsFunc(g.Groups, func(other *Group) bool {
		return other.Namespace != t.Namespace && slices.Contains(other.Members, t.User)
	})
}

func looksMinted(value string) bool { return strings.HasPrefix(value, token.Prefix) }
