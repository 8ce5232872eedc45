package diag

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Escape returns text on one line, without what a terminal would act on or what hides
// text: control characters, line separators, bidirectional controls and bytes that are no
// UTF-8 are written as escapes. Use it for what comes from files and requests.
func Escape(text string) string {
	if !strings.ContainsFunc(text, unsafe) {
		return text
	}
	return string(appendEscaped(nil, text, unsafe))
}

// unsafe reports whether a character is escaped. A byte that is no UTF-8 is U+FFFD here.
func unsafe(r rune) bool {
	switch {
	case r < ' ', 0x7f <= r && r < 0xa0, r == utf8.RuneError:
		return true
	case r == 0x061c, r == 0x200e, r == 0x200f, 0x2028 <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069, r == 0xfeff:
		return true
	}
	return false
}

// unsafeInLayout is unsafe, but for the line ends and tabs by which output is laid out.
func unsafeInLayout(r rune) bool { return r != '\n' && r != '\t' && unsafe(r) }

func appendEscaped(b []byte, text string, unsafe func(rune) bool) []byte {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = fmt.Appendf(b, `\x%02x`, text[i])
		case r == utf8.RuneError || !unsafe(r):
			b = append(b, text[i:i+n]...)
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\r':
			b = append(b, `\r`...)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
		i += n
	}
	return b
}

// Writer passes on all output of a command: it escapes what a terminal would
// act on, except line ends and tabs, and lets no line be a command to the workflow that
// runs it (GitHub reads `::error::` at the head of a line, and `##[error]`; others read `##vso[` and `##teamcity[`). JSON stays the
// same JSON. It can be used by several goroutines at once.
type Writer struct {
	mu     sync.Mutex
	to     io.Writer
	begun  bool   // the line has more than blanks already
	colon  bool   // the line has no more than a colon
	rest   []byte // of a character that was cut
	hash   bool   // the last character was a #
	marked bool   // two of them, and then letters alone
	escape []byte

	highlight func(line string) string
	line      []byte // that is not ended yet, where there is a highlight
}

// NewWriter returns a writer of people's output.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to} }

// Unwrap returns where the output goes.
func (w *Writer) Unwrap() io.Writer { return w.to }

// Highlight passes each whole line through a function that may add colors, after everything in it is
// escaped. Lines are written when they end.
func (w *Writer) Highlight(highlight func(line string) string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.highlight = highlight
}

// Write implements io.Writer. It keeps the first bytes of a character until the others come.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := string(append(w.rest, p...))
	end := len(text)
	for back := 1; back < utf8.UTFMax && back <= end; back++ {
		if c := text[end-back]; utf8.RuneStart(c) {
			if !utf8.FullRuneInString(text[end-back:]) {
				end -= back
			}
			break
		}
	}
	w.rest = append([]byte(nil), text[end:]...)
	return len(p), w.write(text[:end])
}

// Flush writes what is left of a character that never came whole.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := string(w.rest)
	w.rest = nil
	err := w.write(text)
	if len(w.line) > 0 {
		_, err = io.WriteString(w.to, w.highlight(string(w.line)))
		w.line = nil
	}
	return err
}

func (w *Writer) write(text string) error {
	if text == "" {
		return nil
	}
	w.escape = w.disarm(appendEscaped(w.escape[:0], text, unsafeInLayout))
	if w.highlight == nil {
		_, err := w.to.Write(w.escape)
		return err
	}
	w.line = append(w.line, w.escape...)
	end := bytes.LastIndexByte(w.line, '\n') + 1
	var out []byte
	for line := range strings.Lines(string(w.line[:end])) {
		out = append(append(out, w.highlight(strings.TrimSuffix(line, "\n"))...), '\n')
	}
	w.line = append(w.line[:0], w.line[end:]...)
	if len(out) == 0 {
		return nil
	}
	_, err := w.to.Write(out)
	return err
}

// disarm breaks the heads of workflow commands by an escape in their place.
func (w *Writer) disarm(text []byte) []byte {
	out := make([]byte, 0, len(text)+16)
	for _, r := range string(text) {
		if r == ':' && w.colon || r == '[' && w.marked {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
		w.marked = r == '#' && w.hash || w.marked && ('a' <= r|0x20 && r|0x20 <= 'z')
		w.hash = r == '#'
		w.colon = r == ':' && !w.begun
		w.begun = r != '\n' && (w.begun || !unicode.IsSpace(r))
	}
	return out
}
