package loader

import (
	"crypto/sha256"
	"errors"
	"io/fs"

	"github.com/patgate/patgate/policy"
)

// savedState describes the stored state of a part.
type savedState struct {
	digest [sha256.Size]byte // of the files
	ended  int               // how many endings
}

// restore reads the last good state of each part that an earlier process stored. A state that can't be read is ignored.
func (l *Loader) restore() {
	if l.o.LastGood == "" {
		return
	}
	for _, p := range l.parts {
		s, err := readState(savedPath(l.o.LastGood, p.origin), p.origin)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			l.o.Logger.Error("a stored last good state can't be used", "directory", p.origin, "error", err)
			continue
		}
		p.good, p.since, p.stored = s.Files, s.Since, true
		p.saved = savedState{s.Files.Digest, len(s.Ended)}
		p.ended, p.known = s.Ended, map[policy.Ending]bool{}
		for _, e := range s.Ended {
			p.known[e] = true
		}
	}
}

// saveParts stores the last good state of each part if it differs from the stored one. It runs after the state became
// active, so that a full or slow disk does not delay a revocation.
func (l *Loader) saveParts() {
	if l.o.LastGood == "" {
		return
	}
	for _, p := range l.parts {
		state := savedState{p.good.Digest, len(p.ended)}
		if state == p.saved {
			continue
		}
		err := writeState(savedPath(l.o.LastGood, p.origin), &saved{Origin: p.origin, Since: p.since, Files: p.good, Ended: p.ended})
		if err != nil {
			l.o.Logger.Error("the last good state can't be stored: a restart with bad manifests would fail", "directory", p.origin, "error", err)
			state = savedState{} // the next load tries it again
		}
		p.saved = state
	}
}
