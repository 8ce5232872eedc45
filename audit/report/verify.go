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

	// Of sealed lines (serve --audit-chain).
	Checkpoint uint64 `json:"checkpoint,omitempty"` // the last event that is a checkpoint
	Open       bool   `json:"open,omitempty"`       // the last event is not the closing checkpoint: what follows may be missing
}

// Gap is some events that the logs lack.
type Gap struct {
	After   uint64 `json:"after"` // the number of the event before the gap
	Missing uint64 `json:"missing"`
	File    string `json:"file"` // the place of the event before the gap
	Line    int    `json:"line"`
}

// Damage is something wrong with one line.
type Damage struct {
	File string `json:"file"`
	Line int    `json:"line"`
	What string `json:"what"`
}

// MaxDamages is the maximum number of damages that are described.
const MaxDamages = 1000

// ClockSlack is how far the time of an event may lie before that of an earlier one: events are numbered when
// they are decided, and have the time at which their request came.
const ClockSlack = 5 * time.Second

// Verify reads logs and looks for what is missing or wrong. With a key it also checks the seals of lines and the
// signatures of checkpoints; a public key checks only the latter. key may be nil. An error beside its result says
// that a log is cut.
func Verify(ctx context.Context, inputs []audit.Input, key *audit.ChainKey, progress func(audit.ReadStats)) (*Verification, error) {
	v := verifier{instances: map[string]*sequence{}, orders: map[order]*run{}, key: key}
	work := func(entries []audit.Entry) []link { return links(entries, key) }
	stats, err := audit.ScanTorn(ctx, inputs, work, func(list []link, s audit.ReadStats) error {
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

// link is the part of an event that verify reads.
type link struct {
	instance, file string
	line           int
	seq            uint64
	time           time.Time
	kind           audit.Kind
	count          int
	torn           bool

	seal   audit.Seal // empty: the line has none
	wrong  string     // what is wrong with the seal, or with the checkpoint
	closed bool       // a checkpoint after which its process wrote nothing
}

func links(entries []audit.Entry, key *audit.ChainKey) []link {
	list := make([]link, len(entries))
	sealers := map[string]*audit.Sealer{}
	for i := range entries {
		e := &entries[i]
		l := &list[i]
		*l = link{instance: e.Instance, file: e.File, line: e.Line, seq: e.Seq, time: e.Time, kind: e.Kind, count: e.Count, torn: e.Torn}
		if !e.Torn {
			l.checkSeal(e, key, sealers)
		}
	}
	return list
}

// checkSeal checks what can be checked of one line alone.
func (l *link) checkSeal(e *audit.Entry, key *audit.ChainKey, sealers map[string]*audit.Sealer) {
	l.seal, _ = audit.SealOf(&e.Logged)
	if key == nil {
		return
	}
	if key.Private() {
		sealer := sealers[e.Instance]
		if sealer == nil {
			sealer = key.Sealer(e.Instance)
			sealers[e.Instance] = sealer
		}
		switch {
		case l.seal.Own == "":
			l.wrong = "the line has no seal"
		case !sealer.Good(e):
			l.wrong = "the line is not as it was written: its seal does not fit"
		case e.Seq == 1 && l.seal.Before != sealer.First(e.Instance):
			l.wrong = "the line is not the first of its process"
		}
	}
	if e.Kind == audit.Checkpoint && l.wrong == "" {
		l.wrong, l.closed = key.CheckCheckpoint(&e.Logged)
	}
}

// verifier sees the events in the order of the logs.
type verifier struct {
	instances map[string]*sequence
	orders    map[order]*run
	damages   []Damage
	more      int64
	key       *audit.ChainKey
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
	ranges     []span
	repeated   int64
	checkpoint uint64 // the last one
	sealed     bool   // a line has a seal
}

// span is a range of numbers, with the events at its ends.
type span struct{ from, to link }

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
	if l.wrong != "" {
		v.damage(l, "%s", l.wrong)
	}
	s.add(v, l)
	v.follow(l)
}

// joins checks that an event refers to the one before it. Where a line is damaged, that is known already.
func (v *verifier) joins(before, l *link) {
	if before.wrong == "" && l.wrong == "" && before.seal.Own != l.seal.Before {
		v.damage(l, "the line does not refer to event %d of instance %s: one of the two was replaced", before.seq, l.instance)
	}
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

// add notes an event.
func (s *sequence) add(v *verifier, l *link) {
	s.sealed = s.sealed || l.seal.Own != ""
	if l.kind == audit.Checkpoint && l.seq > s.checkpoint {
		s.checkpoint = l.seq
	}
	if last := len(s.ranges) - 1; last >= 0 && s.ranges[last].to.seq+1 == l.seq {
		v.joins(&s.ranges[last].to, l)
		s.ranges[last].to = *l
		return
	}
	i, _ := slices.BinarySearchFunc(s.ranges, l.seq, func(r span, n uint64) int { return cmp.Compare(r.to.seq, n) })
	if i < len(s.ranges) && s.ranges[i].from.seq <= l.seq {
		s.repeated++
		return
	}
	before := i > 0 && s.ranges[i-1].to.seq+1 == l.seq
	after := i < len(s.ranges) && s.ranges[i].from.seq == l.seq+1
	if before {
		v.joins(&s.ranges[i-1].to, l)
	}
	if after {
		v.joins(l, &s.ranges[i].from)
	}
	switch {
	case before && after:
		s.ranges[i-1].to = s.ranges[i].to
		s.ranges = slices.Delete(s.ranges, i, i+1)
	case before:
		s.ranges[i-1].to = *l
	case after:
		s.ranges[i].from = *l
	default:
		s.ranges = slices.Insert(s.ranges, i, span{*l, *l})
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
		one := s.instance(name, v.key != nil)
		out.OK = out.OK && len(one.Gaps) == 0
		out.Instances = append(out.Instances, one)
	}
	slices.SortFunc(out.Instances, func(a, b Instance) int { return cmp.Compare(a.Instance, b.Instance) })
	return out
}

func (s *sequence) instance(name string, known bool) Instance {
	first, last := &s.ranges[0].from, &s.ranges[len(s.ranges)-1].to
	one := Instance{Instance: name, From: first.seq, To: last.seq, Gaps: []Gap{}, Repeated: s.repeated, Checkpoint: s.checkpoint}
	one.Open = known && s.sealed && !last.closed
	for i := 1; i < len(s.ranges); i++ {
		before := &s.ranges[i-1].to
		one.Gaps = append(one.Gaps, Gap{After: before.seq, Missing: s.ranges[i].from.seq - before.seq - 1, File: before.file, Line: before.line})
	}
	return one
}
