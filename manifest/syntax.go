package manifest

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// yamlError is how the YAML library reports an error. Its line is that of the enclosing
// collection as often as not.
var yamlError = regexp.MustCompile(`^yaml: (?:line \d+: )?(.*)$`)

// syntaxError returns the place and the text of an error of the YAML library.
func (s *scope) syntaxError(err error) (Pos, string) {
	message := err.Error()
	if m := yamlError.FindStringSubmatch(message); m != nil {
		message = m[1]
	}
	if name, ok := strings.CutPrefix(message, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		before, _, _ := bytes.Cut(s.chunk.text, []byte("*"+name))
		return s.posOf(before), message
	}
	at := s.culprit()
	line, _, _ := bytes.Cut(s.chunk.text[at:], []byte("\n"))
	if blanks := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]; bytes.IndexByte(blanks, '\t') >= 0 {
		message = "a tab, expected blanks before the line"
	}
	return s.posOf(s.chunk.text[:at]), message
}

// maxTries bounds how many beginnings of a document are parsed to find its culprit.
const maxTries = 500

// culprit returns the offset of the first line that breaks the document: the one after
// the longest beginning, in whole lines, that is YAML.
func (s *scope) culprit() int {
	text := s.chunk.text
	end := len(bytes.TrimRight(text, " \t\r\n"))
	for range maxTries {
		end = bytes.LastIndexByte(text[:end], '\n')
		if end < 0 {
			break
		}
		var node yaml.Node
		if yaml.Unmarshal(text[:end+1], &node) == nil {
			return end + 1
		}
	}
	return 0
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
