package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"gopkg.in/yaml.v3"
)

// Revoke returns a file's text with `revoked` in the spec of the named token, which must
// stand in the file once. Where the spec is written in lines, all other bytes stay; in
// a `{…}` a few are added within its line. It returns an error that says what to write by
// hand for a document that can't be edited safely: the result is decoded and compared
// with what was there before. Other documents of the file may be broken.
func Revoke(file string, data []byte, name string, at time.Time) ([]byte, error) {
	when := writtenTime(at)
	e, err := openToken(file, data, name)
	if err != nil {
		return nil, fmt.Errorf("%w: add `revoked: %s` to its spec by hand", err, when)
	}
	if has(e.spec, "revoked") {
		at := e.scope.pos(find(e.spec, "revoked"))
		return nil, fmt.Errorf("%s:%d:%d: spec.revoked is there but is no time: write `revoked: %s` in its place by hand", file, at.Line, at.Column, when)
	}
	after, err := e.edit(nil, []entry{{key: "revoked", value: when}}, func(t *APIToken) bool {
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
	scope  *scope
	data   []byte // the whole file
	offset int    // of the document
	index  int    // of the document
	doc    *Document
	root   *yaml.Node
	spec   *yaml.Node
}

// byteOrderMark may begin a file.
var byteOrderMark = []byte("\ufeff")

// openToken finds the document of a token, which must be YAML with a map as its spec.
func openToken(file string, data []byte, name string) (*tokenEditor, error) {
	body := bytes.TrimPrefix(data, byteOrderMark)
	offset := len(data) - len(body)
	var found *tokenEditor
	for i, c := range splitDocuments(body) {
		s := &scope{decoder: new(Decoder), file: file, chunk: c}
		doc := s.guarded()
		if doc.Kind == KindAPIToken && doc.Metadata.Name.Text == name {
			if found != nil {
				return nil, fmt.Errorf("%s and %s: two tokens are called %s", found.doc.Place(found.doc.Pos), doc.Place(doc.Pos), name)
			}
			found = &tokenEditor{places: newPlaces(c.text), scope: s, data: data, offset: offset, index: i, doc: doc}
		}
		offset += len(c.text)
	}
	if found == nil {
		return nil, fmt.Errorf("%s: no token is called %s", file, name)
	}
	root, err := found.scope.tree()
	if err != nil {
		return nil, fmt.Errorf("%s: the document is no YAML", found.doc.Place(found.doc.Pos))
	}
	found.root, found.spec = root, find(root, "spec")
	if found.doc.APIToken == nil || found.spec == root || found.spec.Kind != yaml.MappingNode || len(found.spec.Content) == 0 {
		return nil, fmt.Errorf("%s: the document has no spec", found.doc.Place(found.doc.Pos))
	}
	return found, nil
}

var errNoTree = errors.New("no YAML")

// tree parses the chunk again; a panic of the YAML library is an error.
func (s *scope) tree() (root *yaml.Node, err error) {
	again := &scope{decoder: s.decoder, file: s.file, chunk: s.chunk}
	defer func() {
		if recover() != nil {
			root, err = nil, errNoTree
		}
	}()
	if root = again.parse(); root == nil || root.Kind != yaml.MappingNode {
		return nil, errNoTree
	}
	return root, nil
}

// entry is a key to add to a spec, with one value or with a list of one map.
type entry struct {
	key, value string
	fields     []entry
}

// edit applies splices and adds entries to the spec, at the first place where the
// result is what is wanted and nothing else differs.
func (e *tokenEditor) edit(splices []splice, added []entry, want func(*APIToken) bool) ([]byte, error) {
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
		after := slices.Concat(e.data[:e.offset], text, e.data[e.offset+len(e.text):])
		if e.holds(after, changed, want) {
			return after, nil
		}
	}
	return nil, fmt.Errorf("%s: the spec can't be edited without changing more of it", e.doc.Place(e.doc.Pos))
}

// holds reports whether the file still holds the same documents, and this one is the
// same but for the changed keys of its spec, of which want approves.
func (e *tokenEditor) holds(after []byte, changed map[string]bool, want func(*APIToken) bool) bool {
	before := splitDocuments(bytes.TrimPrefix(e.data, byteOrderMark))
	chunks := splitDocuments(bytes.TrimPrefix(after, byteOrderMark))
	if len(chunks) != len(before) {
		return false
	}
	for i := range chunks {
		if i != e.index && !bytes.Equal(chunks[i].text, before[i].text) {
			return false
		}
	}
	s := &scope{decoder: e.scope.decoder, file: e.scope.file, chunk: chunks[e.index]}
	doc := s.guarded()
	if doc.APIToken == nil || doc.Kind != e.doc.Kind || doc.Metadata.Name.Text != e.doc.Metadata.Name.Text || !sameFields(doc.Problems, e.doc.Problems) {
		return false
	}
	root, err := s.tree()
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
func sameFields(a, b []Problem) bool {
	return slices.EqualFunc(a, b, func(x, y Problem) bool { return x.Field == y.Field })
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
