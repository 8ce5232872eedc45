package dir

import (
	"cmp"
	"context"
	"crypto/sha256"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/ruleset"
)

// Source reads and watches directories for a Loader. Zero values mean the defaults.
type Source struct {
	Roots    []string      // as ParseRoot reads them; at least one
	MaxBytes int64         // how much is read at most; default MaxBytes
	Settle   time.Duration // for how long files that may be half written must rest; default 200 ms
	Patience time.Duration // after how long of no rest a reading is rejected; default 700 ms, so that a revocation counts within a second
	Hold     int64         // from how many bytes on files of tokens are read again when they are decoded, and not held; default 32 MiB
	Logger   *slog.Logger  // default none
	Singles  bool          // what this process writes is read by itself, at the cost of what differs

	read     func(known map[string][sha256.Size]byte) *Tree // for tests; default scan
	last     *Tree                                          // the last reading that was returned, without the files' contents
	dirs     map[string]Interest                            // what the last reading depends on
	watch    *Watch                                         // nil: nothing is watched
	changed  func()
	bare     *Tree     // with Singles, the last reading that the Loader has
	ahead    *prepared // nil: nothing was prepared
	settling *settling // nil: nothing has to come to rest
	open     []string  // paths with events that are not about what the Loader has
	unclear  bool      // others may have had one
}

var _ loader.Preparer = (*Source)(nil)

// Origins returns an origin for each part of the directories.
func (s *Source) Origins() (list []loader.Origin) {
	roots := Distinct(s.Roots)
	scopes := Scopes(roots)
	for _, name := range Origins(roots) {
		list = append(list, loader.Origin{Name: name, Scope: scopes[name]})
	}
	return list
}

// Read reads the directories once their files are at rest. What this process has written needs no
// rest.
func (s *Source) Read(ctx context.Context, have loader.Have) ([]loader.Update, error) {
	if t := s.single(have); t != nil {
		s.remember(t)
		return t.updates(), nil
	}
	t := s.begin(&have)
	defer s.follow()
	if t.seen(have.Seen) {
		s.settling = nil
		s.remember(t)
		return nil, nil
	}
	if !t.written(have) {
		var err error
		if t, err = s.waitUntilSettled(ctx, t, &have); err != nil {
			return nil, err
		}
		if t.seen(have.Seen) {
			s.remember(t)
			return nil, nil
		}
	}
	s.last = t.Forget()
	s.remember(t)
	return t.updates(), nil
}

// Watch watches the directories, also those that later readings find.
func (s *Source) Watch(changed func()) (stop func()) {
	logger := s.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s.watch, s.changed = NewWatch(logger, changed), changed
	s.follow()
	return func() {
		s.watch.Close()
		s.watch = nil
	}
}

// follow watches what the last reading depends on. What changes while new directories begin to be
// watched has no event: they must be read again.
func (s *Source) follow() {
	if s.watch != nil && s.watch.Follow(s.dirs) {
		s.changed()
	}
}

// scan reads the directories, without the data of files that the Loader has.
func (s *Source) scan(have *loader.Have) *Tree {
	var t *Tree
	if s.read != nil {
		t = s.read(have.Documents)
	} else {
		t = s.plan(have).Read()
	}
	s.dirs = t.Watched
	return t
}

// plan returns what is to be read.
func (s *Source) plan(have *loader.Have) Scan {
	scan := Scan{Roots: Distinct(s.Roots), MaxBytes: cmp.Or(s.MaxBytes, MaxBytes), Known: have.Documents}
	if have.Later {
		scan.hold = cmp.Or(s.Hold, 32<<20)
	}
	return scan
}

// updates returns the reading as the state of each of its parts.
func (t *Tree) updates() (list []loader.Update) {
	for _, part := range t.Each() {
		list = append(list, loader.Update{
			Origin: part.Origin, Documents: named(part.Files), Problems: part.Problems, Digest: part.Digest, Partial: part.Partial,
		})
	}
	return list
}

// seen reports whether each part is as it was seen last.
func (t *Tree) seen(last map[string][sha256.Size]byte) bool {
	return !slices.ContainsFunc(t.Each(), func(part *Tree) bool {
		sum, seen := last[part.Origin]
		return !seen || sum != part.Digest
	})
}

// written reports whether a reading differs from what runs by nothing but what this process has
// written, which is never half a file.
func (t *Tree) written(have loader.Have) bool {
	if len(have.Written) == 0 || len(have.Documents) == 0 || len(t.Problems) > 0 {
		return false
	}
	there := 0
	for i := range t.Files {
		f := &t.Files[i]
		sum, before := have.Documents[f.Name]
		if before {
			there++
		}
		if sum != f.Sum && !slices.Contains(have.Written, loader.Written{File: filepath.Base(f.Name), Sum: f.Sum}) {
			return false
		}
	}
	return there == len(have.Documents)
}

func named(files []File) []ruleset.File {
	list := make([]ruleset.File, len(files))
	for i := range files {
		list[i] = files[i].ruleset()
	}
	return list
}

func (f *File) ruleset() ruleset.File {
	return ruleset.File{Name: f.Name, Data: f.Data, Sum: f.Sum, Origin: f.Origin, Read: f.later, Size: f.size}
}
