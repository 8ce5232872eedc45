package manifest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"gopkg.in/yaml.v3"
)

// Secret is a Kubernetes Secret, as far as an import of API keys needs it. Its data are
// values: nothing of them may be shown.
type Secret struct {
	Name                string
	Labels, Annotations map[string]string
	Created             time.Time // zero: it does not say
	Data                map[string][]byte
}

// secretDocument is a Secret, or a List of some, as kubectl prints them in YAML or JSON.
type secretDocument struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name        string            `yaml:"name"`
		Labels      map[string]string `yaml:"labels"`
		Annotations map[string]string `yaml:"annotations"`
		Created     string            `yaml:"creationTimestamp"`
	} `yaml:"metadata"`
	Data       map[string]string `yaml:"data"`
	StringData map[string]string `yaml:"stringData"`
	Items      []yaml.Node       `yaml:"items"`
}

// DecodeSecrets reads the Secrets of a file, which may be YAML or JSON, several documents,
// and Lists. Other kinds are passed over. It returns an error that says where the file is
// no YAML or a Secret is none, and nothing of the values.
func DecodeSecrets(data []byte) (list []Secret, err error) {
	defer func() {
		if recover() != nil { // the YAML reader panics on keys that are no texts
			list, err = nil, errors.New("not YAML that Kubernetes would take, expected Secrets")
		}
	}()
	d := yaml.NewDecoder(bytes.NewReader(data))
	for n := 1; ; n++ {
		var node yaml.Node
		err := d.Decode(&node)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d is not YAML, expected Kubernetes Secrets", n)
		}
		if list, err = appendSecrets(list, &node, 0); err != nil {
			return nil, err
		}
	}
}

func appendSecrets(list []Secret, node *yaml.Node, depth int) ([]Secret, error) {
	var doc secretDocument
	if err := node.Decode(&doc); err != nil || depth > 2 {
		return nil, fmt.Errorf("line %d: no Kubernetes object, expected a Secret or a List of Secrets", node.Line)
	}
	var err error
	for i := range doc.Items {
		if list, err = appendSecrets(list, &doc.Items[i], depth+1); err != nil {
			return nil, err
		}
	}
	if doc.Kind != "Secret" {
		return list, nil
	}
	s := Secret{Name: doc.Metadata.Name, Labels: doc.Metadata.Labels, Annotations: doc.Metadata.Annotations, Data: map[string][]byte{}}
	s.Created, _ = time.Parse(time.RFC3339, doc.Metadata.Created)
	for key, text := range doc.Data {
		value, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: data.%s of Secret %s is no base64, expected `data` in base64, or `stringData`", node.Line, key, s.Name)
		}
		s.Data[key] = value
	}
	for key, text := range doc.StringData {
		s.Data[key] = []byte(text)
	}
	return append(list, s), nil
}
