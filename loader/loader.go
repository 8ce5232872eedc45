// Package loader keeps a policy.Index in step with directories of manifests: it reads
// them whole, decodes them strictly, and makes them the running revision in one
// transaction, or changes nothing but what they revoke.
package loader

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// Options of a Loader. Zero values mean the defaults.
type Options struct {
	MaxBytes int64         // how much a load reads at most; default MaxBytes
	Poll     time.Duration // how often directories are read without an event; default 10 s
	Settle   time.Duration // for how long files that may be half written must rest; default 200 ms
	Patience time.Duration // after how long of no rest a load is rejected; default 700 ms, so that a revocation counts within a second
	Remind   time.Duration // how often the log tells that the last load was rejected; default 1 min
	Now      func() time.Time
	Logger   *slog.Logger
}

// Report is what became of a load.
type Report struct {
	Change   policy.Change
	SHA256   [32]byte         // of the files
	Files    int              // that were read
	Problems []diag.Problem   // why the load was rejected; none: it runs
	Narrowed []string         // tokens that a rejected load refused from now on
	Revived  []policy.Revived // tokens that live longer than they were to
	Err      error            // a fault of ours
	Took     time.Duration
	Applied  time.Duration // of Took, from when the files were read and at rest
}

// Rejected reports whether the last good revision stays.
func (r *Report) Rejected() bool { return len(r.Problems) > 0 || r.Err != nil }

// Loader loads directories into an index. Make one with New.
type Loader struct {
	roots  []string
	index  *policy.Index
	report func(Report)
	o      Options
	tree   func() *tree        // reads the directories
	seen   *tree               // the last reading that was judged, without what files held
	dirs   map[string]interest // what the last reading depends on

	standing *standing                    // what runs, by file; nil: it can't be told
	judged   map[string][sha256.Size]byte // what each file held when the last load was rejected
	narrowed []string                     // tokens that the load under way refused so far

	rejected time.Time // since when loads are rejected; zero: the last one runs
	told     time.Time // when the log heard of that last
}

// New returns a loader of the directories. It calls report for each load, from one
// goroutine at a time.
func New(index *policy.Index, roots []string, report func(Report), o Options) *Loader {
	roots = distinct(roots)
	if o.MaxBytes == 0 {
		o.MaxBytes = MaxBytes
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
	l := &Loader{roots: roots, index: index, report: report, o: o}
	l.tree = func() *tree { return scan{roots: roots, maxBytes: o.MaxBytes, known: l.standing.files()}.read() }
	return l
}

// distinct leaves out directories that stand there before, by whatever name.
func distinct(roots []string) []string {
	var list []string
	for _, root := range roots {
		if !slices.ContainsFunc(list, func(other string) bool { return realPath(other) == realPath(root) }) {
			list = append(list, root)
		}
	}
	return list
}

// Check reads directories once and returns the rows that they make, or every problem.
func Check(roots []string) (policy.Rows, []diag.Problem) {
	roots = distinct(roots)
	t := readTree(roots, MaxBytes)
	docs := decodeTree(roots, t)
	if len(docs.problems) > 0 {
		return policy.Rows{}, docs.problems
	}
	rows := compile(docs, policy.NewIndex().Snapshot())
	rows.SHA256 = t.digest
	return rows, nil
}

// CheckTests does what Check does, and reads the PolicyTests of the directories too.
func CheckTests(roots []string) (policy.Rows, []*manifest.Document, []diag.Problem) {
	roots = distinct(roots)
	t := scan{roots: roots, maxBytes: MaxBytes, tests: true}.read()
	docs := decodeTree(roots, t)
	problems := docs.problems
	var tests []*manifest.Document
	var dec manifest.Decoder
	for _, f := range t.tests {
		decoded, bad := dec.DecodeTests(f.name, f.data)
		tests, problems = append(tests, decoded...), append(problems, bad...)
	}
	problems = append(problems, sameNames(tests)...)
	if len(problems) > 0 {
		diag.Sort(problems)
		return policy.Rows{}, nil, problems
	}
	return compile(docs, policy.NewIndex().Snapshot()), tests, nil
}

// sameNames wants each PolicyTest to have a name of its own: reports tell them apart by it.
func sameNames(tests []*manifest.Document) (problems []diag.Problem) {
	first := map[string]*manifest.Document{}
	for _, doc := range tests {
		name := doc.Metadata.Name
		if other, taken := first[name.Text]; taken && name.Text != "" {
			problems = append(problems, doc.Problem(name.At, "metadata.name", "%s %s stands twice, first at %s, expected a name of its own",
				manifest.KindPolicyTest, name.Text, other.Place(other.Metadata.Name.At)))
			continue
		}
		first[name.Text] = doc
	}
	return problems
}

// Load reads the directories and judges what it finds, unless that is what it found
// the last time. It returns ctx's error where it was interrupted.
func (l *Loader) Load(ctx context.Context) error {
	start := time.Now()
	t := l.read()
	for {
		var err error
		if l.seen != nil && t.digest == l.seen.digest {
			return nil
		}
		if t, err = l.settled(ctx, t); err != nil {
			return err
		}
		if l.seen != nil && t.digest == l.seen.digest {
			return nil
		}
		read, large := time.Now(), false
		l.narrowed = nil
		l.narrowChanged(t)
		r, done := l.exchange(t)
		if !done {
			whole := l.whole(t)
			if whole.digest != t.digest || whole.plain != t.plain {
				t = whole // it changed meanwhile
				continue
			}
			large = whole.size() > largeLoad
			r = l.judge(whole)
		}
		l.seen = t.forget()
		r.Took, r.Applied = time.Since(start), time.Since(read)
		l.note(&r)
		l.report(r)
		if large {
			debug.FreeOSMemory() // what reading it took is several times what runs
		}
		return nil
	}
}

// largeLoad is from how many bytes of manifests on a collection is worth it, to give back
// what reading them took.
const largeLoad = 8 << 20

// whole returns a reading that holds what is in every file.
func (l *Loader) whole(t *tree) *tree {
	l.standing = nil
	if t.partial {
		return l.read()
	}
	return t
}

// note remembers since when loads are rejected.
func (l *Loader) note(r *Report) {
	if !r.Rejected() {
		l.rejected = time.Time{}
		return
	}
	l.told = time.Now()
	if l.rejected.IsZero() {
		l.rejected = l.told
	}
}

// remind tells the log now and then that the manifests don't run: whoever changed them
// may not have looked.
func (l *Loader) remind() {
	if l.rejected.IsZero() || time.Since(l.told) < l.o.Remind {
		return
	}
	l.told = time.Now()
	l.o.Logger.Error("the manifests are still rejected, the last good revision stays", "for", time.Since(l.rejected).Round(time.Second).String())
}

func (l *Loader) read() *tree {
	t := l.tree()
	l.dirs = t.watch
	return t
}

// settled waits until two readings agree, so that a file that is being written does
// not count by its half. What a ConfigMap mount holds changes as one and need not rest.
func (l *Loader) settled(ctx context.Context, t *tree) (*tree, error) {
	deadline := time.Now().Add(l.o.Patience)
	stable := [32]byte{}
	if l.seen != nil {
		stable = l.seen.plain
	}
	for t.plain != stable {
		if time.Now().After(deadline) {
			t = l.whole(t)
			t.problems = append(t.problems, diag.Problem{
				File: l.roots[0], Message: "the files keep changing, expected them to rest for " + l.o.Settle.String(),
			})
			t.sum()
			return t, nil
		}
		stable = t.plain
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(l.o.Settle):
		}
		t = l.read()
	}
	return t, nil
}

// judge decodes and compiles a reading, and makes it the running revision. It does all
// that can fail before it touches what runs. What a load that will be rejected revokes takes
// force before the problems are explained, which takes longer.
func (l *Loader) judge(t *tree) Report {
	docs := readDocuments(l.processors(), t)
	r := Report{SHA256: t.digest, Files: len(t.files)}
	if docs.broken || len(t.problems) > 0 {
		l.narrow(docs.tokens)
	}
	docs.judge(l.roots, t)
	if r.Problems = docs.problems; len(r.Problems) > 0 {
		l.reject(&r, t, docs)
		return r
	}
	rows, fault := compileGuarded(docs, l.index.Snapshot())
	if fault == nil {
		r.Problems = l.losses(&rows)
	}
	if fault != nil || len(r.Problems) > 0 {
		r.Err = fault
		l.reject(&r, t, docs)
		return r
	}
	rows.SHA256 = t.digest
	before := l.index.Snapshot()
	if r.Change, r.Err = l.index.Replace(rows, l.o.Now()); r.Err == nil {
		r.Revived = l.revived(before, rows.Tokens)
		l.standing, l.judged = newStanding(t, docs, &rows), nil
	}
	return r
}

// revived lists those of the tokens that live longer than the revision before had it: the
// manifests are followed, because they are the truth, and somebody should look at it.
func (l *Loader) revived(before *policy.Snapshot, tokens []*policy.Token) []policy.Revived {
	if !before.Ready() {
		return nil
	}
	return l.index.Snapshot().Revivals(before, tokens)
}

// reject lets what a rejected load revokes take force, and remembers the files.
func (l *Loader) reject(r *Report, t *tree, docs *documents) {
	r.Err = errors.Join(r.Err, l.narrow(docs.tokens))
	r.Narrowed, r.Change.Revision = l.narrowed, l.index.Snapshot().Revision().Number
	l.judged = make(map[string][sha256.Size]byte, len(t.files))
	for _, f := range t.files {
		l.judged[f.name] = f.sum
	}
}

// narrowChanged lets what the files that changed since a rejected load revoke take force,
// whatever else there is to read: that load is likely rejected too, and if it is not, it
// says the same. Small files come first.
func (l *Loader) narrowChanged(t *tree) {
	if l.judged == nil || l.standing != nil {
		return
	}
	var changed []file
	for _, f := range t.files {
		if sum, known := l.judged[f.name]; !known || sum != f.sum {
			changed = append(changed, f)
		}
	}
	slices.SortFunc(changed, func(a, b file) int { return len(a.data) - len(b.data) })
	var dec manifest.Decoder
	for _, f := range changed {
		if err := l.narrow(dec.ReadEnds(f.name, f.data)); err != nil {
			return // judge does it again, and reports it
		}
	}
}

// compileGuarded turns a panic into an error: a fault of ours rejects a load, as a bad file
// does, and does not end what runs.
func compileGuarded(docs *documents, old *policy.Snapshot) (rows policy.Rows, fault error) {
	defer func() {
		if p := recover(); p != nil {
			rows, fault = policy.Rows{}, errors.New(token.Mask(fmt.Sprintf("the manifests can't be compiled, a fault of patgate: %v", p)))
		}
	}()
	return compile(docs, old), nil
}

// processors is how many decode: all of them at the start, and not all where checks are
// answered meanwhile.
func (l *Loader) processors() int {
	n := runtime.GOMAXPROCS(0)
	if l.index.Snapshot().Ready() {
		n = max(1, n-1)
	}
	return n
}

// losses are problems of a reload in which a gate is gone and a weaker one would guard
// what it guarded, or a group is gone together with the gates that named it, and tokens could
// do more without its word.
func (l *Loader) losses(rows *policy.Rows) []diag.Problem {
	var problems []diag.Problem
	running := l.index.Snapshot()
	for _, loss := range running.Losses(rows.Gates) {
		problems = append(problems, lost(loss.Gate.Source, "the Gate %s is gone, and %s would guard host %s and path %s/ in its place, expected it to stay: "+
			"to remove it, let %s name that host and path itself, or restart", loss.Gate.Name, loss.Falls.Name, loss.Host, loss.Prefix, loss.Falls.Name))
	}
	for _, loss := range running.GroupLosses(rows, l.o.Now()) {
		what := "be held by its policies"
		if loss.Cap {
			what = "end by its maxLifetime"
		}
		problems = append(problems, lost(loss.Group.Source, "the UserGroup %s is gone, and the token %s would no longer %s, expected it to stay: "+
			"to remove it, first take its name out of the gates and let that load, then delete it, or restart", loss.Group.Name, loss.Token.Name, what))
	}
	return problems
}

// lost is a problem with a row that is gone, at the place where it was.
func lost(at policy.Source, format string, args ...any) diag.Problem {
	return diag.Problem{File: at.File, Pos: diag.Pos{Line: at.Line, Column: 1}, Message: fmt.Sprintf(format, args...)}
}

// narrow lets what documents revoke take force on the last good revision.
func (l *Loader) narrow(docs []*manifest.Document) error {
	list := endings(docs)
	if len(list) == 0 || !l.index.Snapshot().Ready() {
		return nil
	}
	names, _, err := l.index.Narrow(list)
	l.narrowed = append(l.narrowed, names...)
	slices.Sort(l.narrowed)
	l.narrowed = slices.Compact(l.narrowed)
	return err
}

// breath is the pause between two readings: many events at once are one change.
const breath = 20 * time.Millisecond

// Run loads whenever the directories change: by their events, by nudges (SIGHUP), and
// every Options.Poll whatever they say. It returns when ctx is done.
func (l *Loader) Run(ctx context.Context, nudge <-chan struct{}) {
	w := newWatch(l.o.Logger)
	defer w.close()
	poll := time.NewTicker(l.o.Poll)
	defer poll.Stop()
	for {
		// What changes while new directories begin to be watched has no event: load again.
		for w.follow(l.dirs) {
			if l.Load(ctx) != nil {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(breath):
		}
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
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
		if l.Load(ctx) != nil {
			return
		}
	}
}
