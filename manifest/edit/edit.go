// Package edit changes manifests in YAML files and keeps every other byte, because comments, order and style belong to
// the authors. YAML libraries rewrite the whole document. So edit finds places in the text, tries an edit there,
// decodes the result and compares it with the intended one. If no edit is safe, it returns an error with the text to
// write by hand. A YAML library that keeps the text of unchanged fields would replace this package.
package edit

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
)

// Revoke returns a file's text with `revoked` in the spec of the named token, which must
// appear in the file once. Where the spec is written in lines, all other bytes stay; in
// a `{…}` a few are added within its line. It returns an error that describes what to write by
// hand for a document that can't be edited safely: the result is decoded and compared
// with what was there before. Other documents of the file may be broken.
func Revoke(file string, data []byte, name string, at time.Time) ([]byte, error) {
	when := writtenTime(at)
	e, err := openToken(file, data, name)
	if err != nil {
		return nil, fmt.Errorf("%w: add `revoked: %s` to its spec by hand", err, when)
	}
	if has(e.spec, "revoked") {
		at := e.part.Pos(find(e.spec, "revoked"))
		return nil, fmt.Errorf("%s:%d:%d: spec.revoked is there but is no time: write `revoked: %s` in its place by hand", file, at.Line, at.Column, when)
	}
	after, err := e.edit(nil, []entry{{key: "revoked", value: when}}, func(t *manifest.APIToken) bool {
		return t.Ends.Revoked && t.Revoked.Equal(at)
	})
	if err != nil {
		return nil, fmt.Errorf("%w: add `revoked: %s` to its spec by hand", err, when)
	}
	return after, nil
}

// writtenTime writes a time as manifests hold it.
func writtenTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// tokenEditor edits one token's document.
type tokenEditor struct {
	places
	part  manifest.Part
	data  []byte // the whole file
	index int    // of the document
	doc   *manifest.Document
	root  *yaml.Node
	spec  *yaml.Node
}

// openToken finds the document of a token, which must be YAML with a map as its spec.
func openToken(file string, data []byte, name string) (*tokenEditor, error) {
	var found *tokenEditor
	for i, part := range manifest.Parts(file, data) {
		doc := part.Decode()
		if doc.Kind != manifest.KindAPIToken || doc.Metadata.Name.Text != name {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%s and %s: two tokens are called %s", found.doc.Place(found.doc.Pos), doc.Place(doc.Pos), name)
		}
		found = &tokenEditor{places: newPlaces(part.Text), part: part, data: data, index: i, doc: doc}
	}
	if found == nil {
		return nil, fmt.Errorf("%s: no token is called %s", file, name)
	}
	root, err := found.part.Tree()
	if err != nil {
		return nil, fmt.Errorf("%s: the document is no YAML", found.doc.Place(found.doc.Pos))
	}
	found.root, found.spec = root, find(root, "spec")
	if found.doc.APIToken == nil || found.spec == root || found.spec.Kind != yaml.MappingNode || len(found.spec.Content) == 0 {
		return nil, fmt.Errorf("%s: the document has no spec", found.doc.Place(found.doc.Pos))
	}
	return found, nil
}

// find returns the value of a mapping's key, or the mapping itself.
func find(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return mapping
}

// has reports whether a mapping has a key.
func has(mapping *yaml.Node, key string) bool { return find(mapping, key) != mapping }

// entry is a key to add to a spec, with one value or with a list of one map.
type entry struct {
	key, value string
	fields     []entry
	node       any // the value, where neither a text nor fields is given
}

// edit applies splices and adds entries to the spec, at the first place where the
// result is what is wanted and nothing else differs.
func (e *tokenEditor) edit(splices []splice, added []entry, want func(*manifest.APIToken) bool) ([]byte, error) {
	tries := [][]splice{nil}
	if len(added) > 0 {
		tries = e.spots(added)
	}
	changed := map[string]bool{"digest": len(splices) > 0, "issued": len(splices) > 0, "expires": len(splices) > 0, "previous": len(splices) > 0}
	for _, a := range added {
		changed[a.key] = true
	}
	for _, try := range tries {
		text, err := applySplices(e.text, append(slices.Clone(splices), try...))
		if err != nil {
			continue
		}
		after := slices.Concat(e.data[:e.part.Offset], text, e.data[e.part.Offset+len(e.text):])
		if e.holds(after, changed, want) {
			return after, nil
		}
	}
	return nil, fmt.Errorf("%s: the spec can't be edited without changing more of it", e.doc.Place(e.doc.Pos))
}

// holds reports whether the file still holds the same documents, and this one is the
// same but for the changed keys of its spec, of which want approves.
func (e *tokenEditor) holds(after []byte, changed map[string]bool, want func(*manifest.APIToken) bool) bool {
	before, chunks := manifest.Parts(e.doc.File, e.data), manifest.Parts(e.doc.File, after)
	if len(chunks) != len(before) {
		return false
	}
	for i := range chunks {
		if i != e.index && !bytes.Equal(chunks[i].Text, before[i].Text) {
			return false
		}
	}
	doc := chunks[e.index].Decode()
	if doc.APIToken == nil || doc.Kind != e.doc.Kind || doc.Metadata.Name.Text != e.doc.Metadata.Name.Text || !sameFields(doc.Problems, e.doc.Problems) {
		return false
	}
	root, err := chunks[e.index].Tree()
	if err != nil || !want(doc.APIToken) {
		return false
	}
	spec := find(root, "spec")
	for key := range changed {
		if countKey(spec, key) > 1 {
			return false
		}
	}
	return sameTree(withoutKeys(spec, changed), withoutKeys(e.spec, changed)) &&
		sameTree(withoutKeys(root, map[string]bool{"spec": true}), withoutKeys(e.root, map[string]bool{"spec": true}))
}

// sameFields reports whether problems are of the same fields. Their places may differ.
func sameFields(a, b []diag.Problem) bool {
	return slices.EqualFunc(a, b, func(x, y diag.Problem) bool { return x.Field == y.Field })
}

func countKey(mapping *yaml.Node, key string) int {
	n := 0
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			n++
		}
	}
	return n
}

// withoutKeys returns a mapping without some of its keys.
func withoutKeys(mapping *yaml.Node, keys map[string]bool) *yaml.Node {
	rest := *mapping
	rest.Content = nil
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if !keys[mapping.Content[i].Value] {
			rest.Content = append(rest.Content, mapping.Content[i], mapping.Content[i+1])
		}
	}
	return &rest
}

// sameTree reports whether two nodes say the same in the same order.
func sameTree(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.ShortTag() == b.ShortTag() && a.Value == b.Value && a.Anchor == b.Anchor &&
		slices.EqualFunc(a.Content, b.Content, sameTree)
}
