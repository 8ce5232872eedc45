package audit

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Entry is one event of a log, with the place where it was found.
type Entry struct {
	Logged
	JSON []byte // the event's own JSON, as the log has it
	File string // the input's name
	Line int    // from 1
	Torn bool   // the line begins as an event and is none; see ScanTorn
}

// ReadStats say what a log held.
type ReadStats struct {
	Events  int64 // patgate's
	Skipped int64 // lines that are no event of patgate; blank lines do not count
	Bytes   int64 // read, decompressed
}

func (s *ReadStats) add(other ReadStats) {
	s.Events += other.Events
	s.Skipped += other.Skipped
	s.Bytes += other.Bytes
}

// Reader reads the events of a log in the form in which a cluster delivers it: patgate's lines alone or with a
// prefix (`kubectl logs --prefix`, `--timestamps`), lines of the container runtime (`TIME stdout F …`,
// https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md) with those that
// it cut joined, Docker's json-file, lines that a collector wrapped in JSON, and exports of Loki
// and CloudWatch; as it is, in gzip or in zstd. Each line shows its own form, so forms may mix. Lines that are no
// event are skipped and counted. A Reader uses constant memory. Make one with NewReader.
type Reader struct {
	name   string
	lines  *lineReader
	queue  []Entry // of a line that held several
	stats  ReadStats
	finish func()
	err    error
}

// NewReader returns a reader of a log. The name is for places and errors alone.
func NewReader(name string, r io.Reader) *Reader {
	plain, finish, err := decompress(name, r)
	if err != nil {
		return &Reader{name: name, finish: func() {}, err: err}
	}
	return &Reader{name: name, lines: newLineReader(name, plain), finish: finish}
}

// NewLiveReader returns a reader of a log that grows while it is read, such as the output of `kubectl logs -f`:
// it waits for no more than the next line. One JSON document over many lines is not read.
func NewLiveReader(name string, r io.Reader) *Reader {
	reader := NewReader(name, r)
	if reader.lines != nil {
		reader.lines.begun = true
	}
	return reader
}

// Next returns the next event. Its end is io.EOF; a *CutError means that a compressed log is not whole.
func (r *Reader) Next() (*Entry, error) {
	for len(r.queue) == 0 {
		if r.err != nil {
			return nil, r.err
		}
		line, err := r.lines.next()
		if err != nil {
			r.err = err
			r.finish()
			continue
		}
		r.stats.Bytes += int64(len(line.text)) + 1
		r.queue = appendEntries(nil, r.name, line, &r.stats)
	}
	e := &r.queue[0]
	r.queue = r.queue[1:]
	return e, nil
}

// Stats counts what was read so far.
func (r *Reader) Stats() ReadStats { return r.stats }

// maxLogLine is the longest line that is read: an event has 16 KiB at most, and a collector adds to it. A
// line of an export with many events may be as long as this.
const maxLogLine = 16 << 20

// logLine is one line of a log, after what a runtime cut was joined.
type logLine struct {
	text   []byte // empty: a line that was too long
	number int
	tries  bool // text holds the value of one element of a larger JSON document
}

// lineReader cuts a stream into lines.
type lineReader struct {
	name    string
	in      *bufio.Reader
	number  int
	begun   bool
	joining [2][]byte // the beginnings of lines that the runtime cut, of stdout and of stderr
	inner   *elements // the elements of one JSON document over many lines
	source  io.Reader
}

func newLineReader(name string, r io.Reader) *lineReader {
	return &lineReader{name: name, in: bufio.NewReaderSize(r, 256<<10), source: r}
}

// next returns the next line that is not blank.
func (l *lineReader) next() (logLine, error) {
	if !l.begun {
		l.begun = true
		l.inner = documentOverLines(l.in)
	}
	if l.inner != nil {
		return l.element()
	}
	for {
		text, err := l.line()
		if err != nil && len(text) == 0 {
			return l.end(err)
		}
		l.number++
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			continue
		}
		if part, whole := l.runtime(text); whole {
			return logLine{text: part, number: l.number}, nil
		}
	}
}

func (l *lineReader) element() (logLine, error) {
	text, err := l.inner.next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return logLine{}, io.EOF
		}
		return logLine{}, compressed(l.name, err)
	}
	l.number++
	return logLine{text: text, number: l.number, tries: true}, nil
}

// end returns the last line where the runtime's cut was never completed, and then the error.
func (l *lineReader) end(err error) (logLine, error) {
	for i, joined := range l.joining {
		if joined != nil {
			l.joining[i] = nil
			return logLine{text: joined, number: l.number}, nil
		}
	}
	if errors.Is(err, io.EOF) {
		return logLine{}, io.EOF
	}
	return logLine{}, compressed(l.name, err)
}

// line reads one line. One that is longer than maxLogLine is passed over: its text is a blank-free stand-in that is no event.
func (l *lineReader) line() ([]byte, error) {
	var long []byte
	for {
		part, err := l.in.ReadSlice('\n')
		if long == nil && !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.Clone(part), err
		}
		if len(long)+len(part) <= maxLogLine {
			long = append(long, part...)
		} else {
			long = append(long[:0], '?') // and what follows of it
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = l.in.ReadSlice('\n')
			}
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return long, err
		}
	}
}

// runtime takes a line of the container runtime apart, and joins the lines that it cut: lines of the other stream may
// lie between them. Other lines are whole as they are.
func (l *lineReader) runtime(text []byte) (joined []byte, whole bool) {
	part, ok := runtimeLine(text)
	if !ok {
		return text, true
	}
	before := &l.joining[0]
	if part.stderr {
		before = &l.joining[1]
	}
	if part.partial && *before == nil && isObject(part.text) {
		return part.text, true // collectors that read Docker's files keep lines without their ends
	}
	if part.partial {
		if len(*before)+len(part.text) <= maxLogLine {
			*before = append(*before, part.text...)
		}
		return nil, false
	}
	joined = part.text
	if *before != nil {
		joined, *before = append(*before, part.text...), nil
	}
	return joined, true
}
