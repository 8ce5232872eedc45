package policy

import (
	"maps"
	"slices"
)

// Members are the groups of users. They are much of what a large load holds, and so are made once.
type Members struct {
	groups []*Group
	by     membersByName
}

// NewMembers lists the groups of each user.
func NewMembers(groups []*Group) *Members { return &Members{groups, membership(groups)} }

// Of returns a user's groups in a namespace, by name.
func (m *Members) Of(namespace, user string) []*Group { return m.by[namespace][user] }

// membership lists the groups of each user, unless that is known of these groups.
func (r *Rows) membership(groups []*Group) membersByName {
	if r.Members != nil && len(groups) == len(r.Members.groups) {
		known := slices.Clone(r.Members.groups)
		SortGroups(known)
		SortGroups(groups)
		if slices.Equal(known, groups) {
			return r.Members.by
		}
	}
	return membership(groups)
}

// membersByName are users' groups, by namespace and by the user's name.
type membersByName map[string]map[string][]*Group

// membership lists each user's groups, by name.
func membership(groups []*Group) membersByName {
	members := membersByName{}
	for _, g := range groups {
		in := members[g.Namespace]
		if in == nil {
			in = map[string][]*Group{}
			members[g.Namespace] = in
		}
		for _, user := range g.Members {
			if !slices.Contains(in[user], g) {
				in[user] = append(in[user], g)
			}
		}
	}
	for _, in := range members {
		for _, of := range in {
			SortGroups(of)
		}
	}
	return members
}

// exchange returns what becomes of it when groups take the place of others.
func (m membersByName) exchange(old, rows []*Group) membersByName {
	if len(old)+len(rows) == 0 {
		return m
	}
	next := maps.Clone(m)
	if next == nil {
		next = membersByName{}
	}
	own := map[string]bool{}
	in := func(namespace string) map[string][]*Group {
		if own[namespace] {
			return next[namespace]
		}
		users := maps.Clone(next[namespace])
		if users == nil {
			users = map[string][]*Group{}
		}
		next[namespace], own[namespace] = users, true
		return users
	}
	for _, g := range old {
		users := in(g.Namespace)
		for _, user := range g.Members {
			users[user] = slices.DeleteFunc(slices.Clone(users[user]), func(other *Group) bool { return other == g })
			if len(users[user]) == 0 {
				delete(users, user)
			}
		}
	}
	for _, g := range rows {
		users := in(g.Namespace)
		for _, user := range g.Members {
			if !slices.Contains(users[user], g) {
				users[user] = append(slices.Clip(users[user]), g)
				SortGroups(users[user])
			}
		}
	}
	return next
}
