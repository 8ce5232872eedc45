package manifest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// RenderedFile is an entry of a ConfigMap, which a pod that mounts it sees as a file.
type RenderedFile struct {
	ConfigMap string // its name, after its namespace and a slash where it has one
	Key       string // the file's name
	Data      []byte
	At        Pos // in what was rendered
}

// Name returns what the file is called in problems.
func (f *RenderedFile) Name() string { return f.ConfigMap + "/" + f.Key }

// Rendered is what objects of Kubernetes hold, as `kubectl kustomize` and `helm template` print them.
type Rendered struct {
	ConfigMaps []string // by their names
	Files      []RenderedFile
	Problems   []Problem
	file       string
}

// ReadRendered reads ConfigMaps, also in Lists, from a stream of documents. Objects of patgate's own
// kinds count as files of no ConfigMap. Other objects are left out.
func ReadRendered(file string, data []byte) *Rendered {
	r := &Rendered{file: file}
	decoder := yaml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, byteOrderMark)))
	for n := 1; ; n++ {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return r
		}
		if err != nil {
			r.problem(&yaml.Node{}, "document %d can't be read as YAML, expected what `kubectl kustomize` prints", n)
			return r
		}
		for _, object := range doc.Content {
			r.object(object)
		}
	}
}

func (r *Rendered) problem(at *yaml.Node, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{File: r.file, Pos: Pos{Line: at.Line, Column: at.Column}, Message: fmt.Sprintf(format, args...)})
}

// object reads one object.
func (r *Rendered) object(n *yaml.Node) {
	kind, version := member(n, "kind"), member(n, "apiVersion")
	switch {
	case n.Kind != yaml.MappingNode:
		r.problem(n, "a document that is no object, expected what `kubectl kustomize` prints")
	case kind == nil || version == nil:
		r.problem(n, "an object without kind or apiVersion, expected what `kubectl kustomize` prints")
	case strings.HasSuffix(kind.Value, "List") && member(n, "items") != nil:
		for _, item := range member(n, "items").Content {
			r.object(item)
		}
	case kind.Value == "ConfigMap" && version.Value == "v1":
		r.configMap(n)
	case strings.HasPrefix(version.Value, "patgate.dev/"):
		text, err := yaml.Marshal(n)
		if err != nil {
			r.problem(n, "an object that can't be read again, expected what `kubectl kustomize` prints")
			return
		}
		key := fmt.Sprintf("%s-%d.yaml", strings.ToLower(kind.Value), n.Line)
		r.Files = append(r.Files, RenderedFile{ConfigMap: "no ConfigMap", Key: key, Data: text, At: Pos{Line: n.Line, Column: n.Column}})
	}
}

// configMap reads the entries of a ConfigMap.
func (r *Rendered) configMap(n *yaml.Node) {
	metadata := member(n, "metadata")
	name := member(metadata, "name")
	if name == nil || name.Value == "" {
		r.problem(n, "a ConfigMap without a name, expected metadata.name")
		return
	}
	full := name.Value
	if space := member(metadata, "namespace"); space != nil && space.Value != "" {
		full = space.Value + "/" + full
	}
	if slices.Contains(r.ConfigMaps, full) {
		r.problem(name, "the ConfigMap %s appears twice, expected once: a cluster would have the last", full)
	}
	r.ConfigMaps = append(r.ConfigMaps, full)
	for _, field := range []string{"data", "binaryData"} {
		entries := member(n, field)
		if entries == nil {
			continue
		}
		for i := 0; i+1 < len(entries.Content); i += 2 {
			r.entry(full, field, entries.Content[i], entries.Content[i+1])
		}
	}
}

// entry reads one entry of a ConfigMap.
func (r *Rendered) entry(name, field string, key, value *yaml.Node) {
	f := RenderedFile{ConfigMap: name, Key: key.Value, Data: []byte(value.Value), At: Pos{Line: key.Line, Column: key.Column}}
	if value.Kind != yaml.ScalarNode {
		r.problem(value, "%s of the ConfigMap %s is no text, expected one", f.Key, name)
		return
	}
	if field == "binaryData" {
		var err error
		if f.Data, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value.Value), "")); err != nil {
			r.problem(value, "%s of the ConfigMap %s is not base64, expected it in binaryData", f.Key, name)
			return
		}
	}
	r.Files = append(r.Files, f)
}

// member returns the last value of a key of an object, or nil.
func member(n *yaml.Node, key string) (value *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			value = n.Content[i+1]
		}
	}
	return value
}
