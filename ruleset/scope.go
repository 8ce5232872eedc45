package ruleset

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/patgate/patgate/manifest"
)

// Scope is which documents an origin may hold. The zero value allows all.
type Scope struct {
	Kinds []string // empty: every kind
	Names []string // patterns of metadata.name, in which * is any text; empty: every name
}

// Restricts reports whether the scope allows less than all.
func (s Scope) Restricts() bool { return len(s.Kinds)+len(s.Names) > 0 }

// allowsKind reports whether the origin may hold documents of a kind.
func (s Scope) allowsKind(kind string) bool {
	return len(s.Kinds) == 0 || slices.Contains(s.Kinds, kind)
}

// allowsName reports whether the origin may hold documents of a name.
func (s Scope) allowsName(name string) bool {
	return len(s.Names) == 0 || slices.ContainsFunc(s.Names, func(p string) bool { return matchName(p, name) })
}

// matchName reports whether a pattern matches a name as a whole.
func matchName(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return pattern == name
	}
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return true
}

// checkScopes reports documents that their origin may not hold.
func (s *Set) checkScopes() {
	if len(s.input.Scopes) == 0 {
		return
	}
	for _, docs := range s.files {
		for _, doc := range docs {
			s.checkScope(doc)
		}
	}
}

// checkScope reports a document that its origin may not hold.
func (s *Set) checkScope(doc *manifest.Document) {
	scope := s.input.Scopes[doc.Origin]
	if doc.Kind != "" && !scope.allowsKind(doc.Kind) {
		s.problem(doc, doc.Pos, "kind", "%s is a kind that %s may not hold, expected %s", doc.Kind, doc.Origin, strings.Join(scope.Kinds, " or "))
	}
	if name := doc.Metadata.Name; name.Text != "" && !scope.allowsName(name.Text) {
		s.problem(doc, name.At, "metadata.name", "%s is a name that %s may not hold, expected one like %s", name.Text, doc.Origin, strings.Join(scope.Names, " or "))
	}
}

// Sound reports whether each document has no problem of its own, and is one that its origin may hold. Tokens that may be at
// fault alone do not count.
func (s *Set) Sound() bool {
	for _, docs := range s.files {
		for _, doc := range docs {
			if s.options.IsolateTokens && doc.APIToken != nil {
				continue
			}
			scope := s.input.Scopes[doc.Origin]
			if doc.Broken() || doc.Kind != "" && !scope.allowsKind(doc.Kind) || doc.Metadata.Name.Text != "" && !scope.allowsName(doc.Metadata.Name.Text) {
				return false
			}
		}
	}
	return true
}

// originOf returns the origin of a file: its own, or that of the restricted directory that it is in.
func (in *Input) originOf(name string) string {
	for _, f := range in.Files {
		if f.Name == name {
			return f.Origin
		}
	}
	for origin, scope := range in.Scopes {
		if rel, err := filepath.Rel(origin, name); scope.Restricts() && err == nil && filepath.IsLocal(rel) {
			return origin
		}
	}
	return in.Origin
}
