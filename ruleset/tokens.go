package ruleset

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// maxIncremental is the maximum number of changed files for an incremental reload. Beyond it, all files are decoded in parallel.
const maxIncremental = 100

// incrementalReload builds a set in which only files of tokens differ from another set.
type incrementalReload struct {
	from, to *Set
	old      map[string][]*manifest.Document // of files that go or change, by name
	kept     []int                           // for each file, its place before; -1: it is new or differs
}

// reloadTokens is Reload for the case that only valid files of tokens differ. Its cost depends on the changed files, because
// the others are checked already. It returns nil in every other case.
func (s *Set) reloadTokens(in Input) *Set {
	if len(s.Problems)+len(s.input.Problems)+len(in.Problems)+len(in.Tests)+len(s.Tests) > 0 || s.broken || s.users == nil || !s.kinds[manifest.KindAPIToken] || !sameScopes(&s.input, &in) {
		return nil
	}
	x := &incrementalReload{from: s, to: newSet(), old: map[string][]*manifest.Document{}}
	x.to.input, x.to.options = in, s.options
	x.to.Gates, x.to.Groups, x.to.Policies, x.to.users, x.to.kinds = s.Gates, s.Groups, s.Policies, s.users, s.kinds
	changed, ok := x.files()
	if !ok || !x.check(changed) {
		return nil
	}
	x.compile(changed)
	return x.to
}

// sameScopes reports whether two inputs are of the same origins.
func sameScopes(a, b *Input) bool {
	return a.Origin == b.Origin && maps.EqualFunc(a.Scopes, b.Scopes, func(a, b Scope) bool { return slices.Equal(a.Kinds, b.Kinds) && slices.Equal(a.Names, b.Names) })
}

// files copies the unchanged files, and decodes the others. It returns the indexes of the others.
func (x *incrementalReload) files() (changed []int, ok bool) {
	from, in := x.from.input.Files, &x.to.input
	in.Files = slices.Clone(in.Files)
	slices.SortStableFunc(in.Files, byName)
	if !slices.IsSortedFunc(from, byName) || x.from.input.ambiguous() || in.ambiguous() {
		return nil, false
	}
	x.to.files, x.kept = make([][]*manifest.Document, len(in.Files)), make([]int, len(in.Files))
	k := 0
	for i := range in.Files {
		f := &in.Files[i]
		for ; k < len(from) && from[k].Name < f.Name; k++ {
			x.old[from[k].Name] = x.from.files[k] // it was removed
		}
		x.kept[i] = -1
		if k < len(from) && from[k].Name == f.Name {
			if from[k].Sum == f.Sum && from[k].Origin == f.Origin {
				f.Data, x.to.files[i], x.kept[i] = from[k].Data, x.from.files[k], k
				k++
				continue
			}
			x.old[f.Name] = x.from.files[k]
			k++
		}
		if changed = append(changed, i); len(changed) > maxIncremental {
			return nil, false
		}
	}
	for ; k < len(from); k++ {
		x.old[from[k].Name] = x.from.files[k]
	}
	for _, i := range changed {
		x.to.files[i] = x.to.decode(1, in.Files[i:i+1])[0]
	}
	return changed, true
}

func byName(a, b File) int { return strings.Compare(a.Name, b.Name) }

// check checks the new documents together with the ones that stay.
func (x *incrementalReload) check(changed []int) bool {
	x.to.names = maps.Clone(x.from.names)
	for _, docs := range x.old {
		for _, doc := range docs {
			if doc.Kind != manifest.KindAPIToken || doc.APIToken == nil {
				return false
			}
			delete(x.to.names, doc.Kind+"/"+doc.Key())
		}
	}
	part := newSet() // only the new documents
	part.input, part.options, part.names = x.to.input, x.to.options, x.to.names
	part.Gates, part.Groups, part.Policies, part.users, part.kinds = x.to.Gates, x.to.Groups, x.to.Policies, x.to.users, maps.Clone(x.to.kinds)
	part.files = make([][]*manifest.Document, 0, len(changed))
	for _, i := range changed {
		for _, doc := range x.to.files[i] {
			if doc.Kind != manifest.KindAPIToken || doc.APIToken == nil || doc.Broken() || x.holdsValue(doc) {
				return false
			}
			part.add(doc)
		}
		part.files = append(part.files, x.to.files[i])
	}
	part.check()
	return len(part.Problems) == 0
}

// holdsValue reports whether a token that stays has a value of this one.
func (x *incrementalReload) holdsValue(doc *manifest.Document) bool {
	has := func(other *manifest.Document, digest manifest.Digest) bool {
		spec := other.APIToken
		return spec.Digest.Sum == digest.Sum || slices.ContainsFunc(spec.Previous, func(p manifest.Previous) bool { return p.Digest.Sum == digest.Sum })
	}
	for _, digest := range append([]manifest.Digest{doc.APIToken.Digest}, previousDigests(doc.APIToken)...) {
		if digest.Sum == (token.Digest{}) {
			continue // of a canary
		}
		for _, other := range x.from.Tokens {
			if has(other, digest) && x.old[other.File] == nil {
				return true
			}
		}
	}
	return false
}

// compile lists the tokens in the order of their files, with a row each.
func (x *incrementalReload) compile(changed []int) {
	defer func() {
		if p := recover(); p != nil {
			x.to.Rows = policy.Rows{}
			x.to.Problems, x.to.Faulted = append(x.to.Problems, fault("compiled", p)), true
		}
	}()
	compiler := newCompiler(x.from.Rows.Policies, slices.Clone(x.from.Rows.Groups))
	compiler.old = x.to.options.Running
	before := x.from.tokenPlaces()
	count := len(x.from.Tokens) + len(changed)
	rows := make([]*policy.Token, 0, count)
	x.to.Tokens = make([]*manifest.Document, 0, count)
	for i, docs := range x.to.files {
		k := x.kept[i]
		if k >= 0 {
			x.to.Tokens, rows = append(x.to.Tokens, x.from.Tokens[before[k]:before[k+1]]...), append(rows, x.from.Rows.Tokens[before[k]:before[k+1]]...)
			continue
		}
		for _, doc := range docs {
			row := compiler.token(doc)
			x.to.Tokens, rows = append(x.to.Tokens, doc), append(rows, row)
			x.to.changes.New.Tokens = append(x.to.changes.New.Tokens, row)
		}
	}
	for k, f := range x.from.input.Files {
		if x.old[f.Name] != nil {
			x.to.changes.Old.Tokens = append(x.to.changes.Old.Tokens, x.from.Rows.Tokens[before[k]:before[k+1]]...)
		}
	}
	x.to.Rows = policy.Rows{SHA256: x.to.input.Digest, Gates: x.from.Rows.Gates, Groups: x.from.Rows.Groups, Policies: x.from.Rows.Policies, Tokens: rows}
	x.to.changes.New.SHA256, x.to.changesFrom = x.to.input.Digest, x.from.id
}

// tokenPlaces returns, for each file, where its tokens begin among all.
func (s *Set) tokenPlaces() []int {
	places := make([]int, len(s.files)+1)
	n := 0
	for i, docs := range s.files {
		places[i] = n
		for _, doc := range docs {
			if doc.APIToken != nil {
				n++
			}
		}
	}
	places[len(s.files)] = n
	return places
}

// ChangesFrom returns the difference from the set that Reload or With made this one from, if only tokens differ. Otherwise
// the changes replace all rows.
func (s *Set) ChangesFrom(before *Set) policy.Changes {
	if before != nil && s.changesFrom == before.id && s.changesFrom != 0 {
		return s.changes
	}
	return policy.Changes{All: true, New: s.Rows}
}

// ids numbers sets, so that a set can refer to the one that it was made from without keeping it in memory.
var ids atomic.Uint64
