package audit

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
)

// runtimeLine reads the forms in which container runtimes keep lines: that of the CRI (`TIME stdout P|F TEXT`)
// and Docker's json-file (`{"log":"TEXT\n","stream":…}`), which cuts without a mark: a text without its
// line end goes on in the next line of its stream.
func runtimeLine(text []byte) (p runtimePart, ok bool) {
	if bytes.HasPrefix(text, []byte(`{"log":`)) {
		return dockerLine(text)
	}
	if len(text) == 0 || text[0] < '0' || text[0] > '9' {
		return p, false
	}
	_, rest, found := bytes.Cut(text, []byte(" "))
	stream, rest, found2 := bytes.Cut(rest, []byte(" "))
	tag, rest, _ := bytes.Cut(rest, []byte(" "))
	if !found || !found2 || string(stream) != "stdout" && string(stream) != "stderr" {
		return p, false
	}
	tag, _, _ = bytes.Cut(tag, []byte(":")) // tags are divided by colons; the first marks a whole or partial line
	p = runtimePart{text: rest, stderr: string(stream) == "stderr", partial: string(tag) == "P"}
	return p, p.partial || string(tag) == "F"
}

// runtimePart is what a line of a container runtime holds: a line of the container or a part of one.
type runtimePart struct {
	text    []byte
	stderr  bool // and not of stdout
	partial bool // the next line of the stream goes on
}

func dockerLine(text []byte) (p runtimePart, ok bool) {
	var wrapped struct {
		Log    *string `json:"log"`
		Stream string  `json:"stream"`
	}
	if json.Unmarshal(text, &wrapped) != nil || wrapped.Log == nil || wrapped.Stream == "" {
		return p, false // some collector's
	}
	part := []byte(*wrapped.Log)
	return runtimePart{text: bytes.TrimRight(part, "\r\n"), stderr: wrapped.Stream == "stderr", partial: !bytes.HasSuffix(part, []byte("\n"))}, true
}

// wrappers are the fields in which collectors and exports put a line, or the lines: Fluent Bit and Docker (log), Logstash
// and CloudWatch (message), Vector and systemd's journal (MESSAGE), Loki (line, values), Google Cloud
// (textPayload, jsonPayload), and CloudWatch's lists (events, logEvents; results and value of Logs Insights).
var wrappers = []string{"log", "message", "msg", "line", "MESSAGE", "textPayload", "jsonPayload", "event", "events", "logEvents", "entries", "data", "result", "values", "streams", "results", "value"}

// maxWraps bounds how deep a line may be wrapped.
const maxWraps = 10

// appendEntries appends the events of a line.
func appendEntries(list []Entry, file string, line logLine, stats *ReadStats) []Entry {
	before := len(list)
	if line.text = unquoteCSV(line.text); isList(line.text) {
		list = unwrapValue(list, line.text, maxWraps)
	}
	if len(list) == before {
		list = unwrap(list, line.text, maxWraps)
	}
	for i := before; i < len(list); i++ {
		list[i].File, list[i].Line = file, line.number
	}
	if n := len(list) - before; n > 0 {
		stats.Events += int64(n)
	} else {
		stats.Skipped++
	}
	return list
}

// isList reports whether a line is a JSON list, and not one with a prefix such as `[pod/patgate-x] `.
func isList(text []byte) bool {
	return len(text) > 0 && text[0] == '[' && json.Valid(text)
}

// isObject reports whether a line is one JSON object.
func isObject(text []byte) bool {
	return bytes.HasPrefix(text, []byte("{")) && bytes.HasSuffix(text, []byte("}")) && json.Valid(text)
}

// unquoteCSV returns the event in a line of a CSV export, whose quotes are doubled; other lines are as they were. All of the line
// must be CSV: clients can write what looks like a field of it into another log.
func unquoteCSV(text []byte) []byte {
	if !bytes.Contains(text, []byte(`"{""v"":`)) {
		return text
	}
	fields, err := csv.NewReader(bytes.NewReader(text)).Read()
	if at := slices.IndexFunc(fields, func(field string) bool { return strings.HasPrefix(field, `{"v":`) }); err == nil && at >= 0 {
		return []byte(fields[at])
	}
	return text
}

// eventHead is the beginning of each event that patgate writes.
var eventHead = []byte(`{"v":1,"seq":`)

// appendTorn appends a torn line, unless the last entry is of this line.
func appendTorn(list []Entry, file string, line logLine) []Entry {
	if n := len(list); n > 0 && list[n-1].File == file && list[n-1].Line == line.number {
		return list
	}
	at := bytes.Index(line.text, eventHead)
	if at < 0 {
		if at = bytes.Index(line.text, []byte(`{\"v\":1,\"seq\":`)); at < 0 {
			return list
		}
	}
	return append(list, Entry{Torn: true, JSON: line.text[at:], File: file, Line: line.number})
}

// unwrap appends the events in a text: one that is an event, or wraps some.
func unwrap(list []Entry, text []byte, depth int) []Entry {
	start := bytes.IndexByte(text, '{') // after a prefix, if there is one
	if start < 0 || depth == 0 {
		return list
	}
	if longer, ok := parseEvent(list, text[start:]); ok {
		return longer
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(text[start:], &object) != nil {
		// A prefix may hold a brace, such as a label of a pod.
		if next := bytes.Index(text[start+1:], []byte(`{"v":`)); next >= 0 {
			return unwrap(list, text[start+1+next:], depth-1)
		}
		return list
	}
	for _, name := range wrappers {
		if inner, ok := object[name]; ok {
			if longer := unwrapValue(list, inner, depth-1); len(longer) > len(list) {
				return longer
			}
		}
	}
	return list
}

// unwrapValue appends the events in a JSON value: a text that holds a line, an object, or a list of either.
func unwrapValue(list []Entry, value json.RawMessage, depth int) []Entry {
	switch {
	case len(value) == 0 || depth == 0:
	case value[0] == '{':
		return unwrap(list, value, depth)
	case value[0] == '"':
		var text string
		if json.Unmarshal(value, &text) == nil {
			return unwrap(list, []byte(text), depth)
		}
	case value[0] == '[':
		var items []json.RawMessage
		if json.Unmarshal(value, &items) == nil {
			for _, item := range items {
				list = unwrapValue(list, item, depth-1)
			}
		}
	}
	return list
}

// parseEvent appends one event: a JSON object with patgate's version and a kind. What follows it on the line is
// passed over.
func parseEvent(list []Entry, text []byte) ([]Entry, bool) {
	list = append(list, Entry{})
	e := &list[len(list)-1]
	if !decodeLine(text, &e.Logged) {
		if text = decodeAny(text, &e.Logged); text == nil {
			return list[:len(list)-1], false
		}
	}
	if e.V < 1 || e.Kind == "" || e.Instance == "" || e.Time.IsZero() {
		return list[:len(list)-1], false
	}
	e.JSON = text
	return list, true
}

// decodeAny reads an event in any form, and returns its JSON; nil: there is none. An object with a quote behind it is no event: an
// access log in the same stream has headers between quotes, in which clients can write what they like.
func decodeAny(text []byte, l *Logged) []byte {
	if !bytes.Contains(text[:min(len(text), 64<<10)], []byte(`"kind"`)) {
		return nil
	}
	if json.Unmarshal(text, l) != nil {
		var raw json.RawMessage // with something behind it, or with a field of another type
		*l = Logged{}
		d := json.NewDecoder(bytes.NewReader(text))
		if d.Decode(&raw) != nil || bytes.IndexByte(text[d.InputOffset():], '"') >= 0 {
			return nil
		}
		text = raw
		_ = json.Unmarshal(text, l) // fields of other types stay at their zero value
	}
	return text
}

// elements reads the elements of the lists of one JSON document that is written over many lines, as `aws logs
// filter-log-events` prints it, without holding the document.
type elements struct {
	dec   *json.Decoder
	lists int // that were begun and not ended
	depth int // lists and objects that were
}

// documentOverLines returns the elements of a document over many lines, or nil where lines stand for themselves.
func documentOverLines(in *bufio.Reader) *elements {
	start, _ := in.Peek(in.Size())
	trimmed := bytes.TrimLeft(start, " \t\r\n\ufeff")
	if len(trimmed) == 0 || trimmed[0] != '{' && trimmed[0] != '[' {
		return nil
	}
	first, _, more := bytes.Cut(trimmed, []byte("\n"))
	if !more && len(start) == in.Size() && listOfObjects.Match(trimmed) {
		return &elements{dec: json.NewDecoder(in)} // a list without line ends, and too long for a line
	}
	var raw json.RawMessage
	if !more || json.NewDecoder(bytes.NewReader(first)).Decode(&raw) == nil {
		return nil
	}
	if first = bytes.TrimSpace(first[1:]); len(first) > 0 && first[0] != '"' && first[0] != '{' && first[0] != '[' {
		return nil // a line that only begins like one, such as `[pod/…] {…}`
	}
	if first = bytes.TrimSpace(first); len(first) > 0 && !bytes.ContainsRune([]byte("[{,:"), rune(first[len(first)-1])) {
		return nil // a line that was cut
	}
	if dec := json.NewDecoder(bytes.NewReader(trimmed)); !manyTokens(dec) {
		return nil
	}
	return &elements{dec: json.NewDecoder(in)}
}

// listOfObjects matches the beginning of a list of events, or of objects that wrap them.
var listOfObjects = regexp.MustCompile(`^\[\s*\{\s*"`)

// manyTokens reports whether what begins here reads as JSON for a while, or to its end.
func manyTokens(dec *json.Decoder) bool {
	for range 8 {
		if _, err := dec.Token(); err != nil {
			return err == io.EOF
		}
	}
	return true
}

// next returns the next element of a list, or the next event that is a document of its own, as `jq` prints it; or io.EOF
// after the last document's end.
func (e *elements) next() ([]byte, error) {
	for {
		if e.lists > 0 && e.dec.More() {
			var raw json.RawMessage
			if err := e.dec.Decode(&raw); err != nil {
				return nil, err
			}
			return compacted(raw), nil
		}
		token, err := e.dec.Token()
		if err != nil {
			return nil, err
		}
		switch token {
		case json.Delim('['):
			e.lists++
			e.depth++
		case json.Delim(']'):
			e.lists--
			e.depth--
		case json.Delim('{'):
			if e.depth++; e.depth == 1 {
				if event, err := e.document(); event != nil || err != nil {
					return event, err
				}
			}
		case json.Delim('}'):
			e.depth--
		}
	}
}

// document reads the rest of a document that is an event by its first field; nil: it is another.
func (e *elements) document() ([]byte, error) {
	if !e.dec.More() {
		return nil, nil
	}
	key, err := e.dec.Token()
	if err != nil || key != "v" {
		return nil, err
	}
	event := []byte("{")
	for {
		name, err := json.Marshal(key)
		var value json.RawMessage
		if err = errors.Join(err, e.dec.Decode(&value)); err != nil {
			return nil, err
		}
		event = append(append(append(event, name...), ':'), value...)
		if len(event) > maxLogLine {
			return nil, errors.New("an event that is too long")
		}
		if !e.dec.More() {
			break
		}
		event = append(event, ',')
		if key, err = e.dec.Token(); err != nil {
			return nil, err
		}
	}
	if _, err := e.dec.Token(); err != nil {
		return nil, err
	}
	e.depth--
	return compacted(append(event, '}')), nil
}

// compacted returns JSON without the blanks of a pretty print: a line is sealed as it was written.
func compacted(text []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return text
	}
	return b.Bytes()
}
