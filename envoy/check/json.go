package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
)

// jsonReader reads one JSON document, such as an answer of /config_dump, with the places of
// what is in it. YAML would read most of JSON, but no pairs of surrogates.
type jsonReader struct {
	*reader
	dec   *json.Decoder
	lines []int // where each line begins
	base  int   // bytes before the decoder's first
}

func (r *reader) json() (*node, error) {
	data := bytes.TrimLeft(r.text.data, "\ufeff")
	j := &jsonReader{reader: r, dec: json.NewDecoder(bytes.NewReader(data)), lines: []int{0}, base: len(r.text.data) - len(data)}
	j.dec.UseNumber()
	for i, c := range r.text.data {
		if c == '\n' {
			j.lines = append(j.lines, i+1)
		}
	}
	return j.value(nil, "", maxDepth)
}

// here returns the place of the next token.
func (j *jsonReader) here() place {
	at := j.base + int(j.dec.InputOffset())
	for at < len(j.text.data) && bytes.IndexByte([]byte(" \t\r\n,:"), j.text.data[at]) >= 0 {
		at++
	}
	line := sort.SearchInts(j.lines, at+1)
	return j.text.place(line, at-j.lines[line-1]+1)
}

func (j *jsonReader) value(parent *node, step string, depth int) (*node, error) {
	if j.nodes--; j.nodes < 0 || depth == 0 {
		return nil, errTooLarge
	}
	n := &node{at: j.here(), parent: parent, step: step}
	token, err := j.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case nil:
		return nil, nil
	case json.Delim:
		if t == '[' {
			return n, j.items(n, depth)
		}
		return n, j.fields(n, depth)
	}
	n.kind, n.text = scalar, fmt.Sprint(token)
	return n, nil
}

func (j *jsonReader) items(n *node, depth int) error {
	n.kind = list
	for i := 0; j.dec.More(); i++ {
		step := "[" + strconv.Itoa(i) + "]"
		item, err := j.value(n, step, depth-1)
		if err != nil {
			return err
		}
		if item == nil {
			item = &node{at: j.here(), parent: n, step: step}
		}
		n.items = append(n.items, item)
	}
	_, err := j.dec.Token()
	return err
}

func (j *jsonReader) fields(n *node, depth int) error {
	n.kind = mapping
	seen := map[string]bool{}
	for j.dec.More() {
		at := j.here()
		key, err := j.dec.Token()
		if err != nil {
			return err
		}
		name := key.(string)
		value, err := j.value(n, stepTo(name), depth-1)
		if err != nil {
			return err
		}
		j.add(n, name, value, at, seen)
	}
	_, err := j.dec.Token()
	return err
}
