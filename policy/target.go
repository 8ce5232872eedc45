package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxPath is the longest path, in bytes as received, that is accepted.
const maxPath = 8 << 10

// Target is the request target: Envoy's `path`, which holds the query too, split
// and checked once. The zero value is a bad target.
type Target struct {
	Raw      string // the path as received, without the query
	Path     string // the path percent-decoded once, but for Encoded: what prefixes and rules match
	Query    string // what follows the first `?`, as received
	HasQuery bool
	Encoded  Encoded // what a gate must open
	problem  string  // why the path is ambiguous; empty where it is not
}

// NewTarget splits a target at its first `?` and checks the path: an upstream that
// reads it otherwise than we do would serve what the rules did not mean. So a path
// with more than one reading is refused rather than normalized: Envoy and upstreams
// differ in dot segments, `//`, `;`, `\` and in how often they decode. What a gate can
// open is left to it: see Closed.
func NewTarget(target string) Target {
	var t Target
	t.Raw, t.Query, t.HasQuery = strings.Cut(target, "?")
	t.Path, t.Encoded, t.problem = decodePath(t.Raw)
	return t
}

// Problem describes the byte, with its offset, that makes the target ambiguous, whatever a gate
// opens. It is empty for a good one.
func (t *Target) Problem() string {
	if t.problem == "" && t.Path == "" {
		return "the target is missing"
	}
	return t.problem
}

// decodePath percent-decodes a path once, or returns why it is ambiguous.
func decodePath(raw string) (path string, kept Encoded, problem string) {
	switch {
	case raw == "":
		return "", 0, "the path is empty"
	case raw[0] != '/':
		return "", 0, fmt.Sprintf("%s at offset 0, where a path begins with '/'", quoteByte(raw[0]))
	case len(raw) > maxPath:
		return "", 0, fmt.Sprintf("the path is longer than %d bytes", maxPath)
	}
	path = raw
	if i := strings.IndexByte(raw, '%'); i >= 0 {
		if path, kept, problem = unescapePath(raw, i); problem != "" {
			return "", 0, problem
		}
	}
	for i := range len(raw) {
		switch c := raw[i]; {
		case forbiddenRaw(c):
			return "", 0, fmt.Sprintf("%s at offset %d", quoteByte(c), i)
		case c == ';':
			kept |= Semicolon // mutant: path-parameter-passes
		}
	}
	if !utf8.ValidString(path) {
		at := invalidUTF8At(path)
		return "", 0, fmt.Sprintf("not UTF-8 when decoded: %s at offset %d", quoteByte(path[at]), rawOffset(raw, at))
	}
	if problem = judgeSegments(raw); problem == "" && kept != 0 { // mutant: dots-behind-slash
		problem = judgeDecodings(raw, path)
	}
	if problem != "" {
		return "", 0, problem
	}
	return path, kept, ""
}

// forbiddenRaw holds what has no place in a path, decoded or not.
func forbiddenRaw(c byte) bool {
	return c < 0x20 || c == 0x7f || c == '\\' || c == '#'
}

// unescapePath decodes every escape from the first on, but for those that a gate can
// open: these stay, in upper case.
func unescapePath(raw string, first int) (path string, kept Encoded, problem string) {
	decoded := make([]byte, 0, len(raw))
	decoded = append(decoded, raw[:first]...)
	for i := first; i < len(raw); {
		if raw[i] != '%' {
			decoded = append(decoded, raw[i])
			i++
			continue
		}
		c, ok := unhexAt(raw, i)
		if !ok {
			return "", 0, fmt.Sprintf("a malformed escape: '%%' at offset %d", i)
		}
		if e := encodedByte(c); e != 0 {
			kept |= e
			decoded = append(decoded, e.String()...)
		} else if forbiddenRaw(c) {
			return "", 0, fmt.Sprintf("an encoded %s at offset %d", quoteByte(c), i)
		} else {
			decoded = append(decoded, c)
		}
		i += 3
	}
	return string(decoded), kept, ""
}

// unhexAt reads the escape that begins at text[i], a percent sign.
func unhexAt(text string, i int) (c byte, ok bool) {
	if i+2 >= len(text) {
		return 0, false
	}
	hi, ok1 := unhex(text[i+1])
	lo, ok2 := unhex(text[i+2])
	return hi<<4 | lo, ok1 && ok2
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// judgeSegments refuses dot segments, encoded ones too, and empty ones but for the last.
// What follows a `;` is no part of a segment for some upstreams.
func judgeSegments(raw string) (problem string) {
	for start := 1; start <= len(raw); {
		end := strings.IndexByte(raw[start:], '/')
		last := end < 0
		if last {
			end = len(raw) - start
		}
		segment, _, _ := strings.Cut(raw[start:start+end], ";")
		switch {
		case segment == "" && !last: // mutant: empty-segments-pass
			return fmt.Sprintf("an empty segment: %s at offset %d", quoteByte(raw[start]), start)
		case isDots(segment):
			return fmt.Sprintf("a dot segment: '.' at offset %d", start)
		}
		start += end + 1
	}
	return ""
}

// isDots reports whether a segment is `.` or `..`, plain or encoded.
func isDots(segment string) bool {
	dots := 0
	for segment != "" && dots <= 2 {
		switch {
		case segment[0] == '.':
			segment = segment[1:]
		case strings.HasPrefix(segment, "%2e"), strings.HasPrefix(segment, "%2E"):
			segment = segment[3:]
		default:
			return false
		}
		dots++
	}
	return dots == 1 || dots == 2 // mutant: dot-segments-pass
}

// rawOffset returns where in a raw path a byte of the decoded path is spelt.
func rawOffset(raw string, decoded int) int {
	at := 0
	for decoded > 0 {
		switch c, _ := unhexAt(raw, at); {
		case raw[at] != '%':
			at, decoded = at+1, decoded-1
		case encodedByte(c) != 0:
			at, decoded = at+3, decoded-3
		default:
			at, decoded = at+3, decoded-1
		}
	}
	return at
}

func invalidUTF8At(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return len(s)
}

func quoteByte(c byte) string {
	if c < 0x20 || c >= 0x7f {
		return fmt.Sprintf("byte 0x%02X", c)
	}
	return fmt.Sprintf("'%c'", c)
}
