package dir

import (
	"cmp"
	"crypto/sha256"
	"time"

	"github.com/patgate/patgate/ruleset"
)

// written is what a store has written that others have not read yet.
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

// upon returns what another has read, with what was written since.
func (w *written) upon(k *Kept) *ruleset.Set {
	if w.fresh && w.of == k.Set {
		return w.set
	}
	var files []ruleset.File
	for path, f := range w.files {
		name := cmp.Or(k.names.NameOf(path), path)
		if k.Began.After(f.at) || k.Set.Holds(name, f.sum) {
			delete(w.files, path) // it was read, or somebody else has changed it
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
