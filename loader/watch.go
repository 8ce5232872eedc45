package loader

import (
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/fsnotify/fsnotify"
)

// interest is which names in a directory matter; nil: all of them.
type interest map[string]bool

// watch tells that something changed in a set of directories. It watches directories
// and never files: a ConfigMap changes by the rename of its `..data` link, after which
// a watch on a file is deaf.
type watch struct {
	changed  chan struct{}
	notifier *fsnotify.Watcher // nil where the system has none to give: the poll remains
	logger   *slog.Logger
	pump     sync.WaitGroup
	dirs     atomic.Pointer[map[string]interest]
	refused  map[string]bool // directories that could not be watched, said once
}

func newWatch(logger *slog.Logger) *watch {
	w := &watch{changed: make(chan struct{}, 1), logger: logger, refused: map[string]bool{}}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		logger.Warn("directories can't be watched, changes are found by polling alone", "error", err)
		return w
	}
	w.notifier = n
	w.dirs.Store(&map[string]interest{})
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
			case _, open := <-n.Errors: // an overflow: events were lost
				if !open {
					return
				}
			}
			select {
			case w.changed <- struct{}{}:
			default: // told already
			}
		}
	})
	return w
}

// matters reports whether an event's name is one to look at: an entry of a directory
// that is read, a link on the way to one, or such a directory itself.
func (w *watch) matters(name string) bool {
	dirs := *w.dirs.Load()
	if _, itself := dirs[name]; itself {
		return true
	}
	names, ok := dirs[filepath.Dir(name)]
	return ok && (names == nil || names[filepath.Base(name)])
}

// follow watches these directories and no others. It reports whether any is new.
func (w *watch) follow(dirs map[string]interest) (added bool) {
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
	}
	return added
}

func (w *watch) close() {
	if w.notifier != nil {
		_ = w.notifier.Close()
		w.pump.Wait()
	}
}
