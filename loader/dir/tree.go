package dir

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

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
	return ruleset.Input{Origins: roots, Files: named(t.Files), Tests: named(t.Tests), Problems: t.Problems, Empty: t.empty, Digest: t.Digest}
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

// reader walks directories into a tree.
type reader struct {
	*Tree
	Scan
	left     int64
	entries  int    // of all directories so far
	inside   string // the real directory that no link may leave
	content  *contentReader
	more     int  // problems that are counted alone
	vanished bool // something that was listed was not there to be read
}

// maxProblems is how many problems of reading are described.
const maxProblems = 1_000

func (r *reader) problem(name, format string, args ...any) {
	if len(r.Problems) >= maxProblems {
		r.more++
		return
	}
	r.Problems = append(r.Problems, diag.Problem{File: name, Message: fmt.Sprintf(format, args...)})
}

// finish ends the reading.
func (r *reader) finish() {
	r.content.close()
	if r.more > 0 {
		r.Problems = append(r.Problems, diag.Problem{File: r.Roots[0], Message: fmt.Sprintf("and %d more files and directories that can't be read", r.more)})
	}
}

// nothing is a problem with a directory that has nothing.
func (r *reader) nothing(name, message string) {
	r.problem(name, "%s", message)
	r.empty = append(r.empty, r.Problems[len(r.Problems)-1])
}

// interested notes that a change of this one entry of its directory matters.
func (r *reader) interested(path string) {
	dir := filepath.Dir(path)
	names, known := r.Watched[dir]
	if known && names == nil {
		return
	}
	if !known {
		names = Interest{}
		r.Watched[dir] = names
	}
	names[filepath.Base(path)] = true
}

func (r *reader) root(root string) {
	before := len(r.Files)
	problems := len(r.Problems)
	r.interested(root)
	real, err := r.resolve(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.nothing(root, "no such directory, expected one with manifests")
		return
	case err != nil:
		r.problem(root, "%v, expected a directory with manifests", Reason(err))
		return
	}
	info, err := os.Stat(real)
	switch {
	case err == nil && info.Mode().IsRegular() && IsManifest(root):
		r.inside = realPath(filepath.Dir(root))
		if !r.tombstones && r.stays(root, real) {
			r.file(root, real, false)
		}
		return
	case err != nil || !info.IsDir():
		r.problem(root, "not a directory, expected one with manifests")
		return
	}
	r.inside = realPath(root)
	r.directory(root, real, nil, false)
	if len(r.Files) == before && len(r.Problems) == problems {
		r.nothing(root, "no manifests in the directory, expected files that end in .yaml or .yml")
	}
}

// resolve follows the links of a path and remembers where they led.
func (r *reader) resolve(name string) (real string, err error) {
	real, err = filepath.EvalSymlinks(name)
	if err == nil && real != name {
		r.links[name] = real
		r.interested(name)
		r.interested(real)
	}
	return real, err
}

// directory reads one directory: name is what people know it as, real where it is, and
// above the real directories that lead here.
func (r *reader) directory(name, real string, above []string, atomic bool) {
	if slices.Contains(above, real) {
		r.problem(name, "a symbolic link to a directory above it, expected no loop")
		return
	}
	above = append(slices.Clip(above), real)
	r.Watched[real] = nil // all of it
	info, err := os.Lstat(filepath.Join(real, dataLink))
	mounted := err == nil && info.Mode()&fs.ModeSymlink != 0
	if mounted {
		data, err := r.resolve(filepath.Join(real, dataLink))
		if err != nil {
			r.failed(filepath.Join(name, dataLink), err)
			return
		}
		if !r.stays(filepath.Join(name, dataLink), data) {
			return
		}
		r.directory(name, data, above, true)
	}
	err = r.list(real, func(e fs.DirEntry) {
		if strings.HasPrefix(e.Name(), ".") || mounted && e.Type()&fs.ModeSymlink != 0 && intoData(filepath.Join(real, e.Name())) {
			return
		}
		r.entry(e, filepath.Join(name, e.Name()), filepath.Join(real, e.Name()), above, atomic)
	})
	if err != nil {
		r.failed(name, err)
	}
}

// MaxFile is how many bytes a file may have.
const MaxFile = 4 << 20

// MaxEntries is how many files and directories are looked at below all roots.
const MaxEntries = 4_000_000

// listed is how many entries of a directory are held at a time.
const listed = 1024

// list calls do with each entry of a directory.
func (r *reader) list(real string, do func(fs.DirEntry)) error {
	d, err := os.Open(real)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	for {
		entries, err := d.ReadDir(listed)
		for _, e := range entries {
			if r.entries++; r.entries > r.maxEntries {
				return fmt.Errorf("more than %d files and directories with those before, expected less: other files belong elsewhere", r.maxEntries)
			}
			do(e)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// stays reports whether something is within the directory that is read, whatever links lead to
// it, or reports a problem.
func (r *reader) stays(name, real string) bool {
	if rel, err := filepath.Rel(r.inside, realPath(real)); err == nil && filepath.IsLocal(rel) {
		return true
	}
	r.problem(name, "a symbolic link that leaves the directory, expected one that stays in it: copy the file, or name its directory too")
	return false
}

// intoData reports whether a link is one of those that a ConfigMap mount shows, whose
// files are read from `..data` itself.
func intoData(link string) bool {
	target, err := os.Readlink(link)
	return err == nil && strings.HasPrefix(target, dataLink+string(filepath.Separator))
}

func (r *reader) entry(e fs.DirEntry, name, path string, above []string, atomic bool) {
	real, err := path, error(nil)
	if e.Type()&fs.ModeSymlink != 0 {
		real, err = r.resolve(path)
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("a symbolic link to nothing")
			r.vanished = true
		}
		r.problem(name, "%v, expected a file or directory", Reason(err))
		return
	}
	if e.Type()&fs.ModeSymlink != 0 && !r.stayingLink(name, real) {
		return
	}
	wanted := r.wanted(name)
	if e.Type() != fs.ModeSymlink && !e.IsDir() && !wanted {
		return
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		r.failed(name, err)
	case info.IsDir():
		r.directory(name, real, above, atomic)
	case wanted:
		r.file(name, real, atomic)
	}
}

// wanted reports whether a file of this name is read.
func (r *reader) wanted(name string) bool {
	if r.tombstones {
		return filepath.Base(name) == Tombstones
	}
	return IsManifest(name) || r.Scan.Tests && isTest(name)
}

// stayingLink reports whether a link stays in the directory, or leads to a file that is not read
// by its name.
func (r *reader) stayingLink(name, real string) bool {
	if !IsManifest(name) && !isTest(name) {
		if info, err := os.Stat(real); err == nil && !info.IsDir() {
			return true
		}
	}
	return r.stays(name, real)
}

// file reads one file.
func (r *reader) file(name, real string, atomic bool) {
	f := File{Name: name, Atomic: atomic}
	data, stamp, err := r.content.read(real, min(MaxFile, r.left))
	switch {
	case errors.Is(err, errTooLarge) && r.left < MaxFile:
		r.problem(name, "the manifests are larger than the limit of --manifests-max-bytes, expected less or a higher limit")
		return
	case errors.Is(err, errTooLarge):
		r.problem(name, "larger than %d MiB, expected a smaller file: divide it", MaxFile>>20)
		return
	case errors.Is(err, errNotRegular), errors.Is(err, errTooSlow):
		r.problem(name, "%v", err)
		return
	case err != nil:
		r.failed(name, err)
		return
	}
	r.left -= int64(len(data))
	f.Stamp, f.Sum = stamp, sha256.Sum256(data)
	if r.Known[f.Name] == f.Sum {
		r.Partial = true
	} else {
		f.Data = bytes.Clone(data)
	}
	if isTest(name) {
		r.Tree.Tests = append(r.Tree.Tests, f)
		return
	}
	r.Files = append(r.Files, f)
}

func (r *reader) failed(name string, err error) {
	r.vanished = r.vanished || errors.Is(err, fs.ErrNotExist)
	r.problem(name, "can't be read: %v", Reason(err))
}

// Reason is what went wrong, without the path that Go repeats.
func Reason(err error) error {
	if errors.Is(err, syscall.ELOOP) || strings.Contains(err.Error(), "too many links") {
		return errors.New("a loop of symbolic links")
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Tombstones is the name of the file that remembers deleted tokens. It is not loaded.
const Tombstones = "tombstones.yaml"

// IsManifest reports whether a file of this name is read.
func IsManifest(name string) bool {
	base := filepath.Base(name)
	return (strings.HasSuffix(base, ".yaml") || strings.HasSuffix(base, ".yml")) &&
		base != "kustomization.yaml" && base != Tombstones && !strings.HasSuffix(base, ".test.yaml")
}

// isTest reports whether a file of this name holds PolicyTests.
func isTest(name string) bool { return strings.HasSuffix(name, ".test.yaml") }
