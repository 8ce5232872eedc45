package ruleset

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// A change of gates, policies and groups leaves what other tokens say as it is: their documents need not be decoded again.
// The rows of tokens are led to the new policies and groups, and are asked what they need of gates. A step takes this way
// only where no check of a token that stays could come to another result. Otherwise everything is taken in: where a policy
// or a group is gone, grants something for the first time or nothing any more, or has ranges of addresses; where the level
// of a token would cost too much; where a token does not suit the gates any more (policy.Snapshot.GatesSuit); and where a
// gate is gone and a weaker one would guard what it guarded. Where a document is at fault, everything is taken in, too, and
// its problem explained.

// leave takes the documents of files that differ or are gone out of the set.
func (s *Step) leave() {
	s.before = map[string]*manifest.Document{}
	stay := func(docs []*manifest.Document) (list []*manifest.Document) {
		if !slices.ContainsFunc(docs, s.leaves) {
			return slices.Clip(docs) // what is added must not be seen in what is loaded
		}
		for _, doc := range docs {
			if !s.leaves(doc) {
				list = append(list, doc)
				continue
			}
			s.before[doc.Kind+"/"+doc.Key()] = doc
			delete(s.names, doc.Kind+"/"+doc.Key())
		}
		return list
	}
	s.Gates, s.Groups, s.Policies = stay(s.from.rest.Gates), stay(s.from.rest.Groups), stay(s.from.rest.Policies)
}

func (s *Step) leaves(doc *manifest.Document) bool { return s.leaving[doc.File] } // mutant: changed-file-stays

// restDiffers reports whether documents come or leave that are no tokens.
func (s *Step) restDiffers() bool {
	return len(s.before) > 0 || slices.ContainsFunc(s.files, func(docs []*manifest.Document) bool {
		return slices.ContainsFunc(docs, func(doc *manifest.Document) bool { return doc.APIToken == nil })
	})
}

// restAlike reports whether checks of what names policies and groups come to the same result as before.
func (s *Step) restAlike() bool {
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
	return true
}

// alike reports whether checks of what names a policy or a group come to the same result with another one in its
// place, but for what its patterns cost: it grants something or nothing, as before, and no range of addresses counted.
// What names a gate is asked once the gates are compiled.
func (s *Step) alike(before, after *manifest.Document) bool {
	if before.Gate != nil {
		return true
	}
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
	return doc.UserGroup != nil && s.rangeInPolicies(doc, doc.UserGroup.Policies) != "" // mutant: ranges-of-groups-come-late
}

// compileRest makes the rows of gates, policies and groups, and returns what compiles tokens that name them. It returns
// nil where the step can't be taken.
func (s *Step) compileRest() *compiler {
	running, old, next := s.options.Running, &s.Changes.Old, &s.Changes.New
	c := compilerOf(nil, nil)
	c.old = running
	rows := c.rest(s.Set)
	gone, own := s.goneGates()
	old.Gates = gone
	own = own && changed(rows.Policies, running.Policy, &old.Policies, &next.Policies, policyRow) &&
		changed(rows.Groups, running.Group, &old.Groups, &next.Groups, groupRow) &&
		changed(rows.Gates, running.Gate, &old.Gates, &next.Gates, gateRow)
	if !own || running.Heaviest(old.Policies, next.Policies) > policy.MaxLevel { // mutant: heavy-policy-taken
		return nil
	}
	if !s.gatesFit(&rows, len(gone) > 0) { // mutant: gates-suit-always
		return nil
	}
	if len(next.Groups) > 0 && len(s.Tokens) > 0 {
		c.come = policy.NewMembers(next.Groups)
	}
	s.Changes.Refer, s.rows = true, rows
	return c
}

// gatesFit reports whether the tokens that stay suit the next gates, and whether what a gate guarded that is gone is open
// to no weaker one. differ says that some gate is gone.
func (s *Step) gatesFit(rows *policy.Rows, differ bool) bool {
	running := s.options.Running
	var open []*policy.Gate
	for i, doc := range s.Gates {
		row := rows.Gates[i]
		if was := running.Gate(row.Name); was != nil && was.Fingerprint == row.Fingerprint {
			continue // what it refers to alone may differ
		}
		if differ = true; doc.Gate.ClientIP == nil { // mutant: open-gate-unseen
			open = append(open, row)
		}
	}
	if !differ {
		return true
	}
	return len(running.Losses(besideObjects(running, rows).Gates)) == 0 && // mutant: gate-lost-by-step
		running.GatesSuit(rows.Gates, open, func(file string) bool { return !s.leaving[file] })
}

// goneGates lists the rows of gates that are gone. It reports false where one is not what runs.
func (s *Step) goneGates() (gone []*policy.Gate, own bool) {
	for key, doc := range s.before {
		if doc.Gate == nil || s.names[key] != nil {
			continue
		}
		row := s.options.Running.Gate(doc.Key())
		if row == nil || row.Source.Origin == policy.OriginObjects {
			return nil, false
		}
		gone = append(gone, row)
	}
	return gone, true
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
	if !s.Changes.Refer {
		return s.Changes.New.All
	}
	return func(yield func(*policy.Token) bool) {
		come := map[string]bool{}
		for _, f := range s.changed {
			come[f.Name] = true
		}
		more := true
		s.Changes.New.All(func(t *policy.Token) bool { more = yield(t); return more })
		for t := range now.TokensOf(s.Changes.Old.Groups, s.Changes.New.Groups) {
			if !more {
				return
			}
			more = come[t.Source.File] || yield(t)
		}
	}
}

// accept takes over the gates, policies and groups of a step.
func (l *Loaded) accept(s *Step) {
	rest := newSet()
	rest.Gates, rest.Groups, rest.Policies, rest.users = s.Gates, s.Groups, s.Policies, s.users
	rest.names, rest.kinds = s.names, s.kinds
	maps.DeleteFunc(rest.names, func(_ string, doc *manifest.Document) bool { return doc.APIToken != nil })
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
