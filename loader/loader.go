// Package loader keeps a policy.Index in step with its sources: directories of manifests (loader/dir),
// or anything else that is a Source.
//
// Everything that can fail comes before the swap. A load reads the sources whole, decodes
// strictly, checks the documents together and compiles them; only then does one transaction of
// go-memdb replace the running revision. If anything is wrong, the last good revision stays, and
// only the load's revocations and suspensions are applied: they take effect whatever else is
// broken.
//
// After the first load, only the files that differ are decoded, whatever kinds of documents they hold, and checked together
// with the ones that stay (ruleset.Loaded). If that can't decide, or finds a problem, all files are decoded, as at the start.
package loader

import (
	"context"
	"crypto/sha256"
	"iter"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// Options of a Loader. Zero values mean the defaults.
type Options struct {
	LastGood string        // a directory that keeps last good states over restarts; empty: none
	Poll     time.Duration // how often sources are read without an event; default 10 s
	Remind   time.Duration // how often the log repeats that the last load was rejected; default 1 min
	Now      func() time.Time
	Logger   *slog.Logger

	Documents bool // keep the documents for Loader.Documents

	IsolateTokens bool // a token at fault is not accepted, and the others run
}

// Report is the result of a load.
type Report struct {
	Change       policy.Change
	Loaded       bool             // at least a part of it became active
	Kept         []Kept           // origins that keep their last good state; none where all do
	SHA256       [32]byte         // of the documents
	Files        int              // that were read, or documents of sources without files
	Problems     []diag.Problem   // why the load was rejected; none: it is active
	Isolated     []diag.Problem   // why tokens of a load that runs are not accepted
	Faulted      bool             // one of them is a bug in patgate
	RevokedEarly []string         // tokens that a rejected load refused from now on
	Revived      []policy.Revived // tokens whose validity the load extended
	Err          error            // an internal error
	Took         time.Duration
	Applied      time.Duration // of Took, from when the files were read and at rest
}

// Rejected reports whether some of the manifests don't run, and their last good state stays.
func (r *Report) Rejected() bool { return len(r.Problems) > 0 || r.Err != nil }

// Loader loads sources into an index. Make one with New.
type Loader struct {
	sources []Source
	parts   []*part                  // what keeps a last good state of its own; none: one origin, and none is stored
	scopes  map[string]ruleset.Scope // by origin; none: one origin that may hold everything
	index   *policy.Index
	report  func(Report)
	o       Options
	seen    map[string][sha256.Size]byte // the digest of each origin's last update that was checked
	loads   int                          // how many updates were checked

	loaded       *ruleset.Loaded              // the active revision by source file; nil: unknown
	rejectedSums map[string][sha256.Size]byte // digests of the files of the last load that was rejected
	revokedEarly []string                     // tokens that the current load revoked early so far

	writes    chan write // files that this process has written
	documents *documents // what Documents returns; nil: nothing is kept

	rejected time.Time // since when loads are rejected; zero: the last one runs
	reported time.Time // when that was logged last
}

// New returns a loader of the sources. It calls report for each load, from one
// goroutine at a time.
func New(index *policy.Index, sources []Source, report func(Report), o Options) *Loader {
	if o.Poll == 0 {
		o.Poll = 10 * time.Second
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
	l := &Loader{sources: sources, index: index, report: report, o: o, writes: make(chan write)}
	var origins []Origin
	restricted := false
	for _, s := range sources {
		for _, origin := range s.Origins() {
			origins = append(origins, origin)
			restricted = restricted || origin.Scope.Restricts()
		}
	}
	if restricted || len(origins) > 1 {
		l.scopes = map[string]ruleset.Scope{}
		for _, origin := range origins {
			l.scopes[origin.Name] = origin.Scope
		}
	}
	if l.scopes != nil || o.LastGood != "" {
		l.parts = newParts(origins)
		l.restore()
	}
	if o.Documents {
		l.documents = new(documents)
	}
	return l
}

// Load reads the sources and applies what it finds, unless nothing changed since
// the last time. It returns ctx's error where it was interrupted.
func (l *Loader) Load(ctx context.Context) error {
	began := time.Now()
	err := l.load(ctx, l.have())
	l.confirm(began)
	return err
}

// have returns what the loader has already.
func (l *Loader) have() Have {
	return Have{Seen: l.seen, Documents: l.known(), Later: len(l.parts) == 0 && l.documents == nil && !l.o.IsolateTokens}
}

// load applies the difference between that and the sources.
func (l *Loader) load(ctx context.Context, have Have) error {
	start := time.Now()
	updates, err := l.read(ctx, have)
	if err != nil || updates == nil {
		return err
	}
	read := time.Now()
	l.revokedEarly = nil
	if len(l.parts) > 0 {
		large := size(updates) > largeLoad
		r := l.loadParts(updates)
		l.done(updates, nil, &r, start, read)
		releaseMemory(large)
		return nil
	}
	return l.loadOne(ctx, updates[0], start, read)
}

// loadOne applies an update of the only origin.
func (l *Loader) loadOne(ctx context.Context, u *Update, start, read time.Time) error {
	for {
		l.revokeChanged(u)
		step, whole, err := l.step(ctx, u)
		if err != nil {
			return err
		}
		if u = whole; step == nil { // the source has changed meanwhile
			if l.seen[u.Origin] == u.Digest {
				return nil
			}
			continue
		}
		updates := []*Update{u}
		r := l.apply(u, step)
		if r.Err != nil && !step.Whole { // the running revision is not the one that the step starts from
			if u, err = l.whole(ctx, u); err != nil {
				return err
			}
			continue
		}
		l.done(updates, step, &r, start, read)
		releaseMemory(step.Whole && size(updates) > largeLoad || r.Applied > longStep)
		return nil
	}
}

// limitGarbage collects garbage more often while a large load is decoded and packed. Loads hold few pointers, so that
// collecting is cheap.
func limitGarbage(large bool) (restore func()) {
	if !large {
		return func() {}
	}
	const growth = 25 // per cent
	before := debug.SetGCPercent(growth)
	if 0 <= before && before < growth {
		debug.SetGCPercent(before)
	}
	return func() { debug.SetGCPercent(before) }
}

// releaseMemory returns the memory of a large load to the system: it is several times that of the index.
func releaseMemory(large bool) {
	if large {
		debug.FreeOSMemory()
	}
}

// done reports the result of updates.
func (l *Loader) done(updates []*Update, step *ruleset.Step, r *Report, start, read time.Time) {
	l.loads++
	l.keepDocuments(updates, step)
	l.seen = make(map[string][sha256.Size]byte, len(updates))
	for _, u := range updates {
		l.seen[u.Origin] = u.Digest
	}
	r.Took, r.Applied = time.Since(start), time.Since(read)
	l.noteRejection(r)
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
		for _, f := range p.good.Documents {
			known[f.Name] = f.Sum
		}
	}
	return known
}

// largeLoad is how many bytes of manifests make a garbage collection worthwhile after a
// load.
const largeLoad = 8 << 20

// longStep is the time from which on an incremental load leaves so much garbage that collecting it is worthwhile: the rows of
// many tokens were copied.
const longStep = 50 * time.Millisecond

// whole returns an update that holds the data of every document.
func (l *Loader) whole(ctx context.Context, u *Update) (*Update, error) {
	l.loaded = nil
	if !u.Partial {
		return u, nil
	}
	return l.readAgain(ctx)
}

// readAgain reads the only source, whether it has changed or not.
func (l *Loader) readAgain(ctx context.Context) (*Update, error) {
	all, err := l.sources[0].Read(ctx, Have{Later: !l.o.IsolateTokens})
	if err != nil {
		return nil, err
	}
	return &all[0], nil
}

// step decodes and checks the difference between an update and the active revision. If it needs
// all documents and they changed meanwhile, it returns no step but the new update. Revocations of a
// broken document take effect before its problems are explained, which takes longer.
func (l *Loader) step(ctx context.Context, u *Update) (*ruleset.Step, *Update, error) {
	defer limitGarbage(size([]*Update{u}) > largeLoad)()
	step := l.loaded.Step(l.input([]*Update{u}), l.options())
	if step.Stale() {
		l.loaded = nil
		whole, err := l.readAgain(ctx)
		return nil, whole, err
	}
	if step.Broken() || len(u.Problems) > 0 {
		_ = l.revokeEarly(step.Endings()) // reject repeats it, and reports the error
	}
	if good := step.Check(); good || step.Whole {
		return step, u, nil
	}
	whole, err := l.whole(ctx, u)
	if err != nil {
		return nil, nil, err
	}
	if whole.Digest != u.Digest {
		return nil, whole, nil
	}
	return l.step(ctx, whole)
}

// apply makes a step the running revision, or rejects it. Everything that can fail happens before
// the swap.
func (l *Loader) apply(u *Update, step *ruleset.Step) Report {
	defer limitGarbage(size([]*Update{u}) > largeLoad)()
	running := l.index.Snapshot()
	r := Report{SHA256: u.Digest, Files: len(u.Documents), Problems: step.Problems, Faulted: step.Faulted}
	if len(r.Problems) == 0 {
		r.Problems = step.Losses(l.o.Now()) // mutant: lost-gate
	}
	if len(r.Problems) > 0 {
		l.reject(&r, u, step)
		return r
	}
	if r.Change, r.Err = l.index.Apply(step.Changes, l.o.Now()); r.Err == nil {
		r.Loaded, r.Isolated = true, step.Isolated
		if l.loaded, l.rejectedSums = step.Accept(), nil; len(r.Isolated) > 0 {
			l.noteSums(u)
		}
		r.Revived = l.revived(running, step.Concerned(l.index.Snapshot()))
	}
	return r
}

// revived lists those of the tokens whose validity is longer than in the revision before. The
// manifests take effect, because they are the source of truth; the event is a hint to review them.
func (l *Loader) revived(before *policy.Snapshot, tokens iter.Seq[*policy.Token]) []policy.Revived {
	if !before.Ready() {
		return nil
	}
	return l.index.Snapshot().Revivals(before, tokens)
}

// reject applies the revocations of a rejected load, and records the files' digests.
func (l *Loader) reject(r *Report, u *Update, step *ruleset.Step) {
	r.Err = l.revokeEarly(step.Endings())
	r.RevokedEarly, r.Change.Revision = l.revokedEarly, l.index.Snapshot().Revision().Number
	l.noteSums(u)
}

// noteSums records the files' digests, so that the next load finds changes fast.
func (l *Loader) noteSums(u *Update) {
	l.rejectedSums = make(map[string][sha256.Size]byte, len(u.Documents))
	for _, f := range u.Documents {
		l.rejectedSums[f.Name] = f.Sum
	}
}

// options returns the options for checking documents.
func (l *Loader) options() ruleset.Options {
	return ruleset.Options{Workers: l.workers(), Running: l.index.Snapshot(), IsolateTokens: l.o.IsolateTokens}
}

// revokeChanged applies the revocations in files that changed since a rejected load, before
// it reads anything else: the next load is likely rejected too, and if not, it revokes the
// same tokens. Small files come first.
func (l *Loader) revokeChanged(u *Update) {
	if l.rejectedSums == nil || l.loaded != nil {
		return
	}
	var changed []ruleset.File
	for _, f := range u.Documents {
		if sum, known := l.rejectedSums[f.Name]; !known || sum != f.Sum {
			changed = append(changed, f)
		}
	}
	slices.SortFunc(changed, func(a, b ruleset.File) int { return int(a.Length() - b.Length()) })
	var dec manifest.Decoder
	for _, f := range changed {
		data, _ := f.Content()
		docs := dec.ReadEnds(f.Name, data)
		for _, doc := range docs {
			doc.Origin = u.Origin
		}
		if err := l.revokeEarly(ruleset.Endings(docs)); err != nil {
			return // reject repeats it, and reports the error
		}
	}
}

// workers returns how many goroutines decode: one per processor at the start, one less once patgate answers checks.
func (l *Loader) workers() int {
	n := runtime.GOMAXPROCS(0)
	if l.index.Snapshot().Ready() {
		n = max(1, n-1)
	}
	return n
}

// revokeEarly applies revocations to the last good revision.
func (l *Loader) revokeEarly(list []policy.Ending) error {
	if len(list) == 0 || !l.index.Snapshot().Ready() { // mutant: revocations-wait
		return nil
	}
	names, _, err := l.index.RevokeEarly(list)
	l.revokedEarly = append(l.revokedEarly, names...)
	slices.Sort(l.revokedEarly)
	l.revokedEarly = slices.Compact(l.revokedEarly)
	return err
}
