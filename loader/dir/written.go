package dir

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/ruleset"
)

// written holds what a store has written and the loader has not read yet.
type written struct {
	files map[string]writtenFile

	of    *ruleset.Set // that set was made of
	set   *ruleset.Set // of and the files
	fresh bool         // no file was written since set was made
}

type writtenFile struct {
	data []byte
	sum  [sha256.Size]byte
	at   time.Time
}

func (w *written) add(path string, data []byte) {
	if w.files == nil {
		w.files = map[string]writtenFile{}
	}
	w.files[path], w.fresh = writtenFile{data, sha256.Sum256(data), time.Now()}, false
}

func (w *written) forget(path string) {
	delete(w.files, path)
	w.fresh = false
}

// mergeInto returns what another has read, with what was written since.
func (w *written) mergeInto(k *loader.Documents, nameOf func(string) string) *ruleset.Set {
	if w.fresh && w.of == k.Set {
		return w.set
	}
	var files []ruleset.File
	for path, f := range w.files {
		name := nameOf(path)
		if k.Began.After(f.at) || k.Set.Holds(name, f.sum) {
			delete(w.files, path) // the loader has read it, or another process has changed it
			continue
		}
		files = append(files, ruleset.File{Name: name, Data: f.data})
	}
	w.of, w.set, w.fresh = k.Set, k.Set, true
	if len(files) > 0 {
		w.set = k.Set.With(files...)
	}
	return w.set
}

// nameOf returns the name by which a reading of the roots knows a file.
func (s *Store) nameOf(path string) string {
	real := realPath(filepath.Dir(path))
	for _, root := range Distinct(s.Roots) {
		base := filepath.Clean(parsePath(root))
		if rel, err := filepath.Rel(realPath(base), real); err == nil && filepath.IsLocal(rel) {
			return filepath.Join(base, rel, filepath.Base(path))
		}
	}
	return path
}

// inMount reports whether a file belongs to a mounted volume, such as a ConfigMap.
func inMount(name string, roots []string) bool {
	for dir := filepath.Dir(name); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, dataLink)); err == nil {
			return true
		}
		if parent := filepath.Dir(dir); parent == dir {
			return false
		}
		for _, root := range roots {
			if filepath.Clean(parsePath(root)) == dir {
				return false
			}
		}
	}
}
