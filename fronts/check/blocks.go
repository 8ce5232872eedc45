package check

import (
	"fmt"
	"strings"

	"github.com/patgate/patgate/diag"
)

// directive is a line of a configuration with braces: its words, and what is within its braces.
type directive struct {
	words  []string
	file   string // of nginx alone, whose files include others
	pos    diag.Pos
	block  []*directive
	parent *directive
}

// name is the first word.
func (d *directive) name() string {
	if len(d.words) == 0 {
		return ""
	}
	return d.words[0]
}

// arg returns a word after the name; 0 is the first. Absent ones are empty.
func (d *directive) arg(i int) string {
	if i+1 < len(d.words) {
		return d.words[i+1]
	}
	return ""
}

// all returns the directives of a name directly within.
func (d *directive) all(name string) (list []*directive) {
	for _, b := range d.block {
		if strings.EqualFold(b.name(), name) {
			list = append(list, b)
		}
	}
	return list
}

// walk calls a function for everything within, at whatever depth.
func (d *directive) walk(f func(*directive)) {
	for _, b := range d.block {
		f(b)
		b.walk(f)
	}
}

// scanner cuts a text into words, braces and ends of directives.
type scanner struct {
	text      string
	at        int
	line, col int
	newlines  bool // the end of a line ends a directive (Caddy); otherwise `;` does (nginx)
}

// tokens of a scanner besides words.
const (
	endOfText = "\x00eof"
	endOfLine = "\x00end"
	opening   = "\x00{"
	closing   = "\x00}"
)

func (s *scanner) step() byte {
	c := s.text[s.at]
	s.at++
	s.col++
	if c == '\n' {
		s.line, s.col = s.line+1, 1
	}
	return c
}

// next returns the next word or token, and where it begins.
func (s *scanner) next() (word string, pos diag.Pos) {
	for s.at < len(s.text) {
		pos = diag.Pos{Line: s.line, Column: s.col}
		switch c := s.text[s.at]; {
		case c == '\n' && s.newlines:
			s.step()
			return endOfLine, pos
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			s.step()
		case c == '#':
			for s.at < len(s.text) && s.text[s.at] != '\n' {
				s.step()
			}
		case c == ';' && !s.newlines:
			s.step()
			return endOfLine, pos
		case c == '{' && s.alone():
			s.step()
			return opening, pos
		case c == '}' && (!s.newlines || s.alone()):
			s.step()
			return closing, pos
		default:
			return s.word(), pos
		}
	}
	return endOfText, diag.Pos{Line: s.line, Column: s.col}
}

// alone reports whether a brace is a token of its own: in Caddy's files those within words are placeholders.
func (s *scanner) alone() bool {
	return !s.newlines || s.at+1 >= len(s.text) || strings.IndexByte(" \t\r\n", s.text[s.at+1]) >= 0
}

func (s *scanner) word() string {
	var b strings.Builder
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"' || c == '\'' && !s.newlines || c == '`' && s.newlines:
			s.step()
			for s.at < len(s.text) && s.text[s.at] != c {
				if s.text[s.at] == '\\' && s.at+1 < len(s.text) && c != '`' {
					s.step()
				}
				b.WriteByte(s.step())
			}
			if s.at < len(s.text) {
				s.step()
			}
		case c == '\\' && s.at+1 < len(s.text):
			b.WriteByte(s.step())
			b.WriteByte(s.step())
		case strings.IndexByte(" \t\r\n", c) >= 0, !s.newlines && (c == ';' || c == '{' && !strings.HasSuffix(b.String(), "$") || c == '}' && !strings.Contains(b.String(), "${")):
			return b.String()
		default:
			b.WriteByte(s.step())
		}
	}
	return b.String()
}

// parse reads a configuration with braces.
func parse(text string, newlines bool) (*directive, error) {
	s := &scanner{text: text, line: 1, col: 1, newlines: newlines}
	root := &directive{}
	within, current := root, (*directive)(nil)
	for {
		word, pos := s.next()
		switch word {
		case endOfText:
			if within != root {
				return nil, fmt.Errorf(":%d:%d: a brace is not closed, expected }", within.pos.Line, within.pos.Column)
			}
			return root, nil
		case endOfLine:
			current = nil
		case opening:
			if current == nil {
				current = &directive{pos: pos, parent: within}
				within.block = append(within.block, current)
			}
			within, current = current, nil
		case closing:
			if within == root {
				return nil, fmt.Errorf(":%d:%d: a brace that closes nothing", pos.Line, pos.Column)
			}
			within, current = within.parent, nil
		default:
			if current == nil {
				current = &directive{pos: pos, parent: within}
				within.block = append(within.block, current)
			}
			current.words = append(current.words, word)
		}
	}
}
