package policy

import (
	"errors"
	"strconv"
	"strings"
)

// Node is a rule's condition on a place in a JSON body. Make one with NewNode.
type Node struct {
	Text    string // the place as written
	Pattern *Pattern
	path    []step
}

// step is one member or element on the way to a node.
type step struct {
	name  string
	index int // of an array's element; -1 where the name is no index
	every bool
}

// NewNode reads the place of a node, a dotted path (`fields.project.key`, `labels.*`
// for every element, `\.` for a literal dot) or a JSON Pointer (RFC 6901), which
// begins with a slash. It returns an error for a place that names nothing.
func NewNode(text string, p *Pattern) (Node, error) {
	var path []step
	var err error
	if strings.HasPrefix(text, "/") {
		path, err = parsePointer(text)
	} else {
		path, err = parseDotted(text)
	}
	return Node{Text: text, Pattern: p, path: path}, err
}

func parsePointer(text string) ([]step, error) {
	var path []step
	for _, part := range strings.Split(text[1:], "/") {
		for rest := part; ; {
			_, after, found := strings.Cut(rest, "~")
			if !found {
				break
			}
			if after == "" || after[0] != '0' && after[0] != '1' {
				return nil, errors.New("`~` in a JSON Pointer, expected `~0` for ~ or `~1` for /")
			}
			rest = after
		}
		name := strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
		path = append(path, step{name: name, index: elementIndex(name)})
	}
	return path, nil
}

func parseDotted(text string) ([]step, error) {
	var path []step
	var name strings.Builder
	literal := false // an escape was in this name, so a star is a star
	end := func() error {
		s := name.String()
		if s == "" {
			return errors.New("an empty name in a node's path, expected names divided by single dots")
		}
		path = append(path, step{name: s, index: elementIndex(s), every: s == "*" && !literal})
		name.Reset()
		literal = false
		return nil
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\\':
			if i++; i == len(text) || strings.IndexByte(`.\*`, text[i]) < 0 {
				return nil, errors.New("a backslash in a node's path, expected `\\.`, `\\\\` or `\\*`")
			}
			literal = true
			name.WriteByte(text[i])
		case '.':
			if err := end(); err != nil {
				return nil, err
			}
		default:
			name.WriteByte(c)
		}
	}
	if err := end(); err != nil {
		return nil, err
	}
	return path, nil
}

// elementIndex reads an array index as RFC 6901 has it, without leading zeros.
func elementIndex(name string) int {
	i, err := strconv.ParseUint(name, 10, 31)
	if err != nil || strconv.FormatUint(i, 10) != name {
		return -1
	}
	return int(i)
}

// search counts what a node's path leads to.
type search struct {
	*document
	pattern        *Pattern
	all            bool // in an allow rule: every node must match
	meter          *meter
	found, matched int
	unclear        unclear
}

// unclear is why a search can't know what the API would find. The zero value: it can. A number
// keeps the evaluation on the stack, where a text could come from anywhere in it.
type unclear uint8

const (
	unclearKeys unclear = iota + 1
	unclearLength
	unclearBudget
	unclearContainer
)

// String returns the reason in words.
func (u unclear) String() string {
	return [...]string{
		unclearKeys:      "an object has a key twice but for case",
		unclearLength:    "it holds a text of more than 64 KiB",
		unclearBudget:    "there was no time to read it",
		unclearContainer: "it holds an array or object where the rule expects a plain value or a member",
	}[u]
}

// check reports whether the node is there and matches: of several, all where all is
// set (allow rules), else one (deny rules). Where it is undecided, why is the reason.
func (d *document) check(n *Node, all bool, m *meter) (v verdict, why string) {
	s := search{document: d, pattern: n.Pattern, all: all, meter: m}
	s.walk(0, n.path)
	if s.unclear != 0 {
		return undecided, s.unclear.String()
	}
	return quantify(s.found, s.matched, all), ""
}

// walk follows a path from the value at i. What is missing, or not a scalar at the
// path's end, counts as found and not matched: it fails an allow rule. A deny rule is
// undecided about an array or object at the end, which many languages take for true or for its
// one element.
func (s *search) walk(i int, path []step) {
	v := &s.values[i]
	if len(path) == 0 {
		s.match(v)
		return
	}
	at, rest := path[0], path[1:]
	switch {
	case v.kind == jsonObject && !at.every:
		s.member(i, at.name, rest)
	case v.kind == jsonArray:
		s.elements(i, at, rest)
	default:
		s.found++
	}
}

func (s *search) match(v *jsonValue) {
	s.found++
	switch text, ok := s.scalar(v); {
	case !ok:
		s.container()
	case len(text) > maxMatched:
		s.unclear = unclearLength
	case !s.meter.allows(s.pattern, text):
		s.unclear = unclearBudget
	case s.pattern.Match(text):
		s.matched++
	}
}

// container notes an array or object where the path expects something else.
func (s *search) container() {
	if !s.all && s.unclear == 0 { // mutant: containers-pass-deny-rules
		s.unclear = unclearContainer
	}
}

func (s *search) member(i int, name string, rest []step) {
	if s.repeatsFolded(i) {
		s.unclear = unclearKeys
		return
	}
	for j := i + 1; j < int(s.values[i].next); j = int(s.values[j].next) {
		if s.key(&s.values[j]) == name {
			s.walk(j, rest)
			return
		}
	}
	s.found++
}

func (s *search) elements(i int, at step, rest []step) {
	if !at.every && at.index < 0 { // a member's name
		s.found++
		s.container()
		return
	}
	n := 0
	for j := i + 1; j < int(s.values[i].next); j = int(s.values[j].next) {
		if at.every || n == at.index {
			s.walk(j, rest)
		}
		n++
	}
	if !at.every && at.index >= n {
		s.found++
	}
}
