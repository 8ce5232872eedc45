package manifest

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"
)

var errPanicked = errors.New("the YAML library panicked")

// Accept is a comment that accepts a warning:
//
//	# patgate:accept CODE reason
//
// It counts for its own line and, where it stands alone, for the next one that is no
// comment. A line that opens a block of text (`limitTo: |`) stands for the whole block.
type Accept struct {
	Pos         Pos
	Codes       []string // divided by commas
	Reason      string
	First, Last int // the lines that it counts for
}

// Covers reports whether the comment counts for a line.
func (a *Accept) Covers(line int) bool { return a.First <= line && line <= a.Last }

var (
	acceptComment = regexp.MustCompile(`(?:^|[ \t])#[ \t]*patgate:accept\b[ \t]*(\S*)[ \t]*(.*)$`)
	blockHeader   = regexp.MustCompile(`(?:^|[:\-][ \t]+)[|>][-+0-9]*[ \t]*(?:#.*)?$`)
)

// Accepts finds the comments of a file that accept a warning.
func Accepts(data []byte) []Accept {
	if !bytes.Contains(data, []byte("patgate:accept")) {
		return nil
	}
	lines := strings.Split(string(data), "\n")
	var list []Accept
	waiting := 0 // the first of list that stands alone and looks for its line
	for i := 0; i < len(lines); i++ {
		line := strings.TrimRight(lines[i], " \t\r")
		text := strings.TrimLeft(line, " \t")
		end := i
		if text != "" && text[0] != '#' && blockHeader.MatchString(line) {
			end = blockEnd(lines, i)
		}
		if m := acceptComment.FindStringSubmatchIndex(line); m != nil {
			hash := m[0] + strings.IndexByte(line[m[0]:], '#')
			list = append(list, Accept{
				Pos:   Pos{i + 1, utf8.RuneCountInString(line[:hash]) + 1},
				Codes: strings.Split(line[m[2]:m[3]], ","), Reason: line[m[4]:m[5]], First: i + 1, Last: end + 1,
			})
		}
		if text == "" || text[0] == '#' {
			continue
		}
		for ; waiting < len(list); waiting++ {
			list[waiting].Last = max(list[waiting].Last, end+1)
		}
		i = end
	}
	return list
}

// blockEnd returns the last line of the block of text that a line opens: those that
// follow and are blank or indented deeper.
func blockEnd(lines []string, header int) int {
	indent := func(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
	end := header
	for i := header + 1; i < len(lines); i++ {
		if strings.TrimSpace(lines[i]) == "" {
			continue
		}
		if indent(lines[i]) <= indent(lines[header]) {
			break
		}
		end = i
	}
	return end
}
