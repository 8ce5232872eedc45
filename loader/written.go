package loader

import (
	"context"
	"crypto/sha256"
	"path/filepath"
)

// write is a file that this process has written, and who waits for it.
type write struct {
	Written
	runs chan bool // gets whether it runs
}

// Written loads a file that this process has written, without waiting for it to rest, and reports
// whether it runs then. It waits until Run has done so, or ctx is done.
func (l *Loader) Written(ctx context.Context, file string, sum [sha256.Size]byte) bool {
	w := write{Written{filepath.Base(file), sum}, make(chan bool, 1)}
	select {
	case l.writes <- w:
	case <-ctx.Done():
		return false
	}
	select {
	case runs := <-w.runs:
		return runs
	case <-ctx.Done():
		return false
	}
}

// loadWritten loads what was written, together with whatever else was written meanwhile.
func (l *Loader) loadWritten(ctx context.Context, first write) error {
	waiting := []write{first}
	for more := true; more; {
		select {
		case w := <-l.writes:
			waiting = append(waiting, w)
		default:
			more = false
		}
	}
	l.written = nil
	for _, w := range waiting {
		l.written = append(l.written, w.Written)
	}
	err := l.Load(ctx)
	l.written = nil
	known := l.known()
	running := make(map[Written]bool, len(known))
	for name, sum := range known {
		running[Written{filepath.Base(name), sum}] = true
	}
	for _, w := range waiting {
		w.runs <- running[w.Written]
	}
	return err
}
