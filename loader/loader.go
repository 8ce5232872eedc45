// Package loader keeps a policy.Index in step with its sources, which are directories of manifests.
//
// Everything that can fail comes before the swap. A load reads the directories whole, decodes
// strictly, checks the documents together and compiles them; only then does one transaction of
// go-memdb replace the running revision. Where anything is wrong, the last good revision stays,
// and the load changes nothing but what it revokes or suspends: that takes force whatever else
// is broken.
package loader

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// Options of a Loader. Zero values mean the defaults.
type Options struct {
	LastGood string        // a directory that keeps last good states over restarts; empty: none
	MaxBytes int64         // how much a load reads at most; default MaxBytes
	Poll     time.Duration // how often directories are read without an event; default 10 s
	Settle   time.Duration // for how long files that may be half written must rest; default 200 ms
	Patience time.Duration // after how long of no rest a load is rejected; default 700 ms, so that a revocation counts within a second
	Remind   time.Duration // how often the log repeats that the last load was rejected; default 1 min
	Now      func() time.Time
	Logger   *slog.Logger

	Documents bool // keep the documents for Documents, and let single files that this process writes take effect by themselves
}

// Report is what became of a load.
type Report struct {
	Change   policy.Change
	Loaded   bool             // something of it runs
	Kept     []Kept           // directories that keep their last good state; none where all do
	SHA256   [32]byte         // of the files
	Files    int              // that were read
	Problems []diag.Problem   // why the load was rejected; none: it runs
	Faulted  bool             // one of them is a fault of patgate
	Narrowed []string         // tokens that a rejected load refused from now on
	Revived  []policy.Revived // tokens whose validity the load extended
	Err      error            // an internal error
	Took     time.Duration
	Applied  time.Duration // of Took, from when the files were read and at rest
}

// Rejected reports whether some of the manifests don't run, and their last good state stays.
func (r *Report) Rejected() bool { return len(r.Problems) > 0 || r.Err != nil }

// Loader loads directories into an index. Make one with New.
type Loader struct {
	roots  []string
	parts  []*part // what keeps a last good state of its own; none: all directories are one
	scopes map[string]ruleset.Scope
	index  *policy.Index
	report func(Report)
	o      Options
	tree   func() *dir.Tree        // reads the directories
	seen   *dir.Tree               // the last reading that was checked, without the files' contents
	dirs   map[string]dir.Interest // what the last reading depends on

	loaded       *ruleset.Loaded              // the active revision by source file; nil: unknown
	rejectedSums map[string][sha256.Size]byte // digests of the files of the last load that was rejected
	narrowed     []string                     // tokens that the current load revoked early so far

	writes  chan write // files that this process has written
	written []write    // of the load under way
	paths   []string   // of the files that were written last
	alone   *dir.Tree  // a reading of nothing but those
	aside   *documents // what Documents returns; nil: nothing is kept

	rejected time.Time // since when loads are rejected; zero: the last one runs
	reported time.Time // when that was logged last
}

// New returns a loader of the directories. It calls report for each load, from one
// goroutine at a time.
func New(index *policy.Index, roots []string, report func(Report), o Options) *Loader {
	roots = dir.Distinct(roots)
	if o.MaxBytes == 0 {
		o.MaxBytes = dir.MaxBytes
	}
	if o.Poll == 0 {
		o.Poll = 10 * time.Second
	}
	if o.Settle == 0 {
		o.Settle = 200 * time.Millisecond
	}
	if o.Patience == 0 {
		o.Patience = 700 * time.Millisecond
	}
	if o.Remind == 0 {
		o.Remind = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Loader{roots: roots, scopes: dir.Scopes(roots), index: index, report: report, o: o, writes: make(chan write)}
	if dir.Restricted(roots) || o.LastGood != "" {
		l.parts = newParts(roots)
		l.restore()
	}
	if o.Documents {
		l.aside = new(documents)
	}
	l.tree = func() *dir.Tree { return dir.Scan{Roots: roots, MaxBytes: o.MaxBytes, Known: l.known()}.Read() }
	return l
}

// Load reads the directories and applies what it finds, unless nothing changed since
// the last time. It returns ctx's error where it was interrupted.
func (l *Loader) Load(ctx context.Context) error {
	start := time.Now()
	return l.take(ctx, l.read(), start)
}

// take applies what a reading has found.
func (l *Loader) take(ctx context.Context, t *dir.Tree, start time.Time) error {
	for {
		var err error
		if l.seen != nil && t.Digest == l.seen.Digest {
			l.confirm(t)
			return nil
		}
		if !l.isWritten(t) {
			if t, err = l.settled(ctx, t); err != nil {
				return err
			}
		}
		if l.seen != nil && t.Digest == l.seen.Digest {
			l.confirm(t)
			return nil
		}
		read, large := time.Now(), false
		l.narrowed = nil
		if len(l.parts) > 0 {
			large = t.Size() > largeLoad
			r := l.loadParts(t)
			l.done(t, nil, &r, start, read)
			free(large)
			return nil
		}
		l.revokeChanged(t)
		step, whole := l.step(t)
		if t = whole; step == nil {
			continue // the directories have changed meanwhile
		}
		large = step.Whole && t.Size() > largeLoad
		r := l.apply(t, step)
		if r.Err != nil && !step.Whole {
			t = l.whole(t) // what it steps from is not what runs
			continue
		}
		l.done(t, step, &r, start, read)
		free(large)
		return nil
	}
}

// free gives back what a large load took: that is several times what runs.
func free(large bool) {
	if large {
		debug.FreeOSMemory()
	}
}

// done reports what became of a reading.
func (l *Loader) done(t *dir.Tree, step *ruleset.Step, r *Report, start, read time.Time) {
	l.seen = t.Forget()
	l.keepDocuments(t, step)
	r.Took, r.Applied = time.Since(start), time.Since(read)
	l.note(r)
	l.report(*r)
}

// known returns the digests of files whose data need not be read.
func (l *Loader) known() map[string][sha256.Size]byte {
	if len(l.parts) == 0 {
		return l.loaded.Known()
	}
	known := map[string][sha256.Size]byte{}
	for _, p := range l.parts {
		if p.good == nil {
			continue
		}
		for _, f := range p.good.Files {
			known[f.Name] = f.Sum
		}
	}
	return known
}

// largeLoad is how many bytes of manifests make a garbage collection worthwhile after a
// load.
const largeLoad = 8 << 20

// whole returns a reading that holds the contents of every file.
func (l *Loader) whole(t *dir.Tree) *dir.Tree {
	l.loaded = nil
	if t.Partial {
		return l.read()
	}
	return t
}

func (l *Loader) read() *dir.Tree {
	if l.aside != nil {
		l.aside.start()
	}
	t := l.tree()
	l.dirs = t.Watched
	return t
}

// settled waits until two readings agree, so that a file that is being written does
// not count by its half. What a ConfigMap mount holds changes as one and need not rest.
// A part that does not come to rest in time is rejected, and no other is.
func (l *Loader) settled(ctx context.Context, t *dir.Tree) (*dir.Tree, error) {
	deadline := time.Now().Add(l.o.Patience)
	before := l.seen
	for restless := t.Restless(before); len(restless) > 0; restless = t.Restless(before) {
		if time.Now().After(deadline) {
			if len(l.parts) == 0 {
				t = l.whole(t)
				restless = t.Each()
			}
			return t.Reject(restless, "the files keep changing, expected them to rest for "+l.o.Settle.String()), nil
		}
		before = t.Forget()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(l.o.Settle):
		}
		t = l.read()
	}
	return t, nil
}

// step decodes and checks the difference between a reading and the active revision. If it needs
// all files and they changed meanwhile, it returns no step but the new reading. Revocations of a
// broken file take effect before its problems are explained, which takes longer.
func (l *Loader) step(t *dir.Tree) (*ruleset.Step, *dir.Tree) {
	step := l.loaded.Step(t.Input(l.roots), ruleset.Options{Workers: l.workers(), Running: l.index.Snapshot()})
	if step.Broken() || len(t.Problems) > 0 {
		_ = l.revokeEarly(step.Tokens) // reject repeats it, and reports the error
	}
	if good := step.Check(); good || step.Whole {
		return step, t
	}
	whole := l.whole(t)
	if whole.Digest != t.Digest || whole.Plain != t.Plain {
		return nil, whole
	}
	return l.step(whole)
}

// apply makes a step the running revision, or rejects it. Everything that can fail happens before
// the swap.
func (l *Loader) apply(t *dir.Tree, step *ruleset.Step) Report {
	running := l.index.Snapshot()
	r := Report{SHA256: t.Digest, Files: len(t.Files), Problems: step.Problems, Faulted: step.Faulted}
	if len(r.Problems) == 0 {
		r.Problems = step.Losses(l.o.Now())
	}
	if len(r.Problems) > 0 {
		l.reject(&r, t, step.Set)
		return r
	}
	if r.Change, r.Err = l.index.Apply(step.Changes, l.o.Now()); r.Err == nil {
		r.Loaded = true
		l.loaded, l.rejectedSums = step.Accept(), nil
		r.Revived = l.revived(running, step.Changes.New.Tokens)
	}
	return r
}

// revived lists those of the tokens whose validity is longer than in the revision before. The
// manifests take effect, because they are the source of truth; the event asks for a review.
func (l *Loader) revived(before *policy.Snapshot, tokens []*policy.Token) []policy.Revived {
	if !before.Ready() {
		return nil
	}
	return l.index.Snapshot().Revivals(before, tokens)
}

// reject applies the revocations of a rejected load, and records the files' digests.
func (l *Loader) reject(r *Report, t *dir.Tree, set *ruleset.Set) {
	r.Err = l.revokeEarly(set.Tokens)
	r.Narrowed, r.Change.Revision = l.narrowed, l.index.Snapshot().Revision().Number
	l.rejectedSums = make(map[string][sha256.Size]byte, len(t.Files))
	for _, f := range t.Files {
		l.rejectedSums[f.Name] = f.Sum
	}
}

// revokeChanged applies the revocations in files that changed since a rejected load, before
// it reads anything else: the next load is likely rejected too, and if not, it revokes the
// same tokens. Small files come first.
func (l *Loader) revokeChanged(t *dir.Tree) {
	if l.rejectedSums == nil || l.loaded != nil {
		return
	}
	var changed []dir.File
	for _, f := range t.Files {
		if sum, known := l.rejectedSums[f.Name]; !known || sum != f.Sum {
			changed = append(changed, f)
		}
	}
	slices.SortFunc(changed, func(a, b dir.File) int { return len(a.Data) - len(b.Data) })
	var dec manifest.Decoder
	for _, f := range changed {
		docs := dec.ReadEnds(f.Name, f.Data)
		for _, doc := range docs {
			doc.Origin = t.Origin
		}
		if err := l.revokeEarly(docs); err != nil {
			return // reject repeats it, and reports the error
		}
	}
}

// workers is how many goroutines decode: one per processor at the start, one less once checks are
// answered.
func (l *Loader) workers() int {
	n := runtime.GOMAXPROCS(0)
	if l.index.Snapshot().Ready() {
		n = max(1, n-1)
	}
	return n
}

// revokeEarly applies the revocations of documents to the last good revision.
func (l *Loader) revokeEarly(docs []*manifest.Document) error {
	list := ruleset.Endings(docs)
	if len(list) == 0 || !l.index.Snapshot().Ready() {
		return nil
	}
	names, _, err := l.index.RevokeEarly(list)
	l.narrowed = append(l.narrowed, names...)
	slices.Sort(l.narrowed)
	l.narrowed = slices.Compact(l.narrowed)
	return err
}

// debounce is the minimum time between two reads: many events at once are one change.
const debounce = 20 * time.Millisecond

// Run loads whenever the directories change: by their events, by nudges (SIGHUP), and
// every Options.Poll whatever they say. It returns when ctx is done.
func (l *Loader) Run(ctx context.Context, nudge <-chan struct{}) {
	w := dir.NewWatch(l.o.Logger)
	defer w.Close()
	poll := time.NewTicker(l.o.Poll)
	defer poll.Stop()
	for {
		// What changes while new directories begin to be watched has no event: load again.
		for w.Follow(l.dirs) {
			if l.Load(ctx) != nil {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(debounce):
		case first := <-l.writes:
			if l.loadWritten(ctx, first) != nil {
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case first := <-l.writes:
			if l.loadWritten(ctx, first) != nil {
				return
			}
			continue
		case <-w.Changed:
			if known, err := l.isKnown(ctx, w); err != nil {
				return
			} else if known {
				continue
			}
		case <-nudge:
			before := l.seen
			if l.Load(ctx) != nil {
				return
			}
			if l.seen == before {
				l.o.Logger.Info("the manifests have not changed")
			}
		case <-poll.C:
			l.remind()
		}
		if l.loadAside(ctx) != nil {
			return
		}
	}
}
