package dir

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
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
	Origin string            // of a file of one of several Parts

	later func() (data []byte, ok bool) // reads Data of a file that was left for later
	size  int64                         // of that file
}

// Tree is what one reading of the directories found.
type Tree struct {
	Files    []File
	Tests    []File // PolicyTests, which are not part of the revision
	Problems []diag.Problem
	Partial  bool                // some files hold what was known, and have no data
	Watched  map[string]Interest // the directories whose entries decide what a reading finds
	Digest   [sha256.Size]byte   // of all files and problems
	Plain    [sha256.Size]byte   // of those that are not atomic, and when they were written
	Origin   string              // the directories that were read
	Parts    []*Tree             // the readings that this one joins, where a directory is restricted

	empty []diag.Problem // those of Problems that say that a directory has nothing
	links map[string]string
	dirs  map[string]string // the names of the directories that were read, by their real paths; empty for several
	bytes int64             // of all files
}

// maxAttempts is how often a reading starts again because a link moved meanwhile.
const maxAttempts = 10

// Scan is what to read.
type Scan struct {
	Roots    []string                     // as ParseRoot reads them; make them distinct by Distinct
	MaxBytes int64                        // how much is read at most; default MaxBytes
	Tests    bool                         // PolicyTests too
	Known    map[string][sha256.Size]byte // files whose data is not wanted where it has this digest

	hold       int64    // from how many bytes on files of tokens are left for later; 0: none are
	maxEntries int      // default MaxEntries
	except     []string // real paths of directories below the roots that are not theirs
	tombstones bool     // files of tombstones, and no others
}

// Read reads every manifest file below the roots. Symbolic links are resolved
// once, and the files of a ConfigMap mount are all read from one `..data`: where a
// link moved meanwhile, everything is read again.
//
// Where a root is restricted, the parts of the roots are read one after another, and each by
// its own MaxBytes: what one directory holds takes nothing from another.
func (g Scan) Read() *Tree {
	if !Restricted(g.Roots) {
		return g.read()
	}
	var parts []*Tree
	roots := g.Roots
	for _, g.Roots = range Parts(roots) {
		if g.except = nil; !Restricted(g.Roots) {
			g.except = restrictedPaths(roots)
		}
		part := g.read()
		if _, err := ParseRoot(g.Roots[0]); err != nil {
			part.Problems = append(part.Problems, diag.Problem{File: g.Roots[0], Message: err.Error()})
		}
		for _, files := range [][]File{part.Files, part.Tests} {
			for i := range files {
				files[i].Origin = part.Origin
			}
		}
		parts = append(parts, part)
	}
	return Join(parts, overlap(roots))
}

// read reads roots as one.
func (g Scan) read() *Tree {
	var t *Tree
	if g.MaxBytes == 0 {
		g.MaxBytes = MaxBytes
	}
	if g.maxEntries == 0 {
		g.maxEntries = MaxEntries
	}
	for attempt := 1; ; attempt++ {
		r := &reader{Tree: &Tree{Origin: originOf(g.Roots), links: map[string]string{}, dirs: map[string]string{}, Watched: map[string]Interest{}}, Scan: g, left: g.MaxBytes, content: new(contentReader)}
		for _, root := range g.Roots {
			r.root(filepath.Clean(parsePath(root)))
		}
		r.finish()
		t = r.Tree
		moved := !t.unmoved()
		if attempt < maxAttempts && (moved || r.vanished) {
			continue
		}
		if moved {
			r.problem(parsePath(g.Roots[0]), "the directory keeps changing while it is read, expected it to rest")
		}
		break
	}
	t.sort()
	t.Seal()
	return t
}

// sort brings files and problems into the order of their names.
func (t *Tree) sort() {
	byName := func(a, b File) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(t.Files, byName)
	slices.SortFunc(t.Tests, byName)
	diag.Sort(t.Problems)
}

// Join makes one reading of those of several parts, and adds problems of them together.
func Join(parts []*Tree, problems []diag.Problem) *Tree {
	t := &Tree{Parts: parts, Problems: problems, links: map[string]string{}, dirs: map[string]string{}, Watched: map[string]Interest{}}
	var origins []string
	for _, part := range parts {
		t.Files, t.Tests = append(t.Files, part.Files...), append(t.Tests, part.Tests...)
		t.Problems, t.empty = append(t.Problems, part.Problems...), append(t.empty, part.empty...)
		t.Partial = t.Partial || part.Partial
		maps.Copy(t.links, part.links)
		for real, name := range part.dirs {
			t.named(real, name)
		}
		origins = append(origins, part.Origin)
		for dir, names := range part.Watched {
			if known, watched := t.Watched[dir]; watched && (known == nil || names == nil) {
				t.Watched[dir] = nil
			} else if watched {
				maps.Copy(known, names)
			} else {
				t.Watched[dir] = maps.Clone(names)
			}
		}
	}
	t.Origin = strings.Join(origins, ", ")
	t.sort()
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

// Input returns the reading as what a ruleset is loaded from.
func (t *Tree) Input(roots []string) ruleset.Input {
	return ruleset.Input{Origin: t.Origin, Scopes: Scopes(roots), Files: named(t.Files), Tests: named(t.Tests), Problems: t.Problems, Empty: t.empty, Digest: t.Digest}
}

// Forget returns the reading without what files held.
func (t *Tree) Forget() *Tree {
	forgotten := &Tree{Digest: t.Digest, Plain: t.Plain}
	for _, part := range t.Parts {
		forgotten.Parts = append(forgotten.Parts, part.Forget())
	}
	return forgotten
}

// Each returns the parts that a reading joins, or itself.
func (t *Tree) Each() []*Tree {
	if len(t.Parts) == 0 {
		return []*Tree{t}
	}
	return t.Parts
}

// Unsettled returns the parts whose files that may be half written are not those of a reading before,
// which may be none.
func (t *Tree) Unsettled(before *Tree) (parts []*Tree) {
	for i, part := range t.Each() {
		stable := [sha256.Size]byte{}
		if before != nil {
			stable = before.Each()[i].Plain
		}
		if part.Plain != stable {
			parts = append(parts, part)
		}
	}
	return parts
}

// Reject returns the reading with a problem of some of its parts.
func (t *Tree) Reject(parts []*Tree, message string) *Tree {
	for _, part := range parts {
		part.Problems = append(part.Problems, diag.Problem{File: part.Origin, Message: message})
		part.Seal()
	}
	if len(t.Parts) == 0 {
		return t
	}
	watched := t.Watched
	t = Join(t.Parts, nil)
	t.Watched = watched
	return t
}

// Seal sums up the files and problems in Digest and Plain, after either was changed.
func (t *Tree) Seal() {
	t.Digest = ruleset.Digest(func(yield func(ruleset.File) bool) {
		for i := range t.Files {
			if !yield(t.Files[i].ruleset()) {
				return
			}
		}
	}, t.Problems)
	plain := sha256.New()
	var head []byte
	for i := range t.Files {
		f := &t.Files[i]
		if f.Atomic {
			continue
		}
		head = binary.AppendUvarint(head[:0], uint64(len(f.Name)))
		head = append(head, f.Name...)
		head = append(head, f.Sum[:]...)
		head = binary.AppendVarint(head, f.Stamp)
		plain.Write(head)
	}
	for _, p := range t.Problems {
		plain.Write([]byte(p.String() + "\n"))
	}
	plain.Sum(t.Plain[:0])
}
