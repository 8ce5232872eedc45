package audit

import (
	"errors"
	"runtime"
	"syscall"
	"time"
)

// Sink takes the lines of a log: a pipe with a reader, or a file.
type Sink interface {
	// Await waits until a write of Chunk bytes would not block, or for d. It reports
	// which of the two.
	Await(d time.Duration) bool
	// Write writes as much as it can and returns how much that was. It may return
	// less with an error, and be called again with the rest.
	Write(b []byte) (n int, err error)
	// Chunk is how many bytes at the most one write should have.
	Chunk() int
}

// retry is how long the writer rests after a write that failed, and how long it waits
// for a sink at a time.
const retry = 50 * time.Millisecond

// write is the writer. It alone touches the sink while anything is queued; Batch.Commit does
// so while nothing is.
func (l *Log) write() {
	defer close(l.done)
	var w batch
	for l.awaitEntries() {
		runtime.Gosched() // those who are about to record join this write
		if !l.sink.Await(retry) {
			l.stalled(nil)
			continue
		}
		if len(w.rest) == 0 {
			l.take(&w)
		}
		n, err := l.sink.Write(w.rest[:min(len(w.rest), max(l.sink.Chunk(), 1))])
		l.finish(&w, n)
		if err != nil {
			l.stalled(err)
			if !l.rest(err) {
				return
			}
		}
	}
}

// rest waits a moment after a write that failed. It returns false where nothing can
// come of another try: the log is closing, and its reader is gone.
func (l *Log) rest(err error) bool {
	l.mu.Lock()
	closing := l.closing
	l.mu.Unlock()
	if closing && errors.Is(err, syscall.EPIPE) {
		return false
	}
	select {
	case <-time.After(retry):
	case <-l.giveUp:
	}
	return true
}

// batch is the write in progress: the bytes of the first entries of the queue.
type batch struct {
	buffer []byte
	rest   []byte // of buffer, not yet written
	torn   bool   // Batch.Commit has written the beginning of the first entry
	ends   []int  // of each entry, from the end of buffer
	seals  []tag  // of each entry
}

// awaitEntries waits until there is something to write. It returns false when the log
// is closed and empty, or must give up.
func (l *Log) awaitEntries() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && !l.closing {
		l.wake.Wait()
	}
	select {
	case <-l.giveUp:
		return false
	default:
		return len(l.queue) > 0
	}
}

// take fills the batch with as many entries as a chunk holds, at least one.
func (l *Log) take(w *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.buffer, w.ends, w.seals = w.buffer[:0], w.ends[:0], w.seals[:0]
	seal := l.lastSeal()
	if len(l.torn) > 0 {
		w.buffer, w.ends, w.seals = append(w.buffer, l.torn...), append(w.ends, len(l.torn)), append(w.seals, seal)
		w.rest, l.torn, w.torn = w.buffer, l.torn[:0], true
		return
	}
	for _, en := range l.queue {
		before := len(w.buffer)
		var next tag
		w.buffer, next = l.appendLine(w.buffer, en, en.seq, seal)
		if before > 0 && len(w.buffer) > l.sink.Chunk() {
			w.buffer = w.buffer[:before]
			break
		}
		en.taken, seal = true, next
		w.ends, w.seals = append(w.ends, len(w.buffer)), append(w.seals, seal)
	}
	w.rest = w.buffer // panic: writer
}

// finish notes that n bytes more are written: whole entries are done, one that is cut
// goes on later, and those of which nothing is written go back, so that they can
// still be changed.
func (l *Log) finish(w *batch, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.rest = w.rest[n:]
	at := len(w.buffer) - len(w.rest)
	done := 0
	for done < len(w.ends) && w.ends[done] <= at {
		done++
	}
	for _, en := range l.queue[:done] {
		l.bytes -= len(en.line)
		if en.waiting {
			en.waiting = false
			en.written <- struct{}{}
		} else {
			en.recycle()
		}
	}
	start := 0
	if done > 0 {
		start = w.ends[done-1]
		l.stats.Written += uint64(done)
		l.queue = l.queue[done:]
		if len(l.queue) == 0 {
			l.queue = nil
		}
		l.flows()
		close(l.room)
		l.room = make(chan struct{})
		l.enqueueGap()
	}
	w.ends = w.ends[done:]
	w.torn = w.torn && done == 0
	keep := 0
	if at > start || w.torn { // mutant: torn-event
		keep = 1 // the entry that is cut
	}
	if begun := done + keep; begun > 0 {
		l.sealed(w.seals[begun-1])
	}
	w.seals = w.seals[done:]
	for _, en := range l.queue[keep:max(keep, len(w.ends))] {
		en.taken = false
	}
	if len(w.ends) > keep {
		w.ends, w.seals = w.ends[:keep], w.seals[:keep]
		w.cutTo(keep)
	}
}

// cutTo forgets the entries behind the first keep.
func (w *batch) cutTo(keep int) {
	if keep == 0 {
		w.rest = nil
		return
	}
	surplus := len(w.buffer) - w.ends[keep-1]
	w.buffer = w.buffer[:len(w.buffer)-surplus]
	w.rest = w.rest[:len(w.rest)-surplus]
}

// reportEvery is the minimum time between two log lines about a sink that stalls repeatedly.
const reportEvery = 10 * time.Second

// stalled records and logs that the sink takes nothing, or fails.
func (l *Log) stalled(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stats.Stalled && time.Since(l.reportedAt) > reportEvery {
		l.reportedAt = time.Now()
		l.reported = true
		becomes := "refused"
		if l.o.Overflow == Drop {
			becomes = "answered without their events"
		}
		l.o.Logger.Error("the audit can't be written, allows are "+becomes, "error", err)
	}
	l.stats.Stalled = true
}

// flows records that the sink takes events again.
func (l *Log) flows() {
	if l.stats.Stalled && l.reported {
		l.reported = false
		l.o.Logger.Info("the audit can be written again")
	}
	l.stats.Stalled = false
}
