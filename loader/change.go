package loader

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/patgate/patgate/loader/dir"
)

// Change is a new text of one manifest file. Nothing is written before Write.
type Change struct {
	Path          string
	before, after []byte
}

// change prepares the change of a file that was read. It returns a *RefusedError for
// one that is not to be written here.
func (m *Manifests) change(f *dir.File, after []byte) (*Change, error) {
	c := &Change{Path: f.Name, before: f.Data, after: after}
	info, err := os.Lstat(f.Name)
	switch {
	case err != nil:
		return nil, err
	case f.Atomic:
		return nil, refuse("%s belongs to a ConfigMap or another mounted volume, expected a file of its own: change it where the volume comes from, in Git or the cluster", f.Name)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, refuse("%s is a symbolic link, expected a file of its own: change it where it leads", f.Name)
	case info.Mode().Perm()&0o222 == 0:
		return nil, refuse("%s is read-only, expected a file that may be written", f.Name)
	}
	w, err := os.OpenFile(f.Name, os.O_WRONLY, 0)
	if err != nil {
		return nil, refuse("%s can't be written: %v", f.Name, dir.Reason(err))
	}
	return c, w.Close()
}

func refuse(format string, args ...any) error {
	return &RefusedError{[]string{fmt.Sprintf(format, args...)}}
}

// Write writes the file, whole or not at all, unless somebody else changed it since it
// was read. Its mode and, where the system lets it, its owner stay.
func (c *Change) Write() error { return dir.Replace(c.Path, c.before, c.after) }

// Undo writes back what was there before Write.
func (c *Change) Undo() error { return dir.Replace(c.Path, c.after, c.before) }
