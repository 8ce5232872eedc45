package dir

import (
	"crypto/sha256"
	"encoding/binary"
	"path/filepath"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/ruleset"
)

// MaxBytes is how much a load reads at most, by default: well above what a million
// tokens need.
const MaxBytes = 1 << 30

// dataLink is the symbolic link by whose rename the kubelet changes all files of a
// ConfigMap, or another projected volume, at once.
const dataLink = "..data"

// File is one manifest file, by the name that people know it under.
type File struct {
	Name   string
	Data   []byte            // nil where it is what was known of the file
	Sum    [sha256.Size]byte // of Data
	Stamp  int64             // when it was last written, in nanoseconds
	Atomic bool              // from a ConfigMap mount, whose files never change under their names
}

// Tree is what one reading of the directories found.
type Tree struct {
	Files    []File
	Tests    []File // PolicyTests, which are no part of what runs
	Problems []diag.Problem
	Partial  bool                // some files hold what was known, and have no data
	Watched  map[string]Interest // the directories whose entries decide what a reading finds
	Digest   [sha256.Size]byte   // of all files and problems
	Plain    [sha256.Size]byte   // of those that are not atomic, and when they were written

	empty []diag.Problem // those of Problems that say that a directory has nothing
	links map[string]string
}

// maxAttempts is how often a reading starts again because a link moved meanwhile.
const maxAttempts = 10

// Scan is what to read.
type Scan struct {
	Roots    []string                     // make them distinct by Distinct
	MaxBytes int64                        // how much is read at most; default MaxBytes
	Tests    bool                         // PolicyTests too
	Known    map[string][sha256.Size]byte // files whose data is not wanted where it has this digest

	maxEntries int  // default MaxEntries
	tombstones bool // files of tombstones, and no others
}

// Read reads every manifest file below the roots. Symbolic links are resolved
// once, and the files of a ConfigMap mount are all read from one `..data`: where a
// link moved meanwhile, everything is read again.
func (g Scan) Read() *Tree {
	var t *Tree
	if g.MaxBytes == 0 {
		g.MaxBytes = MaxBytes
	}
	if g.maxEntries == 0 {
		g.maxEntries = MaxEntries
	}
	for attempt := 1; ; attempt++ {
		r := &reader{Tree: &Tree{links: map[string]string{}, Watched: map[string]Interest{}}, Scan: g, left: g.MaxBytes, content: new(contentReader)}
		for _, root := range g.Roots {
			r.root(filepath.Clean(root))
		}
		r.finish()
		t = r.Tree
		moved := !t.unmoved()
		if attempt < maxAttempts && (moved || r.vanished) {
			continue
		}
		if moved {
			r.problem(g.Roots[0], "the directory keeps changing while it is read, expected it to rest")
		}
		break
	}
	byName := func(a, b File) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(t.Files, byName)
	slices.SortFunc(t.Tests, byName)
	diag.Sort(t.Problems)
	t.Seal()
	return t
}

// unmoved reports whether every link still leads where it led.
func (t *Tree) unmoved() bool {
	for link, target := range t.links {
		if now, err := filepath.EvalSymlinks(link); err != nil || now != target {
			return false
		}
	}
	return true
}

// Size is how many bytes of files the reading holds.
func (t *Tree) Size() (n int) {
	for _, f := range t.Files {
		n += len(f.Data)
	}
	return n
}

// Input returns the reading as what a ruleset is loaded from.
func (t *Tree) Input(roots []string) ruleset.Input {
	return ruleset.Input{Origin: strings.Join(roots, ", "), Files: named(t.Files), Tests: named(t.Tests), Problems: t.Problems, Empty: t.empty, Digest: t.Digest}
}

func named(files []File) []ruleset.File {
	list := make([]ruleset.File, len(files))
	for i, f := range files {
		list[i] = ruleset.File{Name: f.Name, Data: f.Data, Sum: f.Sum}
	}
	return list
}

// Forget returns the reading without what files held.
func (t *Tree) Forget() *Tree {
	return &Tree{Digest: t.Digest, Plain: t.Plain}
}

// Seal sums up the files and problems in Digest and Plain, after either was changed.
func (t *Tree) Seal() {
	all, plain := sha256.New(), sha256.New()
	for _, f := range t.Files {
		var head []byte
		head = binary.AppendUvarint(head, uint64(len(f.Name)))
		head = append(head, f.Name...)
		head = append(head, f.Sum[:]...)
		all.Write(head)
		if !f.Atomic {
			plain.Write(binary.AppendVarint(head, f.Stamp))
		}
	}
	for _, p := range t.Problems {
		text := []byte(p.String() + "\n")
		all.Write(text)
		plain.Write(text)
	}
	all.Sum(t.Digest[:0])
	plain.Sum(t.Plain[:0])
}
