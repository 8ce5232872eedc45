package edit

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// spots returns where entries may be added to the spec, the best first. They are
// guesses: edit looks at what becomes of each.
func (e *tokenEditor) spots(added []entry) [][]splice {
	if e.spec.Style&yaml.FlowStyle != 0 {
		return e.flowSpots(added)
	}
	return e.lineSpots(added)
}

// anchors are the keys after which people expect what an edit adds.
var anchors = []string{"expires", "issued", "digest", "user"}

// flowSpots are after one of the anchors' values, and after the opening brace.
func (e *tokenEditor) flowSpots(added []entry) [][]splice {
	var spots [][]splice
	open, err := e.start(e.spec)
	if err != nil || open >= len(e.text) || e.text[open] != '{' {
		return nil
	}
	json := e.spec.Content[0].Style&yaml.DoubleQuotedStyle != 0
	var parts []string
	for _, a := range added {
		parts = append(parts, a.flow(json))
	}
	text := strings.Join(parts, ", ")
	for _, key := range anchors {
		if n := find(e.spec, key); n != e.spec {
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
func (e *tokenEditor) lineSpots(added []entry) [][]splice {
	var spots, last [][]splice
	indent := strings.Repeat(" ", e.spec.Column-1)
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
		if n := find(e.spec, key); n != e.spec {
			after(n)
		}
	}
	for i := 1; i < len(e.spec.Content); i += 2 {
		if e.spec.Content[i].Kind == yaml.ScalarNode {
			after(e.spec.Content[i])
		}
	}
	for i := 0; i < len(e.spec.Content); i += 2 {
		if at, err := e.start(e.spec.Content[i]); err == nil {
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

// flow writes an entry as it stands within braces, in JSON's form where wanted.
func (a *entry) flow(json bool) string {
	quote, value := "", a.value
	if json {
		quote, value = `"`, `"`+a.value+`"`
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
