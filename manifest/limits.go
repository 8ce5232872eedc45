package manifest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
)

// Limits of what is decoded. A file beyond one is refused with the figure, before decoding
// it uses too much memory or time.
const (
	MaxDocuments = 20_000  // of a file
	MaxValues    = 200_000 // of a document: keys, texts, lists and maps, as they are estimated
	MaxDepth     = 64      // of lists and maps in each other
	MaxProblems  = 20      // that are described of one document
)

const (
	// largeValues and largeText are from where on documents are decoded one at a time, so
	// that several of them need no more memory than one.
	largeValues = 20_000
	largeText   = 256 << 10

	// maxJunk is how many documents of a file that are no manifests are reported one by one.
	maxJunk = MaxProblems

	maxMessage = 1_000 // bytes of a problem's message
	maxEcho    = 400   // bytes of a text that a message repeats
	maxField   = 200   // bytes of a field's path
)

// estimateValues returns at least how many nodes a text has as YAML, without parsing it:
// each needs an indicator of its own.
func estimateValues(text []byte) int {
	n := 1
	for i, c := range text {
		switch c {
		case ':':
			n += 2
		case ',', '[', '{', '?':
			n++
		case '-':
			if i+1 == len(text) || text[i+1] == ' ' || text[i+1] == '\n' || text[i+1] == '\r' || text[i+1] == '\t' {
				n++
			}
		}
	}
	return n
}

// isLarge reports whether a chunk takes much memory to decode.
func (c chunk) isLarge() bool {
	// A byte is two values at most.
	return len(c.text) > largeText || 2*len(c.text) >= largeValues && estimateValues(c.text) > largeValues
}

// depth returns how deep lists and maps of a tree are nested, as far as the limit.
func depth(n *yaml.Node, limit int) int {
	deepest := 0
	for _, child := range n.Content {
		if limit > 0 {
			deepest = max(deepest, 1+depth(child, limit-1))
		}
	}
	return deepest
}

// readable cuts a file into the documents that are decoded. Of a file with too many,
// those that may end a token are, and refused is the problem.
func readable(file string, data []byte) (chunks []chunk, refused *Problem) {
	all := slices.DeleteFunc(splitDocuments(data), chunk.isBlank)
	if len(all) <= MaxDocuments {
		return all, nil
	}
	chunks = slices.DeleteFunc(slices.Clone(all), func(c chunk) bool { return !c.mayEnd() })
	return chunks[:min(len(chunks), MaxDocuments)], &Problem{
		File: file, Pos: Pos{Line: all[MaxDocuments].line, Column: 1},
		Message: fmt.Sprintf("%d documents in the file, expected at most %d: divide it", len(all), MaxDocuments),
	}
}

// mayEnd reports whether a document may revoke or suspend a token, by the words in it.
func (c chunk) mayEnd() bool {
	return bytes.Contains(c.text, []byte("revoked")) || bytes.Contains(c.text, []byte("suspended"))
}

// tally is how often a problem was found in a document, and the second place of it.
type tally struct {
	index int // in the problems
	more  int
	next  Pos
}

// add keeps a problem, folds one that is like another, or counts it where there are too
// many.
func (s *scope) add(p Problem) {
	s.found++
	key := plainIndexes(p.Field) + "\n" + p.Message
	if t, known := s.tallies[key]; known {
		if t.more == 0 {
			t.next = p.Pos
		}
		t.more++
		return
	}
	if len(s.problems) >= s.limit() {
		s.more++
		return
	}
	s.decoder.described.Add(1)
	if s.tallies == nil {
		s.tallies = map[string]*tally{}
	}
	s.tallies[key] = &tally{index: len(s.problems)}
	s.problems = append(s.problems, p)
}

// full reports whether no more problems are described. Each further one is counted.
func (s *scope) full() bool {
	return s.more > 0 && len(s.problems) >= s.limit() || s.found >= maxFound
}

// limit returns how many problems of the document are described: one, once the load has more than
// are reported.
func (s *scope) limit() int {
	if s.decoder.described.Load() > 2*MaxReported {
		return 1
	}
	return MaxProblems
}

// maxFound is how many problems of a document are looked at: a list of many bad entries has
// as many that say the same.
const maxFound = 1_000

// folded returns the problems, each with the number of those that are like it.
func (s *scope) folded() []Problem {
	list := slices.Clone(s.problems)
	for _, t := range s.tallies {
		switch t.more {
		case 0:
		case 1:
			list[t.index].Message += fmt.Sprintf(" (also at %d:%d)", t.next.Line, t.next.Column)
		default:
			list[t.index].Message += fmt.Sprintf(" (also at %d:%d and %s more places)", t.next.Line, t.next.Column, thousands(t.more-1))
		}
	}
	if s.more > 0 {
		list = append(list, Problem{
			File: s.file, Pos: Pos{Line: s.chunk.line, Column: 1}, Message: fmt.Sprintf("and %s more problems in the document: mend the first %d", thousands(s.more), len(s.problems)),
		})
	}
	return list
}

// thousands writes a number with commas.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// plainIndexes returns a field's path without the numbers of its entries.
func plainIndexes(field string) string {
	if !strings.Contains(field, "[") {
		return field
	}
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, field)
}

// echo returns a text as messages repeat it: on one line, without what a terminal would
// act on, and not longer than max bytes.
func echo(text string, max int) string {
	if len(text) > max {
		cut := max
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "…"
	}
	if !strings.ContainsFunc(text, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) && r != utf8.RuneError {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

const (
	// MaxReported is how many problems of a load are described.
	MaxReported = 1_000

	// maxAlike is how many problems of a load that say the same are.
	maxAlike = 10
)

// FoldProblems sorts the problems of a load, and keeps as many as people can read: of those
// that say the same the first, and MaxReported of all. It counts the others, and uncounted
// more.
func FoldProblems(problems []Problem, uncounted int) []Problem {
	diag.Sort(problems)
	alike := map[string]int{}
	key := func(p *Problem) string { return plainIndexes(p.Field) + "\n" + p.Message }
	if len(problems) <= maxAlike && uncounted == 0 {
		return problems
	}
	list := make([]Problem, 0, min(len(problems), MaxReported))
	for i := range problems {
		if k := key(&problems[i]); alike[k] < maxAlike {
			list = append(list, problems[i])
			alike[k]++
		} else {
			alike[k]++
		}
	}
	uncounted += max(0, len(list)-MaxReported)
	list = list[:min(len(list), MaxReported)]
	seen := map[string]int{}
	for i := range list {
		k := key(&list[i])
		if seen[k]++; seen[k] == maxAlike && alike[k] > maxAlike {
			list[i].Message += fmt.Sprintf(" (and %s more like it)", thousands(alike[k]-maxAlike))
		}
	}
	if uncounted > 0 {
		list = append(list, Problem{File: "the manifests", Message: fmt.Sprintf("and %s more problems: mend the first %s", thousands(uncounted), thousands(len(list)))})
	}
	return list
}
