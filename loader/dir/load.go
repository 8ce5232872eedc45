// Package dir keeps manifests in directories: it reads them completely, watches them, and writes files atomically. A
// read returns one consistent state, or a problem.
package dir

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/ruleset"
)

// Load reads directories once and loads what it finds.
func Load(roots []string) *ruleset.Set { return LoadUpTo(roots, MaxBytes) }

// LoadUpTo does what Load does, and reads at most so many bytes.
func LoadUpTo(roots []string, maxBytes int64) *ruleset.Set {
	return load(Scan{Roots: roots, MaxBytes: maxBytes}, ruleset.Options{})
}

// LoadTests does what Load does, and reads the PolicyTests of the directories too.
func LoadTests(roots []string) *ruleset.Set {
	return load(Scan{Roots: roots, Tests: true}, ruleset.Options{})
}

// LoadEmpty does what Load does, and lets directories be empty: documents are yet to come.
func LoadEmpty(roots []string) *ruleset.Set {
	return load(Scan{Roots: roots}, ruleset.Options{AllowEmpty: true})
}

func load(s Scan, o ruleset.Options) *ruleset.Set {
	s.Roots = Distinct(s.Roots)
	o.AllowEmpty = o.AllowEmpty || areFiles(s.Roots)
	return ruleset.Load(s.Read().Input(s.Roots), o)
}

// areFiles reports whether all roots are single files, which need no gate among them.
func areFiles(roots []string) bool {
	return !slices.ContainsFunc(roots, func(root string) bool {
		info, err := os.Stat(parsePath(root))
		return err != nil || !info.Mode().IsRegular()
	})
}

// ReadTombstones reads the files of tombstones in directories, which are no manifests, and returns
// what is wrong with reading those.
func ReadTombstones(roots []string) ([]ruleset.File, []diag.Problem) {
	t := Scan{Roots: Distinct(roots), tombstones: true}.Read()
	problems := slices.DeleteFunc(t.Problems, func(p diag.Problem) bool { return filepath.Base(p.File) != Tombstones })
	return named(t.Files), problems
}
