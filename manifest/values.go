package manifest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
)

// options are the options in a field's tag, after its name.
type options struct {
	required bool
	empty    bool   // an empty list or map is allowed
	object   bool   // the field is for objects of a cluster alone
	unless   string // the field that may be there instead of a required one, in objects
}

// otherwise is the alternative to the field.
func (o options) otherwise(t reflect.Type) string {
	text := ""
	switch {
	case o.empty && t.Kind() == reflect.Map:
		text = " ({} for none)"
	case o.empty:
		text = " ([] for none)"
	}
	if !o.required {
		text += " or no key at all"
	}
	return text
}

// decodable is a value with a form of its own.
type decodable interface {
	// decode reads a node that is not null, or reports a problem.
	decode(s *scope, n *yaml.Node, field string)
}

var posType = reflect.TypeFor[Pos]()

// value decodes a node into v, by v's type.
func (s *scope) value(n *yaml.Node, v reflect.Value, field string, o options) {
	if n.Kind == yaml.AliasNode {
		return // reported by plainYAML
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		s.problem(n, field, "nothing after the key (null), expected %s%s", expected(v.Type()), o.otherwise(v.Type()))
		return
	}
	if d, ok := v.Addr().Interface().(decodable); ok {
		d.decode(s, n, field)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		s.value(n, p.Elem(), field, o)
		v.Set(p)
	case reflect.Struct:
		s.object(n, v, field, o)
	case reflect.Slice:
		s.list(n, v, field, o)
	case reflect.Map:
		s.texts(n, v, field, o)
	case reflect.String:
		if text, ok := s.text(n, field); ok {
			v.SetString(text)
		}
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			what := got(n)
			if isOldBoolean(n) {
				what += fmt.Sprintf(" (%s)", n.Value)
			}
			s.problem(n, field, "%s, expected true or false", what)
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	default:
		panic(fmt.Sprintf("manifest: no way to decode a %v", v.Type()))
	}
}

// text reads text that is not empty. A number or boolean without quotes is none: what
// it was written as is lost in other YAML readers.
func (s *scope) text(n *yaml.Node, field string) (text string, ok bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		s.problem(n, field, "%s, expected text", got(n))
	case n.ShortTag() != "!!str":
		s.problem(n, field, "%s, expected text: put %s in quotes", got(n), n.Value)
	case isOldBoolean(n):
		s.problem(n, field, "%s is a boolean to Helm and kubectl, expected text: put %s in quotes", n.Value, n.Value)
	case n.Value == "":
		s.problem(n, field, "empty text, expected some or no key at all")
	default:
		return n.Value, true
	}
	return "", false
}

// object decodes a mapping into a struct, whose fields name their keys.
func (s *scope) object(n *yaml.Node, v reflect.Value, field string, o options) {
	if n.Kind != yaml.MappingNode {
		s.problem(n, field, "%s, expected %s", got(n), expected(v.Type()))
		return
	}
	if len(n.Content) == 0 && !o.empty {
		s.problem(n, field, "empty, expected %s", expected(v.Type()))
		return
	}
	l := layoutOf(v.Type())
	for _, i := range l.places {
		v.Field(i).Set(reflect.ValueOf(s.pos(n)))
	}
	given := s.fields(n, field, l.keys, func(key string, value *yaml.Node) {
		f := l.fields[key]
		if f.object && !s.decoder.Objects {
			s.problem(value, child(field, key), "for objects of a Kubernetes cluster alone, where `patgate controller` makes the value, "+
				"expected digest and issued: `patgate token create` makes them")
			return
		}
		s.value(value, v.Field(f.index), child(field, key), f.options)
	})
	for _, key := range l.keys {
		if f := l.fields[key]; f.required && !given[key] && !given[f.unless] {
			s.problem(n, child(field, key), "missing, expected %s", expected(v.Type().Field(f.index).Type))
		}
	}
	if c, ok := v.Addr().Interface().(interface {
		check(*scope, *yaml.Node, string)
	}); ok {
		c.check(s, n, field)
	}
}

// fields calls do for each known key of a mapping, and reports the others and those
// that appear twice. It returns which keys there are.
func (s *scope) fields(n *yaml.Node, field string, known []string, do func(key string, value *yaml.Node)) map[string]bool {
	given := map[string]bool{}
	s.pairs(n, field, func(key string, keyNode, value *yaml.Node) {
		if !slices.Contains(known, key) {
			if s.full() {
				s.more++
				return
			}
			s.problem(keyNode, child(field, key), "unknown field, %s", diag.Suggest(key, known))
			return
		}
		given[key] = true
		do(key, value)
	})
	return given
}

// pairs calls do for each key that appears once in a mapping.
func (s *scope) pairs(n *yaml.Node, field string, do func(key string, keyNode, value *yaml.Node)) {
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" && key.ShortTag() != "!!merge" {
			if key.Kind != yaml.AliasNode {
				s.problem(key, field, "a key that is %s, expected text: put it in quotes", got(key))
			}
			continue
		}
		if isOldBoolean(key) {
			s.problem(key, child(field, key.Value), "a key that is a boolean to Helm and kubectl, expected text: put it in quotes")
			continue
		}
		if before, twice := first[key.Value]; twice {
			at := s.pos(before)
			s.problem(key, child(field, key.Value), "the key appears twice, first at %s:%d:%d, expected it once", s.file, at.Line, at.Column)
			continue
		}
		first[key.Value] = key
		do(key.Value, key, value)
	}
}

// list decodes a sequence.
func (s *scope) list(n *yaml.Node, v reflect.Value, field string, o options) {
	if n.Kind != yaml.SequenceNode {
		s.problem(n, field, "%s, expected a list", got(n))
		return
	}
	if len(n.Content) == 0 && !o.empty {
		s.problem(n, field, "an empty list, expected at least one entry%s", o.otherwise(v.Type()))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, entry := range n.Content {
		s.value(entry, v.Index(i), fmt.Sprintf("%s[%d]", field, i), options{})
	}
}

// texts decodes a mapping of names to text. Its values may be empty, as those of
// labels and annotations are.
func (s *scope) texts(n *yaml.Node, v reflect.Value, field string, o options) {
	if n.Kind != yaml.MappingNode {
		s.problem(n, field, "%s, expected names and their values", got(n))
		return
	}
	if len(n.Content) == 0 && !o.empty {
		s.problem(n, field, "empty, expected at least one name or no key at all")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	s.pairs(n, field, func(key string, _, value *yaml.Node) {
		text := ""
		if value.Kind != yaml.ScalarNode || value.ShortTag() != "!!str" || value.Value != "" {
			s.value(value, reflect.ValueOf(&text).Elem(), child(field, key), options{})
		}
		v.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(text))
	})
}

// layout is what the fields of a struct's type say of themselves, read once a type: a load
// decodes the same few types a million times.
type layout struct {
	keys   []string // in the order of the fields
	fields map[string]layoutField
	places []int // the fields that hold the struct's place
}

type layoutField struct {
	index int
	options
}

var layouts sync.Map // of *layout, by reflect.Type

func layoutOf(t reflect.Type) *layout {
	if l, ok := layouts.Load(t); ok {
		return l.(*layout)
	}
	l := &layout{fields: map[string]layoutField{}}
	for i := range t.NumField() {
		switch key, o := fieldTag(t.Field(i)); {
		case t.Field(i).Type == posType:
			l.places = append(l.places, i)
		case key != "-":
			l.keys = append(l.keys, key)
			l.fields[key] = layoutField{i, o}
		}
	}
	layouts.Store(t, l)
	return l
}

// keysOf returns the keys of a struct's fields, in their order.
func keysOf(t reflect.Type) []string { return layoutOf(t).keys }

func fieldTag(f reflect.StructField) (key string, o options) {
	key, rest, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	o.required = strings.Contains(rest, "required")
	o.empty = strings.Contains(rest, "empty")
	o.object = strings.Contains(rest, "object")
	_, o.unless, _ = strings.Cut(rest, "unless=")
	return key, o
}

// got describes a node.
func got(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!str":
		return "text"
	case "!!bool":
		return "a boolean"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a time"
	case "!!null":
		return "null"
	}
	if strings.HasPrefix(n.ShortTag(), "!!") {
		return "a " + n.ShortTag()
	}
	return "a value with a tag"
}

// expected describes what a type accepts.
func expected(t reflect.Type) string {
	if e, ok := reflect.New(t).Interface().(interface{ expects() string }); ok {
		return e.expects()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return expected(t.Elem())
	case reflect.Struct:
		return "a map with " + strings.Join(keysOf(t), ", ")
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "a map of text"
	case reflect.Bool:
		return "true or false"
	}
	return "text"
}
