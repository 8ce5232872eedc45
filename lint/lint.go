// Package lint warns about manifests that are valid and risky: rules that grant more than they seem to, rules that
// never take effect, and tokens that end soon. Its search proves that a rule never matches (search.go).
package lint

import (
	"fmt"
	"slices"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// warning is a problem, and the line of the rule that it is about, or 0.
type warning struct {
	diag.Problem
	rule int
}

// Lint returns the warnings about manifests without problems, in the order of their
// places, those too that a comment suppresses. It returns nothing where there are problems.
func Lint(in *ruleset.Set, now time.Time) []diag.Problem { return run(in, nil, now) }

// Files does what Lint does for the documents of some files alone, such as those of new tokens.
func Files(in *ruleset.Set, names []string, now time.Time) []diag.Problem {
	only := map[string]bool{}
	for _, name := range names {
		only[name] = true
	}
	return run(in, only, now)
}

// run checks the documents of some files; nil: of all.
func run(in *ruleset.Set, only map[string]bool, now time.Time) []diag.Problem {
	if len(in.Problems) > 0 {
		return nil
	}
	l := &linter{in: in, now: now, patterns: map[string]*pattern{}, files: map[string][]byte{}}
	for name, data := range in.Files {
		if only == nil || only[name] {
			l.files[name] = data
		}
	}
	l.index()
	each := func(docs []*manifest.Document, look func(*manifest.Document)) {
		for _, d := range docs {
			if only == nil || only[d.File] {
				look(d)
			}
		}
	}
	each(in.Gates, l.gate)
	each(in.Groups, l.group)
	each(in.Policies, l.policy)
	each(in.Tokens, l.token)
	l.suppress()
	var list []diag.Problem
	for _, w := range l.warnings {
		list = append(list, w.Problem)
	}
	diag.Sort(list)
	return list
}

// linter is one run.
type linter struct {
	in       *ruleset.Set
	now      time.Time
	warnings []warning
	patterns map[string]*pattern

	files   map[string][]byte
	outline *manifest.Outline // of the file named
	of      string

	gates  map[string]*policy.Gate
	tokens map[string]*policy.Token
	named  map[string]bool // policies and groups that something names: kind/name

	open     policy.Encoded  // what some gate opens in paths
	unrouted map[string]bool // gates that do not say whether their API ignores case
}

// index records the rows by name, and their references.
func (l *linter) index() {
	l.gates, l.tokens, l.named = map[string]*policy.Gate{}, map[string]*policy.Token{}, map[string]bool{}
	for _, g := range l.in.Rows.Gates {
		l.gates[g.Name] = g
		l.open |= g.AllowEncoded
	}
	for _, t := range l.in.Rows.Tokens {
		l.tokens[t.Name] = t
	}
	names := func(d *manifest.Document, kind string, refs []manifest.Ref) {
		for _, ref := range refs {
			l.named[kind+"/"+d.Resolve(ref)] = true
		}
	}
	l.unrouted = map[string]bool{}
	for _, d := range l.in.Gates {
		l.unrouted[d.Key()] = d.Gate.Upstream == nil || !d.Gate.Upstream.Routing.Given
		names(d, manifest.KindUserGroup, d.Gate.Groups)
		names(d, manifest.KindTokenPolicy, d.Gate.Policies)
	}
	for _, d := range l.in.Groups {
		names(d, manifest.KindTokenPolicy, d.UserGroup.Policies)
	}
	for _, d := range l.in.Tokens {
		names(d, manifest.KindTokenPolicy, d.APIToken.Policies)
	}
}

// warn adds a warning about a field, given by its steps.
func (l *linter) warn(code Code, d *manifest.Document, steps []any, format string, args ...any) {
	l.warnAt(code, d, l.place(d, steps), steps, format, args...)
}

func (l *linter) warnAt(code Code, d *manifest.Document, at diag.Pos, steps []any, format string, args ...any) {
	l.warnings = append(l.warnings, warning{Problem: diag.Problem{
		Code: code, Severity: diag.Warning, File: d.File, Pos: at, Field: manifest.FieldPath(steps...), Message: fmt.Sprintf(format, args...), Fix: codes[code].fix,
	}})
}

// place finds a field in its file. Files come one after the other, so the last one read
// is kept.
func (l *linter) place(d *manifest.Document, steps []any) diag.Pos {
	if l.outline == nil || l.of != d.File {
		l.outline, l.of = manifest.NewOutline(l.files[d.File]), d.File
	}
	return l.outline.Place(d.Pos, steps...)
}

// spec returns the steps to a field of the spec.
func spec(steps ...any) []any { return append([]any{"spec"}, steps...) }

// below returns the steps to a field within another.
func below(at []any, steps ...any) []any { return append(slices.Clip(at), steps...) }

// suppress marks the warnings that comments suppress, and warns of comments that suppress none.
func (l *linter) suppress() {
	byFile := map[string][]*warning{}
	for i := range l.warnings {
		w := &l.warnings[i]
		byFile[w.File] = append(byFile[w.File], w)
	}
	var unused []warning
	for file, data := range l.files {
		problems := make([]*diag.Problem, 0, len(byFile[file]))
		for _, w := range byFile[file] {
			problems = append(problems, &w.Problem)
		}
		for _, s := range diag.Suppressions(data) {
			covers := func(i int) bool {
				w := byFile[file][i]
				return s.Covers(w.Pos.Line) || w.rule > 0 && s.Covers(w.rule)
			}
			for _, text := range s.Suppress(problems, known(), covers) {
				unused = append(unused, warning{Problem: diag.Problem{
					Code: UnusedAccept, Severity: diag.Warning, File: file, Pos: s.Pos, Field: s.Word, Message: text, Fix: codes[UnusedAccept].fix,
				}})
			}
		}
	}
	l.warnings = append(l.warnings, unused...)
}
