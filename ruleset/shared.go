package ruleset

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// A change of shared documents (gates, policies and groups) does not change the tokens that refer to them, so token
// documents need not be decoded again: the rows of tokens are pointed to the new policies and groups, and checked against the
// new gates. A step is incremental only if no check of a token that stays could have another result. Otherwise all files are
// loaded:
//   - a policy or group was removed, has ranges of addresses, or grants something for the first time or nothing any more;
//   - the level of a token would cost too much;
//   - a token is not valid with the new gates (policy.Snapshot.GatesSuit);
//   - a weaker gate would decide the requests of a removed one;
//   - a document is invalid: its problem must be explained.

// leave removes the documents of files that differ or were removed.
func (s *Step) leave() {
	s.before = map[string]*manifest.Document{}
	stay := func(docs []*manifest.Document) (list []*manifest.Document) {
		if !slices.ContainsFunc(docs, s.leaves) {
			return slices.Clip(docs) // appending must not change the loaded state
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
	s.Gates, s.Groups, s.Policies = stay(s.from.shared.Gates), stay(s.from.shared.Groups), stay(s.from.shared.Policies)
}

func (s *Step) leaves(doc *manifest.Document) bool { return s.leaving[doc.File] } // mutant: changed-file-stays

// sharedDiffers reports whether shared documents are added, changed or removed.
func (s *Step) sharedDiffers() bool {
	return len(s.before) > 0 || slices.ContainsFunc(s.files, func(docs []*manifest.Document) bool {
		return slices.ContainsFunc(docs, func(doc *manifest.Document) bool { return doc.APIToken == nil })
	})
}

// sharedCompatible reports whether documents that refer to policies and groups still have the same check results.
func (s *Step) sharedCompatible() bool {
	for key, doc := range s.before {
		if !s.compatible(doc, s.names[key]) {
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

// compatible reports whether documents that refer to a policy or group have the same check results with another version of
// it, apart from the cost of its patterns: it still grants something or nothing, and has no ranges of addresses. Tokens that
// refer to a gate are checked once the gates are compiled.
func (s *Step) compatible(before, after *manifest.Document) bool {
	if before.Gate != nil {
		return true
	}
	if after == nil || s.ranged(before) {
		return false // a token may name it
	}
	return before.TokenPolicy == nil || (len(before.TokenPolicy.Allow) > 0) == (len(after.TokenPolicy.Allow) > 0) // mutant: grant-becomes-empty
}

// ranged reports whether a policy, or a policy of a group, has ranges of addresses.
func (s *Step) ranged(doc *manifest.Document) bool {
	if p := doc.TokenPolicy; p != nil {
		return rangeInRules(doc, p.Allow, p.Deny) != "" // mutant: ranges-come-late
	}
	return doc.UserGroup != nil && s.rangeInPolicies(doc, doc.UserGroup.Policies) != "" // mutant: ranges-of-groups-come-late
}

// compileShared makes the rows of the shared documents, and returns the compiler of tokens that refer to them. It returns
// nil if the step can't be incremental.
func (s *Step) compileShared() *compiler {
	running, old, next := s.options.Running, &s.Changes.Old, &s.Changes.New
	c := compilerOf(nil, nil)
	c.old = running
	rows := c.shared(s.Set)
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
		c.added = policy.NewMembers(next.Groups)
	}
	s.Changes.Refer, s.rows = true, rows
	return c
}

// gatesFit reports whether the tokens that stay are valid with the next gates, and no weaker gate takes over the requests of
// a removed one. differ means that a gate was removed.
func (s *Step) gatesFit(rows *policy.Rows, differ bool) bool {
	running := s.options.Running
	var open []*policy.Gate
	for i, doc := range s.Gates {
		row := rows.Gates[i]
		if was := running.Gate(row.Name); was != nil && was.Fingerprint == row.Fingerprint {
			continue // only the documents that it refers to may differ
		}
		if differ = true; doc.Gate.ClientIP == nil { // mutant: open-gate-unseen
			open = append(open, row)
		}
	}
	if !differ {
		return true
	}
	return len(running.Losses(withObjectRows(running, rows).Gates)) == 0 && // mutant: gate-lost-by-step
		running.GatesSuit(rows.Gates, open, func(file string) bool { return !s.leaving[file] })
}

// goneGates lists the rows of removed gates. It returns false if one of them is not in the running revision.
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

// changed lists the rows that differ from the running ones, and the running rows of the same names. It returns false if one
// of those comes from a cluster's object, because files override objects.
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

// Concerned returns the tokens whose validity the step's changes may have extended. Call it after the changes were applied.
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

// accept stores the shared documents of a step.
func (l *Loaded) accept(s *Step) {
	rest := newSet()
	rest.Gates, rest.Groups, rest.Policies, rest.users = s.Gates, s.Groups, s.Policies, s.users
	rest.names, rest.kinds = s.names, s.kinds
	maps.DeleteFunc(rest.names, func(_ string, doc *manifest.Document) bool { return doc.APIToken != nil })
	l.shared = rest
	l.compiler = compilerOf(s.rows.Policies, s.rows.Groups)
}

// compilerOf returns a compiler of tokens that refer to these rows.
func compilerOf(policies []*policy.Policy, groups []*policy.Group) *compiler {
	c := newCompiler(policies, nil)
	c.members = nil // the index has them
	for _, g := range groups {
		c.groups[g.Name] = g
	}
	return c
}
