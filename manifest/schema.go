package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/patgate/patgate/policy"
)

// Schema returns the JSON Schema (2020-12) of a manifest of any kind, for editors. It
// takes every manifest that decodes; what only patgate can see, such as a name that no
// manifest has, it takes too. It is made from the types that are decoded.
func Schema() []byte {
	d := describer{defs: map[string]*schema{}}
	text, err := marshal(d.manifest())
	if err != nil {
		panic(fmt.Sprintf("manifest: the schema can't be written: %v", err)) // it holds nothing that can't
	}
	return text
}

// marshal writes JSON for people: indented, with < and & as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// schema is the part of JSON Schema that patgate uses: keywords that editors with an older draft know
// too. The zero value takes anything.
type schema struct {
	Dialect     string     `json:"$schema,omitempty"`
	Description string     `json:"description,omitempty"`
	Ref         string     `json:"$ref,omitempty"`
	Type        string     `json:"type,omitempty"`
	Format      string     `json:"format,omitempty"` // of definitions for a cluster alone, as what begins with x-
	Const       any        `json:"const,omitempty"`
	Default     any        `json:"default,omitempty"` // of a status alone
	Enum        []string   `json:"enum,omitempty"`
	Pattern     string     `json:"pattern,omitempty"`
	MinLength   int        `json:"minLength,omitempty"`
	MaxLength   int        `json:"maxLength,omitempty"`
	Minimum     *int       `json:"minimum,omitempty"`
	Maximum     *int       `json:"maximum,omitempty"`
	Items       *schema    `json:"items,omitempty"`
	Contains    *schema    `json:"contains,omitempty"`
	MinItems    int        `json:"minItems,omitempty"`
	MaxItems    int        `json:"maxItems,omitempty"`
	Required    []string   `json:"required,omitempty"`
	Properties  properties `json:"properties,omitempty"`
	Names       *schema    `json:"propertyNames,omitempty"`
	Others      any        `json:"additionalProperties,omitempty"` // false, or a schema
	MinKeys     int        `json:"minProperties,omitempty"`
	MaxKeys     int        `json:"maxProperties,omitempty"`
	Not         *schema    `json:"not,omitempty"`
	AnyOf       []*schema  `json:"anyOf,omitempty"`
	AllOf       []*schema  `json:"allOf,omitempty"`
	If          *schema    `json:"if,omitempty"`
	Then        *schema    `json:"then,omitempty"`
	Else        *schema    `json:"else,omitempty"`
	Defs        properties `json:"$defs,omitempty"`
	Unknown     bool       `json:"x-kubernetes-preserve-unknown-fields,omitempty"`
	ListType    string     `json:"x-kubernetes-list-type,omitempty"`
	ListKeys    []string   `json:"x-kubernetes-list-map-keys,omitempty"`
	Rules       []celRule  `json:"x-kubernetes-validations,omitempty"`
}

// property is a key and the schema of its value: none, the key may not be there.
type property struct {
	key   string
	value *schema
}

// properties are keys in the order in which people write them.
type properties []property

// MarshalJSON writes an object and keeps the order.
func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, each := range p {
		b.WriteByte("{,"[min(i, 1)])
		var value any = each.value
		if each.value == nil {
			value = false
		}
		key, err := marshal(each.key)
		if err != nil {
			return nil, err
		}
		text, err := marshal(value)
		if err != nil {
			return nil, err
		}
		b.Write(bytes.TrimSpace(key))
		b.WriteByte(':')
		b.Write(text)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// describer collects the definitions of the types that it meets.
type describer struct {
	defs  map[string]*schema
	order []string
}

// kinds are the specs by kind.
var kinds = []struct {
	name string
	spec reflect.Type
}{
	{KindGate, reflect.TypeFor[Gate]()},
	{KindAPIToken, reflect.TypeFor[APIToken]()},
	{KindUserGroup, reflect.TypeFor[UserGroup]()},
	{KindTokenPolicy, reflect.TypeFor[TokenPolicy]()},
	{KindPolicyTest, reflect.TypeFor[PolicyTest]()},
}

// manifest describes a document: what all kinds have, and the spec by its kind. With
// conditions rather than alternatives, an editor reports the one thing that is wrong.
func (d *describer) manifest() *schema {
	s := &schema{
		Dialect: "https://json-schema.org/draft/2020-12/schema", Description: describe("manifest"),
		Type: "object", Others: false, Required: []string{"apiVersion", "kind", "metadata", "spec"},
	}
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
		spec := &schema{Description: describe(k.name), Ref: d.ref(k.spec)}
		s.AllOf = append(s.AllOf, &schema{
			If:   &schema{Required: []string{"kind"}, Properties: properties{{"kind", &schema{Const: k.name}}}},
			Then: &schema{Properties: properties{{"spec", spec}}},
		})
	}
	s.Properties = properties{
		{"apiVersion", &schema{Description: describe("apiVersion"), Type: "string", Enum: []string{APIVersion}}},
		{"kind", &schema{Description: describe("kind"), Type: "string", Enum: names}},
		{"metadata", &schema{Description: describe("Metadata"), Ref: d.ref(reflect.TypeFor[Metadata]())}},
		{"spec", &schema{Description: describe("spec"), Type: "object"}},
		{"status", &schema{Description: describe("status")}},
	}
	for _, name := range d.order {
		s.Defs = append(s.Defs, property{name, d.defs[name]})
	}
	return s
}

// ref defines a struct type and returns the reference to it.
func (d *describer) ref(t reflect.Type) string {
	if d.defs[t.Name()] == nil {
		s := &schema{}
		d.defs[t.Name()] = s // before its fields, which may refer to it
		d.order = append(d.order, t.Name())
		d.object(s, t)
	}
	return "#/$defs/" + t.Name()
}

// object describes a struct by the tags that its decoder reads.
func (d *describer) object(s *schema, t reflect.Type) {
	*s = schema{Description: describe(t.Name()), Type: "object", Others: false, MinKeys: 1}
	for i := range t.NumField() {
		key, o := fieldTag(t.Field(i))
		if key == "-" || o.object {
			continue
		}
		v := d.value(t.Field(i).Type, o)
		if t.Field(i).Type == reflect.TypeFor[[]Rule]() && key == "deny" {
			v.Items = &schema{AllOf: []*schema{v.Items, denies}}
		}
		if t == reflect.TypeFor[MCP]() {
			v.MaxItems = policy.MaxRules
		}
		v.Description = describe(t.Name() + "." + key)
		s.Properties = append(s.Properties, property{key, v})
		if o.required {
			s.Required = append(s.Required, key)
		}
	}
	if t == reflect.TypeFor[Metadata]() {
		for _, key := range serverSet {
			s.Properties = append(s.Properties, property{key, &schema{Description: describe("serverSet")}})
		}
	}
	conditions(s, t)
}

// value describes a field's type, as scope.value decodes it.
func (d *describer) value(t reflect.Type, o options) *schema {
	if v, ok := reflect.New(t).Interface().(interface{ schema() *schema }); ok {
		return v.schema()
	}
	least := 1
	if o.empty {
		least = 0
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.value(t.Elem(), o)
	case reflect.Struct:
		return &schema{Ref: d.ref(t)}
	case reflect.Slice:
		s := &schema{Type: "array", Items: d.value(t.Elem(), options{}), MinItems: least}
		if t == reflect.TypeFor[[]Rule]() {
			s.MaxItems = policy.MaxRules
		}
		if t == reflect.TypeFor[[]CIDR]() {
			s.MaxItems = policy.MaxRanges
		}
		return s
	case reflect.Map:
		return &schema{Type: "object", Others: &schema{Type: "string"}, MinKeys: least}
	case reflect.String:
		return &schema{Type: "string", MinLength: 1}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	}
	panic(fmt.Sprintf("manifest: no way to describe a %v", t))
}
