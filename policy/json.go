package policy

import (
	"bytes"
	"unicode/utf8"
)

// maxValues is the maximum number of values in a body. It bounds the memory of a check.
const maxValues = 100_000

// maxMatched is the longest text, in bytes, that patterns are matched against: what costs a
// pattern is its size times this.
const maxMatched = 64 << 10

// maxDepth limits how deep arrays and objects may nest in a body that rules read.
const maxDepth = 64

// A document is one JSON text (RFC 8259), read strictly and kept as a flat list of
// its values, so that every rule finds its nodes in one reading. Parsers differ in
// what they make of a duplicate key, a BOM, a broken surrogate or trailing text: a
// body with any of these is not read at all, as the upstream may see another value.
type document struct {
	text   []byte
	values []jsonValue
}

// jsonValue is one value. The members of an array or object follow it in the list;
// next is where its own next sibling is.
type jsonValue struct {
	kind             jsonKind
	folds            foldState
	escaped          bool // the string has escapes
	keyEscaped       bool
	start, end       int32 // of the value's text; a string's without its quotes
	keyStart, keyEnd int32 // of the member's name without its quotes
	next             int32
}

type jsonKind uint8

const (
	jsonObject jsonKind = iota
	jsonArray
	jsonString
	jsonPlain // a number, true, false or null
)

// parseDocument reads a body. ok is false for anything but exactly one valid JSON
// value in UTF-8 without a duplicate key, nested at most 64 deep.
func parseDocument(body []byte) (d document, ok bool) {
	if len(body) > 1<<30 || !utf8.Valid(body) {
		return document{}, false
	}
	p := jsonParser{document: document{text: body, values: make([]jsonValue, 0, 32)}}
	p.space()
	if !p.value(1) {
		return document{}, false
	}
	p.space()
	return p.document, p.at == len(body) // mutant: text-after-body-passes
}

type jsonParser struct {
	document
	at int
}

func (p *jsonParser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *jsonParser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

func (p *jsonParser) take(c byte) bool {
	if p.peek() != c || p.at == len(p.text) {
		return false
	}
	p.at++
	return true
}

// value appends the value at p.at and what is in it.
func (p *jsonParser) value(depth int) bool {
	i := len(p.values)
	if i == maxValues {
		return false
	}
	p.values = append(p.values, jsonValue{start: int32(p.at)})
	ok := false
	switch c := p.peek(); {
	case c == '{':
		p.values[i].kind = jsonObject
		ok = depth <= maxDepth && p.object(i, depth)
	case c == '[':
		p.values[i].kind = jsonArray
		ok = depth <= maxDepth && p.array(depth)
	case c == '"':
		v := &p.values[i]
		v.kind = jsonString
		v.start, v.end, v.escaped, ok = p.stringText()
	default:
		p.values[i].kind = jsonPlain
		ok = p.plain()
		p.values[i].end = int32(p.at)
	}
	p.values[i].next = int32(len(p.values))
	return ok
}

func (p *jsonParser) array(depth int) bool {
	p.at++
	p.space()
	if p.take(']') {
		return true
	}
	for {
		if !p.value(depth + 1) {
			return false
		}
		p.space()
		if p.take(']') {
			return true
		}
		if !p.take(',') {
			return false
		}
		p.space()
	}
}

func (p *jsonParser) object(i, depth int) bool {
	p.at++
	p.space()
	if p.take('}') {
		return true
	}
	for {
		start, end, escaped, ok := p.stringText()
		if !ok {
			return false
		}
		p.space()
		if !p.take(':') {
			return false
		}
		p.space()
		member := len(p.values)
		if !p.value(depth + 1) {
			return false
		}
		v := &p.values[member]
		v.keyStart, v.keyEnd, v.keyEscaped = start, end, escaped
		p.space()
		if p.take('}') {
			p.values[i].next = int32(len(p.values))
			return !p.repeatsKey(i, sameBytes) // mutant: duplicate-key-in-body
		}
		if !p.take(',') {
			return false
		}
		p.space()
	}
}

// stringText reads a string and returns the place of its text between the quotes.
func (p *jsonParser) stringText() (start, end int32, escaped, ok bool) {
	if !p.take('"') {
		return 0, 0, false, false
	}
	start = int32(p.at)
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			end = int32(p.at)
			p.at++
			return start, end, escaped, true
		case c < 0x20:
			return 0, 0, false, false
		case c == '\\':
			escaped = true
			if !p.escape() {
				return 0, 0, false, false
			}
		default:
			p.at++
		}
	}
	return 0, 0, false, false
}

// escape reads one escape, a surrogate pair as one. A lone surrogate is an error:
// it encodes no character, and parsers replace, drop or keep it.
func (p *jsonParser) escape() bool {
	if p.at+1 >= len(p.text) {
		return false
	}
	switch p.text[p.at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		p.at += 2
		return true
	case 'u':
		_, n := unescapeRune(p.text[p.at:])
		p.at += n
		return n > 0
	}
	return false
}

// unescapeRune reads the `\uXXXX` at the head of text, or the pair that makes one
// character. n is 0 for a malformed one.
func unescapeRune(text []byte) (r rune, n int) {
	hi, ok := hex4(text)
	switch {
	case !ok, 0xDC00 <= hi && hi < 0xE000:
		return 0, 0
	case hi < 0xD800 || hi >= 0xE000:
		return hi, 6
	}
	lo, ok := hex4(text[6:])
	if !ok || lo < 0xDC00 || lo >= 0xE000 {
		return 0, 0
	}
	return (hi-0xD800)<<10 + (lo - 0xDC00) + 0x10000, 12
}

func hex4(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range text[2:6] {
		v, ok := unhex(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(v)
	}
	return r, true
}

// plain reads true, false, null or a number.
func (p *jsonParser) plain() bool {
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(p.text[p.at:], []byte(word)) {
			p.at += len(word)
			return true
		}
	}
	return p.number()
}

func (p *jsonParser) number() bool {
	p.take('-')
	if !p.take('0') && !p.digits() {
		return false
	}
	if p.take('.') && !p.digits() {
		return false
	}
	if p.take('e') || p.take('E') {
		if !p.take('+') {
			p.take('-')
		}
		return p.digits()
	}
	return true
}

func (p *jsonParser) digits() bool {
	from := p.at
	for p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9' {
		p.at++
	}
	return p.at > from
}

// key returns a member's name.
func (d *document) key(v *jsonValue) string {
	return unescapeJSON(d.text[v.keyStart:v.keyEnd], v.keyEscaped)
}

// scalar returns what patterns match: a string's value, or the text of a number,
// boolean or null as written. ok is false for arrays and objects.
func (d *document) scalar(v *jsonValue) (text string, ok bool) {
	switch v.kind {
	case jsonString:
		return unescapeJSON(d.text[v.start:v.end], v.escaped), true
	case jsonPlain:
		return string(d.text[v.start:v.end]), true
	}
	return "", false
}

// unescapeJSON decodes a string's text, which was checked before.
func unescapeJSON(text []byte, escaped bool) string {
	if !escaped {
		return string(text)
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		if text[i] != '\\' {
			b = append(b, text[i])
			i++
			continue
		}
		if text[i+1] == 'u' {
			r, n := unescapeRune(text[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		b = append(b, unescapeSimple(text[i+1]))
		i += 2
	}
	return string(b)
}

func unescapeSimple(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
