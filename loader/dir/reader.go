package dir

import (
	"bytes"
	"crypto/sha256"
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

// reader walks directories into a tree.
type reader struct {
	*Tree
	Scan
	left     int64
	held     int64  // bytes of files so far that are not what is known
	defers   bool   // files of tokens are left for later
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
		r.Problems = append(r.Problems, diag.Problem{File: parsePath(r.Roots[0]), Message: fmt.Sprintf("and %d more files and directories that can't be read", r.more)})
	}
}

// problemEmpty is a problem with a directory that has nothing.
func (r *reader) problemEmpty(name, message string) {
	r.problem(name, "%s", message)
	r.empty = append(r.empty, r.Problems[len(r.Problems)-1])
}

// watchEntry notes that a change of this one entry of its directory matters.
func (r *reader) watchEntry(path string) {
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
	r.watchEntry(root)
	real, err := r.resolve(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.problemEmpty(root, "no such directory, expected one with manifests")
		return
	case err != nil:
		r.problem(root, "%v, expected a directory with manifests", Reason(err))
		return
	}
	info, err := os.Stat(real)
	switch {
	case err == nil && info.Mode().IsRegular():
		r.single(root, real)
		return
	case err != nil || !info.IsDir():
		r.problem(root, "not a directory, expected one with manifests")
		return
	}
	r.inside = realPath(root)
	r.directory(root, real, nil, false)
	if len(r.Files) == before && len(r.Problems) == problems {
		r.problemEmpty(root, "no manifests in the directory, expected files that end in .yaml or .yml")
	}
}

// single reads a root that is one file.
func (r *reader) single(root, real string) {
	switch {
	case isTest(root) && !r.Scan.Tests:
		r.problem(root, "PolicyTests, which `patgate test` reads, expected a directory or a file with manifests")
	case !IsManifest(root) && !isTest(root):
		r.problem(root, "not a directory, expected one with manifests, or a file that ends in .yaml or .yml")
	case !r.tombstones:
		r.inside = realPath(filepath.Dir(root))
		if r.staysInside(root, real) {
			r.file(root, real, false)
		}
	}
}

// resolve follows the links of a path and remembers where they led.
func (r *reader) resolve(name string) (real string, err error) {
	real, err = filepath.EvalSymlinks(name)
	if err == nil && real != name {
		r.links[name] = real
		r.watchEntry(name)
		r.watchEntry(real)
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
	if len(r.except) > 0 && slices.Contains(r.except, realPath(real)) {
		return
	}
	above = append(slices.Clip(above), real)
	r.named(realPath(real), name)
	r.Watched[real] = nil // all of it
	info, err := os.Lstat(filepath.Join(real, dataLink))
	mounted := err == nil && info.Mode()&fs.ModeSymlink != 0
	if mounted {
		data, err := r.resolve(filepath.Join(real, dataLink))
		if err != nil {
			r.failed(filepath.Join(name, dataLink), err)
			return
		}
		if !r.staysInside(filepath.Join(name, dataLink), data) {
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

// staysInside reports whether something is within the directory that is read, whatever links lead to
// it, or reports a problem.
func (r *reader) staysInside(name, real string) bool {
	for _, other := range r.except {
		if Within(other, real) {
			r.problem(name, "a symbolic link into %s, which is restricted, expected one that stays outside of it", other)
			return false
		}
	}
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
	return r.staysInside(name, real)
}

// file reads one file.
func (r *reader) file(name, real string, atomic bool) {
	f := File{Name: name, Atomic: atomic}
	data, stamp, err := r.content.read(real, min(MaxFile, r.left))
	switch {
	case errors.Is(err, errTooLarge) && r.left < MaxFile:
		r.problem(name, "the manifests are larger than the limit (manifests-max-bytes), expected less or a higher limit")
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
	r.bytes += int64(len(data))
	f.Stamp, f.Sum = stamp, sha256.Sum256(data)
	if r.Known[f.Name] == f.Sum {
		r.Partial = true
	} else {
		r.keep(&f, real, data)
	}
	if isTest(name) {
		r.Tree.Tests = append(r.Tree.Tests, f)
		return
	}
	r.Files = append(r.Files, f)
}

// keep holds what a file holds, or leaves it for later. Once there is more than is to be held, files of tokens
// that came before are left for later too.
func (r *reader) keep(f *File, real string, data []byte) {
	r.held += int64(len(data))
	if r.hold > 0 && ruleset.LooksLikeTokens(data) {
		f.later, f.size = readLater(real, f.Sum), int64(len(data))
	}
	if r.hold == 0 || r.held <= r.hold || f.later == nil {
		f.Data = bytes.Clone(data)
		return
	}
	if r.defers {
		return
	}
	r.defers = true
	for i := range r.Files {
		if r.Files[i].later != nil {
			r.Files[i].Data = nil
		}
	}
}

// readLater returns what reads a file again, if it still is what it was.
func readLater(real string, sum [sha256.Size]byte) func() ([]byte, bool) {
	return func() ([]byte, bool) {
		c := new(contentReader)
		data, _, err := c.read(real, MaxFile)
		c.close()
		return data, err == nil && sha256.Sum256(data) == sum
	}
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
