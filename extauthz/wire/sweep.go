package wire

import (
	"math/rand/v2"
	"time"

	"golang.org/x/net/http2"
)

// timing is when things happened on a connection, and what follows from that.
type timing struct {
	lastRead   time.Time
	settled    bool // the peer's SETTINGS came
	pinged     bool // and not answered
	pingedAt   time.Time
	poked      bool // the goroutine that reads is woken
	peerLeaves bool // its GOAWAY came

	draining  bool // the first GOAWAY was sent
	drainAt   time.Time
	announced bool // the second one was sent
	gone      bool // the peer is
	ending    bool // no more is read
	closed    bool
	life      time.Duration // until it drains
}

// drainPing is answered by the peer after it has read the first GOAWAY.
var drainPing = [8]byte{'l', 'e', 'a', 'v', 'i', 'n', 'g'}

// sweep looks after all connections, until Stop.
func (s *Server) sweep() {
	ticker := time.NewTicker(s.times.sweep)
	defer ticker.Stop()
	for {
		select {
		case <-s.stopped:
			return
		case now := <-ticker.C:
			for _, c := range s.connections() {
				c.sweep(now)
			}
		}
	}
}

// sweep looks after a connection.
func (c *conn) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.framer == nil { // the handshake has a deadline of its own
		return
	}
	t := &c.s.times
	c.noise = max(0, c.noise-noisePerSweep)
	if c.writing && now.Sub(c.writeSince) > t.write || c.draining && now.Sub(c.drainAt) > t.ageGrace {
		c.sever()
		return
	}
	switch {
	case c.ending:
		return
	case !c.settled && now.Sub(c.started) > t.handshake:
		c.fail(http2.ErrCodeSettingsTimeout, "no SETTINGS came")
	case len(c.blocked) > 0 && now.Sub(c.blocked[0].blocked) > t.write:
		c.fail(http2.ErrCodeEnhanceYourCalm, "an answer is not read")
	case c.pinged && now.Sub(c.pingedAt) > t.pingWait:
		c.fail(http2.ErrCodeNo, "no answer to PING")
	}
	c.expire(now.Add(-t.request))
	c.keep(now)
	c.leave(now)
	c.flushAside()
}

// expire ends calls whose requests are not whole in time.
func (c *conn) expire(before time.Time) {
	for _, st := range c.streams {
		if !st.ended && !st.deciding && st.opened.Before(before) {
			c.reset(st.id, http2.ErrCodeCancel)
		}
	}
}

// keep pings a silent peer, and releases memory that the connection does not need.
func (c *conn) keep(now time.Time) {
	silent := now.Sub(c.lastRead)
	if silent > c.s.times.idlePing && !c.pinged && !c.ending {
		c.pinged, c.pingedAt = true, now
		_ = c.framer.WritePing(false, [8]byte{'t', 'h', 'e', 'r', 'e', '?'})
	}
	if silent > c.s.times.rest && c.large && !c.busy && !c.ending {
		c.poke()
	}
}

// leave makes a connection end that is old, or whose peer does not answer to the first
// GOAWAY.
func (c *conn) leave(now time.Time) {
	if c.life == 0 { // not all connections of a start at the same time
		c.life = time.Duration(float64(c.s.times.age) * (0.9 + 0.2*rand.Float64()))
	}
	switch {
	case c.ending:
	case !c.draining && now.Sub(c.started) > c.life:
		c.beginDrain(now)
	case c.draining && !c.announced && now.Sub(c.drainAt) > c.s.times.goAway:
		c.announceLast()
	}
}

// drain lets the connection end when its calls are answered.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.framer == nil {
		_ = c.raw.Close()
		return
	}
	c.beginDrain(time.Now())
	c.flushAside()
}

// beginDrain announces that the connection ends. The peer may have opened streams
// meanwhile: the last one is announced when the peer has read this.
func (c *conn) beginDrain(now time.Time) {
	if c.draining || c.ending {
		return
	}
	c.draining, c.drainAt = true, now
	_ = c.framer.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
	_ = c.framer.WritePing(false, drainPing)
}

// announceLast announces which stream is the last.
func (c *conn) announceLast() {
	if !c.draining || c.announced || c.ending {
		return
	}
	c.announced = true
	_ = c.framer.WriteGoAway(c.lastID, http2.ErrCodeNo, nil)
	c.endWatches()
	c.endIfDone()
}

// endIfDone ends a connection that is left by one of the two, and has no calls any more.
func (c *conn) endIfDone() {
	if (c.announced || c.peerLeaves) && len(c.streams) == 0 && !c.ending {
		c.ending = true
		c.poke()
	}
}
