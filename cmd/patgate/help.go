package main

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// fitHelp breaks the lines of help for the width of the user's terminal. What is not a terminal gets the lines as
// they are written.
func fitHelp(s streams, root *cobra.Command) {
	write := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, given []string) {
		width := widthOf(s)
		if width == 0 {
			write(cmd, given)
			return
		}
		out := cmd.OutOrStdout()
		var text bytes.Buffer
		cmd.SetOut(&text)
		write(cmd, given)
		cmd.SetOut(out)
		_, _ = fmt.Fprint(out, reflow(text.String(), width))
	})
}

// leastWidth is the width of the narrowest terminal for which lines are broken.
const leastWidth = 40

// widthOf is the number of columns of the terminal that results go to, or 0.
func widthOf(s streams) int {
	f, ok := fileOf(s.out)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < leastWidth {
		return 0
	}
	return width
}

// firstColumn is the first column of a line of a list: a flag with its value, a command or a kind.
var firstColumn = regexp.MustCompile(`^ +(?:(?:-\w, )?--\S+(?: \S+)?|\S+) {2,}`)

// A helpBlock is broken into lines as a whole.
type helpBlock struct {
	first string   // the first column of what is listed
	lines []string // a paragraph, or the second column of what is listed
	whole bool     // it stays as it is, such as an example
}

// reflow breaks lines that are longer than width: paragraphs are filled anew, and what is listed keeps its column.
// Examples stay whole, so that they can be copied.
func reflow(text string, width int) string {
	var out strings.Builder
	for _, b := range blocksOf(text) {
		out.WriteString(b.text(width) + "\n")
	}
	return out.String()
}

func blocksOf(text string) []helpBlock {
	var list []helpBlock
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		last := &helpBlock{whole: true}
		if len(list) > 0 {
			last = &list[len(list)-1]
		}
		first := firstColumn.FindString(line)
		switch flush := line != "" && line[0] != ' ' && line[0] != '\t'; {
		case flush && !last.whole && last.first == "":
			last.lines = append(last.lines, line)
		case flush:
			list = append(list, helpBlock{lines: []string{line}})
		case last.first != "" && strings.HasPrefix(line, strings.Repeat(" ", len(last.first))):
			last.lines = append(last.lines, line[len(last.first):])
		case first != "":
			list = append(list, helpBlock{first: first, lines: []string{line[len(first):]}})
		default:
			list = append(list, helpBlock{lines: []string{line}, whole: true})
		}
	}
	return list
}

// text is the block in lines of at most width, where words allow it.
func (b helpBlock) text(width int) string {
	indent := strings.Repeat(" ", len(b.first))
	fits := func(line string) bool { return len(indent)+len(line) <= width }
	if b.whole || !slices.ContainsFunc(b.lines, func(line string) bool { return !fits(line) }) {
		return b.first + strings.Join(b.lines, "\n"+indent)
	}
	rest := strings.Join(b.lines, " ")
	if b.first == "" {
		return wrapped(strings.Fields(rest), "", width)
	}
	return hang(b.first, rest, width)
}

// hang writes the second column of a list below itself, or from the next line on where the first leaves no room.
func hang(first, rest string, width int) string {
	const narrow = 10
	if len(first) > width/2 {
		indent := strings.Repeat(" ", narrow)
		return strings.TrimRight(first, " ") + "\n" + indent + wrapped(strings.Fields(rest), indent, width)
	}
	return first + wrapped(strings.Fields(rest), strings.Repeat(" ", len(first)), width)
}

// wrapped joins words into lines, of which all but the first begin with indent: the caller wrote it for the first.
func wrapped(words []string, indent string, width int) string {
	var out strings.Builder
	at := len(indent)
	for i, word := range words {
		switch {
		case i == 0:
		case at+1+len(word) > width:
			out.WriteString("\n" + indent)
			at = len(indent)
		default:
			out.WriteString(" ")
			at++
		}
		out.WriteString(word)
		at += len(word)
	}
	return out.String()
}
