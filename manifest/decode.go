package manifest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// Decoder decodes the files of one load. It compiles a pattern that many
// manifests use once. Any number of goroutines may share it. The zero value is ready.
type Decoder struct {
	Objects bool // the documents are objects of a cluster, which may have fields that files have not

	patterns  sync.Map     // of compiledPattern, by the pattern's text
	searched  atomic.Int64 // bytes parsed in search of the lines that break documents
	described atomic.Int64 // problems of all documents
	large     sync.Mutex   // held while a large document is decoded
}

type compiledPattern struct {
	pattern *policy.Pattern
	err     error
}

// pattern compiles a regular expression, or returns what became of it before.
func (dec *Decoder) pattern(text string) (*policy.Pattern, error) {
	if c, ok := dec.patterns.Load(text); ok {
		return c.(compiledPattern).pattern, c.(compiledPattern).err
	}
	p, err := policy.SharedPattern(text)
	dec.patterns.Store(text, compiledPattern{p, err})
	return p, err
}

// Decode reads the documents of a file. Each is decoded by itself: problems of one
// leave the others as they are.
func (dec *Decoder) Decode(file string, data []byte) (docs []*Document, problems []Problem) {
	docs = dec.Read(file, data)
	return docs, dec.Explain(docs)
}

// DecodeTests reads the documents of a file with PolicyTests.
func (dec *Decoder) DecodeTests(file string, data []byte) (docs []*Document, problems []Problem) {
	docs = dec.read(file, data, true, nil)
	return docs, dec.Explain(docs)
}

// Read decodes the documents of a file and leaves out what takes long: documents that are
// no YAML are broken, but which of their lines breaks them is found by Explain alone.
func (dec *Decoder) Read(file string, data []byte) []*Document {
	return dec.read(file, data, false, nil)
}

// ReadEnds decodes those documents of a file that may revoke or suspend a token.
func (dec *Decoder) ReadEnds(file string, data []byte) []*Document {
	return dec.read(file, data, false, chunk.mayEnd)
}

func (dec *Decoder) read(file string, data []byte, tests bool, only func(chunk) bool) (docs []*Document) {
	data = bytes.TrimPrefix(data, byteOrderMark)
	chunks, refused := readable(file, data)
	if refused != nil {
		docs = append(docs, &Document{File: file, Pos: refused.Pos, Problems: []Problem{*refused}})
	}
	junk := 0
	var buffer []byte
	for _, c := range chunks {
		if only != nil && !only(c) {
			continue
		}
		s := &scope{decoder: dec, file: file, chunk: c, tests: tests, buffer: buffer}
		doc := s.guarded()
		buffer = s.buffer
		if doc.isJunk() {
			if junk++; junk > maxJunk {
				continue // it is one like the others, and may be one of very many
			}
		}
		docs = append(docs, doc)
	}
	if more := junk - maxJunk; more > 0 {
		docs = append(docs, &Document{File: file, Pos: Pos{Line: 1, Column: 1}, Problems: []Problem{{
			File: file, Pos: Pos{Line: 1, Column: 1}, Message: fmt.Sprintf("and %s more documents that are no manifests", thousands(more)),
		}}})
	}
	return docs
}

// isJunk reports whether a document is broken and nothing is known of what it was to be.
func (d *Document) isJunk() bool { return d.Broken() && d.Kind == "" && d.Metadata.Name.Text == "" }

// Explain finds the lines that break documents, as far as that was left out, and returns
// the problems of all.
func (dec *Decoder) Explain(docs []*Document) (problems []Problem) {
	for _, doc := range docs {
		if f := doc.fault; f != nil {
			doc.fault = nil
			at, message := f.scope.syntaxError(f.err)
			f.scope.problemAt(at, "", "not YAML: %s", message)
			doc.Problems = f.scope.folded()
		}
		problems = append(problems, doc.Problems...)
	}
	return problems
}

// fault is an error of the YAML library that was not explained yet.
type fault struct {
	scope *scope
	err   error
}

// invalidUTF8 returns the place of the first byte that is not UTF-8, or nowhere.
func invalidUTF8(data []byte, line int) Pos {
	if utf8.Valid(data) {
		return Pos{}
	}
	for text := range bytes.Lines(data) {
		if !utf8.Valid(text) {
			column := 1
			for len(text) > 0 {
				r, n := utf8.DecodeRune(text)
				if r == utf8.RuneError && n == 1 {
					break
				}
				column, text = column+1, text[n:]
			}
			return Pos{Line: line, Column: column}
		}
		line++
	}
	return Pos{Line: line, Column: 1}
}

// scope is the decoding of one document.
type scope struct {
	decoder  *Decoder
	file     string
	chunk    chunk
	lines    [][]byte // of the chunk, split when first needed
	buffer   []byte   // to be used again
	tests    bool     // the file is one of PolicyTests
	problems []Problem
	tallies  map[string]*tally // of problems that are alike
	found    int               // problems that were looked at
	more     int               // problems that are not described
	fault    error             // of the YAML library, to be explained later
}

// pos returns a node's place in its file.
func (s *scope) pos(n *yaml.Node) Pos {
	return Pos{Line: n.Line + s.chunk.line - 1, Column: n.Column}
}

func (s *scope) problem(n *yaml.Node, field, format string, args ...any) {
	s.problemAt(s.pos(n), field, format, args...)
}

func (s *scope) problemAt(at Pos, field, format string, args ...any) {
	if s.full() {
		s.more++
		return
	}
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = echo(text, maxEcho)
		}
	}
	// A message repeats what was written, and that may be a token's value by mistake.
	message := echo(token.Mask(fmt.Sprintf(format, args...)), maxMessage)
	s.add(Problem{File: s.file, Pos: at, Field: echo(token.Mask(field), maxField), Message: message})
}

// guarded decodes the chunk. A panic, in the YAML library or in patgate, becomes a
// problem of this document and does not end the process.
func (s *scope) guarded() (doc *Document) {
	if s.chunk.isLarge() {
		s.decoder.large.Lock()
		defer s.decoder.large.Unlock()
	}
	defer func() {
		if p := recover(); p != nil {
			doc = &Document{File: s.file, Pos: Pos{Line: s.chunk.line, Column: 1}}
			s.problemAt(doc.Pos, "", "can't be decoded, a fault of patgate: %v", p)
		}
		doc.Problems, doc.undescribed = s.folded(), s.more > 0
		if s.fault != nil {
			doc.fault = &fault{s, s.fault}
		}
	}()
	return s.document()
}

// document decodes the chunk.
func (s *scope) document() *Document {
	doc := &Document{File: s.file, Pos: Pos{Line: s.chunk.line, Column: 1}, Fingerprint: s.fingerprint()}
	if s.ordinary(doc) {
		return doc
	}
	return s.strict(doc)
}

// fingerprint sums up the chunk's text and place.
func (s *scope) fingerprint() policy.Fingerprint {
	b := append(s.buffer[:0], s.file...)
	b = strconv.AppendInt(append(b, '\n'), int64(s.chunk.line), 10)
	s.buffer = append(append(b, '\n'), s.chunk.text...)
	return sha256.Sum256(s.buffer)
}

// strict decodes the chunk, whatever it is, by the YAML library.
func (s *scope) strict(doc *Document) *Document {
	if at := invalidUTF8(s.chunk.text, s.chunk.line); at.Line > 0 {
		s.problemAt(at, "", "not UTF-8, expected YAML in UTF-8")
		s.guessName(doc)
		return doc
	}
	root := s.parse()
	if root == nil {
		s.guessName(doc)
		return doc
	}
	if root.Kind != yaml.MappingNode {
		s.problem(root, "", "%s, expected a manifest with apiVersion, kind, metadata and spec", got(root))
		return doc
	}
	doc.Pos = s.pos(root)
	if isForeign(root) {
		s.foreign(root)
		return doc
	}
	if depth(root, MaxDepth+1) > MaxDepth {
		s.problem(root, "", "nested deeper than %d lists and maps, expected less", MaxDepth)
	}
	s.plainYAML(root, MaxDepth)
	s.header(root, doc)
	return doc
}

// parse returns the document's root node, or nil after a problem or a fault.
func (s *scope) parse() *yaml.Node {
	if n := estimateValues(s.chunk.text); n > MaxValues {
		s.problemAt(Pos{Line: s.chunk.line, Column: 1}, "", "about %s values in the document, expected at most %s: divide it", thousands(n), thousands(MaxValues))
		return nil
	}
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(s.chunk.text))
	err := d.Decode(&doc)
	if err == nil {
		if err = d.Decode(&more); err == nil {
			s.problem(&more, "", "a second document, expected `---` before it")
			return nil
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		s.fault = err
		return nil
	}
	if len(doc.Content) != 1 {
		s.problemAt(Pos{Line: s.chunk.line, Column: 1}, "", "an empty document, expected a manifest")
		return nil
	}
	return doc.Content[0]
}

var (
	kindLine = regexp.MustCompile(`(?m)^kind: *(\w+)`)
	nameLine = regexp.MustCompile(`(?m)^ *(?:metadata: *\{ *)?name: *([a-z0-9.-]+)`)
)

// guessWithin is how much of a document is looked at to guess its name.
const guessWithin = 16 << 10

// guessName finds out what a document that is no YAML wanted to be, so that those who
// name it are not blamed too.
func (s *scope) guessName(doc *Document) {
	head := s.chunk.text[:min(len(s.chunk.text), guessWithin)]
	kind, name := kindLine.FindSubmatch(head), nameLine.FindSubmatch(head)
	if kind != nil {
		doc.Kind = string(kind[1])
	}
	if name != nil {
		doc.Metadata.Name = Name{string(name[1]), doc.Pos}
	}
}

// plainYAML refuses what makes YAML mean more than it shows: anchors, aliases, tags.
func (s *scope) plainYAML(n *yaml.Node, levels int) {
	switch {
	case n.Kind == yaml.AliasNode:
		s.problem(n, "", "the alias *%s, expected the value itself written out", n.Value)
		return
	case n.Anchor != "":
		s.problem(n, "", "the anchor &%s, expected the value without it", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		s.problem(n, "", "the tag %s, expected the value without it", n.Tag)
	}
	for _, child := range n.Content {
		if levels > 0 {
			s.plainYAML(child, levels-1)
		}
	}
}
