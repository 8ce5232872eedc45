package dir

import (
	"maps"

	"github.com/patgate/patgate/loader"
)

// prepared is a read that was made in another goroutine than the Loader's.
type prepared struct {
	tree  *Tree    // nil: not yet
	since []string // files that this process has written since it began
}

// remember keeps a reading that the Loader has, so that single files can be exchanged in it.
func (s *Source) remember(t *Tree) {
	if s.Singles {
		s.bare = t.bare()
	}
}

// Prepare returns a function that reads everything, for another goroutine.
func (s *Source) Prepare(have loader.Have) (read func()) {
	p := &prepared{}
	s.ahead = p
	s.open, s.unclear = nil, false
	if s.read != nil {
		return func() { p.tree = s.read(have.Documents) }
	}
	scan := s.plan(&have)
	scan.Known = maps.Clone(scan.Known)
	return func() { p.tree = scan.Read() }
}

// begin returns a reading: one that was prepared, with what this process has written since, or a new
// one.
func (s *Source) begin(have *loader.Have) *Tree {
	p := s.ahead
	s.ahead = nil
	if !have.Prepared || p == nil {
		return s.scan(have)
	}
	t := p.tree
	if len(p.since) > 0 {
		if t = t.withFiles(p.since, s.MaxBytes); t == nil {
			return s.scan(have)
		}
	}
	s.dirs = t.Watched
	return t
}

// single returns a reading that differs from the last one by what this process has written; nil:
// everything must be read.
func (s *Source) single(have loader.Have) *Tree {
	if !s.Singles || s.bare == nil || len(have.Paths) == 0 || !s.bare.seen(have.Seen) {
		return nil
	}
	t := s.bare.withFiles(have.Paths, s.MaxBytes)
	if t == nil {
		return nil
	}
	for i, path := range have.Paths {
		if !t.holds(t.nameOf(path), have.Written[i].Sum) {
			return nil // another process writes it too
		}
	}
	if s.ahead != nil {
		s.ahead.since = append(s.ahead.since, have.Paths...)
	}
	s.settling.replaceFiles(have.Paths, s.MaxBytes)
	s.last = t.Forget()
	return t
}

// holds reports whether a file has this digest.
func (t *Tree) holds(name string, sum [32]byte) bool {
	known, there := t.known(name)
	return there && known == sum
}

// Known reports whether all events since the last reading of everything were about what the Loader has.
func (s *Source) Known() bool {
	if !s.Singles || s.watch == nil {
		return false
	}
	paths, all := s.watch.Take()
	if s.unclear = s.unclear || !all; s.unclear {
		return false
	}
	s.open = s.bare.unexplained(append(s.open, paths...))
	return len(s.open) == 0
}
