package policy

import (
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/patgate/patgate/token"
)

// Value is what manifests say of one value of a token's: whether it is revoked, and when
// it begins and ends.
type Value struct {
	Revoked bool
	Dormant bool      // no gate admits its user: caps come back when the user does
	Issued  time.Time // the end by the caps of groups counts from here
	Written time.Time // the end by the manifest alone; zero: never
	Capped  time.Time // the end by the manifest and the user's groups; zero: never
}

// Revival is how a change extends the validity of a token's value. The zero value: it does not.
type Revival uint8

// The revivals.
const (
	NotRevived     Revival = iota
	RevokedRemoved         // `revoked` is gone
	IssuedMoved            // `issued` is later, and with it the end by the cap
	EndMoved               // the end is later
)

// String returns what was done, in words.
func (r Revival) String() string {
	return [...]string{"nothing", "`revoked` was removed", "`issued` was moved later", "the end was moved later"}[min(r, EndMoved)]
}

// Revival compares a value with what later manifests say of it. What is revoked then, is dead
// whatever else they say.
func (v Value) Revival(later Value) Revival {
	switch {
	case later.Revoked:
		return NotRevived
	case v.Revoked:
		return RevokedRemoved
	case later.Issued.After(v.Issued):
		return IssuedMoved
	case endsLater(v.Written, later.Written), !later.Dormant && endsLater(v.Capped, later.Capped):
		return EndMoved
	}
	return NotRevived
}

// endsLater reports whether an end is moved later; a zero end is never.
func endsLater(was, is time.Time) bool { return !was.IsZero() && (is.IsZero() || is.After(was)) }

// Cap returns the value with the end that a cap sets; 0 and Forever set none.
func (v Value) Cap(longest time.Duration) Value {
	v.Capped = v.Written
	if longest > 0 && longest != Forever && !v.Issued.IsZero() {
		v.Capped = earlier(v.Written, v.Issued.Add(longest))
	}
	return v
}

// Value returns what the token's manifest and groups say of one of its values.
func (s *Snapshot) Value(t *Token, d token.Digest) Value {
	v := Value{Revoked: t.Revoked, Dormant: !t.AnyUser && !s.admitted(t), Issued: t.Issued, Written: t.Expires}
	if !t.Digest.Equal(d) {
		for i := range t.Previous {
			if p := &t.Previous[i]; p.Digest.Equal(d) {
				v.Issued, v.Written = p.Issued, earlier(t.Expires, p.Until)
			}
		}
	}
	longest, _ := Cap(t.Groups)
	return v.Cap(longest)
}

// RaisedCap is a cap before and after a change that gives users a longer one. Forever
// is no cap.
type RaisedCap struct{ Was, Is time.Duration }

// RaisedCaps lists how the caps of users grow from one set of groups to another, each
// change once. A token of any user ends for each user by theirs. Users who are in no group any
// more are left out.
func RaisedCaps(older, newer []*Group) []RaisedCap {
	was, is := caps(older), caps(newer)
	seen := map[RaisedCap]bool{}
	var list []RaisedCap
	for user, now := range is {
		if before, member := was[user]; member && now > before {
			if c := (RaisedCap{before, now}); !seen[c] {
				seen[c] = true
				list = append(list, c)
			}
		}
	}
	return list
}

// caps returns the cap of each member of groups.
func caps(groups []*Group) map[string]time.Duration {
	longest := map[string]time.Duration{}
	for _, g := range groups {
		for _, user := range g.Members {
			longest[user] = max(longest[user], g.MaxLifetime)
		}
	}
	for user, c := range longest {
		if c == 0 {
			longest[user] = Forever
		}
	}
	return longest
}

// Revived is a token with a value that lives longer than it was to.
type Revived struct {
	Token, User string
	Source      Source
	How         Revival
}

// Revivals compares tokens with the rows of their values in an older snapshot, by their
// digests, whatever the tokens were called. Tokens that are the same rows in both are passed
// over. A token is listed once; the list is by name.
func (s *Snapshot) Revivals(older *Snapshot, tokens iter.Seq[*Token]) []Revived {
	var list []Revived
	raised := sync.OnceValue(func() []RaisedCap { // for each may have a million members
		if was, is := older.groups(), s.groups(); !slices.Equal(was, is) {
			return RaisedCaps(was, is)
		}
		return nil
	})
	for t := range tokens {
		if how := s.revival(older, t, raised()); how != NotRevived {
			list = append(list, Revived{t.Name, t.User, t.Source, how})
		}
	}
	slices.SortFunc(list, func(a, b Revived) int { return strings.Compare(a.Token, b.Token) })
	return list
}

func (s *Snapshot) revival(older *Snapshot, t *Token, raised []RaisedCap) Revival {
	if len(raised) == 0 && older.Same(t) {
		return NotRevived
	}
	for _, d := range t.digests() {
		old := older.Token(&d)
		if old == nil {
			continue
		}
		was, is := older.Value(old, d), s.Value(t, d)
		if how := was.Revival(is); how != NotRevived {
			return how
		}
		if !t.AnyUser {
			continue
		}
		for _, c := range raised {
			if how := was.Cap(c.Was).Revival(is.Cap(c.Is)); how != NotRevived {
				return how
			}
		}
	}
	return NotRevived
}

// groups returns the groups by name.
func (s *Snapshot) groups() []*Group {
	var list []*Group
	all, err := s.txn.Get(tableGroups, indexID)
	if err != nil {
		return nil
	}
	for raw := all.Next(); raw != nil; raw = all.Next() {
		list = append(list, raw.(*Group))
	}
	return list
}
