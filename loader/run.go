package loader

import (
	"context"
	"time"
)

// debounce is the minimum time between two reads: many events at once are one change.
const debounce = 20 * time.Millisecond

// Run loads after each event of a source, after each nudge (SIGHUP), and every Options.Poll. It returns when ctx is done.
func (l *Loader) Run(ctx context.Context, nudge <-chan struct{}) {
	changed := make(chan struct{}, 1)
	for _, s := range l.sources {
		defer s.Watch(func() {
			select {
			case changed <- struct{}{}:
			default: // a change is pending already
			}
		})()
	}
	poll := time.NewTicker(l.o.Poll)
	defer poll.Stop()
	for err := error(nil); err == nil; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(debounce):
		case first := <-l.writes:
			err = l.loadWritten(ctx, first)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case first := <-l.writes:
			err = l.loadWritten(ctx, first)
		case <-changed:
			err = l.loadChanged(ctx)
		case <-nudge:
			err = l.loadNudged(ctx)
		case <-poll.C:
			l.remind()
			err = l.loadConcurrently(ctx)
		}
	}
}

// loadNudged loads because a user asked for it, and logs even if nothing changed.
func (l *Loader) loadNudged(ctx context.Context) error {
	before := l.loads
	err := l.Load(ctx)
	if err == nil && l.loads == before {
		l.o.Logger.Info("the manifests have not changed")
	}
	return err
}
