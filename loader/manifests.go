package loader

import (
	"fmt"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// Manifests are directories as one reading found them, for who looks at one token or
// changes it. Make them with Read.
type Manifests struct {
	roots []string
	tree  *tree
	docs  *documents
	rows  *policy.Rows // once they were asked for
}

// Read reads directories once. What is wrong with them are Problems.
func Read(roots []string) *Manifests {
	m := &Manifests{roots: distinct(roots)}
	m.tree = readTree(m.roots, MaxBytes)
	m.docs = decodeTree(m.roots, m.tree)
	return m
}

// Problems returns everything that is wrong with the manifests.
func (m *Manifests) Problems() []diag.Problem { return m.docs.problems }

// Rows returns what the manifests make, the same each time: rows name each other. With
// problems it returns nothing.
func (m *Manifests) Rows() policy.Rows {
	if m.rows == nil && len(m.docs.problems) == 0 {
		rows := compile(m.docs, policy.NewIndex().Snapshot())
		rows.SHA256 = m.tree.digest
		m.rows = &rows
	}
	if m.rows == nil {
		return policy.Rows{}
	}
	return *m.rows
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

// Names returns the names of the tokens, in their order.
func (m *Manifests) Names() []string {
	var names []string
	for _, doc := range m.docs.tokens {
		if name := doc.Metadata.Name.Text; name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Token finds a token by its name, whatever is wrong with other manifests. It returns
// an *UnknownError where there is none, and a *RefusedError for a name that stands
// twice, for a document that is no YAML and for directories that can't be read.
func (m *Manifests) Token(name string) (*manifest.Document, error) {
	var found []*manifest.Document
	for _, doc := range slices.Concat(m.docs.tokens, m.docs.unread) {
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
	case len(m.tree.problems) > 0:
		return nil, &RefusedError{diag.Strings(m.tree.problems)}
	}
	return nil, &UnknownError{Name: name, Names: m.Names(), Missing: len(m.docs.unread)}
}

// with returns the problems that the manifests have with another text of one file.
func (m *Manifests) with(name string, text []byte) []diag.Problem {
	t := *m.tree
	t.files = slices.Clone(t.files)
	for i := range t.files {
		if t.files[i].name == name {
			t.files[i].data = text
		}
	}
	return decodeTree(m.roots, &t).problems
}

// file returns one of the files that were read, by its name.
func (m *Manifests) file(name string) *file {
	for i := range m.tree.files {
		if m.tree.files[i].name == name {
			return &m.tree.files[i]
		}
	}
	return &file{name: name}
}
