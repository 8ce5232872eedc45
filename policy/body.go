package policy

import (
	"slices"
	"strings"
)

// defaultTypes are the media types of bodies that rules read, where they name none.
var defaultTypes = []string{"application/json"}

// body is a request's body, read as JSON when the first rule needs it.
type body struct {
	read     bool
	valid    bool
	document document
}

// open makes the body readable for a rule, or returns the reason why it can't: it is absent or cut, in
// a content encoding, of another type than these, or not strict JSON. It is parsed
// once.
func (b *body) open(r *Request, types []string) (problem string) {
	if problem = outerProblem(r, types); problem != "" {
		return problem
	}
	if !b.read {
		b.read = true
		b.document, b.valid = parseDocument(r.Body.Bytes)
	}
	if !b.valid {
		return "it is not one valid JSON value without duplicate keys"
	}
	return ""
}

// outerProblem returns why a rule can't read a body, judging by its headers alone.
func outerProblem(r *Request, types []string) string {
	if r.Body.State == BodyAbsent || len(r.Body.Bytes) == 0 {
		return "there is none"
	}
	if r.Body.State != BodyWhole { // mutant: cut-body-read
		return "it did not arrive whole"
	}
	if _, n := r.Header.Get("content-encoding"); n > 0 {
		return "it is in a content encoding"
	}
	if value, n := r.Header.Get("content-type"); n != 1 || !isTypeOf(value, types) {
		return "its Content-Type is not " + strings.Join(types, " or ") + " with at most `charset=utf-8`"
	}
	return ""
}

// BodyTypes returns the media types of the bodies that a rule on json reads.
func (r *Rule) BodyTypes() []string {
	if len(r.ContentTypes) == 0 {
		return defaultTypes
	}
	return r.ContentTypes
}

// isTypeOf reports whether a Content-Type is one of the media types, which are in lower
// case, with nothing but at most one `charset=utf-8`. Servers differ in what they make of
// anything else: some then have no body at all.
func isTypeOf(value string, types []string) bool {
	media, parameter, given := strings.Cut(value, ";")
	if given && !isUTF8Charset(strings.TrimLeft(parameter, " ")) { // mutant: content-type-parameter
		return false
	}
	if given {
		media = strings.TrimRight(media, " ")
	}
	return slices.ContainsFunc(types, func(t string) bool { return equalASCII(media, t) })
}

func isUTF8Charset(parameter string) bool {
	name, value, _ := strings.Cut(parameter, "=")
	return equalASCII(name, "charset") && (equalASCII(value, "utf-8") || equalASCII(value, `"utf-8"`))
}

// equalASCII compares a text with one in lower case, but for the case of ASCII letters.
// (strings.EqualFold takes the long s for an s.)
func equalASCII(text, lower string) bool {
	if len(text) != len(lower) {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
