package wire

import "time"

// watch sees that a decision, or a write, takes long, and lets another goroutine read on.
//
// A timer runs while the goroutine that has the turn is busy. When it fires twice during the
// same piece of work, its goroutine takes the turn, with the batch so far. The one that was
// busy finds out when it is done, and finishes its one call alone.
type watch struct {
	timer *time.Timer
	armed bool
	busy  bool   // who has the turn decides or writes, without mu
	works uint64 // pieces of work begun so far
	seen  uint64 // works when the timer fired last
}

// begin is called before a piece of work that is done without mu, and done after it.
func (c *conn) begin() {
	c.busy = true
	c.works++
	c.arm()
}

// done reports whether a goroutine still has its turn.
func (c *conn) done(t *turn) bool {
	if c.turn != t {
		return false
	}
	c.busy = false
	return true
}

// decide decides the call of a stream that has been received.
func (c *conn) decide(t *turn, st *stream, message string) {
	st.deciding = true
	call := Call{Message: message, Deadline: st.deadline, Peer: c.peer}
	if c.s.handler.Slow(len(message)) {
		go c.decideAlone(st.id, call)
		return
	}
	c.begin()
	c.mu.Unlock()
	d := c.s.handler.Decide(call)
	c.mu.Lock()
	if c.done(t) {
		c.add(t, st.id, d)
		return
	}
	c.mu.Unlock()
	c.finishAlone(st.id, d)
	c.mu.Lock()
}

func (c *conn) decideAlone(id uint32, call Call) {
	c.finishAlone(id, c.s.handler.Decide(call))
}

// finishAlone answers a call that is in no turn's batch.
func (c *conn) finishAlone(id uint32, d Decision) {
	b := c.s.batches.Get().(Batch)
	b.Add(id, d)
	c.mu.Lock()
	late := b.Commit(c.answers)
	c.s.batches.Put(b)
	c.flush()
	c.mu.Unlock()
	if late != nil {
		late(c.answerLate)
	}
}

// arm starts the timer, if it does not run.
func (c *conn) arm() {
	switch {
	case c.armed:
		return
	case c.timer == nil:
		c.timer = time.AfterFunc(c.s.times.takeover, c.look)
	default:
		c.timer.Reset(c.s.times.takeover)
	}
	c.armed = true
	c.seen = 0
}

// stopWatch stops the timer: it would wake the process for nothing.
func (c *conn) stopWatch() {
	if c.armed {
		c.timer.Stop()
		c.armed = false
	}
}

// look is called by the timer, in a goroutine of its own.
func (c *conn) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.busy || c.closed:
		c.armed = false
	case c.seen != c.works:
		c.seen = c.works
		c.timer.Reset(c.s.times.takeover)
	default:
		c.armed, c.busy = false, false
		t := *c.turn // the batch so far
		*c.turn = turn{}
		c.turn = &t
		c.endBatch(&t)
		c.readOn(&t)
	}
}
