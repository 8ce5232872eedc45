package manifest

import (
	"fmt"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/token"
)

// Tombstone remembers a revoked token whose manifest was deleted before its end.
type Tombstone struct {
	Until time.Time
	File  string
	At    diag.Pos
}

// Place returns `FILE:LINE:COLUMN` of the tombstone.
func (t Tombstone) Place() string { return fmt.Sprintf("%s:%d:%d", t.File, t.At.Line, t.At.Column) }

// Tombstones are the tombstones of digests.
type Tombstones map[token.Digest]Tombstone

// Add decodes a file of tombstones, which is a map of digests to times, and adds them. Of a digest
// that is in two files the later time counts.
func (t Tombstones) Add(file string, data []byte) []Problem {
	s := &scope{decoder: new(Decoder), file: file, chunk: chunk{text: data, line: 1}}
	if s.chunk.isBlank() {
		return nil
	}
	root := s.parse()
	switch {
	case s.fault != nil:
		s.problemAt(s.libraryPlace(s.fault), "", "not YAML, expected digests and times, such as `sha256:…: 2026-07-30T00:00:00Z`")
	case root == nil:
	case root.Kind != yaml.MappingNode:
		s.problem(root, "", "%s, expected a map of digests and times, such as `sha256:…: 2026-07-30T00:00:00Z`", got(root))
	default:
		s.pairs(root, "", func(key string, keyNode, value *yaml.Node) {
			digest, err := token.ParseDigest(key)
			if err != nil {
				s.problem(keyNode, "", "not a digest, %v", err)
				return
			}
			var until Time
			if until.decode(s, value, key); until.IsZero() {
				return
			}
			if other, twice := t[digest]; !twice || other.Until.Before(until.Time) {
				t[digest] = Tombstone{Until: until.Time, File: file, At: s.pos(keyNode)}
			}
		})
	}
	return s.folded()
}
