package policy

import (
	"strings"
	"unicode/utf8"
)

// maxFields is the maximum number of fields in a query, empty ones included, before rules
// refuse to read it: some servers read no more than the first thousand.
const maxFields = 1000

// Parameter is a rule's condition on a query parameter. Make one with NewParameter.
type Parameter struct {
	Name    string
	Pattern *Pattern
	folds   [2]string // the name as look-alikes are compared with it
}

// NewParameter returns the condition that the parameter is there and its values match.
func NewParameter(name string, p *Pattern) Parameter {
	return Parameter{Name: name, Pattern: p, folds: [2]string{foldWhole: fold(name, foldWhole), foldCut: fold(name, foldCut)}}
}

// LooksLike reports whether lenient frameworks may take two names for the same parameter.
func LooksLike(a, b string) bool {
	p := NewParameter(a, nil)
	return p.folds[foldWhole] != "" && (foldsTo(b, foldWhole, p.folds[foldWhole]) || foldsTo(b, foldCut, p.folds[foldCut]))
}

// Why a query, or a parameter in it, can't be decided.
const (
	whySemicolon = "it has a raw ';', which some servers take for '&': send %3B"
	whyFragment  = "it has a raw '#': send %23"
	whyFields    = "it has more than 1,000 parameters, and some servers read no more"
	whyEscape    = "it has a malformed escape, or is not UTF-8 once decoded"
	whyAlike     = "another name in it is one that some servers take for the same parameter"
	whyLong      = "a value is too long to be matched"
)

type pair struct{ name, value string }

// query is a request's query, read as form data when the first rule needs it.
type query struct {
	read    bool
	problem string // why it can't be read
	pairs   []pair
}

// load reads the query once. What a lenient reader would repair or drop (a malformed
// escape, `;` as a separator, a fragment) makes it unreadable, as the upstream may
// read it in another way.
func (q *query) load(raw string) {
	if q.read {
		return
	}
	q.read = true
	if q.problem = separatorProblem(raw); q.problem != "" {
		return
	}
	for rest, more, fields := raw, raw != "", 0; more; fields++ {
		var field string
		field, rest, more = strings.Cut(rest, "&")
		if fields == maxFields {
			q.pairs, q.problem = nil, whyFields
			return
		}
		if field == "" { // mutant: empty-fields-uncounted
			continue
		}
		name, value, _ := strings.Cut(field, "=")
		name, ok1 := unescapeForm(name)
		value, ok2 := unescapeForm(value)
		if !ok1 || !ok2 {
			q.pairs, q.problem = nil, whyEscape
			return
		}
		q.pairs = append(q.pairs, pair{name, value})
	}
}

// separatorProblem returns why a raw byte of a query has more than one reading.
func separatorProblem(raw string) string {
	i := strings.IndexAny(raw, ";#")
	switch {
	case i < 0:
		return ""
	case raw[i] == ';':
		return whySemicolon
	}
	return whyFragment
}

// check reports whether a parameter is there and matches: every occurrence where all
// is set (allow rules), else one (deny rules). It is undecided where the query is
// unreadable or holds a look-alike, which some upstreams take for the same parameter; why
// is the reason.
func (q *query) check(p *Parameter, all bool, m *meter) (v verdict, why string) {
	if q.problem != "" {
		return undecided, q.problem
	}
	found, matched := 0, 0
	for i := range q.pairs {
		switch name := q.pairs[i].name; {
		case name == p.Name:
			found++
			if len(q.pairs[i].value) > maxMatched || !m.allows(p.Pattern, q.pairs[i].value) {
				return undecided, whyLong
			}
			if p.Pattern.Match(q.pairs[i].value) {
				matched++
			}
		case p.folds[foldWhole] == "": // nothing looks like it
		case foldsTo(name, foldWhole, p.folds[foldWhole]), foldsTo(name, foldCut, p.folds[foldCut]):
			return undecided, whyAlike // mutant: look-alike-parameters-pass
		}
	}
	return quantify(found, matched, all), ""
}

// quantify turns counts into a verdict: at least one matches, and all of them where all is set.
func quantify(found, matched int, all bool) verdict {
	if matched == 0 || all && matched < found { // mutant: one-value-allows
		return failed
	}
	return matches
}

// unescapeForm decodes application/x-www-form-urlencoded text: `+` is a space. ok is
// false for a malformed escape and for what is not UTF-8.
func unescapeForm(s string) (text string, ok bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, utf8.ValidString(s)
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		switch c := s[i]; c {
		case '+':
			b = append(b, ' ')
			i++
		case '%':
			c, ok := unhexAt(s, i)
			if !ok {
				return "", false
			}
			b = append(b, c)
			i += 3
		default:
			b = append(b, c)
			i++
		}
	}
	return string(b), utf8.Valid(b)
}

// The two folds of a name. What lenient servers make of a name lies within them: PHP
// turns dots, blanks and brackets into `_`, Rack drops brackets, others end a name at NUL
// or at a bracket, and many ignore case.
const (
	foldWhole = iota // its ASCII letters and digits in lower case
	foldCut          // the same, cut at the first NUL, `[` or `]` after one of them
)

// fold returns a name under one of the folds.
func fold(name string, how int) string {
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		if how == foldCut && len(b) > 0 && cuts(name[i]) {
			break
		}
		if c, ok := foldByte(name[i]); ok {
			b = append(b, c)
		}
	}
	return string(b)
}

// foldsTo reports fold(name, how) == folded without making a string.
func foldsTo(name string, how int, folded string) bool {
	j := 0
	for i := range len(name) {
		if how == foldCut && j > 0 && cuts(name[i]) {
			break
		}
		c, ok := foldByte(name[i])
		if !ok {
			continue
		}
		if j == len(folded) || folded[j] != c {
			return false
		}
		j++
	}
	return j == len(folded)
}

// cuts reports whether some servers end a name at this byte.
func cuts(c byte) bool { return c == 0 || c == '[' || c == ']' }

// foldByte folds one byte of a name; ok is false for those that are dropped.
func foldByte(c byte) (folded byte, ok bool) {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A', true
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c, true
	}
	return 0, false
}
