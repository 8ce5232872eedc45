package wire

import "golang.org/x/net/http2"

// receive takes a part of a message that does not come in one frame. It returns false if
// the call ended by that.
func (c *conn) receive(st *stream, body []byte) bool {
	m := &st.message
	if m.got < messagePrefix {
		n := copy(m.prefix[m.got:], body)
		m.got += n
		body = body[n:]
		if m.got == messagePrefix && !c.expect(st) {
			return false
		}
	}
	room := int(lengthOf(m.prefix[:])) - m.text.Len()
	if m.got < messagePrefix {
		return true
	}
	if len(body) > room {
		m.tooMany = true
		body = body[:room]
	}
	m.text.Write(body)
	m.got += len(body)
	return true
}

// expect is called when the length of a message is known, before its first byte is kept.
// What it takes counts at once: a peer may announce much and send little.
func (c *conn) expect(st *stream) bool {
	m := &st.message
	m.compressed = m.prefix[0] != 0
	n := int64(lengthOf(m.prefix[:]))
	limit := int64(c.s.o.MaxMessage)
	if st.kind != kindCall {
		limit = maxHealthMessage
	}
	first := min(n, streamWindow)
	if n > limit || !c.s.budget.take(first) {
		c.refuseCall(st)
		return false
	}
	m.charged = int(first)
	m.text.Grow(int(first))
	if n+messagePrefix > streamWindow {
		c.waiting = append(c.waiting, st)
		c.admitNext()
	}
	return !st.deciding
}

// admitNext lets the first of the large messages that wait be sent, if there is room.
func (c *conn) admitNext() {
	for len(c.waiting) > 0 && !c.ending {
		st := c.waiting[0]
		n := int(lengthOf(st.message.prefix[:]))
		gone := c.streams[st.id] != st || st.ended || st.deciding
		if !gone && c.admitted > 0 && c.admitted+n > maxAdmitted {
			return
		}
		c.waiting = c.waiting[1:]
		if !gone {
			c.admit(st, n)
		}
	}
}

// admit lets the rest of a large message be sent.
func (c *conn) admit(st *stream, n int) {
	m := &st.message
	if !c.s.budget.take(int64(n - m.charged)) {
		c.refuseCall(st)
		return
	}
	m.charged, m.admitted = n, n
	c.admitted += n
	m.text.Grow(n - m.text.Len())
	c.returnWindow(st.held)
	st.held = 0
	// A little more than it needs, so that more than one message is seen as that.
	more := n + messagePrefix - streamWindow + maxFrame
	st.window += more
	_ = c.framer.WriteWindowUpdate(st.id, uint32(more))
}

// refuseCall answers a call whose message is not received: it is over the limit, or there
// is no room for it. The answer is a refusal, as an error would obey failure_mode_allow.
func (c *conn) refuseCall(st *stream) {
	if st.kind != kindCall {
		c.refuse(st, codeResourceExhausted, "the message is too large")
		return
	}
	st.kind, st.deciding = kindPlain, true
	go c.finishAlone(st.id, c.s.handler.Refuse())
}

// refuse answers with an error of gRPC, at once.
func (c *conn) refuse(st *stream, code int, why string) {
	st.kind = kindPlain
	c.out = appendStatus(c.out, st.id, code, why, c.firstBlock())
	c.finish(st)
}

// finish ends a stream whose answer is sent.
func (c *conn) finish(st *stream) {
	if !st.ended {
		c.recent.add(st.id)
		_ = c.framer.WriteRSTStream(st.id, http2.ErrCodeNo)
	}
	c.remove(st)
}
