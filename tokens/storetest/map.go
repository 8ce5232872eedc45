// Package storetest has the tests that every tokens.Store must pass, and a store in memory for other tests.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/tokens"
)

// Map is a store in memory: texts of files by their names. The zero value is empty.
type Map struct {
	lock  sync.Mutex
	files map[string][]byte
}

// Put stores a file, as somebody else would who changes it.
func (m *Map) Put(name, text string) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.files == nil {
		m.files = map[string][]byte{}
	}
	m.files[name] = []byte(text)
}

// Text returns all that is stored.
func (m *Map) Text() string {
	m.lock.Lock()
	defer m.lock.Unlock()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		b.WriteString(name + "\n" + string(m.files[name]))
	}
	return b.String()
}

// Documents returns what is stored.
func (m *Map) Documents(context.Context) (*ruleset.Set, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	return m.set(), nil
}

func (m *Map) set() *ruleset.Set {
	in := ruleset.Input{Origin: "map"}
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		in.Files = append(in.Files, ruleset.File{Name: name, Data: m.files[name], Sum: sha256.Sum256(m.files[name])})
	}
	return ruleset.Load(in, ruleset.Options{AllowEmpty: true})
}

// FileFor returns the name of a new token's file.
func (m *Map) FileFor(name string) (string, error) { return name + ".yaml", nil }

// Get returns a token by its name.
func (m *Map) Get(_ context.Context, name string) (*tokens.Stored, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	return m.get(name)
}

func (m *Map) get(name string) (*tokens.Stored, error) {
	doc, err := tokens.Find(m.set(), name)
	if err != nil {
		return nil, err
	}
	data := m.files[doc.File]
	return &tokens.Stored{Document: doc, File: doc.File, Data: data, Revision: revision(data)}, nil
}

func revision(data []byte) tokens.Revision {
	sum := sha256.Sum256(data)
	return tokens.Revision(hex.EncodeToString(sum[:]))
}

// Apply makes a change of a token.
func (m *Map) Apply(_ context.Context, name string, was tokens.Revision, change *edit.Change) (tokens.Receipt, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	stored, err := m.get(name)
	var unknown *tokens.UnknownError
	switch {
	case errors.As(err, &unknown) && change.Create != nil && was == "":
		stored = &tokens.Stored{File: name + ".yaml"}
	case err != nil:
		return tokens.Receipt{}, err
	case change.Create != nil || was != stored.Revision:
		return tokens.Receipt{}, &tokens.ConflictError{File: stored.File}
	}
	before := stored.Data
	after, err := change.Apply(stored.File, before, name)
	if err != nil {
		return tokens.Receipt{}, &tokens.RefusedError{Code: tokens.NotEditable, Reasons: []string{err.Error()}}
	}
	receipt := tokens.Receipt{File: stored.File, Revision: revision(after)}
	if change.DryRun {
		return receipt, nil
	}
	if m.files == nil {
		m.files = map[string][]byte{}
	}
	m.files[stored.File] = after
	receipt.Undo = func(context.Context) error { return m.undo(stored.File, after, before) }
	return receipt, nil
}

// undo writes back what was there, where it has not changed since.
func (m *Map) undo(file string, after, before []byte) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	if !bytes.Equal(m.files[file], after) {
		return &tokens.ConflictError{File: file}
	}
	if before == nil {
		delete(m.files, file)
		return nil
	}
	m.files[file] = before
	return nil
}
