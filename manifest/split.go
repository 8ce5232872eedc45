package manifest

import "bytes"

// chunk is the text of one document of a file.
type chunk struct {
	text []byte
	line int // of its first line, from 1
}

// splitDocuments cuts a file at its document markers, so that a broken document hides
// nothing of the next one. A line that begins with `---` or `...` and a blank is a
// marker anywhere, also within a block scalar (YAML 1.2, section 9.1.2).
func splitDocuments(data []byte) []chunk {
	var chunks []chunk
	start, startLine := 0, 1
	for at, line := 0, 1; at < len(data); line++ {
		next := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		if isMarker(data[at:next], "---") {
			chunks = append(chunks, chunk{data[start:at], startLine})
			start, startLine = at, line
		}
		at = next
	}
	return append(chunks, chunk{data[start:], startLine})
}

func isMarker(line []byte, marker string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(marker))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// isBlank reports whether a chunk has nothing but comments, markers, blank lines and the directive %YAML,
// which comes before a marker.
func (c chunk) isBlank() bool {
	for line := range bytes.Lines(c.text) {
		line = bytes.TrimSpace(line)
		if isMarker(line, "---") || isMarker(line, "...") {
			line = bytes.TrimSpace(line[3:])
		}
		if len(line) > 0 && line[0] != '#' && !bytes.HasPrefix(line, []byte("%YAML ")) {
			return false
		}
	}
	return true
}
