package dir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/tokens"
)

// Delete deletes the manifest of a token, after it wrote until when that must be remembered into the
// tombstones of its directory. A dry run finds out whether it could.
func (s *Store) Delete(_ context.Context, name string, was tokens.Revision, until tokens.Ends, dryRun bool) (tokens.Receipt, error) {
	stored, f, err := s.get(name)
	switch {
	case err != nil:
		return tokens.Receipt{}, err
	case stored.Revision != was:
		return tokens.Receipt{}, &tokens.ConflictError{File: stored.File}
	}
	if err := f.editable(); err != nil {
		return tokens.Receipt{}, err
	}
	after, err := edit.Delete(f.Name, f.Data, name)
	if err != nil {
		return tokens.Receipt{}, tokens.Refuse(tokens.NotEditable, "", "%v", err)
	}
	root, err := s.rootOf(f.Name, after == nil)
	if err != nil {
		return tokens.Receipt{}, err
	}
	path := filepath.Join(root, Tombstones)
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return tokens.Receipt{}, err
	}
	exists := err == nil
	stones, err := edit.AddTombstones(path, before, until)
	if err != nil {
		return tokens.Receipt{}, tokens.Refuse(tokens.NotEditable, "", "%v", err)
	}
	receipt := tokens.Receipt{File: f.Name}
	if dryRun {
		return receipt, nil
	}
	if err := s.write(path, before, stones, exists); err != nil {
		return tokens.Receipt{}, err
	}
	if after == nil {
		return receipt, s.remove(f.Name, f.Data)
	}
	return receipt, s.replace(f.Name, f.Data, after)
}

// write writes a file that may not exist so far.
func (s *Store) write(path string, before, after []byte, exists bool) error {
	if exists {
		return s.replace(path, before, after)
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	return WriteNew(path, after)
}

// rootOf returns the directory that a file was read from. It refuses the last manifest of one
// that goes: a directory without any is a mistake, which a running server does not follow.
func (s *Store) rootOf(file string, goes bool) (string, error) {
	_, tree := s.load()
	for _, root := range Paths(s.roots()) {
		info, err := os.Stat(root)
		if err != nil || !Within(root, file) {
			continue
		}
		if !info.IsDir() {
			return filepath.Dir(root), nil
		}
		others := slices.ContainsFunc(tree.Files, func(f File) bool { return f.Name != file && Within(root, f.Name) })
		if goes && !others {
			return "", tokens.Refuse(tokens.NotEditable, "", "%s is the only manifest in %s, and a directory without any is refused: revoke it and let it stay", file, root)
		}
		return root, nil
	}
	return filepath.Dir(file), nil
}
