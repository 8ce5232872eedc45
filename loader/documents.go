package loader

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/patgate/patgate/ruleset"
)

// documents keeps the documents that the loader has read, so that a write need not read all of them again.
type documents struct {
	current atomic.Pointer[Documents]
	began   time.Time // when the last reading of everything began
}

// Documents holds the documents of the last read, valid or not, with their problems. It is read-only.
type Documents struct {
	Set   *ruleset.Set
	Began time.Time // when that was read, or found to be unchanged
}

// Documents returns the documents of the last read. It is nil before the first load, and without Options.Documents.
func (l *Loader) Documents() *Documents {
	if l.documents == nil {
		return nil
	}
	return l.documents.current.Load()
}

// keepDocuments stores the documents of updates that were checked.
func (l *Loader) keepDocuments(updates []*Update, step *ruleset.Step) {
	if l.documents == nil {
		return
	}
	before := l.documents.current.Load()
	var set *ruleset.Set
	switch {
	case step != nil && step.Whole:
		set = step.Set.Detached()
	case before != nil:
		set = before.Set.Reload(l.input(updates))
	default:
		set = ruleset.Load(l.input(updates), ruleset.Options{Workers: l.workers()})
	}
	l.documents.current.Store(&Documents{set, l.documents.began})
}

// confirm records that the documents are at least as new as a full read.
func (l *Loader) confirm(began time.Time) {
	if l.documents == nil {
		return
	}
	l.documents.began = began
	if before := l.documents.current.Load(); before != nil {
		l.documents.current.Store(&Documents{before.Set, began})
	}
}

// lastReadRuns reports whether the last read became active, so that a source may read only the changes.
func (l *Loader) lastReadRuns() bool {
	if l.documents == nil || l.loaded == nil || l.rejectedSums != nil {
		return false
	}
	for _, p := range l.parts {
		if p.rejection.problems != nil || len(p.ended) > 0 {
			return false
		}
	}
	return true
}

// maxEventLooks is how often files with events are checked before all files are read. The event for a file that
// this process writes arrives some milliseconds before Written reports it.
const maxEventLooks = 3

// loadChanged loads after events. If all of them are about files that this process has written, it reads nothing more.
func (l *Loader) loadChanged(ctx context.Context) error {
	for range maxEventLooks {
		if !l.lastReadRuns() {
			return l.Load(ctx)
		}
		if err := l.waitForWrites(ctx, debounce); err != nil {
			return err
		}
		if l.knowsAllEvents() {
			return nil
		}
	}
	return l.loadConcurrently(ctx)
}

// knowsAllEvents reports whether all events are about files that the loader has loaded.
func (l *Loader) knowsAllEvents() bool {
	return !slices.ContainsFunc(l.sources, func(s Source) bool {
		p, ok := s.(Preparer)
		return !ok || !p.Known()
	})
}

// waitForWrites waits, and loads the files that this process writes meanwhile.
func (l *Loader) waitForWrites(ctx context.Context, wait time.Duration) error {
	over := make(chan struct{})
	defer time.AfterFunc(wait, func() { close(over) }).Stop()
	return l.loadWritesUntil(ctx, over)
}

// loadWritesUntil loads the files that this process writes until over is closed.
func (l *Loader) loadWritesUntil(ctx context.Context, over <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case first := <-l.writes:
			if err := l.loadWritten(ctx, first); err != nil {
				return err
			}
		case <-over:
			return nil
		}
	}
}

// loadConcurrently does what Load does. While it reads sources and waits for files to settle, it still loads the files
// that this process writes.
func (l *Loader) loadConcurrently(ctx context.Context) error {
	for l.lastReadRuns() {
		began := time.Now()
		if err := l.prepare(ctx); err != nil {
			return err
		}
		have := l.have()
		have.Prepared = true
		err := l.load(ctx, have)
		var unsettled *SettleError
		if !errors.As(err, &unsettled) {
			l.confirm(began)
			return err
		}
		if err := l.waitForWrites(ctx, unsettled.For); err != nil {
			return err
		}
	}
	return l.Load(ctx)
}

// prepare reads sources in another goroutine, and loads the files that this process writes meanwhile.
func (l *Loader) prepare(ctx context.Context) error {
	var reads []func()
	for _, s := range l.sources {
		if p, ok := s.(Preparer); ok {
			reads = append(reads, p.Prepare(l.have()))
		}
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for _, do := range reads {
			do()
		}
	}()
	err := l.loadWritesUntil(ctx, read)
	<-read
	return err
}
