// Package diag has the type for everything that patgate reports about a file. A Problem has a place, a field, what is
// wrong and what was expected; one with a code also says how severe it is and how to mend it. The decoder of manifests,
// lint, envoy-check and front-check all report Problems. Each tool has its own table of codes; one comment suppresses
// any code.
package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a file. Lines and columns count from 1; the zero value is nowhere.
type Pos struct{ Line, Column int }

// Code names a kind of problem. Codes are stable: comments suppress them, programs read them.
type Code string

// Severity is the severity of a problem. The zero value is an error.
type Severity uint8

// The severities.
const (
	Error Severity = iota
	Warning
)

// String returns `error` or `warning`.
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Problem is one thing that is wrong with a file.
type Problem struct {
	Code       Code // empty: it is an error that no comment suppresses
	Severity   Severity
	File       string
	Pos        Pos
	Field      string // the path of the field, as in spec.allow[0].path; may be empty
	Message    string // what is wrong, and what was expected or what follows
	Fix        string // what to write instead; may be empty
	Suppressed string // the reason that a comment gives for it; empty: it counts
}

// String returns `FILE:LINE:COLUMN: SEVERITY CODE: field: message. Fix: fix`, without the parts
// that the problem does not have.
func (p Problem) String() string {
	code := ""
	if p.Code != "" {
		code = p.Severity.String() + " " + string(p.Code) + ": "
	}
	return p.place() + code + p.text()
}

// CodeLast returns what String does, with the code at the end: `… message. Fix: fix [SEVERITY CODE]`.
func (p Problem) CodeLast() string {
	return fmt.Sprintf("%s%s [%s %s]", p.place(), p.text(), p.Severity, p.Code)
}

func (p Problem) place() string {
	if p.Pos.Line == 0 {
		return Escape(p.File) + ": "
	}
	return fmt.Sprintf("%s:%d:%d: ", Escape(p.File), p.Pos.Line, p.Pos.Column)
}

func (p Problem) text() string {
	var b strings.Builder
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Message)
	if p.Code != "" {
		b.WriteString(". Fix: " + p.Fix)
	}
	return Escape(b.String())
}

// Compare orders problems by their places.
func Compare(a, b Problem) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
}

// Sort puts problems in the order of their places. Those of one place stay in their order.
func Sort(problems []Problem) { slices.SortStableFunc(problems, Compare) }

// Strings returns the text of each problem.
func Strings(problems []Problem) []string {
	var list []string
	for _, p := range problems {
		list = append(list, p.String())
	}
	return list
}
