package loader

import (
	"context"
	"crypto/sha256"
	"path/filepath"
)

// write is a file that this process has written, and the channel of the caller that waits for it.
type write struct {
	Written
	path string
	runs chan bool // receives whether the file is active
}

// Written loads a file that this process has written, without waiting for it to settle, and reports whether it is active
// then. It returns once Run has loaded the file, or ctx is done.
func (l *Loader) Written(ctx context.Context, file string, sum [sha256.Size]byte) bool {
	w := write{Written{filepath.Base(file), sum}, file, make(chan bool, 1)}
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

// loadWritten loads a written file, together with others that were written meanwhile.
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
	have := l.have()
	sound := l.lastReadRuns()
	for _, w := range waiting {
		if have.Written = append(have.Written, w.Written); sound {
			have.Paths = append(have.Paths, w.path)
		}
	}
	err := l.load(ctx, have)
	known := l.known()
	for _, w := range waiting {
		w.runs <- runs(known, &w)
	}
	return err
}

// runs reports whether the written file is among the active files.
func runs(known map[string][sha256.Size]byte, w *write) bool {
	if sum, there := known[w.path]; there {
		return sum == w.Sum
	}
	for name, sum := range known {
		if sum == w.Sum && filepath.Base(name) == w.File {
			return true
		}
	}
	return false
}
