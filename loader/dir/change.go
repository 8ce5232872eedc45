package dir

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/patgate/patgate/tokens"
)

// Replace atomically replaces the text of a file, if the file still holds the text before. Its mode and, where the system lets it, its owner stay.
func Replace(path string, before, after []byte) error {
	now, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &tokens.ConflictError{File: path}
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(now, before) {
		return &tokens.ConflictError{File: path}
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

// WriteNew atomically creates a file that does not exist yet.
func WriteNew(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".patgate-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	// A link, unlike a rename, never replaces a file that came to be meanwhile. Where the
	// file system knows no links, a rename has to do.
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return err
	} else if err != nil {
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
	}
	return syncDir(path)
}

// syncDir makes what was renamed to a path last.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
