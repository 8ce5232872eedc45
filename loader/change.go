package loader

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Change is a new text of one manifest file. Nothing is written before Write.
type Change struct {
	Path          string
	before, after []byte
}

// change prepares the change of a file that was read. It returns a *RefusedError for
// one that is not to be written here.
func (m *Manifests) change(f *file, after []byte) (*Change, error) {
	c := &Change{Path: f.name, before: f.data, after: after}
	info, err := os.Lstat(f.name)
	switch {
	case err != nil:
		return nil, err
	case f.atomic:
		return nil, refuse("%s belongs to a ConfigMap or another mounted volume, expected a file of its own: change it where the volume comes from, in Git or the cluster", f.name)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, refuse("%s is a symbolic link, expected a file of its own: change it where it leads", f.name)
	case info.Mode().Perm()&0o222 == 0:
		return nil, refuse("%s is read-only, expected a file that may be written", f.name)
	}
	w, err := os.OpenFile(f.name, os.O_WRONLY, 0)
	if err != nil {
		return nil, refuse("%s can't be written: %v", f.name, reason(err))
	}
	return c, w.Close()
}

func refuse(format string, args ...any) error {
	return &RefusedError{[]string{fmt.Sprintf(format, args...)}}
}

// Write writes the file, whole or not at all, unless somebody else changed it since it
// was read. Its mode and, where the system lets it, its owner stay.
func (c *Change) Write() error { return replaceFile(c.Path, c.before, c.after) }

// Undo writes back what was there before Write.
func (c *Change) Undo() error { return replaceFile(c.Path, c.after, c.before) }

func replaceFile(path string, before, after []byte) error {
	now, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, before) {
		return fmt.Errorf("%s was changed by somebody else meanwhile: nothing is written, try again", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".patgate-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(after)
	keepOwner(f, info)
	if err = errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(path)
}
