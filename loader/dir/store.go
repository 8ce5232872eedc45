package dir

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/tokens"
)

// Store keeps tokens in directories of manifests, and implements tokens.Store and
// tokens.Documents. A token's revision is the digest of its file.
type Store struct {
	Roots []string // that are read
	Into  string   // gets the files of new tokens; empty: none can be created

	// Kept returns what another has read, so that the directories need not be read for each request;
	// nil, or one that returns nil: they are.
	Kept func() *loader.Documents

	lock    sync.Mutex
	tree    *Tree // of last
	last    *ruleset.Set
	written written
}

// Documents reads the directories. Those of a store that creates tokens may be empty.
func (s *Store) Documents(context.Context) (*ruleset.Set, error) {
	set, _ := s.load()
	return set, nil
}

// load reads the directories, and decodes the files that are not what they were.
func (s *Store) load() (*ruleset.Set, *Tree) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.Kept != nil {
		if k := s.Kept(); k != nil {
			return s.written.mergeInto(k, s.nameOf), nil
		}
	}
	roots := Distinct(s.roots())
	if s.last == nil {
		s.tree = Scan{Roots: roots}.Read()
		s.last = ruleset.Load(s.tree.Input(roots), ruleset.Options{AllowEmpty: s.Into != ""})
		return s.last, s.tree
	}
	t := Scan{Roots: roots, Known: s.last.Known()}.Read()
	if t.Digest != s.tree.Digest {
		s.last = s.last.Reload(t.Input(roots))
	}
	s.tree = t
	return s.last, s.tree
}

// roots returns every directory to read once, Into among them.
func (s *Store) roots() []string {
	if s.Into == "" {
		return s.Roots
	}
	into := filepath.Clean(s.Into)
	roots := []string{into}
	if _, err := os.Stat(into); errors.Is(err, fs.ErrNotExist) && len(s.Roots) > 0 {
		roots = nil // it is made for this token
	}
	for _, root := range s.Roots {
		path := parsePath(root)
		switch {
		case Within(path, into):
			roots = slices.DeleteFunc(roots, func(r string) bool { return r == into })
		case Within(into, path) && !Restricted([]string{root}):
			continue
		}
		roots = append(roots, root)
	}
	return roots
}

// FileFor returns the path of a new token's file, which must not exist.
func (s *Store) FileFor(name string) (string, error) {
	path := filepath.Join(s.Into, name+".yaml")
	switch {
	case s.Into == "":
		return "", tokens.Refuse(tokens.NotEditable, "into", "there is no directory for new tokens, expected one")
	case filepath.Base(name) != name || !IsManifest(path):
		return "", tokens.Refuse(tokens.Invalid, "name", "%s would not be read as a manifest, expected another name", filepath.Base(path))
	}
	if _, err := os.Lstat(path); err == nil && !s.has(name) {
		return "", tokens.Refuse(tokens.NameTaken, "name", "the file %s is there already: expected another name", path)
	}
	return path, nil
}

// has reports whether a token has the name: then that is what is wrong with it.
func (s *Store) has(name string) bool {
	set, _ := s.load()
	_, err := tokens.Find(set, name)
	return err == nil
}

// Get returns a token by its name.
func (s *Store) Get(_ context.Context, name string) (*tokens.Stored, error) {
	stored, _, err := s.get(name)
	return stored, err
}

func (s *Store) get(name string) (*tokens.Stored, *File, error) {
	set, tree := s.load()
	doc, err := tokens.Find(set, name)
	if err != nil && s.Kept != nil { // another process may have created it just now
		if err := s.discover(); err != nil {
			return nil, nil, err
		}
		set, tree = s.load()
		doc, err = tokens.Find(set, name)
	}
	if err != nil {
		return nil, nil, err
	}
	data, known := set.File(doc.File)
	if !known {
		return nil, nil, &tokens.ConflictError{File: doc.File}
	}
	f := File{Name: doc.File, Data: data}
	if tree == nil {
		f.Atomic = inMount(f.Name, Distinct(s.roots()))
	} else {
		f.Atomic = slices.ContainsFunc(tree.Files, func(other File) bool { return other.Name == f.Name && other.Atomic })
	}
	return &tokens.Stored{Document: doc, File: f.Name, Data: data, Revision: revision(data)}, &f, nil
}

func revision(data []byte) tokens.Revision {
	sum := sha256.Sum256(data)
	return tokens.Revision(hex.EncodeToString(sum[:]))
}

// Apply makes a change in the file of a token, or creates one.
func (s *Store) Apply(_ context.Context, name string, was tokens.Revision, change *edit.Change) (tokens.Receipt, error) {
	stored, f, err := s.get(name)
	var unknown *tokens.UnknownError
	switch {
	case change.Create != nil && errors.As(err, &unknown) && was == "":
		return s.create(name, change)
	case err != nil:
		return tokens.Receipt{}, err
	case change.Create != nil || stored.Revision != was:
		return tokens.Receipt{}, &tokens.ConflictError{File: stored.File}
	}
	if err := f.editable(); err != nil {
		return tokens.Receipt{}, err
	}
	after, err := change.Apply(f.Name, f.Data, name)
	if err != nil {
		return tokens.Receipt{}, &tokens.RefusedError{Code: tokens.NotEditable, Reasons: []string{err.Error()}}
	}
	receipt := tokens.Receipt{File: f.Name, Revision: revision(after)}
	if change.DryRun {
		return receipt, nil
	}
	before := f.Data
	receipt.Undo = func(context.Context) error { return s.replace(f.Name, after, before) }
	if err := s.replace(f.Name, before, after); err != nil {
		if conflict := (*tokens.ConflictError)(nil); !errors.As(err, &conflict) { // else another has written, perhaps the same
			_ = s.replace(f.Name, after, before) // where the file was written and what followed failed
		}
		return tokens.Receipt{}, err
	}
	return receipt, nil
}

// create writes the file of a new token.
func (s *Store) create(name string, change *edit.Change) (tokens.Receipt, error) {
	path, err := s.FileFor(name)
	if err != nil {
		return tokens.Receipt{}, err
	}
	text, err := change.Apply(path, nil, name)
	if err != nil {
		return tokens.Receipt{}, err
	}
	receipt := tokens.Receipt{File: path, Revision: revision(text)}
	if change.DryRun {
		return receipt, nil
	}
	receipt.Undo = func(context.Context) error { return s.remove(path, text) }
	s.lock.Lock()
	defer s.lock.Unlock()
	if err := os.MkdirAll(s.Into, 0o755); err != nil {
		return tokens.Receipt{}, err
	}
	if err := WriteNew(path, text); errors.Is(err, fs.ErrExist) {
		return tokens.Receipt{}, &tokens.ConflictError{File: path}
	} else if err != nil {
		return tokens.Receipt{}, err
	}
	restore, err := listResource(path)
	if err != nil {
		return tokens.Receipt{}, errors.Join(err, os.Remove(path))
	}
	receipt.Undo = func(context.Context) error { return errors.Join(restore(), s.remove(path, text)) }
	s.written.add(path, text)
	return receipt, nil
}

// replace writes another text into a file, under the lock of its directory: of two writers that
// have read the same, one finds that the file has changed.
func (s *Store) replace(path string, before, after []byte) error {
	unlock, err := lockDir(filepath.Dir(path)) // before s.lock: who creates a token has it for longer
	if err != nil {
		return err
	}
	defer unlock()
	s.lock.Lock()
	defer s.lock.Unlock()
	if err := Replace(path, before, after); err != nil {
		return err
	}
	s.written.add(path, after)
	return nil
}

// remove removes a file that holds this text.
func (s *Store) remove(path string, text []byte) error {
	unlock, err := lockDir(filepath.Dir(path)) // before s.lock: who creates a token has it for longer
	if err != nil {
		return err
	}
	defer unlock()
	s.lock.Lock()
	defer s.lock.Unlock()
	now, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, text) {
		return &tokens.ConflictError{File: path}
	}
	s.written.forget(path)
	return os.Remove(path)
}

// editable refuses a file that is not to be written here.
func (f *File) editable() error {
	refuse := func(format string, args ...any) error {
		return tokens.Refuse(tokens.NotEditable, "", "%s %s", f.Name, fmt.Sprintf(format, args...))
	}
	info, err := os.Lstat(f.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was removed since it was read
		return &tokens.ConflictError{File: f.Name}
	case err != nil:
		return err
	case f.Atomic:
		return refuse("belongs to a ConfigMap or another mounted volume, expected a file of its own: change it where the volume comes from, in Git or the cluster")
	case info.Mode()&fs.ModeSymlink != 0:
		return refuse("is a symbolic link, expected a file of its own: change it where it leads")
	case info.Mode().Perm()&0o222 == 0:
		return refuse("is read-only, expected a file that may be written")
	}
	w, err := os.OpenFile(f.Name, os.O_WRONLY, 0)
	if err != nil {
		return refuse("can't be written: %v", Reason(err))
	}
	return w.Close()
}
