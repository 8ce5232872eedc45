package check

import (
	"strconv"
	"strings"
)

// kind is the kind of a node. The zero value is no node.
type kind uint8

const (
	scalar kind = iota + 1
	list
	mapping
)

// place is a position, in lines and columns from 1.
type place struct {
	file         string
	line, column int
}

// node is one value of a configuration, with its place and its path. A value of null is
// no node: Envoy treats it as an absent field. All methods accept a nil node, which means
// an absent value.
type node struct {
	kind   kind
	text   string  // of a scalar, whatever its style
	fields []field // of a mapping, in their order
	items  []*node // of a list

	at     place // of the key, where there is one
	parent *node
	step   string // from the parent: `.name` or `[2]`
}

// field is one entry of a mapping.
type field struct {
	name  string
	value *node
}

// path returns the way from the document to the node, as in admin.address.
func (n *node) path() string {
	if n == nil {
		return ""
	}
	var steps []string
	for ; n.parent != nil; n = n.parent {
		steps = append(steps, n.step)
	}
	var b strings.Builder
	for i := len(steps) - 1; i >= 0; i-- {
		b.WriteString(steps[i])
	}
	return strings.TrimPrefix(b.String(), ".")
}

// stepTo is a step of a path to a field.
func stepTo(name string) string {
	if strings.ContainsAny(name, ".[] ") {
		return "[" + strconv.Quote(name) + "]"
	}
	return "." + name
}

// get follows field names from a node, each spelt as in the protocol buffers (snake_case):
// lowerCamelCase in the configuration is the same field.
func (n *node) get(names ...string) *node {
	for _, name := range names {
		n = n.one(name)
	}
	return n
}

// one returns the last field of a name, which is the one that Envoy uses.
func (n *node) one(name string) *node {
	if n == nil {
		return nil
	}
	for i := len(n.fields) - 1; i >= 0; i-- {
		if sameName(n.fields[i].name, name) {
			return n.fields[i].value
		}
	}
	return nil
}

// key returns the value of a map's key, which has one spelling.
func (n *node) key(name string) *node {
	if n == nil {
		return nil
	}
	for i := len(n.fields) - 1; i >= 0; i-- {
		if n.fields[i].name == name {
			return n.fields[i].value
		}
	}
	return nil
}

// sameName compares names of fields without regard to underscores and case.
func sameName(a, b string) bool {
	for i, j := 0, 0; ; i, j = i+1, j+1 {
		for i < len(a) && a[i] == '_' {
			i++
		}
		for j < len(b) && b[j] == '_' {
			j++
		}
		if i == len(a) || j == len(b) {
			return i == len(a) && j == len(b)
		}
		if lower(a[i]) != lower(b[j]) {
			return false
		}
	}
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// str returns a scalar's text, or nothing.
func (n *node) str() string {
	if n == nil {
		return ""
	}
	return n.text
}

// elements returns a list's items.
func (n *node) elements() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// entries returns a mapping's fields.
func (n *node) entries() []field {
	if n == nil {
		return nil
	}
	return n.fields
}

// isTrue reports whether Envoy reads a value as true: it accepts YAML 1.1's words, and
// texts in quotes (measured).
func (n *node) isTrue() bool {
	switch strings.ToLower(n.str()) {
	case "true", "yes", "on", "y":
		return true
	}
	return false
}

// number returns a scalar's whole number.
func (n *node) number() (int64, bool) {
	if n == nil || n.kind != scalar {
		return 0, false
	}
	if i, err := strconv.ParseInt(n.text, 10, 64); err == nil {
		return i, true
	}
	f, err := strconv.ParseFloat(n.text, 64)
	if err != nil || f != float64(int64(f)) {
		return 0, false
	}
	return int64(f), true
}

// is compares a value with an enum's name or number. Envoy takes names in any case
// (measured).
func (n *node) is(name string, number int64) bool {
	if i, ok := n.number(); ok {
		return i == number
	}
	return strings.EqualFold(n.str(), name)
}

// spot is the place of a field, or the place where it is missing.
type spot struct {
	at   place
	path string
}

func (n *node) spot() spot {
	if n == nil {
		return spot{}
	}
	return spot{n.at, n.path()}
}

// missing returns the spot of a field that may be absent: then the place is that of the
// node that would hold it, and the path says where it belongs, in the naming style of the
// node's fields.
func (n *node) missing(names ...string) spot {
	for len(names) > 0 {
		next := n.one(names[0])
		if next == nil {
			break
		}
		n, names = next, names[1:]
	}
	s := n.spot()
	for _, name := range names {
		if n.camel() {
			name = camelCase(name)
		}
		s.path = strings.TrimPrefix(s.path+"."+name, ".")
	}
	return s
}

// camel reports whether a mapping, or the one that holds it, is written in lowerCamelCase.
func (n *node) camel() bool {
	for ; n != nil; n = n.parent {
		for _, f := range n.fields {
			if strings.Contains(f.name, "_") {
				return false
			}
			if strings.ToLower(f.name) != f.name && !strings.ContainsAny(f.name, "-./") {
				return true
			}
		}
	}
	return false
}

func camelCase(name string) string {
	words := strings.Split(name, "_")
	for i, w := range words[1:] {
		if w != "" {
			words[i+1] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}

// walk calls visit with a node and all below it, until visit returns false for one,
// whose inner nodes are then left out.
func (n *node) walk(visit func(*node) bool) {
	if n == nil || !visit(n) {
		return
	}
	for _, f := range n.fields {
		f.value.walk(visit)
	}
	for _, item := range n.items {
		item.walk(visit)
	}
}

// within returns the values of all fields of a name below a node, at any depth.
func (n *node) within(name string) []*node {
	var found []*node
	n.walk(func(inner *node) bool {
		for _, f := range inner.fields {
			if f.value != nil && sameName(f.name, name) {
				found = append(found, f.value)
			}
		}
		return true
	})
	return found
}
