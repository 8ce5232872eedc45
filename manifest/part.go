package manifest

import (
	"bytes"
	"errors"

	"gopkg.in/yaml.v3"
)

// byteOrderMark may begin a file.
var byteOrderMark = []byte("\ufeff")

// Part is one document of a file and its text, for those who edit it. Make parts with Parts.
type Part struct {
	Text   []byte
	Offset int // of Text in the file

	file    string
	chunk   chunk
	decoder *Decoder
}

// Parts cuts a file into its documents, those too that are blank or broken.
func Parts(file string, data []byte) []Part {
	body := bytes.TrimPrefix(data, byteOrderMark)
	offset := len(data) - len(body)
	dec := new(Decoder)
	var parts []Part
	for _, c := range splitDocuments(body) {
		parts = append(parts, Part{Text: c.text, Offset: offset, file: file, chunk: c, decoder: dec})
		offset += len(c.text)
	}
	return parts
}

// Decode decodes the part. What is wrong with it are the Problems of the document, without those
// that Decoder.Explain finds.
func (p *Part) Decode() *Document {
	return p.scope().guarded()
}

func (p *Part) scope() *scope { return &scope{decoder: p.decoder, file: p.file, chunk: p.chunk} }

// ErrNoYAML is returned for a document that is not a map in YAML.
var ErrNoYAML = errors.New("no YAML")

// Tree parses the part into the nodes of a map, whose lines count from the beginning of Text.
// A panic of the YAML library is ErrNoYAML.
func (p *Part) Tree() (root *yaml.Node, err error) {
	defer func() {
		if recover() != nil {
			root, err = nil, ErrNoYAML
		}
	}()
	if root = p.scope().parse(); root == nil || root.Kind != yaml.MappingNode {
		return nil, ErrNoYAML
	}
	return root, nil
}

// Pos returns the place in the file of a node of Tree.
func (p *Part) Pos(n *yaml.Node) Pos { return p.scope().pos(n) }

// IsBlank reports whether the part has nothing but comments, markers and blank lines.
func (p *Part) IsBlank() bool { return p.chunk.isBlank() }
