package loader

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
)

// MaxBytes is how much a load reads at most, by default: well above what a million
// tokens need.
const MaxBytes = 1 << 30

// dataLink is the symbolic link by whose rename the kubelet changes all files of a
// ConfigMap, or another projected volume, at once.
const dataLink = "..data"

// file is one manifest file, by the name that people know it under.
type file struct {
	name   string
	data   []byte            // nil where it is what was known of the file
	sum    [sha256.Size]byte // of data
	stamp  int64             // when it was last written, in nanoseconds
	atomic bool              // from a ConfigMap mount, whose files never change under their names
}

// tree is what one reading of the directories found.
type tree struct {
	files    []file
	tests    []file // PolicyTests, which are no part of what runs
	problems []diag.Problem
	partial  bool                // some files hold what was known, and have no data
	watch    map[string]interest // the directories whose entries decide what a reading finds
	links    map[string]string
	digest   [sha256.Size]byte // of all files and problems
	plain    [sha256.Size]byte // of those that are not atomic, and when they were written
}

// maxAttempts is how often a reading starts again because a link moved meanwhile.
const maxAttempts = 10

// readTree reads every manifest file below the roots. Symbolic links are resolved
// once, and the files of a ConfigMap mount are all read from one `..data`: where a
// link moved meanwhile, everything is read again.
func readTree(roots []string, maxBytes int64) *tree {
	return scan{roots: roots, maxBytes: maxBytes}.read()
}

// scan is what to read.
type scan struct {
	roots    []string
	maxBytes int64
	tests    bool                         // PolicyTests too
	known    map[string][sha256.Size]byte // files whose data is not wanted where it has this digest
}

func (g scan) read() *tree {
	var t *tree
	roots := g.roots
	for attempt := 1; ; attempt++ {
		r := &reader{tree: &tree{links: map[string]string{}, watch: map[string]interest{}}, scan: g, left: g.maxBytes}
		for _, root := range roots {
			r.root(filepath.Clean(root))
		}
		t = r.tree
		moved := !t.unmoved()
		if attempt < maxAttempts && (moved || r.vanished) {
			continue
		}
		if moved {
			r.problem(roots[0], "the directory keeps changing while it is read, expected it to rest")
		}
		break
	}
	byName := func(a, b file) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(t.files, byName)
	slices.SortFunc(t.tests, byName)
	diag.Sort(t.problems)
	t.sum()
	return t
}

// unmoved reports whether every link still leads where it led.
func (t *tree) unmoved() bool {
	for link, target := range t.links {
		if now, err := filepath.EvalSymlinks(link); err != nil || now != target {
			return false
		}
	}
	return true
}

// size is how many bytes of files the reading holds.
func (t *tree) size() (n int) {
	for _, f := range t.files {
		n += len(f.data)
	}
	return n
}

// ambiguous reports whether two files have one name: a directory that shows a mount's files
// may have one of its own beside them.
func (t *tree) ambiguous() bool {
	for i := range t.files[:max(0, len(t.files)-1)] {
		if t.files[i].name == t.files[i+1].name { // they are sorted
			return true
		}
	}
	return false
}

// forget returns the reading without what files held.
func (t *tree) forget() *tree {
	return &tree{digest: t.digest, plain: t.plain}
}

func (t *tree) sum() {
	all, plain := sha256.New(), sha256.New()
	for _, f := range t.files {
		var head []byte
		head = binary.AppendUvarint(head, uint64(len(f.name)))
		head = append(head, f.name...)
		head = append(head, f.sum[:]...)
		all.Write(head)
		if !f.atomic {
			plain.Write(binary.AppendVarint(head, f.stamp))
		}
	}
	for _, p := range t.problems {
		text := []byte(p.String() + "\n")
		all.Write(text)
		plain.Write(text)
	}
	all.Sum(t.digest[:0])
	plain.Sum(t.plain[:0])
}

// reader walks directories into a tree.
type reader struct {
	*tree
	scan
	left     int64
	buffer   bytes.Buffer // of the file that is read
	vanished bool         // something that was listed was not there to be read
}

func (r *reader) problem(name, format string, args ...any) {
	r.problems = append(r.problems, diag.Problem{File: name, Message: fmt.Sprintf(format, args...)})
}

// interested notes that a change of this one entry of its directory matters.
func (r *reader) interested(path string) {
	dir := filepath.Dir(path)
	names, known := r.watch[dir]
	if known && names == nil {
		return
	}
	if !known {
		names = interest{}
		r.watch[dir] = names
	}
	names[filepath.Base(path)] = true
}

func (r *reader) root(root string) {
	before := len(r.files)
	problems := len(r.problems)
	r.interested(root)
	real, err := r.resolve(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.problem(root, "no such directory, expected one with manifests")
		return
	case err != nil:
		r.problem(root, "%v, expected a directory with manifests", reason(err))
		return
	}
	if info, err := os.Stat(real); err != nil || !info.IsDir() {
		r.problem(root, "not a directory, expected one with manifests")
		return
	}
	r.directory(root, real, nil, false)
	if len(r.files) == before && len(r.problems) == problems {
		r.problem(root, "no manifests in the directory, expected files that end in .yaml or .yml")
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
	r.watch[real] = nil // all of it
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
		r.problem(name, "%v, expected a file or directory", reason(err))
		return
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		r.failed(name, err)
	case info.IsDir():
		r.directory(name, real, above, atomic)
	case !isManifest(name) && !(r.scan.tests && isTest(name)):
	case !info.Mode().IsRegular():
		r.problem(name, "not a regular file, expected one")
	case info.Size() > r.left:
		r.problem(name, "the manifests are larger than the limit of --manifests-max-bytes, expected less or a higher limit")
	default:
		f := file{name: name, stamp: info.ModTime().UnixNano(), atomic: atomic}
		if err := r.content(&f, real); err != nil {
			r.failed(name, err)
			return
		}
		if isTest(name) {
			r.tree.tests = append(r.tree.tests, f)
			return
		}
		r.files = append(r.files, f)
	}
}

// content reads what a file holds. Most files of a large directory are what they were: those
// are read into one buffer, and leave nothing behind.
func (r *reader) content(f *file, real string) error {
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
	f.sum = sha256.Sum256(r.buffer.Bytes())
	if r.known[f.name] == f.sum {
		r.partial = true
		return nil
	}
	f.data = bytes.Clone(r.buffer.Bytes())
	return nil
}

func (r *reader) failed(name string, err error) {
	r.vanished = r.vanished || errors.Is(err, fs.ErrNotExist)
	r.problem(name, "can't be read: %v", reason(err))
}

// reason is what went wrong, without the path that Go repeats.
func reason(err error) error {
	if errors.Is(err, syscall.ELOOP) || strings.Contains(err.Error(), "too many links") {
		return errors.New("a loop of symbolic links")
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// isManifest reports whether a file of this name is read.
func isManifest(name string) bool {
	base := filepath.Base(name)
	return (strings.HasSuffix(base, ".yaml") || strings.HasSuffix(base, ".yml")) &&
		base != "kustomization.yaml" && !strings.HasSuffix(base, ".test.yaml")
}

// isTest reports whether a file of this name holds PolicyTests.
func isTest(name string) bool { return strings.HasSuffix(name, ".test.yaml") }
