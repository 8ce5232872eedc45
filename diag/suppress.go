package diag

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Suppression is a comment that suppresses problems of some codes:
//
//	# patgate:ignore CODE reason
//
// It counts for its own line and, where it is alone on its line, for the next one that is no
// comment. A line that opens a block of text (`limitTo: |`) counts for the whole block.
// `patgate:accept`, the word of the first version, means the same.
type Suppression struct {
	Pos         Pos
	Word        string // patgate:ignore or patgate:accept
	Codes       []Code // divided by commas
	Reason      string
	First, Last int // the lines that it counts for
}

// Covers reports whether the comment counts for a line.
func (s *Suppression) Covers(line int) bool { return s.First <= line && line <= s.Last }

var (
	ignoreComment = regexp.MustCompile(`(?:^|[ \t])#[ \t]*(patgate:(?:ignore|accept))\b[ \t]*(\S*)[ \t]*(.*)$`)
	blockHeader   = regexp.MustCompile(`(?:^|[:\-][ \t]+)[|>][-+0-9]*[ \t]*(?:#.*)?$`)
)

// Suppressions finds the comments of a file that suppress problems.
func Suppressions(data []byte) []Suppression {
	if !bytes.Contains(data, []byte("patgate:ignore")) && !bytes.Contains(data, []byte("patgate:accept")) {
		return nil
	}
	lines := strings.Split(string(data), "\n")
	var list []Suppression
	waiting := 0 // the first of list that is alone on its line and waits for the next
	for i := 0; i < len(lines); i++ {
		line := strings.TrimRight(lines[i], " \t\r")
		text := strings.TrimLeft(line, " \t")
		end := i
		if text != "" && text[0] != '#' && blockHeader.MatchString(line) {
			end = blockEnd(lines, i)
		}
		if m := ignoreComment.FindStringSubmatchIndex(line); m != nil {
			hash := m[0] + strings.IndexByte(line[m[0]:], '#')
			list = append(list, Suppression{
				Pos: Pos{i + 1, utf8.RuneCountInString(line[:hash]) + 1}, Word: line[m[2]:m[3]],
				Codes: codesIn(line[m[4]:m[5]]), Reason: line[m[6]:m[7]], First: i + 1, Last: end + 1,
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

func codesIn(list string) []Code {
	var codes []Code
	for code := range strings.SplitSeq(list, ",") {
		codes = append(codes, Code(code))
	}
	return codes
}

// Suppress marks those of the problems for whose code and line the comment gives a reason, and
// returns why it does nothing for a code, one text a code. known are the codes that a comment may
// suppress, and covers reports whether the comment counts for the problem of an index.
func (s *Suppression) Suppress(problems []*Problem, known []Code, covers func(i int) bool) (unused []string) {
	for _, code := range s.Codes {
		if text := s.suppressOne(problems, known, code, covers); text != "" {
			unused = append(unused, text)
		}
	}
	return unused
}

func (s *Suppression) suppressOne(problems []*Problem, known []Code, code Code, covers func(int) bool) (unused string) {
	if !slices.Contains(known, code) {
		var names []string
		for _, k := range known {
			names = append(names, string(k))
		}
		return fmt.Sprintf("%q is no code to accept, %s", string(code), Suggest(string(code), names))
	}
	if strings.TrimSpace(s.Reason) == "" {
		return fmt.Sprintf("%s is accepted without a reason, so it is still reported", code)
	}
	used := false
	for i, p := range problems {
		if p.Code == code && covers(i) {
			p.Suppressed, used = s.Reason, true
		}
	}
	if !used {
		return fmt.Sprintf("no %s is found on this line or the next", code)
	}
	return ""
}
