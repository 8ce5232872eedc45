package loader

import (
	"fmt"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/ruleset"
)

// Manifests are directories as one reading found them, for who looks at one token or
// changes it. Make them with Read.
type Manifests struct {
	*ruleset.Set
	tree *dir.Tree
}

// Read reads directories once. What is wrong with them are Problems.
func Read(roots []string) *Manifests {
	roots = dir.Distinct(roots)
	t := dir.Scan{Roots: roots}.Read()
	return &Manifests{Set: ruleset.Load(t.Input(roots), ruleset.Options{}), tree: t}
}

// UnknownError says that no token has a name.
type UnknownError struct {
	Name    string
	Names   []string // that there are
	Missing int      // how many documents could not be read: the token may be one of them
}

// Error names the token that was likely meant.
func (e *UnknownError) Error() string {
	text := "no token is called " + e.Name
	if len(e.Names) > 0 {
		text += ", " + diag.Suggest(e.Name, e.Names)
	} else {
		text += ": there are no tokens in the manifests"
	}
	if e.Missing > 0 {
		text += fmt.Sprintf("\n%d of the manifests can't be read, `patgate check` says why: it may be among them", e.Missing)
	}
	return text
}

// Token finds a token by its name, whatever is wrong with other manifests. It returns
// an *UnknownError where there is none, and a *RefusedError for a name that stands
// twice, for a document that is no YAML and for directories that can't be read.
func (m *Manifests) Token(name string) (*manifest.Document, error) {
	var found []*manifest.Document
	for _, doc := range slices.Concat(m.Tokens, m.Unread()) {
		if doc.Kind == manifest.KindAPIToken && doc.Metadata.Name.Text == name {
			found = append(found, doc)
		}
	}
	switch {
	case len(found) > 1:
		var places []string
		for _, doc := range found {
			places = append(places, doc.Place(doc.Metadata.Name.At))
		}
		return nil, &RefusedError{[]string{fmt.Sprintf("%d tokens are called %s, at %s: expected one, rename or change the right one by hand",
			len(found), name, strings.Join(places, " and "))}}
	case len(found) == 1 && found[0].APIToken == nil:
		return nil, &RefusedError{append([]string{fmt.Sprintf("%s: the token %s can't be read: mend it, or change it by hand",
			found[0].Place(found[0].Pos), name)}, diag.Strings(found[0].Problems)...)}
	case len(found) == 1:
		return found[0], nil
	case len(m.tree.Problems) > 0:
		return nil, &RefusedError{diag.Strings(m.tree.Problems)}
	}
	return nil, &UnknownError{Name: name, Names: m.TokenNames(), Missing: len(m.Unread())}
}

// file returns one of the files that were read, by its name.
func (m *Manifests) file(name string) *dir.File {
	for i := range m.tree.Files {
		if m.tree.Files[i].Name == name {
			return &m.tree.Files[i]
		}
	}
	return &dir.File{Name: name}
}
