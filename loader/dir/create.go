package dir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/tokens"
)

var _ tokens.Exclusive = (*Store)(nil)

// Exclusive keeps other processes from creating tokens in the directory of new tokens.
func (s *Store) Exclusive(context.Context) (release func(), err error) {
	at := filepath.Clean(s.Into)
	if s.Into == "" {
		return func() {}, nil
	}
	for {
		if _, err := os.Stat(at); err == nil || filepath.Dir(at) == at {
			break
		}
		at = filepath.Dir(at) // it is made with the first token
	}
	unlock, err := lockDir(at)
	if err != nil {
		return nil, err
	}
	if err := s.discover(); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// discover reads the files of new tokens that other processes have made and that are not read yet.
func (s *Store) discover() error {
	if s.Kept == nil {
		return nil // everything is read each time
	}
	entries, err := os.ReadDir(s.Into)
	if err != nil {
		return nil // there are none
	}
	set, _ := s.load()
	known := map[string]bool{}
	for name := range set.Files {
		known[name] = true
	}
	into := filepath.Dir(s.nameOf(filepath.Join(s.Into, "any.yaml"))) // once: it follows links
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, e := range entries {
		path := filepath.Join(s.Into, e.Name())
		if !IsManifest(path) || known[filepath.Join(into, e.Name())] {
			continue
		}
		if data, _, ok := readOne(path); ok {
			s.written.add(path, data)
		}
	}
	return nil
}

// kustomizations are the names under which Kustomize finds what a directory has.
var kustomizations = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// listResource adds the file of a new token to the resources of the directory's kustomization.yaml,
// where that lists files. It returns what takes it back.
func listResource(path string) (restore func() error, err error) {
	nothing := func() error { return nil }
	for _, name := range kustomizations {
		file := filepath.Join(filepath.Dir(path), name)
		for range 10 { // others may edit it too
			before, err := os.ReadFile(file)
			if err != nil {
				break
			}
			after, err := edit.AddResource(before, filepath.Base(path))
			if err != nil {
				return nil, tokens.Refuse(tokens.NotEditable, "", "%s %v", file, err)
			}
			if after == nil {
				return nothing, nil
			}
			err = Replace(file, before, after)
			var conflict *tokens.ConflictError
			if errors.As(err, &conflict) {
				continue
			} else if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			return func() error { return Replace(file, after, before) }, nil
		}
	}
	return nothing, nil
}
