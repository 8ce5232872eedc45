package dir

import (
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/fsnotify/fsnotify"
)

// Interest is which names in a directory matter; nil: all of them.
type Interest map[string]bool

// Watch reports that something changed in a set of directories. It watches directories
// and never files: a ConfigMap changes by the rename of its `..data` link, after which
// a watch on a file is deaf.
type Watch struct {
	notifier *fsnotify.Watcher // nil where the system has none to give: the poll remains
	logger   *slog.Logger
	pump     sync.WaitGroup
	dirs     atomic.Pointer[map[string]Interest]
	refused  map[string]bool // directories that could not be watched, logged once

	mu    sync.Mutex
	paths map[string]bool // that had an event since Take
	lost  bool            // others may have had one
}

// maxPaths is how many paths are told apart between two calls of Take.
const maxPaths = 1_000

// Take returns the paths that have had an event since the last call, unless others may have had one.
func (w *Watch) Take() (paths []string, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for path := range w.paths {
		paths = append(paths, path)
	}
	all = !w.lost
	w.paths, w.lost = nil, false
	return paths, all
}

// note remembers the path of an event; empty: it is not known.
func (w *Watch) note(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost = w.lost || path == "" || len(w.paths) >= maxPaths; w.lost {
		w.paths = nil
		return
	}
	if w.paths == nil {
		w.paths = map[string]bool{}
	}
	w.paths[path] = true
}

// NewWatch watches no directory yet. It calls changed after each event that matters, until Close returns.
func NewWatch(logger *slog.Logger, changed func()) *Watch {
	w := &Watch{logger: logger, refused: map[string]bool{}}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		logger.Warn("directories can't be watched, changes are found only by polling", "error", err)
		return w
	}
	w.notifier = n
	w.dirs.Store(&map[string]Interest{})
	w.pump.Go(func() {
		for {
			select {
			case event, open := <-n.Events:
				if !open {
					return
				}
				if !w.matters(event.Name) {
					continue
				}
				w.note(event.Name)
			case _, open := <-n.Errors: // an overflow: events were lost
				if !open {
					return
				}
				w.note("")
			}
			changed()
		}
	})
	return w
}

// matters reports whether an event's name is one to look at: an entry of a directory
// that is read, a link on the way to one, or such a directory itself.
func (w *Watch) matters(name string) bool {
	dirs := *w.dirs.Load()
	if _, itself := dirs[name]; itself {
		return true
	}
	names, ok := dirs[filepath.Dir(name)]
	return ok && (names == nil || names[filepath.Base(name)])
}

// Follow watches these directories and no others. It reports whether any is new.
func (w *Watch) Follow(dirs map[string]Interest) (added bool) {
	if w.notifier == nil {
		return false
	}
	w.dirs.Store(&dirs)
	watched := map[string]bool{}
	for _, dir := range w.notifier.WatchList() {
		watched[dir] = true
		if _, wanted := dirs[dir]; !wanted {
			_ = w.notifier.Remove(dir) // gone by itself where the directory is
		}
	}
	for dir := range dirs {
		if watched[dir] {
			continue
		}
		if err := w.notifier.Add(dir); err != nil {
			if !w.refused[dir] {
				w.logger.Warn("a directory can't be watched, its changes are found by polling", "directory", dir, "error", err)
			}
			w.refused[dir] = true
			continue
		}
		added = true
		w.note("") // what changed before has no event
	}
	return added
}

// Close ends the watch.
func (w *Watch) Close() {
	if w.notifier != nil {
		_ = w.notifier.Close()
		w.pump.Wait()
	}
}
