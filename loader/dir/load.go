// Package dir keeps manifests in directories: it reads them whole, watches them, and writes files
// atomically. What it reads is one consistent state, or a problem.
package dir

import "github.com/patgate/patgate/ruleset"

// Load reads directories once and loads what it finds.
func Load(roots []string) *ruleset.Set { return load(Scan{Roots: roots}, ruleset.Options{}) }

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
	return ruleset.Load(s.Read().Input(s.Roots), o)
}
