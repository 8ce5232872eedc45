package manifest

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// yamlError matches an error of the YAML library. Its line is that of the enclosing
// collection as often as not.
var yamlError = regexp.MustCompile(`^yaml: (?:line \d+: )?(.*)$`)

// yamlLine is that line.
var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// yamlWords put the messages of the YAML library into patgate's words: what is wrong, and what was expected.
var yamlWords = map[string]string{
	"did not find expected node content":                     "a value that does not end, or begins with a character such as `,` or `%`: put the text in quotes",
	"could not find expected ':'":                            "a key without its colon, expected `key: value`",
	"mapping values are not allowed in this context":         "a second colon on the line, or a line that is indented too far: expected one `key: value` a line, with text that holds `: ` in quotes",
	"did not find expected key":                              "a line that is indented otherwise than its neighbors, expected the keys of a map below each other",
	"did not find expected '-' indicator":                    "a line among the entries of a list without its `- `",
	"did not find expected ',' or ']'":                       "a list in brackets that does not go on, expected `,` or `]`",
	"did not find expected ',' or '}'":                       "a map in braces that does not go on, expected `,` or `}`",
	"did not find expected <document start>":                 "text after the end of the document, expected `---` before the next one",
	"found unexpected end of stream":                         "a text in quotes that does not end, expected the closing quote",
	"found unexpected document indicator":                    "`---` within a text in quotes, expected the closing quote before it",
	"found character that cannot start any token":            "a character that no value begins with, such as a tab, `@` or a backtick: put the text in quotes",
	"found unknown escape character":                         "an unknown escape in a text in double quotes, expected single quotes for a regular expression",
	"block sequence entries are not allowed in this context": "a `- ` that is no entry of a list, expected it on a line of its own",
	"block collections are not allowed in this context":      "a `- ` that is no entry of a list, expected it on a line of its own",
	"found a tab character that violates indentation":        "a tab, expected blanks before the line",
	"control characters are not allowed":                     "a control character, expected text without any",
	"did not find expected alphabetic or numeric character":  "`*` or `&` in front of a value, which YAML reads as an alias or anchor: put the text in quotes",
	"found undefined tag handle":                             "`!` in front of a value, which YAML reads as a tag: put the text in quotes",
	"did not find expected tag URI":                          "`!` in front of a value, which YAML reads as a tag: put the text in quotes",
	"did not find expected whitespace or line break":         "a character right after `|`, `>`, `*` or `&`, expected a line end or a blank there",
	"did not find expected comment or line break":            "text after `|` or `>`, expected it on the next line",
	"did not find URI escaped octet":                         "`%` in a tag: put the text in quotes",
	"found extra ':' in mapping value":                       "a second colon, expected text that holds `: ` in quotes",
}

// inOurWords translates a message of the YAML library.
func inOurWords(message string) string {
	if plain, ok := yamlWords[message]; ok {
		return plain
	}
	return message
}

// syntaxError returns the place and the text of an error of the YAML library.
func (s *scope) syntaxError(err error) (Pos, string) {
	message := err.Error()
	if m := yamlError.FindStringSubmatch(message); m != nil {
		message = m[1]
	}
	if name, ok := strings.CutPrefix(message, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		before, _, _ := bytes.Cut(s.chunk.text, []byte("*"+name))
		if !s.isOurs() {
			message = "an alias of an unknown anchor"
		}
		return s.posOf(before), message
	}
	at := s.culprit()
	if at < 0 {
		return s.libraryPlace(err), inOurWords(message)
	}
	if key := s.closedColon(at, message); key != nil {
		return s.posOf(s.chunk.text[:key[0]]), fmt.Sprintf("no blank after the colon of `%[1]s:`, expected `%[1]s: VALUE`", s.chunk.text[key[0]:key[1]])
	}
	message = inOurWords(message)
	line, _, _ := bytes.Cut(s.chunk.text[at:], []byte("\n"))
	if blanks := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]; bytes.IndexByte(blanks, '\t') >= 0 {
		message = "a tab, expected blanks before the line"
	}
	return s.posOf(s.chunk.text[:at]), message
}

// closedKey is a line with a key and no blank after its colon, which YAML reads as text.
var closedKey = regexp.MustCompile(`^[ \t]*(?:- +)*([A-Za-z][A-Za-z0-9_.-]*):(?:[^\s:/]|/[^\s/])\S*[ \t]*(?:#.*)?$`)

// closedColon returns where a key without a blank after its colon begins and ends, or nil.
// Such a line breaks the document itself, or makes the next one with a key break it.
func (s *scope) closedColon(at int, message string) []int {
	text := s.chunk.text
	switch message {
	case "could not find expected ':'":
	case "mapping values are not allowed in this context":
		at = bytes.LastIndexByte(bytes.TrimRight(text[:at], " \t\r\n"), '\n') + 1
	default:
		return nil
	}
	line, _, _ := bytes.Cut(text[at:], []byte("\n"))
	m := closedKey.FindSubmatchIndex(bytes.TrimRight(line, "\r"))
	if m == nil {
		return nil
	}
	return []int{at + m[2], at + m[3]}
}

// What the search for culprits may parse: beginnings of one document, their bytes, and
// the bytes of all documents of a load.
const (
	maxTries    = 500
	maxSearch   = 256 << 10
	maxSearches = 2 << 20
)

// culprit returns the offset of the first line that breaks the document: the one after
// the longest beginning, in whole lines, that is YAML. It returns -1 where the search
// would parse too much.
func (s *scope) culprit() int {
	text := s.chunk.text
	end := len(bytes.TrimRight(text, " \t\r\n"))
	left := maxSearch
	for range maxTries {
		end = bytes.LastIndexByte(text[:end], '\n')
		if end < 0 {
			return 0
		}
		if left -= end + 1; left < 0 || s.decoder.searched.Add(int64(end+1)) > maxSearches {
			return -1
		}
		if parses(text[:end+1]) {
			return end + 1
		}
	}
	return -1
}

// parses reports whether a text is YAML.
func parses(text []byte) bool {
	var node yaml.Node
	return unmarshal(text, &node) == nil
}

// libraryPlace returns the line that the library reports, or the document's first.
func (s *scope) libraryPlace(err error) Pos {
	at := Pos{Line: s.chunk.line, Column: 1}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1]) // digits
		at.Line += max(0, min(line, bytes.Count(s.chunk.text, []byte("\n"))+1)-1)
	}
	return at
}

// posOf returns the place that follows a beginning of the document: its first
// character that is no blank.
func (s *scope) posOf(before []byte) Pos {
	line := bytes.LastIndexByte(before, '\n') + 1
	rest := s.chunk.text[len(before):]
	blanks := len(rest) - len(bytes.TrimLeft(rest, " \t"))
	if len(before) > line {
		blanks = 0
	}
	return Pos{
		Line:   s.chunk.line + bytes.Count(before, []byte("\n")),
		Column: 1 + utf8.RuneCount(before[line:]) + blanks,
	}
}
