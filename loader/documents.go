package loader

import (
	"context"
	"maps"
	"sync/atomic"
	"time"

	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/ruleset"
)

// documents keeps what the loader has read, as documents, for those who change them: so that one
// change among many tokens costs as much as among a few.
type documents struct {
	current atomic.Pointer[dir.Kept]

	bare  *dir.Tree // the last reading that was checked, without what files held
	began time.Time // when the reading under way began
	reads int       // how many have begun
}

func (d *documents) start() { d.began, d.reads = time.Now(), d.reads+1 }

// Documents returns what was read last: with its problems, whether it runs or not. It is nil before
// the first load, and where Options.Documents is not set.
func (l *Loader) Documents() *dir.Kept {
	if l.aside == nil {
		return nil
	}
	return l.aside.current.Load()
}

// keepDocuments keeps a reading that was checked.
func (l *Loader) keepDocuments(t *dir.Tree, step *ruleset.Step) {
	d := l.aside
	if d == nil {
		return
	}
	before := d.current.Load()
	var set *ruleset.Set
	switch {
	case step != nil && step.Whole:
		set = step.Set.Alone()
	case before != nil:
		set = before.Set.Reload(l.complete(t).Input(l.roots))
	default:
		set = ruleset.Load(l.complete(t).Input(l.roots), ruleset.Options{Workers: l.workers()})
	}
	d.bare = t.Bare()
	d.current.Store(dir.NewKept(set, d.bare, d.began))
}

// confirm notes that a reading found what is known.
func (l *Loader) confirm(t *dir.Tree) {
	if l.aside == nil {
		return
	}
	if before := l.aside.current.Load(); before != nil {
		l.aside.bare = t.Bare()
		l.aside.current.Store(dir.NewKept(before.Set, l.aside.bare, l.aside.began))
	}
}

// complete returns a reading with what its parts were completed by.
func (l *Loader) complete(t *dir.Tree) *dir.Tree {
	if len(t.Parts) == 0 {
		return t
	}
	whole := dir.Join(t.Parts, nil)
	whole.Problems, whole.Digest = t.Problems, t.Digest
	return whole
}

// sound reports whether the last reading runs, so that a single file can be exchanged in it.
func (l *Loader) sound() bool {
	if l.aside == nil || l.aside.bare == nil || l.loaded == nil || l.rejectedSums != nil {
		return false
	}
	for _, p := range l.parts {
		if p.rejection.problems != nil || len(p.ended) > 0 {
			return false
		}
	}
	return true
}

// isKnown reports whether the events of a watch are about what is known, such as what this process
// has written. Writes that are yet to be loaded are loaded first.
func (l *Loader) isKnown(ctx context.Context, w *dir.Watch) (bool, error) {
	if l.aside == nil {
		return false, nil
	}
	for rest := time.After(debounce); rest != nil; {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case first := <-l.writes:
			if err := l.loadWritten(ctx, first); err != nil {
				return false, err
			}
		case <-rest:
			rest = nil
		}
	}
	paths, all := w.Take()
	return all && l.sound() && l.aside.bare.Explains(paths), nil
}

// single returns a reading that differs from the last one by the files that this process has
// written; nil: everything must be read.
func (l *Loader) single() *dir.Tree {
	if !l.sound() {
		return nil
	}
	t := l.aside.bare
	for _, w := range l.written {
		if t = t.With(w.path, l.o.MaxBytes); t == nil || !l.reads(t, &w) {
			return nil // somebody else writes it too
		}
	}
	l.alone = t
	return t
}

// reads reports whether a reading has what was written.
func (l *Loader) reads(t *dir.Tree, w *write) bool { return t.Holds(t.NameOf(w.path), w.sum) }

// loadAside does what Load does, and lets what this process writes take effect while it reads.
func (l *Loader) loadAside(ctx context.Context) error {
	if l.aside == nil {
		return l.Load(ctx)
	}
	start := time.Now()
	l.aside.start()
	reads := l.aside.reads
	scan := dir.Scan{Roots: l.roots, MaxBytes: l.o.MaxBytes, Known: maps.Clone(l.known())}
	read := make(chan *dir.Tree, 1)
	go func() { read <- scan.Read() }()
	var meanwhile []string
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case first := <-l.writes:
			err := l.loadWritten(ctx, first)
			if err != nil {
				return err
			}
			meanwhile = append(meanwhile, l.paths...)
		case t := <-read:
			l.dirs = t.Watched
			if l.aside.reads != reads {
				return nil // everything was read since
			}
			for _, path := range meanwhile {
				if t = t.With(path, l.o.MaxBytes); t == nil {
					return l.Load(ctx)
				}
			}
			return l.take(ctx, t, start)
		}
	}
}
