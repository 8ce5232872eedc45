// Package lint warns of manifests that are valid and risky: what grants more than it
// seems to, what can never take effect, and what ends soon.
package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// Warning is one thing that is risky in manifests that are valid.
type Warning struct {
	Code     Code
	File     string
	Pos      manifest.Pos
	Field    string
	Message  string // what is risky, and why
	Fix      string
	Accepted string // the reason that a comment gives for it; empty: it stands
	rule     int    // the line of the rule that it is about, or 0
}

// String returns `FILE:LINE:COLUMN: warning CODE: field: what is risky. Fix: what to do`.
func (w Warning) String() string {
	return fmt.Sprintf("%s:%d:%d: warning %s: %s: %s. Fix: %s", w.File, w.Pos.Line, w.Pos.Column, w.Code, w.Field, w.Message, w.Fix)
}

// Lint returns the warnings about manifests without problems, in the order of their
// places, those too that a comment accepts. It returns nothing where there are problems.
func Lint(in *loader.Inspection, now time.Time) []Warning {
	if len(in.Problems) > 0 {
		return nil
	}
	l := &linter{in: in, now: now, patterns: map[string]*pattern{}, files: map[string][]byte{}}
	for name, data := range in.Files {
		l.files[name] = data
	}
	l.index()
	for _, d := range in.Gates {
		l.gate(d)
	}
	for _, d := range in.Groups {
		l.group(d)
	}
	for _, d := range in.Policies {
		l.policy(d)
	}
	for _, d := range in.Tokens {
		l.token(d)
	}
	l.accept()
	slices.SortStableFunc(l.warnings, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return l.warnings
}

// linter is one run.
type linter struct {
	in       *loader.Inspection
	now      time.Time
	warnings []Warning
	patterns map[string]*pattern

	files   map[string][]byte
	outline *manifest.Outline // of the file named
	of      string

	gates  map[string]*policy.Gate
	tokens map[string]*policy.Token
	named  map[string]bool // policies and groups that something names: kind/name
}

// index notes the rows by name, and what names what.
func (l *linter) index() {
	l.gates, l.tokens, l.named = map[string]*policy.Gate{}, map[string]*policy.Token{}, map[string]bool{}
	for _, g := range l.in.Rows.Gates {
		l.gates[g.Name] = g
	}
	for _, t := range l.in.Rows.Tokens {
		l.tokens[t.Name] = t
	}
	names := func(kind string, refs []manifest.Ref) {
		for _, ref := range refs {
			l.named[kind+"/"+ref.Text] = true
		}
	}
	for _, d := range l.in.Gates {
		names(manifest.KindUserGroup, d.Gate.Groups)
		names(manifest.KindTokenPolicy, d.Gate.Policies)
	}
	for _, d := range l.in.Groups {
		names(manifest.KindTokenPolicy, d.UserGroup.Policies)
	}
	for _, d := range l.in.Tokens {
		names(manifest.KindTokenPolicy, d.APIToken.Policies)
	}
}

// warn adds a warning about a field, given by its steps.
func (l *linter) warn(code Code, d *manifest.Document, steps []any, format string, args ...any) {
	l.warnAt(code, d, l.place(d, steps), steps, format, args...)
}

func (l *linter) warnAt(code Code, d *manifest.Document, at manifest.Pos, steps []any, format string, args ...any) {
	l.warnings = append(l.warnings, Warning{
		Code: code, File: d.File, Pos: at, Field: manifest.FieldPath(steps...), Message: fmt.Sprintf(format, args...), Fix: codes[code].fix,
	})
}

// place finds a field in its file. Files come one after the other, so the last one read
// is kept.
func (l *linter) place(d *manifest.Document, steps []any) manifest.Pos {
	if l.outline == nil || l.of != d.File {
		l.outline, l.of = manifest.NewOutline(l.files[d.File]), d.File
	}
	return l.outline.Place(d.Pos, steps...)
}

// spec returns the steps to a field of the spec.
func spec(steps ...any) []any { return append([]any{"spec"}, steps...) }

// below returns the steps to a field within another.
func below(at []any, steps ...any) []any { return append(slices.Clip(at), steps...) }

// accept marks the warnings that comments accept, and warns of comments that accept none.
func (l *linter) accept() {
	byFile := map[string][]int{}
	for i, w := range l.warnings {
		byFile[w.File] = append(byFile[w.File], i)
	}
	for file, data := range l.in.Files {
		for _, a := range manifest.Accepts(data) {
			for _, code := range a.Codes {
				if problem := l.acceptOne(&a, Code(code), byFile[file]); problem != "" {
					l.warnings = append(l.warnings, Warning{
						Code: UnusedAccept, File: file, Pos: a.Pos, Field: "patgate:accept", Message: problem, Fix: codes[UnusedAccept].fix,
					})
				}
			}
		}
	}
}

// acceptOne says why a comment accepts nothing.
func (l *linter) acceptOne(a *manifest.Accept, code Code, warnings []int) (problem string) {
	if _, known := codes[code]; !known || code == UnusedAccept {
		return fmt.Sprintf("%q is no code to accept, %s", string(code), manifest.Suggest(string(code), names()))
	}
	if strings.TrimSpace(a.Reason) == "" {
		return fmt.Sprintf("%s is accepted without a reason, so that it stands", code)
	}
	used := false
	for _, i := range warnings {
		w := &l.warnings[i]
		if w.Code == code && (a.Covers(w.Pos.Line) || w.rule > 0 && a.Covers(w.rule)) {
			w.Accepted, used = a.Reason, true
		}
	}
	if !used {
		return fmt.Sprintf("no %s is warned of on this line or the next", code)
	}
	return ""
}
