package policy

import (
	"fmt"
	"math/bits"
	"strings"
)

// Encoded is a set of the characters in a path about which upstreams disagree, and that
// a gate may open (allowEncoded). The zero value opens nothing.
type Encoded uint8

// The characters: five by their escapes, and the semicolon itself.
const (
	EncodedSlash Encoded = 1 << iota
	EncodedPercent
	EncodedHash
	EncodedQuestion
	EncodedSemicolon
	Semicolon
)

// encodedTexts are the characters as manifests write them, and as they stay in the path
// that rules match.
var encodedTexts = [...]string{"%2F", "%25", "%23", "%3F", "%3B", ";"}

// EncodedTexts lists what a gate may open.
func EncodedTexts() []string { return encodedTexts[:] }

// ParseEncoded reads one character as manifests write it.
func ParseEncoded(text string) (e Encoded, ok bool) {
	for i, known := range encodedTexts {
		if text == known {
			return 1 << i, true
		}
	}
	return 0, false
}

// String lists the characters: `%2F %25`.
func (e Encoded) String() string {
	if e&(e-1) == 0 && e != 0 {
		return encodedTexts[bits.TrailingZeros8(uint8(e))]
	}
	var texts []string
	for i, text := range encodedTexts {
		if e&(1<<i) != 0 {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, " ")
}

// encodedByte returns the character that an escape of c is, or nothing where a gate
// can't open it.
func encodedByte(c byte) Encoded {
	switch c {
	case '/': // mutant: encoded-slash-passes
		return EncodedSlash
	case '%': // mutant: encoded-percent-sign-passes
		return EncodedPercent
	case '#':
		return EncodedHash
	case '?':
		return EncodedQuestion
	case ';':
		return EncodedSemicolon
	}
	return 0
}

// Closed describes the first encoded byte, with its offset, that a gate does not permit. It is
// empty where the gate permits all of them.
func (t *Target) Closed(open Encoded) (problem string) {
	if t.Encoded&^open == 0 { // mutant: gate-opens-more
		return ""
	}
	for i := range len(t.Raw) {
		switch c, _ := unhexAt(t.Raw, i); {
		case t.Raw[i] == ';' && open&Semicolon == 0:
			return fmt.Sprintf("';' at offset %d", i)
		case t.Raw[i] == '%' && encodedByte(c)&^open != 0:
			return fmt.Sprintf("an encoded %s at offset %d", quoteByte(c), i)
		}
	}
	return "a character that the gate does not open"
}

// maxDecodings is how often a path is decoded to see what it could become. No real
// client encodes a name that often.
const maxDecodings = 8 // mutant: decoded-once

// judgeDecodings refuses a path that would have a dot segment or an empty one if its
// escapes were decoded too, once or more often: some upstream does. Then a backslash may
// separate segments, and `?` or `#` may end one. A segment that is an encoded slash and
// nothing else is a name (RabbitMQ's first virtual host), which only a gate that opens it
// lets through.
func judgeDecodings(raw, path string) (problem string) {
	path = nameSlashes(path)
	for range maxDecodings {
		decoded := decodeOnce(path)
		if what := judgeDecoded(decoded); what != "" {
			at := strings.IndexAny(raw, "%;")
			return fmt.Sprintf("%s once its escapes are decoded: %s at offset %d", what, quoteByte(raw[at]), at)
		}
		if decoded == path {
			return ""
		}
		path = decoded
	}
	return fmt.Sprintf("escapes within escapes: '%%' at offset %d", strings.IndexByte(raw, '%'))
}

// nameSlashes puts a name in place of each segment that is an encoded slash, but for the
// first.
func nameSlashes(path string) string {
	segments := strings.Split(path, "/")
	for i := 2; i < len(segments); i++ {
		if segments[i] == encodedTexts[0] {
			segments[i] = "x"
		}
	}
	return strings.Join(segments, "/")
}

// decodeOnce decodes every escape once, and leaves what is none.
func decodeOnce(text string) string {
	if strings.IndexByte(text, '%') < 0 {
		return text
	}
	decoded := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' {
			if c, ok := unhexAt(text, i); ok {
				decoded = append(decoded, c)
				i += 2
				continue
			}
		}
		decoded = append(decoded, text[i])
	}
	return string(decoded)
}

// judgeDecoded reports a dot segment or an empty segment of a decoded path. The last segment may
// be empty.
func judgeDecoded(path string) (what string) {
	for rest := path[1:]; ; {
		end := strings.IndexAny(rest, `/\`)
		segment, ends := rest, false
		if end >= 0 {
			segment = rest[:end]
		}
		if cut := strings.IndexAny(segment, ";?#"); cut >= 0 {
			segment, ends = segment[:cut], segment[cut] != ';'
		}
		switch {
		case isDots(segment):
			return "a dot segment"
		case segment == "" && end >= 0 && !ends:
			return "an empty segment"
		case end < 0:
			return ""
		}
		rest = rest[end+1:]
	}
}
