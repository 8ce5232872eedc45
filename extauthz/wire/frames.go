package wire

import (
	"errors"

	"golang.org/x/net/http2"
)

// greet sends the server's settings.
func (c *conn) greet() {
	_ = c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: maxStreams},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: uint32(c.s.o.MaxHeader)},
	)
	_ = c.framer.WriteWindowUpdate(0, connWindow-defaultWindow)
}

// handle handles a frame that is well-formed by itself.
func (c *conn) handle(t *turn, f http2.Frame) {
	if !c.settled {
		s, ok := f.(*http2.SettingsFrame)
		if !ok || s.IsAck() {
			c.fail(http2.ErrCodeProtocol, "expected SETTINGS first")
			return
		}
	}
	switch f := f.(type) {
	case *http2.DataFrame:
		c.data(t, f)
	case *http2.HeadersFrame:
		c.headers(t, f)
	case *http2.ContinuationFrame:
		c.continuation(t, f)
	case *http2.SettingsFrame:
		c.settings(f)
	case *http2.PingFrame:
		c.ping(f)
	case *http2.WindowUpdateFrame:
		c.windowUpdate(f)
	case *http2.RSTStreamFrame:
		c.rstStream(f)
	case *http2.PriorityFrame:
		c.priority(f)
	case *http2.PushPromiseFrame:
		c.fail(http2.ErrCodeProtocol, "a client does not push")
	case *http2.GoAwayFrame:
		c.peerLeaves = true
		c.endIfDone()
	default: // of a kind that we don't know
		c.disturb(1)
	}
}

func (c *conn) settings(f *http2.SettingsFrame) {
	c.settled = true
	c.disturb(1)
	if f.IsAck() {
		return
	}
	if f.HasDuplicates() {
		c.disturb(f.NumSettings())
	}
	for i := range f.NumSettings() {
		s := f.Setting(i)
		if err := s.Valid(); err != nil {
			var of http2.ConnectionError
			_ = errors.As(err, &of)
			c.fail(http2.ErrCode(of), "a setting out of its range")
			return
		}
		if s.ID == http2.SettingInitialWindowSize && !c.setInitialSend(int64(s.Val)) {
			c.fail(http2.ErrCodeFlowControl, "a window beyond its limit")
			return
		}
	}
	_ = c.framer.WriteSettingsAck()
	c.pump()
}

func (c *conn) ping(f *http2.PingFrame) {
	if f.IsAck() {
		c.pinged = false
		if f.Data == drainPing {
			c.announceLast()
		}
		return
	}
	c.disturb(1)
	if !c.ending {
		_ = c.framer.WritePing(true, f.Data)
	}
}

func (c *conn) windowUpdate(f *http2.WindowUpdateFrame) {
	c.disturb(1)
	if f.StreamID == 0 {
		if c.sendWindow += int64(f.Increment); c.sendWindow > maxWindow {
			c.fail(http2.ErrCodeFlowControl, "a window beyond its limit")
			return
		}
		c.pump()
		return
	}
	st := c.streams[f.StreamID]
	if st == nil {
		if f.StreamID > c.lastID {
			c.fail(http2.ErrCodeProtocol, "WINDOW_UPDATE on a stream that is idle")
		}
		return
	}
	if st.send += int64(f.Increment); st.send > maxWindow {
		c.reset(st.id, http2.ErrCodeFlowControl)
		return
	}
	c.pump()
}

// rstStream ends a stream. A call costs what it costs, whether it is cancelled or not.
func (c *conn) rstStream(f *http2.RSTStreamFrame) {
	if f.StreamID > c.lastID {
		c.fail(http2.ErrCodeProtocol, "RST_STREAM on a stream that is idle")
		return
	}
	if st := c.streams[f.StreamID]; st != nil {
		c.remove(st)
		return
	}
	c.disturb(1)
}

func (c *conn) priority(f *http2.PriorityFrame) {
	c.disturb(1)
	if f.StreamDep == f.StreamID {
		c.reset(f.StreamID, http2.ErrCodeProtocol)
	}
}

// reset ends a stream from this side.
func (c *conn) reset(id uint32, code http2.ErrCode) {
	if c.ending {
		return
	}
	_ = c.framer.WriteRSTStream(id, code)
	st := c.streams[id]
	if st == nil || !st.ended {
		c.recent.add(id)
	}
	if st != nil {
		c.remove(st)
	}
}

// recentIDs remembers streams that we ended while the peer was still sending: what is in
// flight on them is no mistake.
type recentIDs struct {
	ids [128]uint32
	n   int
}

func (r *recentIDs) add(id uint32) {
	r.ids[r.n%len(r.ids)] = id
	r.n++
}

func (r *recentIDs) has(id uint32) bool {
	for _, have := range r.ids {
		if have == id {
			return true
		}
	}
	return false
}
