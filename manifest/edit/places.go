package edit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// places finds a document's nodes in its text. It counts lines and columns as the YAML
// library does; where the text differs, an edit is refused.
type places struct {
	text  []byte
	lines []int // the offset at which each line begins
}

func newPlaces(text []byte) places {
	p := places{text: text, lines: []int{0}}
	for i := 0; i < len(text); i++ {
		if n := lineBreak(text[i:]); n > 0 {
			i += n - 1
			p.lines = append(p.lines, i+1)
		}
	}
	return p
}

// lineBreak returns how many bytes of a line break a text begins with.
func lineBreak(text []byte) int {
	for _, br := range []string{"\r\n", "\n", "\r", "\u0085", "\u2028", "\u2029"} {
		if bytes.HasPrefix(text, []byte(br)) {
			return len(br)
		}
	}
	return 0
}

// errPlace is a place that can't be edited.
type errPlace string

func (e errPlace) Error() string { return string(e) }

// start returns the offset of a node.
func (p *places) start(n *yaml.Node) (int, error) {
	if n.Line < 1 || n.Line > len(p.lines) {
		return 0, errPlace("its place was not found")
	}
	at := p.lines[n.Line-1]
	for range n.Column - 1 {
		if at >= len(p.text) {
			return 0, errPlace("its place was not found")
		}
		_, size := utf8.DecodeRune(p.text[at:])
		at += size
	}
	return at, nil
}

// scalar returns where a scalar's value is, without its quotes. Only a value that
// is written as it is read has such a place.
func (p *places) scalar(n *yaml.Node) (start, end int, err error) {
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		return 0, 0, errPlace("it is no plain value")
	}
	start, err = p.start(n)
	if err != nil {
		return 0, 0, err
	}
	quote := ""
	switch n.Style &^ yaml.FlowStyle {
	case 0:
	case yaml.DoubleQuotedStyle:
		quote = `"`
	case yaml.SingleQuotedStyle:
		quote = "'"
	default:
		return 0, 0, errPlace("it is no plain value")
	}
	if !bytes.HasPrefix(p.text[start:], []byte(quote+n.Value+quote)) {
		return 0, 0, errPlace("it is not written on one line as it is read")
	}
	start += len(quote)
	return start, start + len(n.Value), nil
}

// end returns the offset after a node.
func (p *places) end(n *yaml.Node) (int, error) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return p.blockEnd(n)
	case n.Kind == yaml.ScalarNode && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		start, err := p.start(n)
		if err != nil {
			return 0, err
		}
		length := quoted(p.text[start:])
		if length == 0 {
			return 0, errPlace("a quote is not closed")
		}
		return start + length, nil
	case n.Kind == yaml.ScalarNode:
		_, end, err := p.scalar(n)
		return end, err
	case n.Style&yaml.FlowStyle != 0:
		start, err := p.start(n)
		if err != nil {
			return 0, err
		}
		return p.flowEnd(start)
	case len(n.Content) == 0:
		return 0, errPlace("it is empty")
	}
	return p.end(n.Content[len(n.Content)-1])
}

// blockEnd returns the offset at the end of the last line of a block of text, before its line break.
func (p *places) blockEnd(n *yaml.Node) (int, error) {
	at, err := p.start(n)
	if err != nil {
		return 0, err
	}
	_, end, _ := p.lineOf(at)
	indent, last := -1, end
	for next := end; next < len(p.text); {
		start, after, _ := p.lineOf(next)
		line := bytes.TrimRight(p.text[start:after], "\r\n")
		deep := len(line) - len(bytes.TrimLeft(line, " "))
		if len(bytes.TrimSpace(line)) > 0 {
			if indent < 0 {
				indent = deep
			}
			if deep < indent || deep == 0 {
				break
			}
			last = after
		}
		next = after
	}
	return last - len(breakOf(p.text[:last])), nil
}

// flowEnd returns the offset after the bracket that closes the one at start.
func (p *places) flowEnd(start int) (int, error) {
	depth, fresh := 0, true // fresh: a quote here opens a text
	for i := start; i < len(p.text); i++ {
		c := p.text[i]
		switch {
		case c == '[' || c == '{':
			depth++
			fresh = true
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return i + 1, nil
			}
		case fresh && (c == '"' || c == '\''):
			n := quoted(p.text[i:])
			if n == 0 {
				return 0, errPlace("a quote is not closed")
			}
			i += n - 1
			fresh = false
		case c == '#' && isBlankByte(p.text[i-1]):
			for i+1 < len(p.text) && lineBreak(p.text[i+1:]) == 0 {
				i++
			}
			fresh = true
		default:
			fresh = isBlankByte(c) || c == ',' || c == ':'
		}
	}
	return 0, errPlace("a bracket is not closed")
}

func isBlankByte(c byte) bool { return strings.IndexByte(" \t\r\n", c) >= 0 }

// quoted returns the length of the quoted text that a text begins with, or 0.
func quoted(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && text[0] == '"':
			i++
		case text[i] == '\'' && text[0] == '\'' && i+1 < len(text) && text[i+1] == '\'':
			i++
		case text[i] == text[0]:
			return i + 1
		}
	}
	return 0
}

// lineOf returns the bounds of the line at an offset, with its line break, and whether
// there is nothing but blanks before the offset.
func (p *places) lineOf(at int) (start, end int, first bool) {
	i, found := slices.BinarySearch(p.lines, at)
	if !found {
		i--
	}
	start, end = p.lines[i], len(p.text)
	if i+1 < len(p.lines) {
		end = p.lines[i+1]
	}
	return start, end, len(bytes.Trim(p.text[start:at], " ")) == 0
}

// restIsBlank reports whether a line has nothing after an offset but blanks and a comment.
func (p *places) restIsBlank(at int) bool {
	_, end, _ := p.lineOf(at)
	rest := p.text[at:end]
	trimmed := bytes.TrimSpace(rest)
	return len(trimmed) == 0 || trimmed[0] == '#' && len(rest) > 0 && isBlankByte(rest[0])
}

// breakOf returns the line break that a line ends with, or nothing.
func breakOf(line []byte) string {
	for _, br := range []string{"\r\n", "\n", "\r"} {
		if bytes.HasSuffix(line, []byte(br)) {
			return br
		}
	}
	return ""
}

// splice replaces some bytes of a text.
type splice struct {
	at, remove int
	insert     string
}

// applySplices applies splices that do not overlap, whatever their order. Of two at one
// place, the inserted text comes before what is left of the removed.
func applySplices(text []byte, list []splice) ([]byte, error) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b splice) int {
		if a.at != b.at {
			return a.at - b.at
		}
		return a.remove - b.remove
	})
	var out []byte
	from := 0
	for _, s := range list {
		if s.at < from || s.at+s.remove > len(text) {
			return nil, fmt.Errorf("edits overlap at byte %d", s.at)
		}
		out = append(out, text[from:s.at]...)
		out = append(out, s.insert...)
		from = s.at + s.remove
	}
	return append(out, text[from:]...), nil
}
