package report

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/patgate/patgate/audit"
)

// Verification says whether a log is whole, as far as it shows: each process of patgate numbers its events
// without a gap.
type Verification struct {
	Events       int64      `json:"events"`
	SkippedLines int64      `json:"skippedLines"`
	Instances    []Instance `json:"instances"`
	Broken       []Damage   `json:"broken"`         // the first MaxDamages, in the order of the logs
	More         int64      `json:"more,omitempty"` // damages beside those
	OK           bool       `json:"ok"`
}

// Instance is one process, with the numbers of its events that the logs hold.
type Instance struct {
	Instance string `json:"instance"`
	From     uint64 `json:"from"`
	To       uint64 `json:"to"`
	Gaps     []Gap  `json:"gaps"`
	Repeated int64  `json:"repeated,omitempty"` // events that the logs hold more than once
}

// Gap is some events that the logs lack.
type Gap struct {
	After   uint64 `json:"after"` // the number of the event before the gap
	Missing uint64 `json:"missing"`
}

// Damage is something wrong with one line.
type Damage struct {
	File string `json:"file"`
	Line int    `json:"line"`
	What string `json:"what"`
}

// MaxDamages is how many damages are described.
const MaxDamages = 1000

// ClockSlack is how far the time of an event may lie before that of an earlier one: events are numbered when
// they are decided, and have the time at which their request came.
const ClockSlack = 5 * time.Second

// Verify reads logs and looks for what is missing or wrong. An error beside its result says that a log is cut.
func Verify(ctx context.Context, inputs []audit.Input, progress func(audit.ReadStats)) (*Verification, error) {
	v := verifier{instances: map[string]*sequence{}, orders: map[order]*run{}}
	stats, err := audit.ScanTorn(ctx, inputs, links, func(list []link, s audit.ReadStats) error {
		for i := range list {
			v.see(&list[i])
		}
		if progress != nil {
			progress(s)
		}
		return nil
	})
	return v.result(stats), err
}

// link is what verify needs of one event.
type link struct {
	instance, file string
	line           int
	seq            uint64
	time           time.Time
	kind           audit.Kind
	count          int
	torn           bool
}

func links(entries []audit.Entry) []link {
	list := make([]link, len(entries))
	for i := range entries {
		e := &entries[i]
		list[i] = link{e.Instance, e.File, e.Line, e.Seq, e.Time, e.Kind, e.Count, e.Torn}
	}
	return list
}

// verifier sees the events in the order of the logs.
type verifier struct {
	instances map[string]*sequence
	orders    map[order]*run
	damages   []Damage
	more      int64
}

// order names the events of one process in one file, which a collector keeps in their order, or newest first.
type order struct{ file, instance string }

// run follows an order.
type run struct {
	last    link
	falls   []Damage // of the number, the first MaxDamages
	fallen  int64
	rises   int64
	clock   time.Time
	clockOf link
}

// sequence is the numbers of one process: ranges that do not touch, in their order.
type sequence struct {
	ranges   []span
	repeated int64
}

type span struct{ from, to uint64 }

func (v *verifier) damage(l *link, format string, args ...any) {
	if len(v.damages) >= MaxDamages {
		v.more++
		return
	}
	v.damages = append(v.damages, Damage{l.file, l.line, fmt.Sprintf(format, args...)})
}

func (v *verifier) see(l *link) {
	if l.torn {
		v.damage(l, "the line begins as an event and does not end as one: it was cut")
		return
	}
	switch l.kind {
	case audit.Gap:
		v.damage(l, "audit.gap: instance %s could not write %d events", l.instance, l.count)
	case audit.ClockStepped:
		v.damage(l, "clock.stepped: the clock of instance %s was set", l.instance)
	}
	s := v.instances[l.instance]
	if s == nil {
		s = &sequence{}
		v.instances[l.instance] = s
	}
	s.add(l.seq)
	v.follow(l)
}

// follow compares an event with the one before it, of the same process in the same file.
func (v *verifier) follow(l *link) {
	key := order{l.file, l.instance}
	r := v.orders[key]
	if r == nil {
		v.orders[key] = &run{last: *l, clock: l.time, clockOf: *l}
		return
	}
	switch {
	case l.seq > r.last.seq:
		r.rises++
		if r.clock.Sub(l.time) > ClockSlack {
			v.damage(l, "the clock went back: event %d of instance %s is of %s, and event %d before it of %s",
				l.seq, l.instance, l.time.UTC().Format(time.RFC3339), r.clockOf.seq, r.clock.UTC().Format(time.RFC3339))
			r.clock, r.clockOf = l.time, *l
		}
	case l.seq < r.last.seq:
		r.fallen++
		if len(r.falls) < MaxDamages {
			r.falls = append(r.falls, Damage{l.file, l.line, fmt.Sprintf("out of order: event %d of instance %s comes after event %d", l.seq, l.instance, r.last.seq)})
		}
	}
	if l.time.After(r.clock) {
		r.clock, r.clockOf = l.time, *l
	}
	r.last = *l
}

// add notes a number.
func (s *sequence) add(n uint64) {
	if last := len(s.ranges) - 1; last >= 0 && s.ranges[last].to+1 == n {
		s.ranges[last].to = n
		return
	}
	i, _ := slices.BinarySearchFunc(s.ranges, n, func(r span, n uint64) int { return cmp.Compare(r.to, n) })
	if i < len(s.ranges) && s.ranges[i].from <= n {
		s.repeated++
		return
	}
	before := i > 0 && s.ranges[i-1].to+1 == n
	after := i < len(s.ranges) && s.ranges[i].from == n+1
	switch {
	case before && after:
		s.ranges[i-1].to = s.ranges[i].to
		s.ranges = slices.Delete(s.ranges, i, i+1)
	case before:
		s.ranges[i-1].to = n
	case after:
		s.ranges[i].from = n
	default:
		s.ranges = slices.Insert(s.ranges, i, span{n, n})
	}
}

func (v *verifier) result(stats audit.ReadStats) *Verification {
	out := &Verification{Events: stats.Events, SkippedLines: stats.Skipped, Instances: []Instance{}, Broken: []Damage{}}
	for _, r := range v.orders {
		if r.rises > 0 { // otherwise it is newest first, as some exports are
			v.damages = append(v.damages, r.falls...)
			v.more += r.fallen - int64(len(r.falls))
		}
	}
	slices.SortStableFunc(v.damages, func(a, b Damage) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
	if extra := len(v.damages) - MaxDamages; extra > 0 {
		v.damages, v.more = v.damages[:MaxDamages], v.more+int64(extra)
	}
	out.Broken, out.More = append(out.Broken, v.damages...), v.more
	out.OK = len(out.Broken) == 0
	for name, s := range v.instances {
		one := s.instance(name)
		out.OK = out.OK && len(one.Gaps) == 0
		out.Instances = append(out.Instances, one)
	}
	slices.SortFunc(out.Instances, func(a, b Instance) int { return cmp.Compare(a.Instance, b.Instance) })
	return out
}

func (s *sequence) instance(name string) Instance {
	one := Instance{Instance: name, From: s.ranges[0].from, To: s.ranges[len(s.ranges)-1].to, Gaps: []Gap{}, Repeated: s.repeated}
	for i := 1; i < len(s.ranges); i++ {
		after := s.ranges[i-1].to
		one.Gaps = append(one.Gaps, Gap{After: after, Missing: s.ranges[i].from - after - 1})
	}
	return one
}
