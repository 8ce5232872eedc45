package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/diag"
)

// fileChunk is the maximum size of a write that can't block.
const fileChunk = 64 << 10

// Terminal is a Sink that writes a readable line for each event, for people who watch.
// Programs read the JSON of a File.
type Terminal struct {
	to   Sink
	cut  []byte // the head of a line whose end has not come
	text []byte

	colored bool
}

// NewTerminal returns a sink that writes readable lines to another one.
func NewTerminal(to Sink) *Terminal { return &Terminal{to: to} }

// Colored makes the lines colored from now on.
func (t *Terminal) Colored() { t.colored = true }

// Await implements Sink.
func (t *Terminal) Await(d time.Duration) bool { return t.to.Await(d) }

// Chunk implements Sink.
func (t *Terminal) Chunk() int { return fileChunk }

// Write implements Sink. A line counts as written once its readable form is.
func (t *Terminal) Write(b []byte) (n int, err error) {
	for n < len(b) {
		end := bytes.IndexByte(b[n:], '\n')
		if end < 0 {
			t.cut = append(t.cut, b[n:]...)
			return len(b), nil
		}
		end += n + 1
		t.text = appendReadable(t.text[:0], append(t.cut[:len(t.cut):len(t.cut)], b[n:end]...))
		if t.colored {
			t.text = append([]byte(diag.Color(string(bytes.TrimSuffix(t.text, []byte("\n"))))), '\n')
		}
		for rest := t.text; len(rest) > 0; {
			written, err := t.to.Write(rest)
			if rest = rest[written:]; err != nil {
				return n, err
			}
			if written == 0 {
				return n, io.ErrShortWrite
			}
		}
		t.cut, n = t.cut[:0], end
	}
	return n, nil
}

// readable holds the fields of an event that a readable line shows.
type readable struct {
	Time                    time.Time
	Kind, Severity, ID      string
	Decision, Reason        string
	Status                  int
	Gate, Scheme, User      string
	Actor, Token, Policy    string
	Rule, Source, Shadow    string
	Detail, ActAs           string
	Unmatched, Client       string
	Method, Host            string
	Path, Query             string
	Revision                uint64
	Added, Changed, Removed int
	AddedNames              []string
	ChangedNames            []string
	RemovedNames            []string
	Tokens, Problems        []string
	Count                   int
}

// Readable returns the readable line of an event, as Terminal writes it.
func Readable(event []byte) string { return string(appendReadable(nil, event)) }

// appendReadable appends the readable line of an event, or the event as it is where it
// can't be read.
func appendReadable(b, line []byte) []byte {
	var e readable
	if err := json.Unmarshal(line, &e); err != nil {
		return append(b, line...)
	}
	text := e.Time.Local().Format("15:04:05") + " "
	if e.Kind == string(Decision) {
		text += e.decision()
	} else {
		text += e.change()
	}
	b = append(b, diag.Escape(text)...)
	return append(b, '\n')
}

// decision describes the decision, the request, the caller and the reason.
func (e *readable) decision() string {
	result := e.Decision
	if e.Decision == Deny {
		result = fmt.Sprintf("DENY %d", e.Status)
	}
	text := fmt.Sprintf("%-8s %s  %s %s%s", result, e.Reason, e.Method, e.Host, e.Path)
	if e.Query != "" {
		text += "?" + e.Query
	}
	words := []string{text}
	if e.Shadow != "" {
		words = append(words, "would be refused: "+e.Shadow)
	}
	for _, field := range [...]struct{ name, value string }{
		{"user", e.User}, {"by", e.Actor}, {"act as", e.ActAs}, {"token", e.Token}, {"gate", e.Gate}, {"client", e.Client},
	} {
		if field.value != "" {
			words = append(words, field.name+" "+field.value)
		}
	}
	if e.Rule != "" && e.Decision == Deny {
		words = append(words, fmt.Sprintf("rule %s (%s)", e.Rule, e.Source))
	}
	if e.Unmatched != "" {
		words = append(words, "unmatched "+e.Unmatched)
	}
	if e.Detail != "" {
		words = append(words, e.Detail)
	}
	return strings.Join(append(words, "id "+e.ID), "  ")
}

// change describes an event that is not a decision.
func (e *readable) change() string {
	words := []string{e.Kind}
	if e.Severity == string(Alert) {
		words = []string{strings.ToUpper(string(Alert)), e.Kind}
	}
	if inForce := e.inForce(); inForce != "" {
		words = append(words, inForce)
	}
	for _, list := range []struct {
		what  string
		count int
		names []string
	}{{"added", e.Added, e.AddedNames}, {"changed", e.Changed, e.ChangedNames}, {"removed", e.Removed, e.RemovedNames}} {
		if list.count > 0 {
			words = append(words, fmt.Sprintf("%s %s", list.what, named(list.count, list.names)))
		}
	}
	if len(e.Tokens) > 0 {
		words = append(words, "tokens "+strings.Join(e.Tokens, ", "))
	}
	if e.Token != "" {
		words = append(words, "token "+e.Token)
	}
	switch {
	case e.Count == 1 && e.Kind == string(PolicyRejected):
		words = append(words, "1 problem")
	case e.Count > 0 && e.Kind == string(PolicyRejected):
		words = append(words, fmt.Sprintf("%d problems", e.Count))
	case e.Count > 0:
		words = append(words, fmt.Sprintf("count %d", e.Count))
	}
	return strings.Join(append(words, e.Problems...), "  ")
}

// inForce says which manifests decide after an event.
func (e *readable) inForce() string {
	switch {
	case e.Kind == string(PolicyRejected) && e.Detail != "":
		return e.Source + ": " + e.Detail
	case e.Kind == string(PolicyRejected) && e.Revision == 0:
		return "no revision is in force, so every request is refused"
	case e.Kind == string(PolicyRejected):
		return fmt.Sprintf("the last good revision %d stays in force", e.Revision)
	case e.Kind == string(PolicyLoaded) && e.Revision > 0:
		return fmt.Sprintf("revision %d is in force", e.Revision)
	case e.Revision > 0:
		return fmt.Sprintf("revision %d", e.Revision)
	}
	return ""
}

// named is a count with the names that there are.
func named(count int, names []string) string {
	const most = 5
	names = slices.Clone(names[:min(len(names), most)])
	if len(names) == 0 {
		return fmt.Sprint(count)
	}
	if count > len(names) {
		names = append(names, "…")
	}
	return fmt.Sprintf("%d (%s)", count, strings.Join(names, ", "))
}
