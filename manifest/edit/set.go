package edit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/manifest"
)

// Set returns a file's text with another value of one field of the named token. All other bytes
// stay. What is written is decoded and compared: the field has the value, and nothing else
// differs. Whether the value is a good one is not checked here: Decode does that.
func Set(file string, data []byte, name string, f Field) ([]byte, error) {
	e, err := openToken(file, data, name)
	if err != nil {
		return nil, err
	}
	value, err := normal(f.Value)
	if err != nil {
		return nil, err
	}
	for _, splices := range e.setTries(f.path(), value) {
		text, err := applySplices(e.text, splices)
		if err != nil {
			continue
		}
		after := append(append(bytes.Clone(e.data[:e.part.Offset]), text...), e.data[e.part.Offset+len(e.text):]...)
		if e.isSet(after, f.path(), value) {
			return after, nil
		}
	}
	return nil, fmt.Errorf("%s: %s can't be edited without changing more: edit it by hand", e.doc.Place(e.doc.Pos), strings.Join(f.path(), "."))
}

// path returns the keys that lead to the field.
func (f *Field) path() []string {
	if f.Annotation {
		return []string{"metadata", "annotations", f.Key}
	}
	return []string{"spec", f.Key}
}

// normal returns a value as a YAML decoder would.
func normal(value any) (any, error) {
	if value == nil {
		return nil, nil
	}
	text, err := yaml.Marshal(written(value))
	if err != nil {
		return nil, err
	}
	var v any
	return v, yaml.Unmarshal(text, &v)
}

// written makes times what manifests hold.
func written(value any) any {
	if t, ok := value.(time.Time); ok {
		return t.UTC().Truncate(time.Second)
	}
	return value
}

// isSet reports whether the field has the value, or is gone, and nothing else differs.
func (e *tokenEditor) isSet(after []byte, path []string, value any) bool {
	before, parts := manifest.Parts(e.doc.File, e.data), manifest.Parts(e.doc.File, after)
	if len(parts) != len(before) {
		return false
	}
	for i := range parts {
		if i != e.index && !bytes.Equal(parts[i].Text, before[i].Text) {
			return false
		}
	}
	root, err := parts[e.index].Tree()
	if err != nil || !sameTree(without(root, path), without(e.root, path)) {
		return false
	}
	n := root
	for i, key := range path {
		if countKey(n, key) != 1 {
			return value == nil && (i == len(path)-1 || path[0] == "metadata") && countKey(n, key) == 0
		}
		n = find(n, key)
	}
	var got any
	return value != nil && n.Decode(&got) == nil && reflect.DeepEqual(got, value)
}

// without returns a mapping without what the path leads to, and without maps that are empty then.
func without(n *yaml.Node, path []string) *yaml.Node {
	rest := *n
	rest.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value == path[0] {
			if len(path) == 1 || value.Kind != yaml.MappingNode {
				continue
			}
			if value = without(value, path[1:]); len(value.Content) == 0 {
				continue
			}
		}
		rest.Content = append(rest.Content, key, value)
	}
	return &rest
}

// setTries returns splices that may set a field, the best first.
func (e *tokenEditor) setTries(path []string, value any) (tries [][]splice) {
	in := e.root
	for len(path) > 1 && has(in, path[0]) && find(in, path[0]).Kind == yaml.MappingNode && len(find(in, path[0]).Content) > 0 {
		in, path = find(in, path[0]), path[1:]
	}
	if !has(in, path[0]) {
		if value == nil {
			return [][]splice{nil}
		}
		return e.spotsIn(in, []entry{{key: path[0], node: nested(path[1:], value)}})
	}
	add := func(splices []splice, err error) {
		if err == nil {
			tries = append(tries, splices)
		}
	}
	if value == nil {
		if len(in.Content) == 2 && path[0] != "annotations" && in != e.spec { // its last annotation
			add(e.remove(find(e.root, "metadata"), "annotations"))
		}
		add(e.remove(in, path[0]))
		return tries
	}
	if len(path) == 1 {
		add(e.adapt(find(in, path[0]), value))
	}
	add(e.replace(in, entry{key: path[0], node: nested(path[1:], value)}))
	return tries
}

// nested puts a value into maps.
func nested(path []string, value any) any {
	for i := len(path) - 1; i >= 0; i-- {
		value = map[string]any{path[i]: value}
	}
	return value
}

// scalarText returns a value as a plain scalar, or nothing.
func scalarText(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case bool:
		return fmt.Sprint(v)
	case time.Time:
		return writtenTime(v)
	}
	return ""
}

// keyOf returns the place of a key in a mapping's content.
func keyOf(mapping *yaml.Node, key string) int {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// replace rewrites a key and its value.
func (e *tokenEditor) replace(in *yaml.Node, a entry) ([]splice, error) {
	i := keyOf(in, a.key)
	if in.Style&yaml.FlowStyle != 0 {
		start, err := e.start(in.Content[i])
		if err != nil {
			return nil, err
		}
		end, err := e.end(in.Content[i+1])
		return []splice{{start, end - start, a.flow(in.Content[i].Style&yaml.DoubleQuotedStyle != 0)}}, err
	}
	start, end, err := e.entryLines(in, i)
	if err != nil {
		return nil, err
	}
	text := a.lines(strings.Repeat(" ", in.Content[i].Column-1), e.lineBreak())
	if breakOf(e.text[start:end]) == "" {
		text = strings.TrimSuffix(text, e.lineBreak())
	}
	return []splice{{start, end - start, text}}, nil
}

// remove takes a key and its value out.
func (e *tokenEditor) remove(in *yaml.Node, key string) ([]splice, error) {
	i := keyOf(in, key)
	if in.Style&yaml.FlowStyle == 0 {
		start, end, err := e.entryLines(in, i)
		return []splice{{start, end - start, ""}}, err
	}
	start, err := e.start(in.Content[i])
	if err != nil {
		return nil, err
	}
	if i+2 < len(in.Content) {
		next, err := e.start(in.Content[i+2])
		return []splice{{start, next - start, ""}}, err
	}
	end, err := e.end(in.Content[i+1])
	if err == nil && i > 0 {
		start, err = e.end(in.Content[i-1])
	}
	return []splice{{start, end - start, ""}}, err
}

// entryLines returns the lines of a key and its value, which must have them for themselves.
func (e *tokenEditor) entryLines(in *yaml.Node, i int) (start, end int, err error) {
	at, err := e.start(in.Content[i])
	if err != nil {
		return 0, 0, err
	}
	start, _, first := e.lineOf(at)
	last, err := e.end(in.Content[i+1])
	if err != nil {
		return 0, 0, err
	}
	if !first || !e.restIsBlank(last) {
		return 0, 0, errPlace("it has no lines of its own")
	}
	_, end, _ = e.lineOf(last)
	return start, end, nil
}

// blockLines writes a key and its value as lines.
func blockLines(key string, value any, indent, eol string) string {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(map[string]any{key: value}); err != nil {
		return "" // it is not what was wanted, as isSet finds out
	}
	var out strings.Builder
	for line := range strings.Lines(b.String()) {
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			out.WriteString(indent + line)
		}
		out.WriteString(eol)
	}
	return out.String()
}

// flowText writes a value on one line, in JSON's form where wanted.
func flowText(value any, inJSON bool) string {
	if inJSON {
		text, _ := json.Marshal(value)
		return string(text)
	}
	var n yaml.Node
	if n.Encode(value) != nil {
		return ""
	}
	flowStyle(&n)
	text, err := yaml.Marshal(&n)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(text), "\n")
}

// flowStyle lets a node be written within braces.
func flowStyle(n *yaml.Node) {
	n.Style |= yaml.FlowStyle
	if n.Kind == yaml.ScalarNode {
		n.Style &^= yaml.FlowStyle
		if n.Style&yaml.LiteralStyle != 0 || strings.ContainsAny(n.Value, ",[]{}") {
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	for _, child := range n.Content {
		flowStyle(child)
	}
}
