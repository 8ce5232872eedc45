package wire

import "time"

// watch sees that a decision takes long, and lets another goroutine read on.
//
// A timer runs while calls are decided. When it fires twice during the same decision, its
// goroutine takes the turn, with the batch so far. The goroutine that decides finds out
// when it is done, and finishes its one call alone.
type watch struct {
	timer     *time.Timer
	armed     bool
	deciding  bool
	decisions uint64 // begun so far, by who had the turn
	seen      uint64 // decisions when the timer fired last
}

// decide decides the call of a stream that has been received.
func (c *conn) decide(t *turn, st *stream, message string) {
	st.deciding = true
	call := Call{Message: message, Deadline: st.deadline, Peer: c.peer}
	if c.s.handler.Slow(len(message)) {
		go c.decideAlone(st.id, call)
		return
	}
	c.deciding = true
	c.decisions++
	c.arm()
	c.mu.Unlock()
	d := c.s.handler.Decide(call)
	c.mu.Lock()
	if c.turn == t {
		c.deciding = false
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

func (c *conn) stopWatch() {
	if c.timer != nil {
		c.timer.Stop()
	}
}

// look is called by the timer, in a goroutine of its own.
func (c *conn) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.deciding || c.closed:
		c.armed = false
	case c.seen != c.decisions:
		c.seen = c.decisions
		c.timer.Reset(c.s.times.takeover)
	default:
		c.armed, c.deciding = false, false
		t := *c.turn // the batch so far
		*c.turn = turn{}
		c.turn = &t
		c.endBatch(&t)
		c.readOn(&t)
	}
}
