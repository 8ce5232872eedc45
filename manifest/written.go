package manifest

import (
	"bytes"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// oldBooleans are text to YAML 1.2 and booleans to YAML 1.1, which Helm and kubectl read.
var oldBooleans = []string{"yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF"}

// isOldBoolean reports whether a text without quotes is a boolean elsewhere.
func isOldBoolean(n *yaml.Node) bool {
	return n.Style&^yaml.TaggedStyle == 0 && slices.Contains(oldBooleans, n.Value)
}

// onOneLine refuses a pattern whose YAML joins lines or keeps a line end: it would match other texts than
// those that it seems to, or none. It reports whether the pattern is good.
func (s *scope) onOneLine(n *yaml.Node, field string) bool {
	switch {
	case isBlock(n) && strings.Contains(n.Value, "\n"):
		s.problem(n, field, "the block of text has a line end in it, so that the pattern matches nothing that it seems to: write it on one line")
		return false
	case s.joinsLines(n):
		s.problem(n, field, "the text is on several lines, which YAML joins by blanks, so that the pattern has blanks in it: write it on one line")
		return false
	}
	return true
}

// wholeLines refuses rules whose YAML joins their lines into one, and comments among them. It reports
// whether the lines are kept as they are written.
func (s *scope) wholeLines(n *yaml.Node, field string) bool {
	if s.joinsLines(n) {
		s.problem(n, field, "YAML joins these lines into one rule, expected one rule a line: write `%s: |`", field[strings.LastIndexByte(field, '.')+1:])
		return false
	}
	return true
}

// commentIn returns the offset of a comment in a rule of the one-line form, or -1. A path has neither blanks nor `#`.
func commentIn(line string) int {
	if strings.HasPrefix(line, "#") {
		return 0
	}
	for _, mark := range []string{" #", "\t#"} {
		if at := strings.Index(line, mark); at >= 0 {
			return at + 1
		}
	}
	return -1
}

func isBlock(n *yaml.Node) bool { return n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 }

// joinsLines reports whether a scalar is written on several lines that YAML makes one of.
func (s *scope) joinsLines(n *yaml.Node) bool {
	if n.Line < 1 || n.Style&yaml.LiteralStyle != 0 || !strings.ContainsAny(n.Value, " \n") {
		return false
	}
	raw := s.rawLines()
	if n.Line > len(raw) {
		return false
	}
	if n.Style&yaml.FoldedStyle != 0 {
		return foldedLines(raw[n.Line:], n) > 1
	}
	rest := fromColumn(string(raw[n.Line-1]), n.Column)
	switch {
	case n.Style&yaml.SingleQuotedStyle != 0:
		return !strings.Contains(rest, "'"+strings.ReplaceAll(n.Value, "'", "''")+"'")
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return !endsQuoted(rest)
	}
	return !strings.Contains(rest, n.Value)
}

// rawLines returns the lines of the document's text.
func (s *scope) rawLines() [][]byte {
	if s.lines == nil {
		s.lines = bytes.Split(s.chunk.text, []byte("\n"))
	}
	return s.lines
}

// foldedLines counts the lines of a folded block that have text: as many as its value begins with, line by line.
func foldedLines(raw [][]byte, n *yaml.Node) int {
	words, count := strings.TrimRight(n.Value, "\n"), 0
	for _, line := range raw {
		text := string(bytes.TrimSpace(line))
		if text == "" {
			continue
		}
		rest, ok := strings.CutPrefix(strings.TrimLeft(words, " \n"), text)
		if !ok || words == "" {
			break
		}
		words = rest
		count++
	}
	return count
}

// fromColumn returns the text from a column on, which counts characters from 1.
func fromColumn(line string, column int) string {
	runes := []rune(line)
	if column < 1 || column > len(runes) {
		return line
	}
	return string(runes[column-1:])
}

// endsQuoted reports whether a text in double quotes ends on its first line, or goes on after a backslash, which
// joins without a blank.
func endsQuoted(rest string) bool {
	at := strings.IndexByte(rest, '"')
	if at < 0 {
		return true // it begins elsewhere, after a tag
	}
	for i := at + 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			return true
		}
	}
	return strings.HasSuffix(strings.TrimRight(rest, "\r"), `\`)
}
