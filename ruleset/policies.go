package ruleset

import (
	"maps"
	"slices"
	"strings"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// A change of policies alone leaves what tokens say as it is: their documents need not be decoded again. The rows of
// tokens are led to the new policies. A step takes this way only where no check of a token's could come to another
// result; for anything else, everything is taken in.

// policiesAlone reports whether only files of policies differ, as far as is known before any file is decoded.
func (s *Step) policiesAlone() bool {
	if len(s.input.Problems) > 0 || s.input.ambiguous() || len(s.leaving) == 0 {
		return false
	}
	for name := range s.leaving {
		if !s.from.policies[name] { // mutant: gate-file-leaves
			return false
		}
	}
	return true
}

// leave takes the policies of files that differ or are gone out of the set.
func (s *Step) leave() {
	s.before = map[string]*manifest.Document{}
	s.Policies = nil
	for _, doc := range s.from.rest.Policies {
		if !s.leaving[doc.File] {
			s.Policies = append(s.Policies, doc)
			continue
		}
		s.before[doc.Key()] = doc
		delete(s.names, doc.Kind+"/"+doc.Key())
	}
}

// checkPolicies checks a step in which nothing but policies may differ.
func (s *Step) checkPolicies() bool {
	rest := s.from.rest
	if s.broken || len(s.Problems)+len(s.unread)+len(s.Tokens) > 0 || len(s.Gates)+len(s.Groups) != len(rest.Gates)+len(rest.Groups) { // mutant: wrong-policies-taken
		return false
	}
	for name, doc := range s.before {
		if !alike(doc, s.names[manifest.KindTokenPolicy+"/"+name]) {
			return false
		}
	}
	s.partial = true // of tokens, none is there
	if s.check(); len(s.Problems) > 0 {
		return false
	}
	return s.compilePolicies()
}

// alike reports whether checks of what names a policy come to the same result with another one in its place, but
// for what its patterns cost: it grants something or nothing, as before, and no range of addresses counts.
func alike(before, after *manifest.Document) bool {
	if after == nil || after.TokenPolicy == nil {
		return false // a token may name it
	}
	was, is := before.TokenPolicy, after.TokenPolicy
	if (len(was.Allow) > 0) != (len(is.Allow) > 0) { // mutant: grant-becomes-empty
		return false
	}
	return rangeInRules(before, was.Allow, was.Deny) == "" && rangeInRules(after, is.Allow, is.Deny) == "" // mutant: ranges-come-late
}

// compilePolicies makes the rows of policies, and of groups and gates that name them. It reports false where tokens
// would cost too much, or after a panic.
func (s *Step) compilePolicies() (done bool) {
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
	s.Changes, s.rows, s.policies = changes, rows, true
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

// accept takes over the policies of a step.
func (l *Loaded) accept(s *Step) {
	for _, f := range s.changed {
		l.policies[f.Name] = true
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
