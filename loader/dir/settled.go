package dir

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/loader"
)

// settling holds the reads made while files settle, that is, until they stay unchanged.
type settling struct {
	deadline      time.Time
	before        *Tree // what the next reading must agree with; nil: none yet
	earlier, last *Tree // the readings before; nil: none yet
}

// waitUntilSettled returns a read once two agree, so that a half-written file is never used. The files of a ConfigMap mount
// change atomically and need not settle. For a prepared read it does not wait, but returns a *loader.SettleError.
func (s *Source) waitUntilSettled(ctx context.Context, t *Tree, have *loader.Have) (*Tree, error) {
	settle := cmp.Or(s.Settle, 200*time.Millisecond)
	if s.settling == nil || !have.Prepared {
		s.settling = &settling{deadline: time.Now().Add(cmp.Or(s.Patience, 700*time.Millisecond)), before: s.last}
	}
	for {
		if settled := s.settled(t, have, settle); settled != nil {
			s.settling = nil
			return settled, nil
		}
		if have.Prepared {
			return nil, &loader.SettleError{For: settle}
		}
		select {
		case <-ctx.Done():
			s.settling = nil
			return nil, ctx.Err()
		case <-time.After(settle):
		}
		t = s.scan(have)
	}
}

// settled returns what rests, or nil where that is to be seen. Where others write all the time, what rests is
// taken. A part with a file that does not come to rest in time is rejected, and no other is.
func (s *Source) settled(t *Tree, have *loader.Have, settle time.Duration) *Tree {
	r := s.settling
	unsettled := t.Unsettled(r.before)
	if len(unsettled) == 0 {
		return t
	}
	if !time.Now().After(r.deadline) {
		r.before, r.earlier, r.last = t, r.last, t
		return nil
	}
	if settled := t.settled(r.last, r.earlier); settled != nil {
		return settled
	}
	if len(t.Parts) == 0 && t.Partial {
		t = s.scan(&loader.Have{Later: have.Later})
		unsettled = t.Each()
	}
	return t.Reject(unsettled, "the files keep changing, expected them to rest for "+settle.String())
}

// replaceFiles updates the reads with files that this process has written, which are complete.
func (r *settling) replaceFiles(paths []string, max int64) {
	if r == nil || r.last == nil {
		return
	}
	for _, t := range []**Tree{&r.earlier, &r.last} {
		if *t == nil {
			continue
		}
		if next := (*t).withFiles(paths, max); next != nil {
			*t = next
		}
	}
	r.before = r.last
}

// settled returns a reading without what others are just writing: each file is as it was in two
// readings before, or in this one and the last; one that is new is left for later. It returns nil
// where a file was never at rest. So a process follows a directory in which others write all the time.
func (t *Tree) settled(last, earlier *Tree) *Tree {
	if last == nil || earlier == nil || len(t.Parts) != len(last.Parts) || len(t.Parts) != len(earlier.Parts) {
		return nil
	}
	if len(t.Parts) > 0 {
		var parts []*Tree
		for i, part := range t.Parts {
			settled := part.settled(last.Parts[i], earlier.Parts[i])
			if settled == nil {
				return nil
			}
			parts = append(parts, settled)
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
