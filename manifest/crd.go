package manifest

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/policy"
)

// ObjectKind is a kind of manifest that a cluster keeps as an object.
type ObjectKind struct {
	Kind     string
	Plural   string // the resource's name in the API's paths
	short    []string
	selected []string // fields that a list or watch may select by
	columns  []column // of `kubectl get`
	status   *schema
	spec     reflect.Type
}

// column is a column of `kubectl get`.
type column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Path     string `json:"jsonPath"`
	Priority int    `json:"priority,omitempty"` // 1: with -o wide alone
	Text     string `json:"description,omitempty"`
}

var age = column{Name: "Age", Type: "date", Path: ".metadata.creationTimestamp"}

// ObjectKinds are the kinds that a cluster keeps as objects, in the order of their references: a kind
// refers to those after it alone.
var ObjectKinds = []ObjectKind{
	{
		Kind: KindGate, Plural: "gates", spec: reflect.TypeFor[Gate](), status: statusSchema(nil),
		columns: []column{
			{Name: "Hosts", Type: "string", Path: ".spec.hosts"}, {Name: "Paths", Type: "string", Path: ".spec.paths"},
			{Name: "Schemes", Type: "string", Path: ".spec.schemes", Priority: 1}, {Name: "Accepted", Type: "string", Path: `.status.conditions[?(@.type=="Accepted")].status`}, age,
		},
	},
	{
		Kind: KindAPIToken, Plural: "apitokens", short: []string{"pat"}, selected: []string{".spec.user"}, spec: reflect.TypeFor[APIToken](),
		status: statusSchema(properties{
			{"state", &schema{Type: "string", Description: "What the token is now: active, expires-soon, expired, revoked, suspended, deactivated, not-yet-valid or canary."}},
			{"ends", &schema{Type: "string", Format: "date-time", Description: "When it ends, by its own expires and its user's groups."}},
			{"lastUsed", &schema{Type: "string", Format: "date-time", Description: "When it was last allowed something; written at most once an hour."}},
			{"rules", &schema{Type: "integer", Description: "How many rules say what it may do, those of its policies included."}},
			{"values", valuesSchema},
		}),
		columns: []column{
			{Name: "User", Type: "string", Path: ".spec.user"}, {Name: "State", Type: "string", Path: ".status.state"},
			{Name: "Ends", Type: "string", Path: ".status.ends"}, {Name: "Last Used", Type: "date", Path: ".status.lastUsed"},
			{Name: "Gates", Type: "string", Path: ".spec.gates", Priority: 1}, {Name: "Rules", Type: "integer", Path: ".status.rules", Priority: 1}, age,
		},
	},
	{
		Kind: KindUserGroup, Plural: "usergroups", spec: reflect.TypeFor[UserGroup](), status: statusSchema(nil),
		columns: []column{
			{Name: "Max Lifetime", Type: "string", Path: ".spec.tokens.maxLifetime"}, {Name: "Admin", Type: "boolean", Path: ".spec.admin"},
			{Name: "Members", Type: "string", Path: ".spec.members", Priority: 1}, age,
		},
	},
	{
		Kind: KindTokenPolicy, Plural: "tokenpolicies", spec: reflect.TypeFor[TokenPolicy](), status: statusSchema(nil),
		columns: []column{{Name: "Enforcement", Type: "string", Path: ".spec.enforcement"}, age},
	},
}

// valuesSchema is that of the values which a controller made.
var valuesSchema = &schema{
	Type: "array", MaxItems: 8, ListType: "atomic",
	Description: "The digests of the values that `patgate controller` made for spec.secret; the newest comes last. They count with spec.secret alone.",
	Items: &schema{Type: "object", Required: []string{"digest", "issued"}, Properties: properties{
		{"digest", &schema{Type: "string", MaxLength: 128, Pattern: digestSyntax}},
		{"issued", &schema{Type: "string", Format: "date-time"}},
		{"until", &schema{Type: "string", Format: "date-time", Description: "When it ends, once another value has replaced it."}},
	}},
}

// CRDs returns the CustomResourceDefinitions of all kinds, one YAML document each, made from the
// types that are decoded. What one object alone shows to be wrong, the API server refuses by them.
func CRDs() []byte {
	var all bytes.Buffer
	for i := range ObjectKinds {
		all.WriteString("---\n")
		all.Write(ObjectKinds[i].CRD())
	}
	return all.Bytes()
}

// CRD returns the definition of one kind.
func (k *ObjectKind) CRD() []byte {
	text, err := marshal(k.definition())
	if err != nil {
		panic(fmt.Sprintf("manifest: the definition of %s can't be written: %v", k.Kind, err)) // it holds nothing that can't
	}
	return blockYAML(text)
}

// object is JSON with its keys in the order in which people write them.
type object []entry

type entry struct {
	key   string
	value any
}

// MarshalJSON writes the entries that have a value.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for _, e := range o {
		if v := reflect.ValueOf(e.value); !v.IsValid() || v.Kind() == reflect.Slice && v.Len() == 0 {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		value, err := marshal(e.value)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q:%s", e.key, value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (k *ObjectKind) definition() object {
	group := strings.TrimSuffix(apiGroup, "/")
	var selected []object
	for _, path := range k.selected {
		selected = append(selected, object{{"jsonPath", path}})
	}
	return object{
		{"apiVersion", "apiextensions.k8s.io/v1"}, {"kind", "CustomResourceDefinition"},
		{"metadata", object{{"name", k.Plural + "." + group}}},
		{"spec", object{
			{"group", group}, {"scope", "Namespaced"},
			{"names", object{
				{"kind", k.Kind}, {"listKind", k.Kind + "List"}, {"plural", k.Plural}, {"singular", strings.ToLower(k.Kind)},
				{"shortNames", k.short}, {"categories", []string{"patgate"}},
			}},
			{"versions", []object{{
				{"name", strings.TrimPrefix(APIVersion, apiGroup)}, {"served", true}, {"storage", true},
				{"schema", object{{"openAPIV3Schema", k.schema()}}},
				{"subresources", object{{"status", struct{}{}}}}, // its own resource: who may write objects may not write that
				{"additionalPrinterColumns", k.columns}, {"selectableFields", selected},
			}}},
		}},
	}
}

// schema is the structural schema of an object of the kind.
func (k *ObjectKind) schema() *schema {
	return &schema{
		Type: "object", Description: describe(k.Kind), Required: []string{"spec"},
		Properties: properties{
			{"apiVersion", &schema{Type: "string", Description: describe("apiVersion")}},
			{"kind", &schema{Type: "string", Description: describe("kind")}},
			{"metadata", &schema{Type: "object"}},
			{"spec", structural(k.spec, options{}, describe(k.Kind))},
			{"status", k.status},
		},
	}
}

// unseenStatus is the status of an object that the controller has not seen.
type unseenStatus struct {
	ObservedGeneration int `json:"observedGeneration"`
}

// statusSchema is that of a status: what all kinds have, and more.
func statusSchema(more properties) *schema {
	condition := &schema{Type: "object", Required: []string{"type", "status", "lastTransitionTime", "reason", "message"}, Properties: properties{
		{"type", &schema{Type: "string", MaxLength: 316}},
		{"status", &schema{Type: "string", Enum: []string{"True", "False", "Unknown"}}},
		{"observedGeneration", &schema{Type: "integer", Format: "int64"}},
		{"lastTransitionTime", &schema{Type: "string", Format: "date-time"}},
		{"reason", &schema{Type: "string", MaxLength: 1024}},
		{"message", &schema{Type: "string", MaxLength: 32768}},
	}}
	// An object that has no status counts as current for kstatus, by which Flux, Helm and others wait: it has one from the beginning.
	unseen := &unseenStatus{ObservedGeneration: -1}
	return &schema{Type: "object", Default: unseen, Description: "What patgate says of the object. Only `patgate controller` writes it.", Properties: append(more, properties{
		{"observedGeneration", &schema{Type: "integer", Format: "int64", Description: "The generation of the object that the status is about; -1: none yet."}},
		{"conditions", &schema{
			Type: "array", Items: condition, ListType: "map", ListKeys: []string{"type"}, Description: "Accepted, Ready, ExpiresSoon and Revoked.",
		}},
	}...)}
}

// structural describes a type as a cluster's API server checks it: without references and conditions,
// which it does not know, and with rules in CEL instead.
func structural(t reflect.Type, o options, description string) *schema {
	s := structuralValue(t, o)
	s.Description, s.Rules = description, append(s.Rules, celRules(t)...)
	return s
}

func structuralValue(t reflect.Type, o options) *schema {
	switch t { // those that rules in CEL check, whose messages are patgate's
	case reflect.TypeFor[Time]():
		return &schema{Type: "string", Format: "date-time", Pattern: rfc3339.String()}
	case reflect.TypeFor[Digest](), reflect.TypeFor[CIDR]():
		return &schema{Type: "string", MaxLength: 128}
	case reflect.TypeFor[From](): // text or a map, which a structural schema has no word for
		return &schema{
			Pattern: "^(Same|All)$", Required: []string{"matchLabels"}, Unknown: true,
			Properties: properties{{"matchLabels", &schema{Type: "object", MinKeys: 1, Others: &schema{Type: "string"}}}},
		}
	case reflect.TypeFor[HeaderName]():
		return &schema{Type: "string", Pattern: `^` + headerSyntax + `+$`, MaxLength: 256}
	}
	if v, ok := reflect.New(t).Interface().(interface{ schema() *schema }); ok {
		return adapt(v.schema())
	}
	least := 1
	if o.empty {
		least = 0
	}
	switch t.Kind() {
	case reflect.Pointer:
		return structural(t.Elem(), o, "")
	case reflect.Struct:
		return structuralObject(t)
	case reflect.Slice:
		s := &schema{Type: "array", Items: structural(t.Elem(), options{}, ""), MinItems: least, MaxItems: maxItems[t]}
		switch t {
		case reflect.TypeFor[[]Previous]():
			s.ListType, s.ListKeys = "map", []string{"digest"}
		default:
			s.ListType = "atomic"
		}
		return s
	case reflect.String:
		return &schema{Type: "string", MinLength: 1, MaxLength: maxText}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	}
	panic(fmt.Sprintf("manifest: no way to describe a %v to a cluster", t))
}

// maxText bounds texts of no form, such as descriptions: rules in CEL are only allowed on bounded ones.
const maxText = 16 << 10

// maxItems bounds the lists on whose entries there are rules in CEL.
var maxItems = map[reflect.Type]int{
	reflect.TypeFor[[]Rule]():     policy.MaxRules,
	reflect.TypeFor[[]CIDR]():     policy.MaxRanges,
	reflect.TypeFor[[]Pattern]():  policy.MaxRules,
	reflect.TypeFor[[]Previous](): 64,
	reflect.TypeFor[[]Scheme]():   8,
}

func structuralObject(t reflect.Type) *schema {
	s := &schema{Type: "object", MinKeys: 1}
	for i := range t.NumField() {
		f := t.Field(i)
		key, o := fieldTag(f)
		if key == "-" || f.Type == posType {
			continue
		}
		v := structural(f.Type, o, describe(t.Name()+"."+key))
		if f.Type == reflect.TypeFor[[]Rule]() && key == "deny" {
			v.Items.Rules = append(slices.Clip(v.Items.Rules), denyRule)
		}
		if t == reflect.TypeFor[UserGroup]() && key == "members" {
			v.ListType = "set" // teams may each add their own
		}
		s.Properties = append(s.Properties, property{key, v})
		if o.required && o.unless == "" {
			s.Required = append(s.Required, key)
		}
	}
	return s
}

// adapt takes out of a scalar's schema what a structural one may not hold.
func adapt(s *schema) *schema {
	if s.Names != nil { // maps of names to patterns
		s.Names, s.Rules = nil, []celRule{{Rule: `self.all(name, name != "")`, Message: "an empty name, expected some text"}}
	}
	if others, ok := s.Others.(*schema); ok {
		others.Rules = celRules(reflect.TypeFor[Pattern]())
	}
	return s
}

// blockYAML writes JSON as YAML for people, its keys in their order.
func blockYAML(text []byte) []byte {
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil {
		panic(fmt.Sprintf("manifest: %v", err)) // JSON of our own is YAML
	}
	plain(&n)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		panic(fmt.Sprintf("manifest: %v", err))
	}
	return b.Bytes()
}

// plain takes JSON's braces and quotes off, as far as YAML needs none.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		plain(child)
	}
	if len(n.Content) == 0 && n.Kind == yaml.MappingNode {
		n.Style = yaml.FlowStyle
	}
}
