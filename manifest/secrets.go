package manifest

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
)

// Secret is a Kubernetes Secret, as far as an import of API keys needs it. Its data are
// values: no part of them may be shown.
type Secret struct {
	Pos                 diag.Pos
	Name, Type          string
	Labels, Annotations map[string]string
	Created             time.Time // zero: it does not say
	Problem             string    // why nothing of it can be read, such as encryption; Entries are nil then
	Entries             []SecretEntry
}

// SecretEntry is a key of a Secret and its value.
type SecretEntry struct {
	Pos     diag.Pos
	Key     string
	Value   []byte
	Raw     bool   // Value is the text of `data`, which is no base64
	Problem string // why the value can't be read; Value is nil then
}

// Entry returns the entry of a key, or nil.
func (s *Secret) Entry(key string) *SecretEntry {
	for i := range s.Entries {
		if s.Entries[i].Key == key {
			return &s.Entries[i]
		}
	}
	return nil
}

// secretDocument is a Secret, or a List of some, as kubectl prints them in YAML or JSON.
type secretDocument struct {
	Kind     string `yaml:"kind"`
	Type     string `yaml:"type"`
	Metadata struct {
		Name        string            `yaml:"name"`
		Labels      map[string]string `yaml:"labels"`
		Annotations map[string]string `yaml:"annotations"`
		Created     string            `yaml:"creationTimestamp"`
	} `yaml:"metadata"`
	Data          map[string]string `yaml:"data"`
	StringData    map[string]string `yaml:"stringData"`
	EncryptedData yaml.Node         `yaml:"encryptedData"`
	Spec          struct {
		EncryptedData yaml.Node `yaml:"encryptedData"`
	} `yaml:"spec"`
	SOPS  yaml.Node   `yaml:"sops"`
	Items []yaml.Node `yaml:"items"`
}

// DecodeSecrets reads the Secrets of a file, which may be YAML or JSON, several documents,
// and Lists. Other kinds are passed over. It returns an error that names the place where the file is
// not YAML or a Secret is invalid, without any part of the values. Secrets that are encrypted are returned
// with the problem.
func DecodeSecrets(data []byte) (list []Secret, err error) {
	defer func() {
		if recover() != nil { // the YAML reader panics on keys that are no texts
			list, err = nil, errors.New("not YAML that Kubernetes would take, expected Secrets"+templateHint(data))
		}
	}()
	var problems []error
	d := yaml.NewDecoder(bytes.NewReader(data))
	for n := 1; ; n++ {
		var node yaml.Node
		err := d.Decode(&node)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // the reader can't go on
			problems = append(problems, fmt.Errorf("document %d is not YAML, expected Kubernetes Secrets%s", n, templateHint(data)))
			break
		}
		if list, err = appendSecrets(list, &node, 0); err != nil {
			problems = append(problems, fmt.Errorf("%w%s", err, templateHint(data)))
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return list, nil
}

// templateHint is the advice for a file that is still a template.
func templateHint(data []byte) string {
	if bytes.Contains(data, []byte("{{")) {
		return "; it holds {{, so it is a template: render it first"
	}
	return ""
}

const encryptedBySOPS = "it is encrypted by SOPS, decrypt the file first: sops decrypt FILE"

func appendSecrets(list []Secret, node *yaml.Node, depth int) ([]Secret, error) {
	var doc secretDocument
	if err := node.Decode(&doc); err != nil || depth > 2 {
		return list, fmt.Errorf("line %d: no Kubernetes object, expected a Secret or a List of Secrets", max(node.Line, 1))
	}
	var problems []error
	for i := range doc.Items {
		var err error
		if list, err = appendSecrets(list, &doc.Items[i], depth+1); err != nil {
			problems = append(problems, err)
		}
	}
	root := mapping(node)
	s := Secret{Pos: nodePos(root), Name: doc.Metadata.Name, Type: doc.Type, Labels: doc.Metadata.Labels, Annotations: doc.Metadata.Annotations}
	encrypted := !doc.SOPS.IsZero() || strings.HasPrefix(doc.Kind, "ENC[")
	switch {
	case doc.Kind == "SealedSecret" || doc.Kind == "Secret" && !(doc.EncryptedData.IsZero() && doc.Spec.EncryptedData.IsZero()):
		s.Problem = "it is a SealedSecret, whose encryptedData is ciphertext: take the Secret that the controller made of it"
	case encrypted && (doc.Kind == "Secret" || doc.Kind == "" || doc.Kind == "List" || strings.HasPrefix(doc.Kind, "ENC[")):
		s.Problem = encryptedBySOPS
	case doc.Kind != "Secret":
		return list, errors.Join(problems...)
	default:
		s.Created, _ = time.Parse(time.RFC3339, doc.Metadata.Created)
		s.Entries = secretEntries(&doc, root)
	}
	return append(list, s), errors.Join(problems...)
}

// secretEntries are a Secret's values in the order of the file. Of a key that is in both maps,
// Kubernetes takes stringData.
func secretEntries(doc *secretDocument, root *yaml.Node) []SecretEntry {
	var list []SecretEntry
	for key, text := range doc.Data {
		if _, again := doc.StringData[key]; again {
			continue
		}
		e := SecretEntry{Key: key}
		e.Pos, e.Problem = entryPlace(root, "data", key)
		if value, err := base64.StdEncoding.DecodeString(text); err == nil {
			e.Value = value
		} else {
			e.Value, e.Raw = []byte(text), true
		}
		list = append(list, e)
	}
	for key, text := range doc.StringData {
		e := SecretEntry{Key: key, Value: []byte(text)}
		e.Pos, e.Problem = entryPlace(root, "stringData", key)
		list = append(list, e)
	}
	for i := range list {
		if list[i].Problem != "" {
			list[i].Value = nil
		}
	}
	slices.SortFunc(list, func(a, b SecretEntry) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column), strings.Compare(a.Key, b.Key))
	})
	return list
}

// entryPlace is the place of a key of a map, and what is wrong with the node of its value: a tag such
// as !Ref means that a tool puts something else there.
func entryPlace(root *yaml.Node, field, key string) (diag.Pos, string) {
	at := valueOf(mapping(valueOf(root, field)), key)
	if at == nil {
		return diag.Pos{}, ""
	}
	if tag := at.ShortTag(); strings.HasPrefix(tag, "!") && !strings.HasPrefix(tag, "!!") {
		return nodePos(at), "its value has a tag, for which a tool puts the value: expected the value itself"
	}
	return nodePos(at), ""
}

// mapping follows documents and aliases to a node.
func mapping(node *yaml.Node) *yaml.Node {
	for node != nil && (node.Kind == yaml.DocumentNode && len(node.Content) > 0 || node.Kind == yaml.AliasNode) {
		if node.Kind == yaml.AliasNode {
			node = node.Alias
		} else {
			node = node.Content[0]
		}
	}
	return node
}

func valueOf(node *yaml.Node, key string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

func nodePos(node *yaml.Node) diag.Pos {
	if node == nil {
		return diag.Pos{}
	}
	return diag.Pos{Line: node.Line, Column: node.Column}
}
