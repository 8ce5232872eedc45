package policy

import "slices"

// GatesSuit reports whether the tokens of some files suit the next gates as they suit those that run: each gate that a
// token names is there, one of its gates takes it in a scheme of its own, and no range of addresses counts for it at one of
// the open gates, which do not say where addresses come from. Tokens of a cluster's objects are not asked about. It takes
// all of that from the rows: the documents of tokens need not be read again.
func (s *Snapshot) GatesSuit(next, open []*Gate, of func(file string) bool) bool {
	x := newSuiting(s, next, open)
	files := make([]bool, len(x.files))
	for i, f := range x.files {
		files[i] = f.origin != OriginObjects && of(f.name)
	}
	for _, c := range x.chunks {
		if c == nil {
			continue
		}
		for i := range c.rows {
			if r := &c.rows[i]; !r.free() && files[r.file] && !x.suits(c, r) {
				return false
			}
		}
	}
	return true
}

// suiting is the question whether tokens suit gates.
type suiting struct {
	*tokenTable
	lists  []gateList           // of the lists of gates that tokens have, by number
	every  map[string]*gateList // of tokens for every gate of their namespace
	open   bool                 // some gate is
	grants []bool               // by number: ranges count in it
	users  []bool               // in a group in which ranges count
	ranged bool                 // some group has ranges
}

// gateList holds the properties of the gates that a token is for.
type gateList struct {
	gates, missing bool // there are some; one of those named is not there
	schemes        Schemes
	open           bool // one of them does not say where addresses come from
	openToOthers   bool // and lets tokens act for other users
}

func (l *gateList) add(g *Gate, open map[*Gate]bool) {
	l.gates, l.schemes = true, l.schemes|g.Schemes
	if open[g] {
		l.open, l.openToOthers = true, l.openToOthers || g.ActAsHeader != ""
	}
}

func newSuiting(s *Snapshot, next, open []*Gate) *suiting {
	x := &suiting{tokenTable: s.revision.tokens, every: map[string]*gateList{}, open: len(open) > 0}
	byName, isOpen := map[string]*Gate{}, map[*Gate]bool{}
	for _, g := range open {
		isOpen[g] = true
	}
	for _, g := range next {
		byName[g.Name] = g
		if x.every[g.Namespace] == nil {
			x.every[g.Namespace] = &gateList{}
		}
		x.every[g.Namespace].add(g, isOpen)
	}
	x.lists = make([]gateList, len(x.gates))
	for i, names := range x.gates {
		for _, name := range names {
			if g := byName[name]; g != nil {
				x.lists[i].add(g, isOpen)
			} else {
				x.lists[i].missing = true
			}
		}
	}
	if x.open {
		x.findRanges(s)
	}
	return x
}

// findRanges finds out where ranges of addresses count.
func (x *suiting) findRanges(s *Snapshot) {
	ranged := map[*Group]bool{}
	for _, g := range s.groups() {
		if g.ranged() {
			ranged[g] = true
		}
	}
	x.ranged = len(ranged) > 0
	x.grants, x.users = make([]bool, len(x.shared.grants)), make([]bool, len(x.shared.users))
	for i, list := range x.shared.grants {
		x.grants[i] = slices.ContainsFunc(list, (*Policy).ranged)
	}
	for i := range x.shared.users {
		x.users[i] = x.ranged && slices.ContainsFunc(x.shared.users[i].groups, func(g *Group) bool { return ranged[g] })
	}
}

// suits reports whether one token does.
func (x *suiting) suits(c *chunk, r *packed) bool {
	own := r.schemes
	if r.flags&flagAnyUser != 0 {
		own = Schemes(0).With(Basic)
	}
	list := &x.lists[r.gates]
	if r.gates == 0 {
		if own == 0 && !x.open {
			return true // as nearly all do
		}
		if list = x.every[x.shared.users[r.user].namespace]; list == nil {
			return true
		}
	}
	switch {
	case list.missing: // mutant: named-gate-goes
		return false
	case own != 0 && list.gates && own&list.schemes == 0 && r.flags&flagCanary == 0: // mutant: token-fits-no-gate
		return false
	}
	return !list.open || !x.rangeIn(c, r, list.openToOthers) // mutant: gate-opens-to-ranges
}

// rangeIn reports whether ranges of addresses count for a token: its own, or those of its rules, its policies or its groups.
func (x *suiting) rangeIn(c *chunk, r *packed, others bool) bool {
	if x.grants[r.grant] || x.users[r.user] || x.ranged && r.flags&flagAnyUser != 0 {
		return true
	}
	more := c.extra(r)
	if more == nil {
		return false
	}
	if slices.ContainsFunc(more.policies, (*Policy).ranged) {
		return true
	}
	return more.rare != nil && (!more.rare.clients.Empty() || others && x.ranged && len(more.rare.actAs) > 0)
}

// ranged reports whether a rule has ranges of addresses.
func (p *Policy) ranged() bool {
	has := func(r *Rule) bool { return len(r.Clients) > 0 }
	return slices.ContainsFunc(p.Allow, has) || slices.ContainsFunc(p.Deny, has)
}

// ranged reports whether one of the group's policies has ranges of addresses.
func (g *Group) ranged() bool { return slices.ContainsFunc(g.Policies, (*Policy).ranged) }
