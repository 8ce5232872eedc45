package dir

import (
	"crypto/sha256"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// named notes by which name a directory was read.
func (t *Tree) named(real, name string) {
	if other, known := t.dirs[real]; known && other != name {
		name = "" // by several
	}
	t.dirs[real] = name
}

// bare returns the reading without what its files held, so that single files can take the place of
// others in it.
func (t *Tree) bare() *Tree {
	bare := *t
	bare.Files, bare.Tests, bare.Parts = slices.Clone(t.Files), nil, nil
	for i := range bare.Files {
		bare.Files[i].Data, bare.Files[i].later, bare.Files[i].size = nil, nil, 0
	}
	for _, part := range t.Parts {
		bare.Parts = append(bare.Parts, part.bare())
	}
	return &bare
}

// withFile returns a reading in which one file is as it is now, or there for the first time. It
// returns nil where that alone does not say what a reading of everything would find.
func (t *Tree) withFile(path string, max int64) *Tree {
	if len(t.Parts) == 0 {
		return t.with(path, max, "")
	}
	parts := slices.Clone(t.Parts)
	for i, part := range parts {
		if _, known := part.dirs[realPath(filepath.Dir(path))]; !known {
			continue
		}
		if parts[i] = part.with(path, max, part.Origin); parts[i] == nil {
			return nil
		}
		if next := Join(parts, nil); len(next.Problems) == len(t.Problems) {
			return next
		}
		return nil
	}
	return nil
}

// with does so in one part, whose files have this origin.
func (t *Tree) with(path string, max int64, origin string) *Tree {
	name := t.nameOf(path)
	if name == "" || !IsManifest(name) || len(t.Problems) > 0 {
		return nil
	}
	data, stamp, ok := readOne(path)
	if !ok || max > 0 && t.bytes+int64(len(data)) > max {
		return nil
	}
	f := File{Name: name, Data: data, Sum: sha256.Sum256(data), Stamp: stamp, Origin: origin}
	next := *t
	next.Files, next.Partial, next.bytes = slices.Clone(t.Files), true, t.bytes+int64(len(data))
	i, known := slices.BinarySearchFunc(next.Files, name, func(f File, name string) int { return strings.Compare(f.Name, name) })
	switch {
	case !known:
		next.Files = slices.Insert(next.Files, i, f)
	case next.Files[i].Atomic || i+1 < len(next.Files) && next.Files[i+1].Name == name:
		return nil
	default:
		next.Files[i] = f
	}
	next.Seal()
	return &next
}

// nameOf returns the name by which a reading knows a file; empty where that is not clear.
func (t *Tree) nameOf(path string) string {
	base := filepath.Base(path)
	name := t.dirs[realPath(filepath.Dir(path))]
	if name == "" || strings.HasPrefix(base, ".") {
		return ""
	}
	return filepath.Join(name, base)
}

// readOne reads a file that is no link.
func readOne(path string) (data []byte, stamp int64, ok bool) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, false
	}
	var c contentReader
	defer c.close()
	read, stamp, err := c.read(path, MaxFile)
	return slices.Clone(read), stamp, err == nil
}

// explain reports whether a reading of everything would find nothing new although these paths have
// had an event: what is there is what is known.
func (t *Tree) explain(paths []string) bool {
	if t == nil || len(t.Problems)+len(t.links) > 0 {
		return false
	}
	for _, path := range paths {
		if !t.explains(path) {
			return false
		}
	}
	return true
}

func (t *Tree) explains(path string) bool {
	base := filepath.Base(path)
	if _, known := t.dirs[realPath(path)]; known {
		return false
	}
	if strings.HasPrefix(base, ".") && base != dataLink {
		return true // hidden files are not read
	}
	name := t.nameOf(path)
	info, err := os.Lstat(path)
	switch _, known := t.known(name); {
	case name == "":
		return false
	case err != nil:
		return os.IsNotExist(err) && !known
	case info.Mode()&fs.ModeType != 0:
		return false
	case !IsManifest(base):
		return true
	}
	data, _, ok := readOne(path)
	sum, known := t.known(name)
	return ok && known && sha256.Sum256(data) == sum
}

// known returns the digest of a file.
func (t *Tree) known(name string) (sum [sha256.Size]byte, known bool) {
	i, known := slices.BinarySearchFunc(t.Files, name, func(f File, name string) int { return strings.Compare(f.Name, name) })
	if !known {
		return sum, false
	}
	return t.Files[i].Sum, true
}
