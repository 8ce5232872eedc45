package ruleset

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// A change of policies and groups alone leaves what tokens say as it is: their documents need not be decoded again. The
// rows of tokens are led to the new policies and groups. A step takes this way only where no check of a token's could
// come to another result; for anything else, everything is taken in.

// boundsAlone reports whether only files of policies and groups differ, as far as is known before any file is decoded.
func (s *Step) boundsAlone() bool {
	if len(s.input.Problems) > 0 || s.input.ambiguous() || len(s.leaving) == 0 {
		return false
	}
	for name := range s.leaving {
		if !s.from.bounds[name] { // mutant: gate-file-leaves
			return false
		}
	}
	return true
}

// leave takes the documents of files that differ or are gone out of the set.
func (s *Step) leave() {
	s.before = map[string]*manifest.Document{}
	stay := func(docs []*manifest.Document) (list []*manifest.Document) {
		for _, doc := range docs {
			if !s.leaving[doc.File] {
				list = append(list, doc)
				continue
			}
			s.before[doc.Kind+"/"+doc.Key()] = doc
			delete(s.names, doc.Kind+"/"+doc.Key())
		}
		return list
	}
	s.Policies, s.Groups = stay(s.from.rest.Policies), stay(s.from.rest.Groups)
}

// checkBounds checks a step in which nothing but policies and groups may differ.
func (s *Step) checkBounds() bool {
	if s.broken || len(s.Problems)+len(s.unread)+len(s.Tokens) > 0 || len(s.Gates) != len(s.from.rest.Gates) { // mutant: wrong-policies-taken
		return false
	}
	for key, doc := range s.before {
		if !s.alike(doc, s.names[key]) {
			return false
		}
	}
	for _, docs := range s.files {
		if slices.ContainsFunc(docs, s.ranged) {
			return false
		}
	}
	s.partial = true // of tokens, none is there
	if s.check(); len(s.Problems) > 0 {
		return false
	}
	return s.compileBounds()
}

// alike reports whether checks of what names a policy or a group come to the same result with another one in its
// place, but for what its patterns cost: it grants something or nothing, as before, and no range of addresses counted.
func (s *Step) alike(before, after *manifest.Document) bool {
	if after == nil || s.ranged(before) {
		return false // a token may name it
	}
	return before.TokenPolicy == nil || (len(before.TokenPolicy.Allow) > 0) == (len(after.TokenPolicy.Allow) > 0) // mutant: grant-becomes-empty
}

// ranged reports whether ranges of addresses count where a policy or a group does.
func (s *Step) ranged(doc *manifest.Document) bool {
	if p := doc.TokenPolicy; p != nil {
		return rangeInRules(doc, p.Allow, p.Deny) != "" // mutant: ranges-come-late
	}
	return s.rangeInPolicies(doc, doc.UserGroup.Policies) != "" // mutant: ranges-of-groups-come-late
}

// compileBounds makes the rows of policies, and of groups and gates that name them. It reports false where tokens
// would cost too much, or after a panic.
func (s *Step) compileBounds() (done bool) {
	defer func() {
		if recover() != nil {
			done = false
		}
	}()
	running := s.options.Running
	c := newCompiler(nil, nil)
	c.old = running
	rows := c.rest(s.Set)
	changes := policy.Changes{Origin: s.changedOrigin(), Refer: true, New: policy.Rows{SHA256: s.input.Digest}}
	own := changed(rows.Policies, running.Policy, &changes.Old.Policies, &changes.New.Policies, policyRow) &&
		changed(rows.Groups, running.Group, &changes.Old.Groups, &changes.New.Groups, groupRow) &&
		changed(rows.Gates, running.Gate, &changes.Old.Gates, &changes.New.Gates, gateRow)
	if !own || running.Heaviest(changes.Old.Policies, changes.New.Policies) > policy.MaxLevel { // mutant: heavy-policy-taken
		return false
	}
	s.Changes, s.rows = changes, rows
	return true
}

func policyRow(p *policy.Policy) (string, policy.Source) { return p.Name, p.Source }
func groupRow(g *policy.Group) (string, policy.Source)   { return g.Name, g.Source }
func gateRow(g *policy.Gate) (string, policy.Source)     { return g.Name, g.Source }

// changed lists the rows that are not what runs, and by name what runs in their place. It reports false where that comes
// from objects of a cluster, which give way to files.
func changed[T any](rows []*T, running func(name string) *T, old, next *[]*T, of func(*T) (string, policy.Source)) bool {
	for _, row := range rows {
		name, _ := of(row)
		was := running(name)
		if was == row {
			continue
		}
		if was != nil {
			if _, from := of(was); from.Origin == policy.OriginObjects {
				return false
			}
			*old = append(*old, was)
		}
		*next = append(*next, row)
	}
	slices.SortFunc(*old, func(a, b *T) int {
		first, _ := of(a)
		second, _ := of(b)
		return strings.Compare(first, second)
	})
	return true
}

// Concerned returns the tokens whose validity the step's changes may have extended, once they run.
func (s *Step) Concerned(now *policy.Snapshot) iter.Seq[*policy.Token] {
	if s.Changes.Refer {
		return now.TokensOf(s.Changes.Old.Groups, s.Changes.New.Groups)
	}
	return s.Changes.New.All
}

// accept takes over the policies and groups of a step.
func (l *Loaded) accept(s *Step) {
	for _, f := range s.changed {
		l.bounds[f.Name] = true
		delete(l.tokens, f.Name)
	}
	rest := newSet()
	rest.Gates, rest.Groups, rest.Policies, rest.users = s.Gates, s.Groups, s.Policies, s.users
	rest.names, rest.kinds = maps.Clone(s.names), s.kinds
	l.rest = rest
	l.compiler = compilerOf(s.rows.Policies, s.rows.Groups)
}

// compilerOf returns a compiler of tokens that name rows which run.
func compilerOf(policies []*policy.Policy, groups []*policy.Group) *compiler {
	c := newCompiler(policies, nil)
	c.members = nil // the index has them
	for _, g := range groups {
		c.groups[g.Name] = g
	}
	return c
}
