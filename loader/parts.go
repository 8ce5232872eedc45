package loader

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// Kept describes a part of the directories that keeps its last good state while the others load.
type Kept struct {
	Origin       string         // the directory
	Problems     []diag.Problem // why
	RevokedEarly []string       // tokens of its own that it refused since the last report
	New          bool           // its files or its problems differ from the last report, or it revoked tokens early
	Since        time.Time      // when its last good state was loaded
	Stored       bool           // an earlier process loaded it
}

// part is an origin with its own last good state.
type part struct {
	origin    string
	good      *Update                // its last good state; nil: none yet
	since     time.Time              // when good was loaded
	stored    bool                   // an earlier process loaded good
	ended     []policy.Ending        // tokens that its rejected states ended since
	known     map[policy.Ending]bool // those of ended
	rejection rejection              // of the last reading that was rejected
	saved     savedState             // the state on disk

	now          *Update      // the reading under way
	docs         *ruleset.Set // the documents of now that good does not have
	own          bool         // the problems of now do not depend on other parts
	revokedEarly []string     // tokens that were refused since the last report
}

// rejection says why a read of a part was rejected.
type rejection struct {
	digest   [sha256.Size]byte // of the reading
	own      bool              // the problems are its own
	problems []diag.Problem
}

// newParts makes a part for each origin.
func newParts(origins []Origin) (parts []*part) {
	for _, o := range origins {
		parts = append(parts, &part{origin: o.Name, known: map[policy.Ending]bool{}})
	}
	return parts
}

// loadParts applies the valid parts of a read. Parts that are invalid, by themselves or together with the others, keep their
// last good state. The states that become active were checked together, as in a load of all directories.
func (l *Loader) loadParts(updates []*Update) Report {
	all := l.input(updates)
	r := Report{SHA256: all.Digest, Files: len(all.Files)}
	changed := l.changedParts(updates)
	taken, step := l.takeParts(changed)
	if step == nil {
		r.Problems = l.checkParts(changed).Problems
		r.Change.Revision = l.index.Snapshot().Revision().Number
		return r
	}
	kept := slices.DeleteFunc(slices.Clone(changed), func(p *part) bool { return slices.Contains(taken, p) })
	for _, p := range kept {
		l.applyEndings(p)
	}
	if len(taken) > 0 || !l.index.Snapshot().Ready() {
		if l.applyParts(&r, step, taken); r.Err != nil {
			return r
		}
	}
	for _, p := range kept {
		k := l.keep(p)
		r.Kept, r.Problems = append(r.Kept, k), append(r.Problems, k.Problems...)
	}
	if !r.Loaded {
		r.Change.Revision = l.index.Snapshot().Revision().Number
	}
	l.saveParts()
	return r
}

// changedParts sets the current read of each part, and returns the parts that differ from the active state.
func (l *Loader) changedParts(updates []*Update) (changed []*part) {
	ready := l.index.Snapshot().Ready()
	for i, reading := range updates {
		p := l.parts[i]
		p.now, p.docs, p.own = reading, nil, false
		p.now.complete(p.good)
		if !ready || p.rejection.problems != nil || p.now.Digest != p.good.Digest {
			changed = append(changed, p)
		}
	}
	return changed
}

// takeParts finds the changed parts whose current state is valid, and returns the step that applies them together. It returns
// no step if one without a last good state is invalid.
func (l *Loader) takeParts(changed []*part) (taken []*part, step *ruleset.Step) {
	if !l.index.Snapshot().Ready() { // at the start all are new, and likely good
		if step := l.checkParts(changed); len(step.Problems) == 0 {
			return changed, step
		}
	}
	var sound []*part
	for _, p := range changed {
		if l.inspect(p); !p.own || p.good == nil {
			sound = append(sound, p)
		}
	}
	if step := l.checkParts(sound); len(step.Problems) == 0 {
		return sound, step
	}
	for _, p := range changed {
		if p.good == nil {
			taken = append(taken, p)
		}
	}
	if step = l.checkParts(taken); len(step.Problems) > 0 {
		return nil, nil
	}
	return l.takeMore(taken, step, sound)
}

// takeMore adds, one by one, the parts that are valid together with those taken. One part may define what another refers to.
func (l *Loader) takeMore(taken []*part, step *ruleset.Step, sound []*part) ([]*part, *ruleset.Step) {
	for more := true; more; {
		more = false
		for _, p := range sound {
			if slices.Contains(taken, p) {
				continue
			}
			with := append(slices.Clip(taken), p)
			if next := l.checkParts(with); len(next.Problems) == 0 {
				taken, step, more = with, next, true
			}
		}
	}
	return taken, step
}

// inspect decodes the difference from a part's last good state. The revocations of a part that is
// invalid by itself take effect before its problems are explained.
func (l *Loader) inspect(p *part) {
	if p.rejection.own && p.rejection.digest == p.now.Digest && p.good != nil {
		p.own = true
		return
	}
	in := ruleset.Input{Origin: p.origin, Scopes: l.scopes}
	for _, f := range p.now.Documents {
		if p.good.find(f.Name, f.Sum) == nil {
			in.Files = append(in.Files, f)
		}
	}
	p.docs = ruleset.Read(in, ruleset.Options{Workers: l.workers(), AllowEmpty: true, IsolateTokens: l.o.IsolateTokens})
	p.own = !p.docs.Sound() || len(p.now.Problems) > 0
	if p.own {
		l.applyEndings(p)
	}
}

// applyEndings applies the revocations of a part to its last good state: to its own tokens, and to no
// others.
func (l *Loader) applyEndings(p *part) {
	running := l.index.Snapshot()
	var list []policy.Ending
	if p.docs == nil {
		return // the reading is one that did so before
	}
	for _, e := range ruleset.Endings(p.docs.Tokens) {
		row := running.TokenByName(e.Token)
		if running.Ready() && (row == nil || row.EndedBy(&e) == nil) {
			continue
		}
		if !p.known[e] {
			p.ended, p.known[e] = append(p.ended, e), true
		}
		list = append(list, e)
	}
	if !running.Ready() {
		return // applyParts does it
	}
	names, _, err := l.index.RevokeEarly(list)
	if err != nil {
		l.o.Logger.Error("the revocations of a rejected directory could not be applied", "directory", p.origin, "error", err)
	}
	p.revokedEarly = append(p.revokedEarly, names...)
}

// checkParts checks parts as they are now, together with the last good states of the others.
func (l *Loader) checkParts(now []*part) *ruleset.Step {
	states := make([]*Update, len(l.parts))
	from := l.loaded
	for i, p := range l.parts {
		states[i] = p.good
		if p.good == nil || slices.Contains(now, p) {
			states[i] = p.now
			if len(p.ended) > 0 {
				from = nil // active rows may differ from the loaded documents
			}
		}
	}
	in := l.input(states)
	o := l.options()
	step := from.Step(in, o)
	if !step.Check() && !step.Whole {
		step = (*ruleset.Loaded)(nil).Step(in, o)
		step.Check()
	}
	if len(step.Problems) == 0 {
		step.Problems = step.Losses(l.o.Now())
	}
	return step
}

// applyParts makes a step the running revision.
func (l *Loader) applyParts(r *Report, step *ruleset.Step, taken []*part) {
	running := l.index.Snapshot()
	for _, p := range l.parts {
		if !slices.Contains(taken, p) {
			step.End(p.ended)
		}
	}
	change, err := l.index.Apply(step.Changes, l.o.Now())
	if err != nil && !step.Whole { // what it steps from is not what runs
		l.loaded = nil
		l.applyParts(r, l.checkParts(taken), taken)
		return
	}
	if r.Change, r.Err = change, err; err != nil {
		return
	}
	r.Loaded, r.Isolated, l.loaded, r.Revived = true, step.Isolated, step.Accept(), l.revived(running, step.Concerned(l.index.Snapshot()))
	for _, p := range taken {
		p.good, p.since, p.stored = p.now, l.o.Now(), false
		p.ended, p.known, p.rejection, p.revokedEarly = nil, map[policy.Ending]bool{}, rejection{}, nil
	}
}

// keep reports why a part keeps its last good state.
func (l *Loader) keep(p *part) Kept {
	was := p.rejection
	if !p.own || !was.own || was.digest != p.now.Digest {
		p.rejection = rejection{digest: p.now.Digest, own: p.own, problems: l.problemsOf(p)}
	}
	k := Kept{
		Origin: p.origin, Problems: p.rejection.problems, RevokedEarly: slices.Compact(slices.Sorted(slices.Values(p.revokedEarly))), Since: p.since, Stored: p.stored,
		New: was.digest != p.now.Digest || len(p.revokedEarly) > 0 || !slices.EqualFunc(was.problems, p.rejection.problems, sameProblem),
	}
	p.revokedEarly = nil
	return k
}

func sameProblem(a, b diag.Problem) bool { return a.String() == b.String() }

// problemsOf returns what is wrong with a part, or with it and the others together.
func (l *Loader) problemsOf(p *part) []diag.Problem {
	all := l.checkParts([]*part{p}).Problems
	if own := slices.DeleteFunc(slices.Clone(all), func(q diag.Problem) bool { return !p.now.owns(q.File) }); len(own) > 0 && p.own {
		all = own
	}
	if len(all) == 0 { // the conflict was resolved meanwhile: the next load applies the part
		all = []diag.Problem{{File: p.origin, Message: "it conflicted with the other directories, expected the next load to accept it"}}
	}
	return all
}
