package suggest

import (
	"regexp"
	"slices"
	"strings"
)

// segment is one segment of the paths of a kind: a text, or an identifier of a form.
type segment struct {
	form   *form  // nil: a text
	first  string // that was seen
	varies bool   // others were seen
	chars  uint8  // the kinds of characters that were seen, by their place in charKinds
	values        // texts, or the projects of keys
}

// form is a form of identifiers, and the pattern that matches all of them.
type form struct {
	mark    string // in shapes
	is      *regexp.Regexp
	pattern string
}

// The forms of identifiers, and that of texts that vary.
var (
	numberForm = &form{"\x00number", regexp.MustCompile(`^[0-9]{2,}$`), `\d+`}
	uuidForm   = &form{"\x00uuid", regexp.MustCompile(`^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`), `[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`}
	keyForm    = &form{"\x00key", regexp.MustCompile(`^[A-Z][A-Z0-9_]+-[0-9]+$`), `[A-Z][A-Z0-9_]+-\d+`}
	hexForm    = &form{"\x00hex", regexp.MustCompile(`^(?:[0-9a-f]{12,}|[0-9A-F]{12,})$`), `(?:[0-9a-f]{12,}|[0-9A-F]{12,})`}
	nameForm   = &form{"\x00name", nil, `[^/\n]+`}

	identifiers = []*form{numberForm, uuidForm, keyForm, hexForm}
)

// split cuts a path into segments. A single digit is a version, and a text.
func split(path string) (segments []segment, shape string) {
	texts := strings.Split(path, "/")
	shapes := slices.Clone(texts)
	segments = make([]segment, len(texts))
	for i, text := range texts {
		for _, f := range identifiers {
			if f.is.MatchString(text) {
				segments[i].form, shapes[i] = f, f.mark
				break
			}
		}
		segments[i].first = strings.Clone(text)
		segments[i].addText(text)
	}
	return segments, strings.Join(shapes, "/")
}

// charKinds are kinds of characters, as a class has them. All others are of one kind more.
var charKinds = [...]string{"a-z", "A-Z", "0-9", "_", ".", "-"}

func charsOf(text string) (kinds uint8) {
	for _, c := range []byte(text) {
		switch {
		case 'a' <= c && c <= 'z':
			kinds |= 1
		case 'A' <= c && c <= 'Z':
			kinds |= 2
		case '0' <= c && c <= '9':
			kinds |= 4
		case c == '_':
			kinds |= 8
		case c == '.':
			kinds |= 16
		case c == '-':
			kinds |= 32
		default:
			kinds |= 64
		}
	}
	return kinds
}

func (s *segment) addText(text string) {
	s.chars |= charsOf(text)
	if s.form == keyForm {
		text = text[:strings.LastIndexByte(text, '-')]
	}
	s.add(text)
}

// join adds what was seen elsewhere in the same place.
func (s *segment) join(o *segment) {
	s.varies, s.chars = s.varies || o.varies || o.first != s.first, s.chars|o.chars
	s.merge(&o.values)
}

// constantAfter is from how many calls on an identifier that never varied is taken for a constant.
const constantAfter = 20

// Up to how many values are listed one by one: of identifiers and parameters, and of texts that come again and again,
// which may be the names of operations.
const (
	fewValues = 5
	fewTexts  = 12
)

// pattern is what matches the segment. note is set where it holds an identifier as a text.
func (s *segment) pattern(calls int64) (pattern, note string) {
	few := !s.more && len(s.set) <= fewValues
	switch {
	case s.form == nil:
		return alternatives(s.set), ""
	case s.form == nameForm && !s.more && len(s.set) <= fewTexts && (len(s.set) <= fewValues || int64(len(s.set)) < calls/2):
		return alternatives(s.set), ""
	case s.form == nameForm:
		return s.names(), ""
	case !s.varies && calls >= constantAfter:
		return regexp.QuoteMeta(s.first), s.first
	case s.form == keyForm && few:
		return alternatives(s.set) + `-\d+`, ""
	}
	return s.form.pattern, ""
}

// names matches texts of the kinds of characters that were seen.
func (s *segment) names() string {
	if s.chars>>len(charKinds) != 0 || s.chars == 0 {
		return nameForm.pattern
	}
	class := ""
	for i, kind := range charKinds {
		if s.chars&(1<<i) != 0 {
			class += kind
		}
	}
	return "[" + class + "]+"
}

// alternatives matches some texts, and nothing else.
func alternatives(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = regexp.QuoteMeta(text)
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return "(?:" + strings.Join(quoted, "|") + ")"
}
