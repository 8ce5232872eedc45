package manifest

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Namespace is the name of a namespace (an RFC 1123 label). Empty is none: files need not name one.
type Namespace string

func (Namespace) expects() string { return "a namespace" }

func (v *Namespace) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	if !isNamespace(text) {
		s.problem(n, field, "%q is no namespace, expected at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends", text)
		return
	}
	*v = Namespace(text)
}

func isNamespace(text string) bool {
	return len(text) <= 63 && isKubernetesName(text) && !strings.Contains(text, ".")
}

// decode reads a name in the manifest's own namespace, or NAMESPACE/NAME.
func (v *Ref) decode(s *scope, n *yaml.Node, field string) {
	if n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "/") {
		(*Name)(v).decode(s, n, field)
		return
	}
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	namespace, name, _ := strings.Cut(text, "/")
	if !isNamespace(namespace) || !isKubernetesName(name) {
		s.problem(n, field, "%q names no manifest, expected a name, or NAMESPACE/NAME", text)
		return
	}
	*v = Ref{text, s.pos(n)}
}

// Key is the name by which everything beyond the manifest's own namespace knows it: NAMESPACE/NAME, or the name
// alone where it has no namespace.
func (d *Document) Key() string { return d.qualify(d.Metadata.Name.Text) }

// Resolve returns the key of the manifest that a reference in this one names.
func (d *Document) Resolve(ref Ref) string {
	if strings.Contains(ref.Text, "/") {
		return ref.Text
	}
	return d.qualify(ref.Text)
}

func (d *Document) qualify(name string) string {
	if name == "" || d.Metadata.Namespace == "" {
		return name
	}
	return string(d.Metadata.Namespace) + "/" + name
}

// IsForeign reports whether a reference names a manifest of another namespace.
func (d *Document) IsForeign(ref Ref) bool {
	namespace, _, found := strings.Cut(ref.Text, "/")
	return found && namespace != string(d.Metadata.Namespace)
}

// TokensFrom says tokens of which namespaces a gate admits.
type TokensFrom struct {
	Namespaces From `yaml:"namespaces,required"`
}

// From are namespaces. The zero value is the gate's own.
type From struct {
	All    bool
	Labels map[string]string // those whose labels hold all of these; none: by the other field
}

func (From) expects() string { return "Same, All, or a map with matchLabels" }

func (v *From) decode(s *scope, n *yaml.Node, field string) {
	if n.Kind == yaml.MappingNode {
		var labels struct {
			MatchLabels map[string]string `yaml:"matchLabels,required"`
		}
		s.value(n, reflect.ValueOf(&labels).Elem(), field, options{})
		v.Labels = labels.MatchLabels
		return
	}
	if word, ok := s.word(n, field, "Same", "All"); ok {
		v.All = word == "All"
	}
}

func (From) schema() *schema {
	labels := &schema{Type: "object", MinKeys: 1, Others: &schema{Type: "string"}, Description: "Labels that a namespace must have."}
	return &schema{AnyOf: []*schema{
		words("Same", "All"),
		{Type: "object", Others: false, Required: []string{"matchLabels"}, Properties: properties{{"matchLabels", labels}}},
	}}
}

// NameLabel is the label by which a cluster gives each namespace its name. In files it is the only one.
const NameLabel = "kubernetes.io/metadata.name"

// Select lists the namespaces that a selection by labels selects, sorted. labels are those of each namespace by its
// name; one that is not there has NameLabel alone.
func (v From) Select(labels map[string]map[string]string) (selected []string) {
	if len(v.Labels) == 0 {
		return nil
	}
	candidates := slices.Collect(maps.Keys(labels))
	if name, ok := v.Labels[NameLabel]; ok {
		candidates = []string{name}
	}
	for _, namespace := range candidates {
		if v.selects(namespace, labels[namespace]) {
			selected = append(selected, namespace)
		}
	}
	slices.Sort(selected)
	return selected
}

func (v From) selects(namespace string, labels map[string]string) bool {
	for key, want := range v.Labels {
		got, known := labels[key]
		if key == NameLabel {
			got, known = namespace, true
		}
		if !known || got != want {
			return false
		}
	}
	return true
}
