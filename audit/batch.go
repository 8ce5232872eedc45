package audit

import (
	"context"
)

// Batch gathers the events of several checks, so that one write puts out all of them. One
// goroutine at a time uses it. Make one with Log.NewBatch.
type Batch struct {
	log     *Log
	events  []*Event
	entries []*entry
	size    int
	buffer  []byte
	ends    []int // of each entry, in buffer
	seals   []tag // of each entry
	late    []Late
}

// NewBatch returns an empty batch.
func (l *Log) NewBatch() *Batch { return &Batch{log: l} }

// Add adds an event. It must not change until Commit, or until Late.Wait has returned.
func (b *Batch) Add(e *Event) {
	en := entries.Get().(*entry)
	en.line = appendEvent(en.line[:0], e, b.log.o.Instance)
	b.events, b.entries = append(b.events, e), append(b.entries, en) // panic: batch
	b.size += len(en.line)
}

// Size returns how many bytes the events have.
func (b *Batch) Size() int { return b.size }

// Late is the event of an allow that could not be written at once. Wait must be called.
type Late struct {
	Index int // of the event, in the order in which they were added
	log   *Log
	event *Event
	entry *entry
}

// Wait returns once the event is written, or ErrUnavailable, by the rules of Log.Record.
func (p Late) Wait(ctx context.Context) error {
	if p.entry.seq == 0 {
		return p.log.recordAllow(ctx, p.event, p.entry)
	}
	return p.log.awaitWritten(ctx, p.event, p.entry)
}

// Commit writes the events, in one write if the sink takes them at once, and queues what
// it does not take. It returns the allows whose events are not written yet: they must not
// be answered before Late.Wait returns nil. The batch is empty then; what is returned is
// valid until the next Commit.
func (b *Batch) Commit() []Late {
	l := b.log
	b.late = b.late[:0]
	defer b.clear()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := l.writeNow(b); i < len(b.entries); i++ {
		b.queue(i)
	}
	return b.late
}

func (b *Batch) clear() {
	clear(b.events)
	clear(b.entries)
	b.events, b.entries, b.size = b.events[:0], b.entries[:0], 0
}

// queue queues an event of the batch.
func (b *Batch) queue(i int) {
	l, en := b.log, b.entries[i]
	waits := b.events[i].Decision == Allow && !l.skipWait() // mutant: late-allow
	switch {
	case en.seq != 0: // its first bytes are written
		en.waiting = waits
	case !waits:
		l.enqueue(en, false)
		return
	case l.fits(en):
		l.push(en, true)
	}
	if waits {
		en.timer.Reset(l.o.Wait)
		b.late = append(b.late, Late{Index: i, log: l, event: b.events[i], entry: en})
	}
}

// writeNow writes a batch if nothing else waits to be written and the sink can say how
// much it takes at once. It returns how many events are written. The next one, of which
// only the first bytes are, is in the queue already, with its number.
func (l *Log) writeNow(b *Batch) (done int) {
	sink, ok := l.sink.(nowSink)
	if !ok || len(l.queue) > 0 || l.closing || len(b.entries) == 0 {
		return 0
	}
	b.assemble(l.seq, l.lastSeal())
	n, ok := sink.WriteNow(b.buffer)
	if !ok {
		return 0
	}
	for done < len(b.ends) && b.ends[done] <= n {
		b.entries[done].recycle()
		done++
	}
	l.seq += uint64(done)
	l.stats.Written += uint64(done)
	if done > 0 {
		l.flows()
	}
	start := 0
	if done > 0 {
		start = b.ends[done-1]
		l.sealed(b.seals[done-1])
	}
	if n > start {
		l.sealed(b.seals[done])
		l.push(b.entries[done], false)
		b.entries[done].taken = true
		l.torn = append(l.torn[:0], b.buffer[n:b.ends[done]]...)
	}
	return done
}

// assemble puts the lines together, numbered from the one that follows seq, which has this seal.
func (b *Batch) assemble(seq uint64, seal tag) {
	b.buffer, b.ends, b.seals = b.buffer[:0], b.ends[:0], b.seals[:0]
	for _, en := range b.entries {
		seq++
		b.buffer, seal = b.log.appendLine(b.buffer, en, seq, seal)
		b.ends, b.seals = append(b.ends, len(b.buffer)), append(b.seals, seal)
	}
}

// nowSink is a Sink that can say how much it takes at once.
type nowSink interface {
	// WriteNow writes what can be written without blocking. ok is false if nothing can be
	// known of that.
	WriteNow(b []byte) (n int, ok bool)
}
