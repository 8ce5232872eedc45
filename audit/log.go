package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// ErrUnavailable means that the event of an allow could not be written in time. The
// allow must not be answered.
var ErrUnavailable = errors.New("the audit event could not be written in time")

// Overflow says how a request is answered that would be allowed, but whose event can't be written.
type Overflow uint8

// The overflow rules. Refuse is the default.
const (
	Refuse Overflow = iota
	Drop
)

// Options of a Log. Zero values mean the defaults.
type Options struct {
	Overflow   Overflow
	Wait       time.Duration // how long an allow waits for its event; default 200 ms
	QueueBytes int           // how much may wait to be written; default 8 MiB
	Instance   string        // the process, in every event
	Chain      *ChainKey     // a private one seals each line; nil: lines are not sealed
	Checkpoint time.Duration // between checkpoints of sealed lines; default 10 s
	Now        func() time.Time
	Logger     *slog.Logger
}

// Stats describes a log at a moment.
type Stats struct {
	Queued  int    // events that wait to be written
	Written uint64 // events written so far
	Lost    uint64 // events that were never written
	Stalled bool   // the sink does not take what is queued
}

// Log is the audit: many callers, one writer, many events a write. Make one with New,
// and Close it, which writes what is queued.
type Log struct {
	o    Options
	sink Sink

	mu         sync.Mutex
	wake       *sync.Cond // the queue has entries, or the log is closing
	room       chan struct{}
	queue      []*entry // in the order of seq; the first ones may be in the writer's hands
	bytes      int
	torn       []byte // what is left of the first entry, if its beginning is written
	seq        uint64
	chain      *chain // nil: lines are not sealed
	checked    uint64 // the number of the last checkpoint
	unreported int    // events lost since the last gap event
	stats      Stats
	reportedAt time.Time // when a stalled sink was logged last
	reported   bool      // the stall was logged, its end not yet
	closing    bool
	done       chan struct{}
	giveUp     chan struct{}
	gaveUp     sync.Once
}

// entry is one queued event.
type entry struct {
	seq     uint64
	line    []byte        // after the sequence number
	written chan struct{} // holds one value when the event is written and somebody waits
	waiting bool
	taken   bool // in the writer's hands: it can't be changed any more

	checkpoint checkpoint
	timer      *time.Timer
}

var entries = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &entry{written: make(chan struct{}, 1), timer: t}
}}

// New starts a log that writes to a sink.
func New(sink Sink, o Options) *Log {
	if o.Wait == 0 {
		o.Wait = 200 * time.Millisecond
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = 8 << 20
	}
	if o.Checkpoint == 0 {
		o.Checkpoint = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{o: o, sink: sink, room: make(chan struct{}), done: make(chan struct{}), giveUp: make(chan struct{}), chain: newChain(o.Chain, o.Instance)}
	l.wake = sync.NewCond(&l.mu)
	go l.write()
	if l.chain != nil {
		go l.checkpoints(o.Checkpoint)
	}
	return l
}

// Record queues an event. For an allow it returns once the event is written, or
// ErrUnavailable where that took longer than Options.Wait or ctx was done: the event
// then records the refusal that the caller must answer; if it is lost, it counts as one.
// Other events do not wait.
func (l *Log) Record(ctx context.Context, e *Event) error {
	en := entries.Get().(*entry)
	en.line = appendEvent(en.line[:0], e, l.o.Instance)
	if e.Decision != Allow {
		l.mu.Lock()
		l.enqueue(en, false)
		l.mu.Unlock()
		return nil
	}
	en.timer.Reset(l.o.Wait) // panic: queue
	return l.recordAllow(ctx, e, en)
}

// RecordLater queues an event that can be written at any time: it waits until the queue is at most half full, so
// that it never takes the place of a decision's, and returns ErrUnavailable where ctx is done before. An event
// that was not queued does not count as lost.
func (l *Log) RecordLater(ctx context.Context, e *Event) error {
	en := entries.Get().(*entry)
	en.line = appendEvent(en.line[:0], e, l.o.Instance)
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.closing || l.bytes+len(en.line) > l.o.QueueBytes/2 {
		room := l.room
		l.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		l.mu.Lock()
		if ctx.Err() != nil {
			en.recycle()
			return ErrUnavailable
		}
	}
	l.push(en, false)
	return nil
}

// recordAllow queues the event of an allow as soon as there is room, and waits for it. The
// entry's timer runs.
func (l *Log) recordAllow(ctx context.Context, e *Event, en *entry) error {
	l.mu.Lock()
	for !l.fits(en) && !l.skipWait() {
		room := l.room
		l.mu.Unlock()
		select {
		case <-room:
		case <-en.timer.C:
			return l.tooLate(e, en)
		case <-ctx.Done():
			return l.tooLate(e, en)
		}
		l.mu.Lock()
	}
	if l.skipWait() {
		en.timer.Stop() // before the entry is the writer's
		l.enqueue(en, false)
		l.mu.Unlock()
		return nil
	}
	l.enqueue(en, true)
	l.mu.Unlock()
	return l.awaitWritten(ctx, e, en)
}

// awaitWritten waits for the event of an allow that is queued.
func (l *Log) awaitWritten(ctx context.Context, e *Event, en *entry) error {
	select {
	case <-en.written:
		en.timer.Stop()
		en.recycle()
		return nil
	case <-en.timer.C:
	case <-ctx.Done():
	}
	return l.tooLate(e, en)
}

// skipWait reports whether an allow goes out without waiting: the sink is stalled,
// and the rule is to drop.
func (l *Log) skipWait() bool { return l.o.Overflow == Drop && l.stats.Stalled }

func (l *Log) fits(en *entry) bool { return !l.closing && l.hasRoom(en) }

func (l *Log) hasRoom(en *entry) bool { return l.bytes+len(en.line) <= l.o.QueueBytes }

// enqueue gives an event its number and its place, or counts it as lost.
func (l *Log) enqueue(en *entry, waiting bool) {
	if !l.fits(en) {
		l.lose(1)
		en.recycle()
		return
	}
	l.push(en, waiting)
}

func (l *Log) push(en *entry, waiting bool) {
	l.seq++
	en.seq, en.waiting, en.taken = l.seq, waiting, false
	l.queue = append(l.queue, en)
	l.bytes += len(en.line)
	l.wake.Signal()
}

func (l *Log) lose(n int) {
	l.unreported += n
	l.stats.Lost += uint64(n)
}

// tooLate turns the queued event of an allow into that of a refusal. Where the writer
// has it in hand already, it stays an allow that was not answered, which is the safe side.
func (l *Log) tooLate(e *Event, en *entry) error {
	en.timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	if en.seq != 0 && !en.waiting { // written meanwhile
		<-en.written
		en.recycle()
		return nil
	}
	if l.o.Overflow == Drop {
		if en.seq == 0 {
			l.lose(1)
			en.recycle()
		}
		en.waiting = false
		return nil
	}
	refused := *e
	refused.Decision, refused.Reason, refused.Status = Deny, unavailable, unavailableStatus
	refused.Severity, refused.Shadow = Notice, ""
	switch {
	case en.seq == 0: // never queued
		en.line = appendEvent(en.line[:0], &refused, l.o.Instance)
		l.enqueue(en, false)
	case !en.taken:
		l.bytes -= len(en.line)
		en.line = appendEvent(en.line[:0], &refused, l.o.Instance)
		l.bytes += len(en.line)
		en.waiting = false
	default:
		en.waiting = false
	}
	return ErrUnavailable
}

// How an allow that could not be audited is answered; the names are those of the
// policy's reasons.
const (
	unavailable       = "audit_unavailable"
	unavailableStatus = 503
)

// recycle returns an entry that nothing else refers to.
func (en *entry) recycle() {
	en.seq, en.waiting, en.taken, en.checkpoint = 0, false, false, noCheckpoint
	entries.Put(en)
}

// Stats returns how the log does.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Queued = len(l.queue)
	return s
}

// Close takes no more events, writes what is queued, and returns an error where events
// were lost, now or before. It gives up when ctx is done.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	l.enqueueGap()
	if !l.closing {
		l.enqueueCheckpoint(lastCheckpoint)
	}
	l.closing = true
	l.wake.Signal()
	l.mu.Unlock()
	select {
	case <-l.done:
	case <-ctx.Done():
		l.gaveUp.Do(func() { close(l.giveUp) })
		<-l.done
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if lost := l.stats.Lost + uint64(len(l.queue)); lost > 0 {
		return fmt.Errorf("audit events were lost: %d", lost)
	}
	return nil
}

// enqueueGap queues the event that counts the lost ones, if there is room for it.
func (l *Log) enqueueGap() {
	if l.unreported == 0 {
		return
	}
	en := entries.Get().(*entry)
	en.line = appendEvent(en.line[:0], &Event{Time: l.o.Now(), Kind: Gap, Severity: Alert, Count: l.unreported}, l.o.Instance)
	if !l.hasRoom(en) {
		en.recycle()
		return
	}
	l.unreported = 0
	l.push(en, false)
}

// head is the beginning of each line, before its sequence number.
var head = fmt.Sprintf(`{"v":%d,"seq":`, Version)

// appendLine appends the line of an entry. Before is the seal of the line before it; it returns that of the line.
func (l *Log) appendLine(b []byte, en *entry, seq uint64, before tag) ([]byte, tag) {
	if l.chain != nil {
		return l.chain.append(b, en, seq, before)
	}
	b = append(b, head...)
	b = strconv.AppendUint(b, seq, 10)
	return append(b, en.line...), before
}

// AppendLine appends the line of an event as a Log writes it, unsealed: for logs that are made up.
func AppendLine(b []byte, e *Event, instance string, seq uint64) []byte {
	b = append(b, head...)
	b = strconv.AppendUint(b, seq, 10)
	return appendEvent(b, e, instance)
}

// lastSeal is the seal of the last line whose first bytes are written.
func (l *Log) lastSeal() (t tag) {
	if l.chain != nil {
		t = l.chain.last
	}
	return t
}

// sealed notes that the first bytes of a line are written.
func (l *Log) sealed(t tag) {
	if l.chain != nil {
		l.chain.last = t
	}
}
