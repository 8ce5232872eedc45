package edit

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// spots returns where entries may be added to the spec, the best first. They are
// guesses: edit looks at what becomes of each.
func (e *tokenEditor) spots(added []entry) [][]splice { return e.spotsIn(e.spec, added) }

// spotsIn returns where entries may be added to a map.
func (e *tokenEditor) spotsIn(in *yaml.Node, added []entry) [][]splice {
	if len(in.Content) == 0 {
		return nil
	}
	if in.Style&yaml.FlowStyle != 0 {
		return e.flowSpots(in, added)
	}
	return e.lineSpots(in, added)
}

// anchors are the keys after which people expect what an edit adds.
var anchors = []string{"expires", "issued", "digest", "user", "name"}

// flowSpots are after one of the anchors' values, and after the opening brace.
func (e *tokenEditor) flowSpots(in *yaml.Node, added []entry) [][]splice {
	var spots [][]splice
	open, err := e.start(in)
	if err != nil || open >= len(e.text) || e.text[open] != '{' {
		return nil
	}
	json := in.Content[0].Style&yaml.DoubleQuotedStyle != 0
	var parts []string
	for _, a := range added {
		parts = append(parts, a.flow(json))
	}
	text := strings.Join(parts, ", ")
	for _, key := range anchors {
		if n := find(in, key); n != in {
			if end, err := e.end(n); err == nil {
				spots = append(spots, []splice{{at: end, insert: ", " + text}})
			}
		}
	}
	return append(spots, []splice{{at: open + 1, insert: text + ", "}})
}

// lineSpots are after the lines of the anchors, after those of other keys with a plain
// value, and before any key. A last line without its line break comes last of all: there
// the break is added too.
func (e *tokenEditor) lineSpots(in *yaml.Node, added []entry) [][]splice {
	var spots, last [][]splice
	indent := strings.Repeat(" ", in.Column-1)
	eol := e.lineBreak()
	text := ""
	for _, a := range added {
		text += a.lines(indent, eol)
	}
	after := func(n *yaml.Node) {
		at, err := e.end(n)
		if err != nil || !e.restIsBlank(at) {
			return
		}
		start, end, _ := e.lineOf(at)
		if breakOf(e.text[start:end]) == "" {
			last = append(last, []splice{{at: end, insert: eol + strings.TrimSuffix(text, eol)}})
			return
		}
		spots = append(spots, []splice{{at: end, insert: text}})
	}
	for _, key := range anchors {
		if n := find(in, key); n != in {
			after(n)
		}
	}
	for i := 1; i < len(in.Content); i += 2 {
		if in.Content[i].Kind == yaml.ScalarNode {
			after(in.Content[i])
		}
	}
	for i := 0; i < len(in.Content); i += 2 {
		if at, err := e.start(in.Content[i]); err == nil {
			if start, _, first := e.lineOf(at); first {
				spots = append(spots, []splice{{at: start, insert: text}})
			}
		}
	}
	return append(spots, last...)
}

// lineBreak returns how the document ends its lines: as its spec's first line does.
func (e *tokenEditor) lineBreak() string {
	for _, n := range []*yaml.Node{e.spec.Content[0], e.root} {
		if at, err := e.start(n); err == nil {
			start, end, _ := e.lineOf(at)
			if br := breakOf(e.text[start:end]); br != "" {
				return br
			}
		}
	}
	return "\n"
}

// lines writes an entry as lines.
func (a *entry) lines(indent, eol string) string {
	if a.node != nil {
		return blockLines(a.key, a.node, indent, eol)
	}
	if a.fields == nil {
		return indent + a.key + ": " + a.value + eol
	}
	return indent + a.key + ":" + eol + item(a.fields, indent, eol)
}

// item writes a map as an item of a list.
func item(fields []entry, indent, eol string) string {
	text := ""
	for i, f := range fields {
		lead := "  "
		if i == 0 {
			lead = "- "
		}
		text += indent + lead + f.key + ": " + f.value + eol
	}
	return text
}

// flow writes an entry as it is written within braces, optionally in JSON's form.
func (a *entry) flow(json bool) string {
	quote, value := "", a.value
	if json {
		quote, value = `"`, `"`+a.value+`"`
	}
	if a.node != nil {
		value = flowText(a.node, json)
	}
	if a.fields != nil {
		value = "[" + flowItem(a.fields, json) + "]"
	}
	return quote + a.key + quote + ": " + value
}

// flowItem writes a map in braces.
func flowItem(fields []entry, json bool) string {
	var parts []string
	for i := range fields {
		parts = append(parts, fields[i].flow(json))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
