package kube

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// change is one thing that a watch found.
type change struct {
	set       *ruleset.Object   // it is there now
	gone      string            // the ID of an object that is not
	listed    *watched          // all objects of the watch are known
	namespace string            // of labels
	labels    map[string]string // of the namespace; nil: it is gone
	recheck   bool              // the index has changed otherwise

	annotations []byte // of set, where documents are kept

	of      *watched // the watch that said so
	version string   // up to which that watch has come then; empty: its list is not complete
}

// isToken reports whether the change is about a token.
func (c *change) isToken() bool {
	const prefix = manifest.KindAPIToken + "/"
	return c.set != nil && c.set.Kind == manifest.KindAPIToken || len(c.gone) > len(prefix) && c.gone[:len(prefix)] == prefix
}

// queue holds changes in their order until they are applied.
type queue struct {
	mu   sync.Mutex
	list []change
	news chan struct{} // has room for one
}

func (q *queue) add(c change) {
	q.mu.Lock()
	q.list = append(q.list, c)
	q.mu.Unlock()
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// take returns all changes.
func (q *queue) take() []change {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	return list
}

// takeTokens returns the changes of tokens up to the first change of something else.
func (q *queue) takeTokens() []change {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.list) && q.list[n].isToken() {
		n++
	}
	list := q.list[:n:n]
	q.list = q.list[n:]
	return list
}

// listGCPercent is how much garbage, in percent of what is kept, there may be until all objects were listed.
const listGCPercent = 25

// longStep is a step that has looked at many objects.
const longStep = 50 * time.Millisecond

// manyObjectsGCPercent is how much garbage, in percent, there may be beside manyObjects: they stay, and are most of the memory.
const (
	manyObjectsGCPercent = 40
	manyObjects          = 10_000
)

// faultDelay is how long faults are held back: objects that were applied together arrive one by one.
const faultDelay = time.Second

// apply takes changes into the index until ctx is done. Before all objects were listed it applies none.
func (s *Source) apply(ctx context.Context) {
	percent := debug.SetGCPercent(listGCPercent) // the first list leaves much behind
	left := map[*watched]bool{}
	for _, w := range s.watches {
		left[w] = true
	}
	var faults []ruleset.Fault
	quiet := time.NewTimer(faultDelay)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-quiet.C:
			if len(faults) > 0 {
				s.faulted(latest(faults))
				faults = nil
			}
			continue
		case <-s.queue.news:
		}
		started := s.o.Now()
		for _, c := range s.queue.take() {
			s.put(&c)
			if c.listed != nil {
				delete(left, c.listed)
			}
		}
		if len(left) > 0 {
			continue
		}
		s.useLabels()
		if s.step(started) {
			s.publish()
		}
		if found := s.objects.Faults(); len(found) > 0 {
			faults = append(faults, found...)
			quiet.Reset(faultDelay)
		}
		s.reportUp(percent)
	}
}

// reportUp reports the first time that all objects run.
func (s *Source) reportUp(percent int) {
	select {
	case <-s.up:
	default:
		if s.objects.Len() > manyObjects {
			percent = min(percent, manyObjectsGCPercent)
		}
		debug.SetGCPercent(percent)
		debug.FreeOSMemory()
		close(s.up)
	}
}

// put hands a change to the objects.
func (s *Source) put(c *change) {
	if c.of != nil && c.version != "" {
		s.reached[c.of] = c.version
	}
	switch {
	case c.recheck:
		s.objects.Recheck(s.index.Snapshot())
	case c.namespace != "":
		s.putLabels(c)
	case c.set != nil:
		s.objects.Set(*c.set)
		s.documents.put(c.set, c.annotations)
	case c.gone != "":
		s.objects.Delete(c.gone)
		s.documents.delete(c.gone)
	}
}

// step applies what changed, and reports whether all of it runs.
func (s *Source) step(started time.Time) bool {
	r, changed := s.steps()
	for range maxTries {
		if r.Err == nil {
			break
		}
		s.objects.Recheck(s.index.Snapshot()) // another source has changed the index meanwhile
		r, changed = s.steps()
	}
	if !changed {
		return r.Err == nil
	}
	r.Took = s.o.Now().Sub(started)
	if r.Took > longStep && s.objects.Len() > manyObjects {
		debug.FreeOSMemory() // what concerns many objects leaves much behind
	}
	counts := s.objects.NotAccepted()
	s.mu.Lock()
	s.notAccepted = counts
	s.mu.Unlock()
	s.report(r)
	return r.Err == nil
}

// maxTries is how often a step is tried again whose changes do not fit what runs.
const maxTries = 3

// firstLimit is how many tokens a step takes before any are served: rows take much memory until an index has packed them.
const firstLimit = 2_000

// steps takes all changes into the index: in one step, or in several before the first check is answered.
func (s *Source) steps() (Report, bool) {
	select {
	case <-s.up:
		s.objects.Limit = 0
	default:
		s.objects.Limit = firstLimit
	}
	r, changed := s.tryStep()
	for s.objects.Pending() && r.Err == nil {
		next, _ := s.tryStep()
		next.Change.Added, next.Change.Changed, next.Change.Removed = next.Change.Added+r.Change.Added, next.Change.Changed+r.Change.Changed, next.Change.Removed+r.Change.Removed
		next.Change.Names = r.Change.Names
		r = next
	}
	return r, changed
}

func (s *Source) tryStep() (r Report, changed bool) {
	changes, changed := s.objects.Step(s.index, s.whileDeciding)
	if !changed {
		return r, false
	}
	r = Report{SHA256: changes.New.SHA256, Objects: s.objects.Len()}
	before := s.index.Snapshot()
	if r.Change, r.Err = s.index.Apply(changes, s.o.Now()); r.Err == nil && before.Ready() {
		r.Revived = s.index.Snapshot().Revivals(before, slices.Values(changes.New.Tokens))
	}
	return r, true
}

// Recheck decides again about objects beside what else has changed in the index.
func (s *Source) Recheck() { s.queue.add(change{recheck: true}) }

// whileDeciding takes tokens in that change while a long step is under way. What they revoke counts at once.
func (s *Source) whileDeciding() {
	var ended []policy.Ending
	running := s.index.Snapshot()
	for _, c := range s.queue.takeTokens() {
		s.put(&c)
		if running.Ready() {
			ended = append(ended, s.objects.Endings(c.set, c.gone, running)...)
		}
	}
	if len(ended) == 0 {
		return
	}
	if _, _, err := s.index.RevokeEarly(ended); err != nil {
		s.o.Logger.Error("revocations could not be applied before the other changes", "error", err)
	}
}

// latest returns the last fault of each object.
func latest(faults []ruleset.Fault) []ruleset.Fault {
	last := map[string]int{}
	for i, f := range faults {
		last[f.Object] = i
	}
	var list []ruleset.Fault
	for i, f := range faults {
		if last[f.Object] == i {
			list = append(list, f)
		}
	}
	return list
}
