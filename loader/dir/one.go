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

// withFiles returns a reading in which some files are as they are now, or there for the first time. It
// returns nil where that alone does not say what a reading of everything would find.
func (t *Tree) withFiles(paths []string, max int64) *Tree {
	if len(t.Parts) == 0 {
		return t.with(paths, max, "")
	}
	own := map[int][]string{}
	for _, path := range paths {
		i := t.partOf(path)
		if i < 0 {
			return nil
		}
		own[i] = append(own[i], path)
	}
	parts := slices.Clone(t.Parts)
	for i, paths := range own {
		if parts[i] = t.Parts[i].with(paths, max, t.Parts[i].Origin); parts[i] == nil {
			return nil
		}
	}
	if next := Join(parts, nil); len(next.Problems) == len(t.Problems) {
		return next
	}
	return nil
}

// partOf returns which part the directory of a file was read for, or -1.
func (t *Tree) partOf(path string) int {
	real := realPath(filepath.Dir(path))
	return slices.IndexFunc(t.Parts, func(part *Tree) bool {
		_, known := part.dirs[real]
		return known
	})
}

// with does so in one part, whose files have this origin.
func (t *Tree) with(paths []string, max int64, origin string) *Tree {
	if len(t.Problems) > 0 {
		return nil
	}
	next := *t
	next.Files, next.Partial = slices.Clone(t.Files), true
	for _, path := range paths {
		if !next.take(path, max, origin) {
			return nil
		}
	}
	next.Seal()
	return &next
}

// take puts one file in.
func (t *Tree) take(path string, max int64, origin string) bool {
	name := t.nameOf(path)
	if name == "" || !IsManifest(name) {
		return false
	}
	data, stamp, ok := readOne(path)
	if t.bytes += int64(len(data)); !ok || max > 0 && t.bytes > max {
		return false
	}
	f := File{Name: name, Data: data, Sum: sha256.Sum256(data), Stamp: stamp, Origin: origin}
	i, known := slices.BinarySearchFunc(t.Files, name, func(f File, name string) int { return strings.Compare(f.Name, name) })
	switch {
	case !known:
		t.Files = slices.Insert(t.Files, i, f)
	case t.Files[i].Atomic || i+1 < len(t.Files) && t.Files[i+1].Name == name:
		return false
	default:
		t.Files[i] = f
	}
	return true
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

// unexplained returns those of paths that have had an event for which a reading of everything might find
// something new: what is there is not what is known.
func (t *Tree) unexplained(paths []string) []string {
	if t == nil || len(t.Problems)+len(t.links) > 0 {
		return paths
	}
	return slices.DeleteFunc(paths, t.explains)
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
