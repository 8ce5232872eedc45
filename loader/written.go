package loader

import (
	"context"
	"crypto/sha256"
	"path/filepath"
	"time"

	"github.com/patgate/patgate/loader/dir"
)

// write is a file that this process has written, whole and at once.
type write struct {
	path string
	file string // its base name: a directory may be known by several paths
	sum  [sha256.Size]byte
	runs chan bool // gets whether it runs
}

// Written loads a file that this process has written, without waiting for it to rest, and reports
// whether it runs then. It waits until Run has done so, or ctx is done.
func (l *Loader) Written(ctx context.Context, file string, sum [sha256.Size]byte) bool {
	w := write{file, filepath.Base(file), sum, make(chan bool, 1)}
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
	l.written = append(l.written[:0], first)
	for more := true; more; {
		select {
		case w := <-l.writes:
			l.written = append(l.written, w)
		default:
			more = false
		}
	}
	var err error
	if t := l.single(); t != nil {
		err = l.take(ctx, t, time.Now())
	} else {
		err = l.Load(ctx)
	}
	l.paths = l.paths[:0]
	known := l.known()
	for _, w := range l.written {
		l.paths = append(l.paths, w.path)
		w.runs <- l.runs(known, &w)
	}
	l.written = l.written[:0]
	return err
}

// runs reports whether what was written is among the files that run.
func (l *Loader) runs(known map[string][sha256.Size]byte, w *write) bool {
	if l.aside != nil && l.aside.bare != nil {
		if name := l.aside.bare.NameOf(w.path); name != "" {
			sum, there := known[name]
			return there && sum == w.sum
		}
	}
	for name, sum := range known {
		if sum == w.sum && filepath.Base(name) == w.file {
			return true
		}
	}
	return false
}

// isWritten reports whether a reading differs from what runs by nothing but what this process has
// written, which is never half a file.
func (l *Loader) isWritten(t *dir.Tree) bool {
	if t == l.alone {
		return true
	}
	known := l.known()
	if len(l.written) == 0 || len(known) == 0 || len(t.Problems) > 0 {
		return false
	}
	there := 0
	for _, f := range t.Files {
		sum, before := known[f.Name]
		if before {
			there++
		}
		if sum != f.Sum && !l.wrote(&f) {
			return false
		}
	}
	return there == len(known)
}

func (l *Loader) wrote(f *dir.File) bool {
	for _, w := range l.written {
		if w.sum == f.Sum && w.file == filepath.Base(f.Name) {
			return true
		}
	}
	return false
}
