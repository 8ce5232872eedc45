package dir

import (
	"slices"
	"strings"
)

// rested returns a reading without what others are just writing: each file is as it was in two
// readings before, or in this one and the last; one that is new is left for later. It returns nil
// where a file was never at rest. So a process follows a directory in which others write all the time.
func (t *Tree) rested(last, earlier *Tree) *Tree {
	if last == nil || earlier == nil || len(t.Parts) != len(last.Parts) || len(t.Parts) != len(earlier.Parts) {
		return nil
	}
	if len(t.Parts) > 0 {
		var parts []*Tree
		for i, part := range t.Parts {
			rested := part.rested(last.Parts[i], earlier.Parts[i])
			if rested == nil {
				return nil
			}
			parts = append(parts, rested)
		}
		if joined := Join(parts, nil); len(joined.Problems) == len(t.Problems) {
			return joined
		}
		return nil
	}
	if len(t.Problems)+len(last.Problems)+len(earlier.Problems) > 0 {
		return nil
	}
	next := *t
	next.Files = slices.Clone(t.Files[:0:0])
	for _, f := range t.Files {
		was, there := last.version(f.Name)
		switch {
		case f.Atomic || there && was.Sum == f.Sum && was.Stamp == f.Stamp:
			next.Files = append(next.Files, f)
		case !there: // new
		default:
			before, known := earlier.version(f.Name)
			if !known || before.Sum != was.Sum || before.Stamp != was.Stamp {
				return nil
			}
			next.Files = append(next.Files, *was)
		}
	}
	next.Seal()
	return &next
}

// version returns the one file of a name.
func (t *Tree) version(name string) (*File, bool) {
	i, found := slices.BinarySearchFunc(t.Files, name, func(f File, name string) int { return strings.Compare(f.Name, name) })
	if !found {
		return nil, false
	}
	return &t.Files[i], true
}
