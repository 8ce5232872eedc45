package loader_test

import (
	"fmt"
	"slices"
	"strings"
)

// gateFields are fields of a gate as a change adds them or takes them out, in order of `hosts`, which only one gate is
// without, to what is an error.
var gateFields = []string{
	"hosts: [jira.example.com, \"*.jira.example.com\"]", "hosts: [wiki.example.com]", "paths: [/more]", "paths: [/0, /1]",
	"groups: [staff]", "groups: [a-team]", "policies: [p3]", "policies: [p1, p2]", "policies: [ranged]",
	"clientIP: {source: peer}", "clientIP: {source: peer}", "clients: {allow: [10.0.0.0/8]}", "actAs: {header: x-for}", "requireTLS: true",
	"anonymous: {allow: [{path: /0/open}]}", "anonymous: {allow: [{path: /0/open, clients: [10.0.0.0/8]}]}",
	"basicEnds: 2026-05-01T00:00:00Z", "challenge: [bearer]", "contact: the owner", "problem: {errorMessages: true}",
	"allowEncoded: [\"%2F\"]", "formBodies: merged", "mcp: {serverValidates: true}", "upstream: {routing: case-insensitive}",
	"upstream: {userHeader: x-user}", "enforcement: observe", "forwardUnknown: [basic]", "forwardUnknown: [bearer]",
	"groups: [nobody]", "policies: [nothing]", "unknown: true",
}

// gateDocument returns the fields of a gate, and the text before and after them.
func gateDocument(doc string) (before string, fields []string, after string) {
	before, rest, found := strings.Cut(doc, "spec: {")
	if !found {
		return doc, nil, ""
	}
	rest, after, _ = strings.Cut(rest, "}\n")
	return before + "spec: {", splitFields(rest), "}\n" + after
}

// splitFields divides fields at the commas that are within no brackets.
func splitFields(text string) (fields []string) {
	depth, from := 0, 0
	for i, c := range text {
		switch {
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 0:
			fields, from = append(fields, strings.TrimSpace(text[from:i])), i+1
		}
	}
	return append(fields, strings.TrimSpace(text[from:]))
}

// turn adds a field, replaces the one of its name, or takes it out where it is there.
func turn(doc, field string) string {
	before, fields, after := gateDocument(doc)
	key, _, _ := strings.Cut(field, ":")
	at := slices.IndexFunc(fields, func(f string) bool { return strings.HasPrefix(f, key+":") })
	switch {
	case at < 0:
		fields = append(fields, field)
	case fields[at] == field && len(fields) > 1:
		fields = slices.Delete(fields, at, at+1)
	default:
		fields[at] = field
	}
	return before + strings.Join(fields, ", ") + after
}

// changeGates changes a gate, or makes one come, go or move.
func (w *wanderer) changeGates() {
	name, other := "gate.yaml", "gates-more.yaml"
	if w.random.IntN(2) == 0 {
		name, other = other, name
	}
	docs := slices.Clone(w.files[name])
	what, at := w.random.IntN(18), 0
	w.last += fmt.Sprintf("change %d of %s; ", what, name)
	if len(docs) == 0 {
		docs, what = []string{map[string]string{"gate.yaml": wanderGate, "gates-more.yaml": wanderWiki}[name]}, 17
	} else {
		at = w.random.IntN(len(docs))
	}
	switch what {
	case 0: // one comes, which may guard what another one does
		w.made++
		docs = append(docs, strings.Replace(turn(wanderWiki, fmt.Sprintf("hosts: [g%d.example.com]", w.random.IntN(9))), "name: wiki", fmt.Sprintf("name: more%d", w.made), 1))
	case 1: // in a file of its own
		w.made++
		w.files[fmt.Sprintf("gate-%d.yaml", w.made)] = []string{strings.Replace(turn(wanderWiki, fmt.Sprintf("hosts: [g%d.example.com]", w.made)), "name: wiki", fmt.Sprintf("name: more%d", w.made), 1)}
	case 2: // one goes, which tokens may name, or whose requests another one would guard
		docs = slices.Delete(docs, at, at+1)
	case 3: // one moves
		w.files[other] = append(slices.Clone(w.files[other]), docs[at])
		docs = slices.Delete(docs, at, at+1)
	case 4: // one is there twice
		w.files[other] = append(slices.Clone(w.files[other]), docs[at])
	case 5: // one has another name, and its old one again
		if strings.Contains(docs[at], "name: wiki}") {
			docs[at] = strings.Replace(docs[at], "name: wiki}", "name: pages}", 1)
		} else {
			docs[at] = strings.Replace(docs[at], "name: pages}", "name: wiki}", 1)
		}
	case 6: // tokens that fit none
		docs[at] = turn(docs[at], []string{"schemes: [basic, bearer]", "schemes: [basic]", "schemes: [bearer]"}[w.random.IntN(3)])
	case 7: // what comes after it moves
		docs[at] = "# a comment\n" + docs[at]
	case 8: // beside a token, and a token beside it
		w.files["tokens-0.yaml"] = append(slices.Clone(w.files["tokens-0.yaml"]), docs[at])
		docs = slices.Delete(docs, at, at+1)
		docs = append(docs, w.token())
	default:
		docs[at] = turn(docs[at], gateFields[w.random.IntN(len(gateFields))])
	}
	w.files[name] = docs
}
