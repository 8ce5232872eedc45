package replay

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/patgate/patgate/audit"
)

// Result says what other manifests would decide about the decisions of a log.
type Result struct {
	Events       int64 `json:"events"` // decisions
	Same         int64 `json:"same"`
	NewlyAllowed int64 `json:"newlyAllowed"`
	NewlyDenied  int64 `json:"newlyDenied"`
	Unreplayable int64 `json:"unreplayable"`

	Differences         []Difference     `json:"differences"`
	More                int64            `json:"more,omitempty"` // different decisions that Differences does not hold
	ReasonsUnreplayable map[string]int64 `json:"reasonsUnreplayable"`
	SkippedLines        int64            `json:"skippedLines"`
	First               *time.Time       `json:"first,omitempty"`
	Last                *time.Time       `json:"last,omitempty"`
}

// The kinds of differences.
const (
	NewlyAllowed = "newly-allowed"
	NewlyDenied  = "newly-denied"
)

// Difference is some decisions that would be others, alike in all but their time.
type Difference struct {
	Shape
	Count   int64     `json:"count"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Example string    `json:"example"` // an event's id
}

// Shape holds what the decisions of a difference have in common.
type Shape struct {
	Kind      string `json:"kind"`
	Token     string `json:"token"`
	User      string `json:"user"`
	Gate      string `json:"gate"`
	Policy    string `json:"policy,omitempty"`
	Rule      string `json:"rule"` // that decides now, or comes nearest to allow
	Source    string `json:"source,omitempty"`
	Reason    string `json:"reason"` // that it would have now
	Was       string `json:"was"`    // and had
	Method    string `json:"method"`
	PathShape string `json:"pathShape"`
}

// MaxShapes is how many differences are reported separately.
const MaxShapes = 20_000

// Logs replays the decisions of logs with the manifests now. With old, the verdicts to compare with are those of
// old; where it is nil, those of the log. An error beside a result says that a log is cut.
func Logs(ctx context.Context, inputs []audit.Input, now, old *Side, progress func(audit.ReadStats)) (*Result, error) {
	all := newTally()
	work := func(entries []audit.Entry) *tally {
		t := newTally()
		for i := range entries {
			if l := &entries[i].Logged; l.Kind == audit.Decision {
				t.count(l, now, old)
			}
		}
		return t
	}
	stats, err := audit.Scan(ctx, inputs, work, func(t *tally, s audit.ReadStats) error {
		all.merge(t)
		if progress != nil {
			progress(s)
		}
		return nil
	})
	return all.finish(stats.Skipped), err
}

// tally is a result in the making.
type tally struct {
	Result
	shapes map[Shape]*Difference
}

func newTally() *tally {
	return &tally{Result: Result{ReasonsUnreplayable: map[string]int64{}}, shapes: map[Shape]*Difference{}}
}

// count replays one decision.
func (t *tally) count(l *audit.Logged, now, old *Side) {
	t.Events++
	at := l.Time // the event is not kept
	t.span(&at, &at)
	why := incomplete(l)
	var after answer
	if why == "" {
		after = now.decide(l, old)
		why = after.why
	}
	allowed, was := l.Decision == audit.Allow, l.Reason
	if old != nil && why == "" {
		before := old.decide(l, old)
		why, allowed, was = before.why, before.allowed, before.reason.String()
	}
	switch {
	case why != "":
		t.Unreplayable++
		t.ReasonsUnreplayable[why]++
	case allowed == after.allowed:
		t.Same++
	default:
		t.differ(l, &after, was)
	}
}

func (t *tally) differ(l *audit.Logged, after *answer, was string) {
	shape := Shape{
		Kind: NewlyDenied, Token: l.Token, User: cmp.Or(person(l), after.user), Gate: cmp.Or(after.gate, l.Gate), Reason: after.reason.String(),
		Was: was, Method: l.Method, PathShape: PathShape(l.Path),
	}
	if after.allowed {
		shape.Kind = NewlyAllowed
		t.NewlyAllowed++
	} else {
		t.NewlyDenied++
	}
	if r := after.rule; r != nil {
		shape.Policy, shape.Rule, shape.Source = r.Policy, r.Name, r.Source.String()
	}
	t.add(&Difference{shape, 1, l.Time, l.Time, l.ID})
}

// add adds decisions of one shape.
func (t *tally) add(d *Difference) {
	known := t.shapes[d.Shape]
	if known == nil {
		if len(t.shapes) >= MaxShapes {
			t.More += d.Count
			return
		}
		t.shapes[d.Shape] = d
		return
	}
	known.Count += d.Count
	if d.First.Before(known.First) {
		known.First, known.Example = d.First, d.Example
	}
	if d.Last.After(known.Last) {
		known.Last = d.Last
	}
}

// span notes the first and the last time.
func (t *tally) span(first, last *time.Time) {
	if first != nil && (t.First == nil || first.Before(*t.First)) {
		t.First = first
	}
	if last != nil && (t.Last == nil || last.After(*t.Last)) {
		t.Last = last
	}
}

func (t *tally) merge(o *tally) {
	t.Events += o.Events
	t.Same += o.Same
	t.NewlyAllowed += o.NewlyAllowed
	t.NewlyDenied += o.NewlyDenied
	t.Unreplayable += o.Unreplayable
	t.More += o.More
	t.span(o.First, o.Last)
	for why, n := range o.ReasonsUnreplayable {
		t.ReasonsUnreplayable[why] += n
	}
	for _, d := range o.shapes {
		t.add(d)
	}
}

func (t *tally) finish(skipped int64) *Result {
	t.SkippedLines = skipped
	t.Differences = make([]Difference, 0, len(t.shapes))
	for _, d := range t.shapes {
		t.Differences = append(t.Differences, *d)
	}
	slices.SortFunc(t.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Token, b.Token), cmp.Compare(a.User, b.User),
			cmp.Compare(a.Method, b.Method), cmp.Compare(a.PathShape, b.PathShape), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Source, b.Source),
			cmp.Compare(a.Gate, b.Gate), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Was, b.Was), cmp.Compare(a.Policy, b.Policy))
	})
	return &t.Result
}
