package policy

import (
	"cmp"
	"slices"
	"time"

	"github.com/patgate/patgate/token"
)

// GroupLoss is a group that a gate named, and that goes while a token still needs its word.
type GroupLoss struct {
	Group *Group
	Token *Token // the first by name that could do more
	Cap   bool   // its longest lifetime held; false: its policies did
}

// GroupLosses compares the groups that gates of the running revision name with those of the
// next. When a group is deleted together with its references, no other check notices that its
// policies restricted the members' tokens and that its maxLifetime ended them: no token may be
// left that could do more without the group. A group that no gate names can be deleted at will.
func (s *Snapshot) GroupLosses(next *Rows, now time.Time) []GroupLoss {
	lost := s.lostGroups(next.Groups)
	if len(lost) == 0 {
		return nil
	}
	l := losing{next: next, now: now, lost: lost, members: membership(next.Groups)}
	tokens := slices.SortedFunc(next.All, func(a, b *Token) int { return cmp.Compare(a.Name, b.Name) })
	var losses []GroupLoss
	for _, g := range lost {
		for _, t := range tokens {
			if bounds, lifetime := l.needs(t, g); bounds || lifetime {
				losses = append(losses, GroupLoss{Group: g, Token: t, Cap: !bounds})
				break
			}
		}
	}
	return losses
}

// lostGroups lists the groups that a running gate names and that would be gone, by name.
func (s *Snapshot) lostGroups(next []*Group) []*Group {
	stays := map[string]bool{}
	for _, g := range next {
		stays[g.Name] = true
	}
	var lost []*Group
	for _, gate := range s.Gates() {
		for _, g := range gate.Groups {
			if !stays[g.Name] {
				stays[g.Name] = true // once is enough
				lost = append(lost, g)
			}
		}
	}
	SortGroups(lost)
	return lost
}

// losing is the question what tokens could do more once groups are gone.
type losing struct {
	next    *Rows
	now     time.Time
	lost    []*Group      // by name
	members membersByName // each user's groups that stay
}

// needs reports whether a token could do more without a group that goes: without its
// bounds, or without its cap.
func (l *losing) needs(t *Token, g *Group) (bounds, lifetime bool) {
	if t.Revoked || t.Canary || !t.Expires.IsZero() && !l.now.Before(t.Expires) {
		return false, false
	}
	users := []string{t.User}
	if t.AnyUser {
		users = g.Members
	}
	for _, user := range users {
		groups := l.members[t.Namespace][user]
		if g.Namespace != t.Namespace || !slices.Contains(g.Members, user) || !l.admitted(t, groups) {
			continue
		}
		bounds = bounds || unbound(g, groups)                         // mutant: lost-group-bounds-go
		lifetime = lifetime || g.MaxLifetime > 0 && l.longer(t, user) // mutant: lost-group-cap-goes
	}
	return bounds || l.speaksForUnbound(t, g), lifetime
}

// admitted reports whether one of the token's gates would admit a user of these groups.
func (l *losing) admitted(t *Token, groups []*Group) bool {
	return slices.ContainsFunc(l.next.Gates, func(gate *Gate) bool { return t.forGate(gate) && gate.mayAdmit(groups, t.Namespace) })
}

// speaksForUnbound reports whether the token may act for a member whom the group's bounds
// would no longer hold.
func (l *losing) speaksForUnbound(t *Token, g *Group) bool {
	return len(t.ActAs) > 0 && slices.ContainsFunc(g.Members, func(target string) bool {
		groups := l.members[t.Namespace][target]
		return unbound(g, groups) &&
			slices.ContainsFunc(t.ActAs, func(p *Pattern) bool { return p.Match(target) }) &&
			slices.ContainsFunc(l.next.Gates, func(gate *Gate) bool {
				return gate.ActAsHeader != "" && t.forGate(gate) && gate.mayAdmit(t.Groups, t.Namespace) && gate.mayAdmit(groups, t.Namespace)
			})
	})
}

// unbound reports whether a group has bounds that none of the groups that stay has. A policy is
// the one of the same name, even if its text or place changed: that is an edit, not a loss.
func unbound(g *Group, groups []*Group) bool {
	bounds := enforced(g.Policies)
	return len(bounds) > 0 && !slices.ContainsFunc(groups, func(other *Group) bool { return slices.Equal(enforced(other.Policies), bounds) })
}

// enforced lists the names of policies, once each and sorted, but for those that only observe.
func enforced(policies []*Policy) []string {
	var names []string
	for _, p := range policies {
		if !p.Observe {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// longer reports whether one of the token's values would end later, or never, than with
// the groups that go, and has not ended either way.
func (l *losing) longer(t *Token, user string) bool {
	groups := l.members[t.Namespace][user]
	all := slices.Clone(groups)
	for _, g := range l.lost {
		if slices.Contains(g.Members, user) {
			all = append(all, g)
		}
	}
	return slices.ContainsFunc(t.digests(), func(d token.Digest) bool {
		before, after := t.lifetime(d, all).end, t.lifetime(d, groups).end
		return !before.IsZero() && (after.IsZero() || after.After(before) && l.now.Before(after))
	})
}
