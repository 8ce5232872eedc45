package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxPath is the longest path, in bytes as received, that is judged.
const maxPath = 8 << 10

// Target is the request target: Envoy's `path`, which holds the query too, split
// and judged once. The zero value is a bad target.
type Target struct {
	Raw      string // the path as received, without the query
	Path     string // the path percent-decoded once: what prefixes and rules match
	Query    string // what follows the first `?`, as received
	HasQuery bool
	problem  string // why the path is ambiguous; empty where it is not
}

// NewTarget splits a target at its first `?` and judges the path: an upstream that
// reads it otherwise than we do would serve what the rules did not mean. So a path
// with more than one reading is refused rather than normalized: Envoy and upstreams
// differ in dot segments, `//`, `;`, `\` and in how often they decode.
func NewTarget(target string) Target {
	var t Target
	t.Raw, t.Query, t.HasQuery = strings.Cut(target, "?")
	t.Path, t.problem = decodePath(t.Raw)
	return t
}

// Problem tells which byte at which offset makes the target ambiguous. It is empty
// for a good one.
func (t *Target) Problem() string {
	if t.problem == "" && t.Path == "" {
		return "the target is missing"
	}
	return t.problem
}

// decodePath percent-decodes a path once, or says why it is ambiguous.
func decodePath(raw string) (path, problem string) {
	switch {
	case raw == "":
		return "", "the path is empty"
	case raw[0] != '/':
		return "", fmt.Sprintf("%s at offset 0, where a path begins with '/'", quoteByte(raw[0]))
	case len(raw) > maxPath:
		return "", fmt.Sprintf("the path is longer than %d bytes", maxPath)
	}
	path = raw
	if i := strings.IndexByte(raw, '%'); i >= 0 {
		if path, problem = unescapePath(raw, i); problem != "" {
			return "", problem
		}
	}
	for i := range len(raw) {
		if c := raw[i]; forbiddenRaw(c) {
			return "", fmt.Sprintf("%s at offset %d", quoteByte(c), i)
		}
	}
	if !utf8.ValidString(path) {
		at := invalidUTF8At(path)
		return "", fmt.Sprintf("not UTF-8 when decoded: %s at offset %d", quoteByte(path[at]), rawOffset(raw, at))
	}
	if problem = judgeSegments(raw); problem != "" {
		return "", problem
	}
	return path, ""
}

// forbiddenRaw holds what has no place in a path, decoded or not.
func forbiddenRaw(c byte) bool {
	return c < 0x20 || c == 0x7f || c == '\\' || c == '#' || c == ';'
}

// forbiddenEncoded holds what an escape must not stand for, beside forbiddenRaw: a
// slash, a percent sign (a second decoding would find more) and a question mark.
func forbiddenEncoded(c byte) bool {
	return forbiddenRaw(c) || c == '/' || c == '%' || c == '?'
}

func unescapePath(raw string, first int) (path, problem string) {
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
			return "", fmt.Sprintf("a malformed escape: '%%' at offset %d", i)
		}
		if forbiddenEncoded(c) {
			return "", fmt.Sprintf("an encoded %s at offset %d", quoteByte(c), i)
		}
		decoded = append(decoded, c)
		i += 3
	}
	return string(decoded), ""
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
// Every slash of the raw path is one of the decoded path.
func judgeSegments(raw string) (problem string) {
	for start := 1; start <= len(raw); {
		end := strings.IndexByte(raw[start:], '/')
		last := end < 0
		if last {
			end = len(raw) - start
		}
		switch segment := raw[start : start+end]; {
		case segment == "" && !last:
			return fmt.Sprintf("an empty segment: '/' at offset %d", start)
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
	return dots == 1 || dots == 2
}

// rawOffset returns where in a raw path a byte of the decoded path is spelt.
func rawOffset(raw string, decoded int) int {
	at := 0
	for ; decoded > 0; decoded-- {
		if raw[at] == '%' {
			at += 2
		}
		at++
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
