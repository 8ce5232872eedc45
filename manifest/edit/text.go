package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/manifest"
)

// Object is a manifest that is kept as an object of a cluster and not as a file.
type Object struct {
	Kind, Namespace, Name string
	Annotations, Spec     []byte // JSON; nil: none
}

// Text writes an object as a file that changes can be applied to: each field has lines of its own.
func (o *Object) Text() ([]byte, error) {
	head := map[string]any{"name": o.Name}
	if o.Namespace != "" {
		head["namespace"] = o.Namespace
	}
	if o.Annotations != nil {
		var annotations map[string]string
		if err := json.Unmarshal(o.Annotations, &annotations); err != nil {
			return nil, err
		}
		head["annotations"] = annotations
	}
	var spec yaml.Node
	if err := yaml.Unmarshal(o.Spec, &spec); err != nil { // JSON is YAML
		return nil, err
	}
	if len(spec.Content) != 1 {
		return nil, fmt.Errorf("the %s %s has no spec", o.Kind, o.Name)
	}
	inLines(spec.Content[0])
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	err := e.Encode(struct {
		APIVersion string         `yaml:"apiVersion"`
		Kind       string         `yaml:"kind"`
		Metadata   map[string]any `yaml:"metadata"`
		Spec       *yaml.Node     `yaml:"spec"`
	}{manifest.APIVersion, o.Kind, head, spec.Content[0]})
	return b.Bytes(), errors.Join(err, e.Close())
}

// inLines gives each key and item a line of its own.
func inLines(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle
	if n.Kind == yaml.ScalarNode && plainLines(n.Value) {
		n.Style = yaml.LiteralStyle
	}
	for i, child := range n.Content {
		if inLines(child); n.Kind == yaml.MappingNode && i%2 == 0 {
			child.Style = 0 // a key needs no quotes
		}
	}
}

// Parsed returns the text of an object's file as JSON values.
type Parsed struct {
	Annotations map[string]string
	Spec        map[string]any
}

// Parse reads the named token of a text back. A time becomes a text.
func Parse(file string, data []byte, name string) (*Parsed, error) {
	e, err := openToken(file, data, name)
	if err != nil {
		return nil, err
	}
	var spec map[string]any
	if err := e.spec.Decode(&spec); err != nil {
		return nil, err
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p := &Parsed{Annotations: e.doc.Metadata.Annotations}
	return p, json.Unmarshal(text, &p.Spec)
}

// plainLines reports whether a text is lines that look the same below `|`.
func plainLines(text string) bool {
	if !strings.HasSuffix(text, "\n") || strings.HasSuffix(text, "\n\n") {
		return false
	}
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line)+"\n" != line || strings.ContainsFunc(line[:len(line)-1], func(r rune) bool { return r < ' ' || r > '~' }) {
			return false
		}
	}
	return true
}
