package loader

import (
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// Index returns the index of a loader.
func (l *Loader) Index() *policy.Index { return l.index }

// Loaded returns what a loader knows of the active revision by source file.
func (l *Loader) Loaded() *ruleset.Loaded { return l.loaded }

// Unload lets a loader know nothing of the active revision: the next load is a whole one.
func (l *Loader) Unload() { l.loaded = nil }

// TryKept checks the last good states of all parts together.
func (l *Loader) TryKept() *ruleset.Step { return l.checkParts(nil) }

// StillRejected reports whether the loader goes on logging that the last load was rejected.
func (l *Loader) StillRejected() bool { return !l.rejected.IsZero() }

// Options returns the options of a loader.
func (l *Loader) Options() Options { return l.o }
