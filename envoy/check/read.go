package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Limits of what is read. A text has at most one value a byte, except for its aliases.
// An honest text has few: a small one may have this many, a large one some for each byte.
const (
	smallNodes   = 100_000
	nodesPerByte = 4
	maxDepth     = 200
)

// text is a part of a file with one document or several: the file itself, or the value
// of a ConfigMap's key.
type text struct {
	file         string
	data         []byte
	line, column int    // of its first byte, less one
	fixed        *place // the place of all of it, for one that is not written line by line
}

func (t *text) place(line, column int) place {
	if t.fixed != nil {
		return *t.fixed
	}
	return place{t.file, line + t.line, column + t.column}
}

// reader makes located trees from YAML and JSON.
type reader struct {
	text  *text
	nodes int    // left to read
	twice []spot // fields that appear twice in one mapping
}

// readText returns the documents of a text. A JSON text is one document.
func readText(t *text) (docs []*node, twice []spot, err error) {
	defer func() {
		if r := recover(); r != nil { // yaml.v3 has panicked on malformed bytes before
			docs, err = nil, fmt.Errorf("can't be read as YAML")
		}
	}()
	r := &reader{text: t, nodes: smallNodes + nodesPerByte*len(t.data)}
	if start := bytes.TrimLeft(t.data, " \t\r\n\ufeff"); len(start) > 0 && (start[0] == '{' || start[0] == '[') && json.Valid(bytes.TrimLeft(t.data, "\ufeff")) {
		doc, err := r.json()
		return []*node{doc}, r.twice, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(plainDirectives(t.data)))
	for {
		var y yaml.Node
		err := dec.Decode(&y)
		if errors.Is(err, io.EOF) {
			return docs, r.twice, nil
		}
		if err != nil {
			return nil, nil, r.syntax(err)
		}
		if len(y.Content) == 0 {
			continue
		}
		doc, err := r.yaml(y.Content[0], nil, "", maxDepth)
		if err != nil {
			return nil, nil, err
		}
		if doc != nil {
			docs = append(docs, doc)
		}
	}
}

// directive is a line that sets the version of YAML, or an unknown directive.
var directive = regexp.MustCompile(`^%(?:YAML[ \t]+1\.[0-9]+|[A-Z]+\b)`)

// plainDirectives rewrites the directives so that the library accepts them: it knows only
// version 1.1, while Envoy accepts all of 1.x and ignores unknown directives. Places stay
// as they are.
func plainDirectives(data []byte) []byte {
	if !bytes.Contains(data, []byte("%")) {
		return data
	}
	lines := bytes.SplitAfter(bytes.Clone(data), []byte("\n"))
	head := true // before a document
	for _, line := range lines {
		text := bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\ufeff")))
		switch found := directive.Find(text); {
		case bytes.Equal(text, []byte("...")):
			head = true
		case len(text) == 0 || text[0] == '#' || !head:
		case found == nil:
			head = false
		case bytes.HasPrefix(found, []byte("%YAML ")) || bytes.HasPrefix(found, []byte("%YAML\t")):
			if at := bytes.Index(line, found) + len(found); line[at-2] == '.' {
				line[at-1] = '1'
			}
		case !bytes.HasPrefix(found, []byte("%TAG")):
			line[bytes.IndexByte(line, '%')] = '#'
		}
	}
	return bytes.Join(lines, nil)
}

var errTooLarge = fmt.Errorf("has more than %d levels, or aliases that make it many times as large: an anchor within itself?", maxDepth)

// syntax returns the place of a syntax error in JSON, which the YAML library may not report.
func (r *reader) syntax(err error) error {
	var broken *json.SyntaxError
	data := r.text.data
	if start := bytes.TrimSpace(data); len(start) == 0 || start[0] != '{' && start[0] != '[' || !errors.As(json.Unmarshal(data, new(any)), &broken) {
		return err
	}
	read := data[:min(int(broken.Offset), len(data))]
	return fmt.Errorf("line %d: %w", bytes.Count(read, []byte("\n"))+1, broken)
}

// yaml turns a YAML node into a node. Aliases become copies that keep the anchor's places.
func (r *reader) yaml(y *yaml.Node, parent *node, step string, depth int) (*node, error) {
	if r.nodes--; r.nodes < 0 || depth == 0 {
		return nil, errTooLarge
	}
	if y.Kind == yaml.AliasNode {
		return r.yaml(y.Alias, parent, step, depth-1)
	}
	n := &node{at: r.text.place(y.Line, y.Column), parent: parent, step: step}
	switch y.Kind {
	case yaml.SequenceNode:
		n.kind = list
		for i, item := range y.Content {
			value, err := r.yaml(item, n, "["+strconv.Itoa(i)+"]", depth-1)
			if err != nil {
				return nil, err
			}
			if value == nil {
				value = &node{at: r.text.place(item.Line, item.Column), parent: n, step: "[" + strconv.Itoa(i) + "]"}
			}
			n.items = append(n.items, value)
		}
	case yaml.MappingNode:
		n.kind = mapping
		return n, r.mapping(n, y, depth)
	default:
		if y.Tag == "!!null" {
			return nil, nil
		}
		n.kind, n.text = scalar, y.Value
	}
	return n, nil
}

// mapping fills in the fields of a mapping. Merged ones (`<<`) come first, so that the
// mapping's own win; Envoy refuses them, Kubernetes accepts them.
func (r *reader) mapping(n *node, y *yaml.Node, depth int) error {
	seen := map[string]bool{}
	for own := range 2 {
		for i := 0; i+1 < len(y.Content); i += 2 {
			key, value := y.Content[i], y.Content[i+1]
			if key.Kind == yaml.AliasNode {
				key = key.Alias
			}
			merge := key.Tag == "!!merge"
			if key.Tag == "!ignore" || merge == (own == 1) { // Envoy ignores values with this tag
				continue
			}
			if merge {
				if err := r.merge(n, value, depth-1); err != nil {
					return err
				}
				continue
			}
			inner, err := r.yaml(value, n, stepTo(key.Value), depth-1)
			if err != nil {
				return err
			}
			r.add(n, key.Value, inner, r.text.place(key.Line, key.Column), seen)
		}
	}
	return nil
}

func (r *reader) merge(n *node, value *yaml.Node, depth int) error {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	if r.nodes--; r.nodes < 0 || depth <= 0 {
		return errTooLarge
	}
	switch value.Kind {
	case yaml.MappingNode:
		before := n.fields
		n.fields = nil
		if err := r.mapping(n, value, depth-1); err != nil {
			return err
		}
		n.fields = append(n.fields, before...) // of several, the first wins
	case yaml.SequenceNode:
		for _, item := range value.Content {
			if err := r.merge(n, item, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds a field, and records one whose name is there already in either style.
func (r *reader) add(n *node, name string, value *node, at place, seen map[string]bool) {
	if value != nil {
		value.at = at
	}
	if style := camelCase(name); seen[style] {
		r.twice = append(r.twice, spot{at, strings.TrimPrefix(n.path()+stepTo(name), ".")})
	} else {
		seen[style] = true
	}
	n.fields = append(n.fields, field{name, value})
}
