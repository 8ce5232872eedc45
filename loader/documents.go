package loader

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/patgate/patgate/ruleset"
)

// documents keeps what the loader has read, as documents, for those who change them: so that one
// change among many tokens costs as much as among a few.
type documents struct {
	current atomic.Pointer[Documents]
	began   time.Time // when the last reading of everything began
}

// Documents are what was read last: with its problems, whether it runs or not. They are only read.
type Documents struct {
	Set   *ruleset.Set
	Began time.Time // when that was read, or found to be unchanged
}

// Documents returns what was read last. It is nil before the first load, and where Options.Documents
// is not set.
func (l *Loader) Documents() *Documents {
	if l.aside == nil {
		return nil
	}
	return l.aside.current.Load()
}

// keepDocuments keeps updates that were checked.
func (l *Loader) keepDocuments(updates []*Update, step *ruleset.Step) {
	if l.aside == nil {
		return
	}
	before := l.aside.current.Load()
	var set *ruleset.Set
	switch {
	case step != nil && step.Whole:
		set = step.Set.Alone()
	case before != nil:
		set = before.Set.Reload(l.input(updates))
	default:
		set = ruleset.Load(l.input(updates), ruleset.Options{Workers: l.workers()})
	}
	l.aside.current.Store(&Documents{set, l.aside.began})
}

// confirm notes that the documents are at least as new as a reading of everything.
func (l *Loader) confirm(began time.Time) {
	if l.aside == nil {
		return
	}
	l.aside.began = began
	if before := l.aside.current.Load(); before != nil {
		l.aside.current.Store(&Documents{before.Set, began})
	}
}

// sound reports whether what was read last runs, so that a source may look at what differs alone.
func (l *Loader) sound() bool {
	if l.aside == nil || l.loaded == nil || l.rejectedSums != nil {
		return false
	}
	for _, p := range l.parts {
		if p.rejection.problems != nil || len(p.ended) > 0 {
			return false
		}
	}
	return true
}

// reports is how often files with events are looked at before everything is read. What this process writes
// has its event some milliseconds before Written reports it.
const reports = 3

// loadChanged loads after events. Where they are about what this process has written, nothing more
// need be read.
func (l *Loader) loadChanged(ctx context.Context) error {
	for range reports {
		if !l.sound() {
			return l.Load(ctx)
		}
		if err := l.rest(ctx, debounce); err != nil {
			return err
		}
		if l.knows() {
			return nil
		}
	}
	return l.loadAside(ctx)
}

// knows reports whether all events are about what the loader has.
func (l *Loader) knows() bool {
	return !slices.ContainsFunc(l.sources, func(s Source) bool {
		p, ok := s.(Preparer)
		return !ok || !p.Known()
	})
}

// rest waits, and loads what this process writes meanwhile.
func (l *Loader) rest(ctx context.Context, wait time.Duration) error {
	over := make(chan struct{})
	defer time.AfterFunc(wait, func() { close(over) }).Stop()
	return l.writtenUntil(ctx, over)
}

// writtenUntil loads what this process writes until something is over.
func (l *Loader) writtenUntil(ctx context.Context, over <-chan struct{}) error {
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

// loadAside does what Load does, and lets what this process writes take effect while sources are
// read and files rest.
func (l *Loader) loadAside(ctx context.Context) error {
	for l.sound() {
		began := time.Now()
		if err := l.prepare(ctx); err != nil {
			return err
		}
		have := l.have()
		have.Prepared = true
		err := l.load(ctx, have)
		var restless *RestError
		if !errors.As(err, &restless) {
			l.confirm(began)
			return err
		}
		if err := l.rest(ctx, restless.For); err != nil {
			return err
		}
	}
	return l.Load(ctx)
}

// prepare reads sources in another goroutine, and loads what this process writes meanwhile.
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
	err := l.writtenUntil(ctx, read)
	<-read
	return err
}
