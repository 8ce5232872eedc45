package policy

import (
	"iter"
	"slices"
)

// referring are the policies that take the place of others of their names, and the users whose groups may differ.
type referring struct {
	policies map[*Policy]*Policy
	users    userNames
	members  membersByName // their groups
}

// userNames are the names of users by namespace.
type userNames map[string]map[string]bool

// referring lists those of the changes.
func (c *Changes) referring(members membersByName) *referring {
	return &referring{inPlaceOf(c.Old.Policies, c.New.Policies), membersOf(c.Old.Groups, c.New.Groups), members}
}

// membersOf returns the users in groups.
func membersOf(lists ...[]*Group) userNames {
	users := userNames{}
	for _, groups := range lists {
		for _, g := range groups {
			if users[g.Namespace] == nil {
				users[g.Namespace] = map[string]bool{}
			}
			for _, user := range g.Members {
				users[g.Namespace][user] = true
			}
		}
	}
	return users
}

// inPlaceOf leads from old policies to the new ones of their names.
func inPlaceOf(old, rows []*Policy) map[*Policy]*Policy {
	was := make(map[string]*Policy, len(old))
	for _, row := range old {
		was[row.Name] = row
	}
	next := make(map[*Policy]*Policy, len(old))
	for _, row := range rows {
		if before := was[row.Name]; before != nil && before != row {
			next[before] = row
		}
	}
	return next
}

// exchanged returns a list in which policies have taken the place of others, or false where none has.
func exchanged(list []*Policy, by map[*Policy]*Policy) ([]*Policy, bool) {
	if len(by) == 0 || !slices.ContainsFunc(list, func(row *Policy) bool { return by[row] != nil }) {
		return list, false
	}
	list = slices.Clone(list)
	for i, row := range list {
		if next := by[row]; next != nil {
			list[i] = next
		}
	}
	return list, true
}

// refer returns the table in which what refers to old policies refers to the new ones, and users of tokens of files are in
// the groups of files that they are in now. That is at the cost of what tokens have in common, and of the tokens with rules of their own.
func (t *tokenTable) refer(r *referring, changed *tally) *tokenTable {
	if len(r.policies)+len(r.users) == 0 {
		return t
	}
	next := &tokenTable{shared: t.shared, chunks: slices.Clone(t.chunks), free: t.free, count: t.count, digests: t.digests, names: t.names, grown: t.grown}
	users, grants := make([]bool, len(t.users)), make([]bool, len(t.grants))
	if len(r.users) > 0 {
		next.users = slices.Clone(t.users)
		ofObjects := t.usersOfObjects()
		for i := range next.users {
			u := &next.users[i]
			if !r.users[u.namespace][u.name] || ofObjects[i] { // mutant: tokens-of-objects-join
				continue
			}
			if groups := r.groupsOf(u); !slices.Equal(u.groups, groups) {
				u.groups, users[i] = groups, true
			}
		}
	}
	next.grants = slices.Clone(t.grants)
	for i := range next.grants {
		next.grants[i], grants[i] = exchanged(next.grants[i], r.policies)
	}
	for i, c := range t.chunks {
		if c == nil {
			continue
		}
		extras := c.refer(r)
		if extras != nil {
			next.chunks[i] = &chunk{c.number, c.rows, c.names, extras, c.firstFile, c.lastFile}
		}
		for n := range c.rows {
			p := &c.rows[n]
			own := p.extra != 0 && extras != nil && !slices.Equal(extras[p.extra-1].policies, c.extras[p.extra-1].policies)
			if !p.free() && (users[p.user] || grants[p.grant] || own) {
				changed.note(c.name(p))
			}
		}
	}
	return next
}

// usersOfObjects says by number whose tokens come from a cluster's objects. An entry is of objects, or of files: see userOf.
func (t *tokenTable) usersOfObjects() []bool {
	list := make([]bool, len(t.users))
	if !slices.ContainsFunc(t.files, func(f fileOf) bool { return f.origin == OriginObjects }) {
		return list
	}
	for n := range t.all {
		if _, r := t.at(n); t.files[r.file].origin == OriginObjects {
			list[r.user] = true
		}
	}
	return list
}

// groupsOf returns the groups that tokens of files have by their user: those of files.
func (r *referring) groupsOf(u *user) []*Group {
	groups := r.members[u.namespace][u.name]
	foreign := func(g *Group) bool { return g.Source.Origin == OriginObjects } // mutant: groups-of-objects-join
	if slices.ContainsFunc(groups, foreign) {
		return slices.DeleteFunc(slices.Clone(groups), foreign)
	}
	return groups
}

// refer returns the extras of a chunk with the new policies, or nil where none refers to an old one.
func (c *chunk) refer(r *referring) (extras []extra) {
	for i := range c.extras {
		policies, other := exchanged(c.extras[i].policies, r.policies)
		if !other {
			continue
		}
		if extras == nil {
			extras = slices.Clone(c.extras)
		}
		extras[i].policies = policies
	}
	return extras
}

// TokensOf calls yield with each token whose user is in one of the groups, and with each token of any user, until
// it returns false.
func (s *Snapshot) TokensOf(groups ...[]*Group) iter.Seq[*Token] {
	t, wanted := s.revision.tokens, membersOf(groups...)
	return func(yield func(*Token) bool) {
		for n := range t.all {
			c, r := t.at(n)
			if (r.flags&flagAnyUser != 0 || wanted[t.users[r.user].namespace][t.users[r.user].name]) && !yield(t.unpack(c, r)) {
				return
			}
		}
	}
}

// Heaviest returns how many instructions the patterns of one token's level would have at most, of the tokens that
// name policies which others take the place of.
func (s *Snapshot) Heaviest(old, next []*Policy) (most int) {
	t, r := s.revision.tokens, &referring{policies: inPlaceOf(old, next)}
	costs := map[*Policy]int{}
	for _, list := range t.grants {
		most = max(most, r.cost(list, costs))
	}
	for _, c := range t.chunks {
		if c == nil {
			continue
		}
		for i := range c.rows {
			p := &c.rows[i]
			x := c.extra(p)
			if p.free() || x == nil || x.policies == nil && x.rare == nil {
				continue
			}
			policies := x.policies
			if policies == nil {
				policies = t.grants[p.grant]
			}
			cost := r.cost(policies, costs)
			if cost > 0 && x.rare != nil {
				for _, pattern := range x.rare.actAs {
					cost += pattern.Instructions()
				}
			}
			most = max(most, cost)
		}
	}
	return most
}

// cost returns how many instructions the rules of a list have, or 0 where none of it is replaced.
func (r *referring) cost(list []*Policy, costs map[*Policy]int) (sum int) {
	next, other := exchanged(list, r.policies)
	if !other {
		return 0
	}
	for _, p := range next {
		cost, known := costs[p]
		if !known {
			if cost = p.instructions(); p.Name != "" {
				costs[p] = cost
			}
		}
		sum += cost
	}
	return sum
}

func (p *Policy) instructions() (n int) {
	for _, rules := range [][]*Rule{p.Allow, p.Deny} {
		for _, r := range rules {
			n += r.Instructions()
		}
	}
	return n
}
