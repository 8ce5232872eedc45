package manifest

import (
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
)

// header decodes what all kinds have, and then the spec by its kind.
func (s *scope) header(root *yaml.Node, doc *Document) {
	var apiVersion, kind string
	var spec *yaml.Node
	known := []string{"apiVersion", "kind", "metadata", "spec", "status"}
	given := s.fields(root, "", known, func(key string, value *yaml.Node) {
		switch key {
		case "apiVersion":
			s.value(value, reflect.ValueOf(&apiVersion).Elem(), key, options{})
			switch {
			case apiVersion == "" || apiVersion == APIVersion:
			case versionLike.MatchString(apiVersion):
				s.problem(value, key, "unknown version %s, expected %s", apiVersion, APIVersion)
			default:
				s.problem(value, key, "unknown version, expected %s", APIVersion)
			}
		case "kind":
			s.value(value, reflect.ValueOf(&kind).Elem(), key, options{})
		case "metadata":
			s.metadata(value, doc)
		case "spec":
			spec = value
		}
	})
	doc.Kind = kind
	for _, key := range known[:4] {
		if !given[key] {
			s.problem(root, key, "missing, expected a manifest with apiVersion, kind, metadata and spec")
		}
	}
	if kind == "" || !strings.HasPrefix(apiVersion, apiGroup) {
		return // somebody else's
	}
	target := s.specOf(doc, find(root, "kind"))
	if target.IsValid() && spec != nil {
		s.value(spec, target, "spec", options{})
		if spec.Kind == yaml.MappingNode && len(spec.Content) > 0 {
			s.checkSpec(doc, spec)
		}
	}
}

// specOf makes the spec of a kind and returns where to decode it.
func (s *scope) specOf(doc *Document, kind *yaml.Node) reflect.Value {
	if s.tests {
		if doc.Kind != KindPolicyTest {
			s.problem(kind, "kind", "a %s in a file of tests, expected %s: others belong into files that do not end in .test.yaml", doc.Kind, KindPolicyTest)
			return reflect.Value{}
		}
		doc.PolicyTest = new(PolicyTest)
		return reflect.ValueOf(doc.PolicyTest).Elem()
	}
	switch doc.Kind {
	case KindGate:
		doc.Gate = new(Gate)
		return reflect.ValueOf(doc.Gate).Elem()
	case KindAPIToken:
		doc.APIToken = new(APIToken)
		return reflect.ValueOf(doc.APIToken).Elem()
	case KindUserGroup:
		doc.UserGroup = new(UserGroup)
		return reflect.ValueOf(doc.UserGroup).Elem()
	case KindTokenPolicy:
		doc.TokenPolicy = new(TokenPolicy)
		return reflect.ValueOf(doc.TokenPolicy).Elem()
	case KindPolicyTest:
		s.problem(kind, "kind", "a PolicyTest among manifests, expected it in a file that ends in .test.yaml")
	default:
		kinds := []string{KindGate, KindAPIToken, KindUserGroup, KindTokenPolicy}
		s.problem(kind, "kind", "unknown kind %s, %s", doc.Kind, diag.Suggest(doc.Kind, kinds))
	}
	return reflect.Value{}
}

// metadata decodes what we keep of it.
func (s *scope) metadata(n *yaml.Node, doc *Document) {
	v := reflect.ValueOf(&doc.Metadata).Elem()
	if n.Kind != yaml.MappingNode {
		s.value(n, v, "metadata", options{})
		return
	}
	kept := *n
	kept.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !isServerSet(n.Content[i].Value) {
			kept.Content = append(kept.Content, n.Content[i], n.Content[i+1])
		}
	}
	s.value(&kept, v, "metadata", options{empty: true})
}

func isServerSet(field string) bool {
	for _, f := range serverSet {
		if f == field {
			return true
		}
	}
	return false
}

// find returns the value of a mapping's key, or the mapping itself.
func find(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return mapping
}

// has reports whether a mapping has a key.
func has(mapping *yaml.Node, key string) bool { return find(mapping, key) != mapping }

// filled reports whether a mapping has a key with something in its list, map or text.
func filled(mapping *yaml.Node, key string) bool {
	n := find(mapping, key)
	return n != mapping && (len(n.Content) > 0 || n.Value != "")
}

// child returns the path of a field within another.
func child(field, key string) string {
	if field == "" {
		return key
	}
	if strings.ContainsAny(key, ". []:") {
		return fmt.Sprintf("%s[%q]", field, key)
	}
	return field + "." + key
}
