package check_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/envoy/check"
)

// FuzzCheck checks any bytes. A configuration must have the same findings when it is read
// again, written as JSON, and with its fields in lowerCamelCase.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(envoy.Standalone))
	for i := 0; i < len(mistakes); i += 10 { // they are large: a few will do
		f.Add([]byte(strings.Replace(envoy.Standalone, mistakes[i].old, mistakes[i].new, 1)))
	}
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			f.Add(file.Data)
		}
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("{\"configs\": [null, {}, 1e400, \"\\ud800\"]}"))
	f.Add([]byte("static_resources: {listeners: [{<<: [{a: 1}, *x]}]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		list, err := check.Check([]check.File{{Name: "f", Data: data}}, check.Options{})
		again, errAgain := check.Check([]check.File{{Name: "f", Data: data}}, check.Options{})
		if !slices.Equal(list, again) || (err == nil) != (errAgain == nil) {
			t.Fatalf("two readings differ: %v, %v", list, again)
		}
		if err != nil {
			return
		}
		for _, camel := range []bool{false, true} {
			text, ok := toJSON(data, camel)
			if !ok {
				return
			}
			other, err := check.Check([]check.File{{Name: "f", Data: text}}, check.Options{})
			if err != nil {
				t.Fatalf("as JSON it is not read: %v\n%s", err, text)
			}
			if got, want := open(other), open(list); !slices.Equal(got, want) {
				t.Fatalf("as JSON %v, as YAML %v\n%s", got, want, text)
			}
		}
	})
}

// open lists the codes that are found, except those about comments.
func open(list []diag.Problem) []check.Code {
	return slices.DeleteFunc(codesOf(list), func(c check.Code) bool { return c == check.UnusedAccept })
}

// toJSON writes one document as JSON, if JSON can express it: fields that appear once, with
// text names, and scalars by their text.
func toJSON(data []byte, camel bool) ([]byte, bool) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if dec.Decode(&doc) != nil || dec.Decode(&more) == nil || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, false
	}
	value, ok := plain(doc.Content[0], camel, 50)
	if !ok {
		return nil, false
	}
	text, err := json.Marshal(value)
	return text, err == nil
}

func plain(n *yaml.Node, camel bool, depth int) (any, bool) {
	if depth == 0 {
		return nil, false
	}
	switch n.Kind {
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			v, ok := plain(item, camel, depth-1)
			if !ok {
				return nil, false
			}
			list = append(list, v)
		}
		return list, true
	case yaml.MappingNode:
		return plainFields(n, camel, depth-1)
	case yaml.AliasNode:
		return plain(n.Alias, camel, depth-1)
	}
	if n.Tag == "!!null" {
		return nil, true
	}
	return n.Value, true
}

// snake is a name in snake_case, which is a field's; keys of maps that look like one keep
// their spelling where plainFields knows the map.
var snake = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z][a-z0-9]*)+$`)

func plainFields(n *yaml.Node, camel bool, depth int) (any, bool) {
	fields, styles := map[string]any{}, map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" || key.Tag == "!ignore" {
			return nil, false
		}
		name := camelCase("x: {" + key.Value + ":")
		name = strings.TrimSuffix(strings.TrimPrefix(name, "x: {"), ":")
		if styles[name] { // which of the two counts depends on their order
			return nil, false
		}
		styles[name] = true
		if !camel || !snake.MatchString(key.Value) {
			name = key.Value
		}
		inMap := []string{"typed_per_filter_config", "context_extensions", "static_layer", "data", "annotations", "set", "add"}
		v, ok := plain(n.Content[i+1], camel && !slices.Contains(inMap, key.Value), depth)
		if !ok {
			return nil, false
		}
		fields[name] = v
	}
	return fields, true
}
