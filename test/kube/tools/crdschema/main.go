// Command crdschema makes JSON schemas for kubeconform from files of
// CustomResourceDefinitions:
//
//	crdschema DEST FILE...
//
// It writes DEST/GROUP/KIND_VERSION.json for each version that has a schema. Unknown
// fields are refused where the API server would prune them.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// definition is what is read of a CustomResourceDefinition.
type definition struct {
	Kind string
	Spec struct {
		Group    string
		Names    struct{ Kind string }
		Versions []struct {
			Name   string
			Schema struct {
				OpenAPIV3Schema map[string]any `yaml:"openAPIV3Schema"`
			}
		}
	}
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: crdschema DEST FILE...")
		os.Exit(2)
	}
	total := 0
	for _, file := range os.Args[2:] {
		n, err := convert(os.Args[1], file)
		if err == nil && n == 0 {
			err = errors.New("no CustomResourceDefinition with a schema in it")
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "crdschema: %s: %v\n", file, err)
			os.Exit(1)
		}
		total += n
	}
	fmt.Fprintf(os.Stderr, "crdschema: %d schemas\n", total)
}

// convert writes the schemas of one file and counts them.
func convert(dest, file string) (int, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n := 0
	for d := yaml.NewDecoder(f); ; {
		var crd definition
		switch err := d.Decode(&crd); {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		}
		if crd.Kind != "CustomResourceDefinition" {
			continue
		}
		for _, v := range crd.Spec.Versions {
			if v.Schema.OpenAPIV3Schema == nil {
				continue
			}
			name := fmt.Sprintf("%s_%s.json", strings.ToLower(crd.Spec.Names.Kind), v.Name)
			if err := write(filepath.Join(dest, crd.Spec.Group, name), v.Schema.OpenAPIV3Schema); err != nil {
				return n, err
			}
			n++
		}
	}
}

func write(path string, schema map[string]any) error {
	properties, _ := schema["properties"].(map[string]any)
	if properties == nil {
		properties = map[string]any{}
		schema["properties"] = properties
	}
	object(schema)
	// The API server checks these itself; a definition need not declare them.
	properties["apiVersion"] = map[string]any{"type": "string"}
	properties["kind"] = map[string]any{"type": "string"}
	properties["metadata"] = map[string]any{"type": "object"}
	text, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// object turns a structural schema into plain JSON Schema. What is below anyOf and
// the like only adds conditions, so it stays as it is.
func object(schema map[string]any) {
	if schema["x-kubernetes-int-or-string"] == true {
		delete(schema, "type")
		schema["anyOf"] = []any{map[string]any{"type": "integer"}, map[string]any{"type": "string"}}
	}
	if kind, ok := schema["type"].(string); ok && schema["nullable"] == true {
		schema["type"] = []any{kind, "null"}
	}
	properties, _ := schema["properties"].(map[string]any)
	open := schema["x-kubernetes-preserve-unknown-fields"] == true || schema["x-kubernetes-embedded-resource"] == true
	if _, said := schema["additionalProperties"]; properties != nil && !said && !open {
		schema["additionalProperties"] = false
	}
	for _, p := range properties {
		child(p)
	}
	child(schema["items"])
	child(schema["additionalProperties"])
}

func child(node any) {
	if schema, ok := node.(map[string]any); ok {
		object(schema)
	}
}
