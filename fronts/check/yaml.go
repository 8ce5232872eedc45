package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"gopkg.in/yaml.v3"
)

// yamlRoot reads the first document of YAML or JSON.
func yamlRoot(f *File) (*yaml.Node, error) {
	documents, err := yamlDocuments(f)
	if err != nil || len(documents) == 0 {
		return nil, err
	}
	return documents[0], nil
}

// yamlDocuments reads all documents of YAML or JSON.
func yamlDocuments(f *File) (list []*yaml.Node, err error) {
	d := yaml.NewDecoder(bytes.NewReader(f.Data))
	for {
		var n yaml.Node
		switch err := d.Decode(&n); {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return nil, fmt.Errorf(": %s", strings.TrimPrefix(err.Error(), "yaml: "))
		case len(n.Content) > 0:
			list = append(list, n.Content[0])
		}
	}
}

// child returns the value of a key, in any case, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if strings.EqualFold(n.Content[i].Value, key) {
			return n.Content[i+1]
		}
	}
	return nil
}

// at returns the value at a path of keys.
func at(n *yaml.Node, path ...string) *yaml.Node {
	for _, key := range path {
		n = child(n, key)
	}
	return n
}

func scalarOf(n *yaml.Node, key string) string {
	if v := child(n, key); v != nil {
		return v.Value
	}
	return ""
}

// texts lists the entries of a list.
func texts(n *yaml.Node) (list []string) {
	if n != nil && n.Kind == yaml.SequenceNode {
		for _, v := range n.Content {
			list = append(list, v.Value)
		}
	}
	return list
}
