package dir

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
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
}

// Read reads every manifest file below the roots. Symbolic links are resolved
// once, and the files of a ConfigMap mount are all read from one `..data`: where a
// link moved meanwhile, everything is read again.
func (g Scan) Read() *Tree {
	var t *Tree
	if g.MaxBytes == 0 {
		g.MaxBytes = MaxBytes
	}
	for attempt := 1; ; attempt++ {
		r := &reader{Tree: &Tree{links: map[string]string{}, Watched: map[string]Interest{}}, Scan: g, left: g.MaxBytes}
		for _, root := range g.Roots {
			r.root(filepath.Clean(root))
		}
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
	buffer   bytes.Buffer // of the file that is read
	vanished bool         // something that was listed was not there to be read
}

func (r *reader) problem(name, format string, args ...any) {
	r.Problems = append(r.Problems, diag.Problem{File: name, Message: fmt.Sprintf(format, args...)})
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
	if info, err := os.Stat(real); err != nil || !info.IsDir() {
		r.problem(root, "not a directory, expected one with manifests")
		return
	}
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
	entries, err := os.ReadDir(real)
	if err != nil {
		r.failed(name, err)
		return
	}
	mounted := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == dataLink })
	if mounted {
		data, err := r.resolve(filepath.Join(real, dataLink))
		if err != nil {
			r.failed(filepath.Join(name, dataLink), err)
			return
		}
		r.directory(name, data, above, true)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || mounted && e.Type()&fs.ModeSymlink != 0 && intoData(filepath.Join(real, e.Name())) {
			continue
		}
		r.entry(e, filepath.Join(name, e.Name()), filepath.Join(real, e.Name()), above, atomic)
	}
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
	info, err := os.Stat(real)
	switch {
	case err != nil:
		r.failed(name, err)
	case info.IsDir():
		r.directory(name, real, above, atomic)
	case !IsManifest(name) && !(r.Scan.Tests && isTest(name)):
	case !info.Mode().IsRegular():
		r.problem(name, "not a regular file, expected one")
	case info.Size() > r.left:
		r.problem(name, "the manifests are larger than the limit of --manifests-max-bytes, expected less or a higher limit")
	default:
		f := File{Name: name, Stamp: info.ModTime().UnixNano(), Atomic: atomic}
		if err := r.content(&f, real); err != nil {
			r.failed(name, err)
			return
		}
		if isTest(name) {
			r.Tree.Tests = append(r.Tree.Tests, f)
			return
		}
		r.Files = append(r.Files, f)
	}
}

// content reads what a file holds. Most files of a large directory are what they were: those
// are read into one buffer, and leave nothing behind.
func (r *reader) content(f *File, real string) error {
	in, err := os.Open(real)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	r.buffer.Reset()
	if _, err := r.buffer.ReadFrom(in); err != nil {
		return err
	}
	r.left -= int64(r.buffer.Len())
	f.Sum = sha256.Sum256(r.buffer.Bytes())
	if r.Known[f.Name] == f.Sum {
		r.Partial = true
		return nil
	}
	f.Data = bytes.Clone(r.buffer.Bytes())
	return nil
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

// IsManifest reports whether a file of this name is read.
func IsManifest(name string) bool {
	base := filepath.Base(name)
	return (strings.HasSuffix(base, ".yaml") || strings.HasSuffix(base, ".yml")) &&
		base != "kustomization.yaml" && !strings.HasSuffix(base, ".test.yaml")
}

// isTest reports whether a file of this name holds PolicyTests.
func isTest(name string) bool { return strings.HasSuffix(name, ".test.yaml") }
