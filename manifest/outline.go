package manifest

import (
	"bytes"
	"strconv"

	"gopkg.in/yaml.v3"
)

// Outline has the places of a file's fields. The zero value has none.
type Outline struct {
	roots map[Pos]outlined // by the place of the document
}

type outlined struct {
	node *yaml.Node
	line int // of the chunk
}

// NewOutline reads a file. Documents that are no YAML are left out.
func NewOutline(data []byte) *Outline {
	o := &Outline{roots: map[Pos]outlined{}}
	for _, c := range splitDocuments(bytes.TrimPrefix(data, byteOrderMark)) {
		var doc yaml.Node
		if c.isBlank() || estimateValues(c.text) > MaxValues || unmarshal(c.text, &doc) != nil || len(doc.Content) != 1 {
			continue
		}
		root := doc.Content[0]
		o.roots[Pos{Line: root.Line + c.line - 1, Column: root.Column}] = outlined{root, c.line}
	}
	return o
}

// unmarshal keeps a panic of the YAML library from ending the process.
func unmarshal(text []byte, doc *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = ErrNoYAML
		}
	}()
	return yaml.Unmarshal(text, doc)
}

// Place returns where a field of the document at this place is written: a key, or an
// entry of a list. Steps are keys (string) and indexes (int). Where one leads nowhere,
// the place is that of the last that did.
func (o *Outline) Place(doc Pos, steps ...any) Pos {
	root, known := o.roots[doc]
	if !known {
		return doc
	}
	at, node := doc, root.node
	for _, step := range steps {
		var here *yaml.Node
		here, node = inNode(node, step)
		if node == nil {
			break
		}
		at = Pos{Line: here.Line + root.line - 1, Column: here.Column}
	}
	return at
}

// inNode returns the node that names a step, and the one it leads to.
func inNode(n *yaml.Node, step any) (here, value *yaml.Node) {
	switch s := step.(type) {
	case int:
		if n.Kind == yaml.SequenceNode && s >= 0 && s < len(n.Content) {
			return n.Content[s], n.Content[s]
		}
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == s {
				return n.Content[i], n.Content[i+1]
			}
		}
	}
	return nil, nil
}

// FieldPath writes steps as the fields of problems are written: spec.allow[0].path.
func FieldPath(steps ...any) string {
	field := ""
	for _, step := range steps {
		switch s := step.(type) {
		case int:
			field += "[" + strconv.Itoa(s) + "]"
		case string:
			field = child(field, s)
		}
	}
	return field
}
