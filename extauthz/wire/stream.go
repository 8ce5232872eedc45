package wire

import (
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// kind is the purpose of a stream.
type kind uint8

const (
	kindPlain kind = iota // no gRPC, or a call that is answered already: the body is thrown away
	kindCall
	kindHealthCheck
	kindHealthWatch
)

// stream is a stream from its headers to its answer. It is never used again for another.
type stream struct {
	id       uint32
	kind     kind
	opened   time.Time
	deadline time.Time // by grpc-timeout

	// What comes in.
	ended    bool  // the request is whole
	deciding bool  // and its decision on its way
	window   int   // how much the peer may still send
	length   int64 // of content-length; negative: none
	received int64
	held     int // bytes that were received and count for the connection's window
	message  message

	// What goes out.
	send     int64  // how much the peer takes
	rest     []byte // of the answer, until the peer takes it
	charged  int    // bytes taken from the server's budget for it
	blocked  time.Time
	trailers []byte // a frame that follows rest
	status   int    // for kindPlain: of HTTP
	sent     int    // for kindHealthWatch: the status that the peer knows
	done     bool   // answered: it goes when the answer is sent
}

// Paths of the services.
const (
	pathHealthCheck = "/grpc.health.v1.Health/Check"
	pathHealthWatch = "/grpc.health.v1.Health/Watch"
)

// open opens the stream of a request.
func (c *conn) open(t *turn, o blockOpener, r *head) {
	if c.announced { // streams beyond the last one that we announced do not count
		return
	}
	c.lastID = o.id
	if o.selfDep {
		c.reset(o.id, http2.ErrCodeProtocol)
		return
	}
	if len(c.streams)+len(c.orphaned) >= maxStreams {
		c.disturb(1)
		c.reset(o.id, http2.ErrCodeRefusedStream)
		return
	}
	st := &stream{id: o.id, opened: c.lastRead, window: streamWindow, send: c.initialSend, length: r.length}
	c.streams[o.id] = st
	c.route(st, r)
	if c.streams[o.id] == st && o.endStream {
		c.end(t, st)
	}
}

// route finds out what a stream is for. What is no gRPC is answered at its end, so that
// what is wrong with the rest of it is seen, too.
func (c *conn) route(st *stream, r *head) {
	switch {
	case r.tooLarge:
		c.refuse(st, codeResourceExhausted, "the header list is too large")
	case r.isBad || !r.complete():
		c.reset(st.id, http2.ErrCodeProtocol)
	case r.method != "POST":
		st.status = 405
	case !isGRPC(r.contentType):
		st.status = 415
	case r.badTimeout:
		c.refuse(st, codeInternal, "malformed grpc-timeout")
	case r.path == c.s.o.Method:
		st.kind = kindCall
		if r.timeout >= 0 {
			st.deadline = time.Now().Add(r.timeout)
		}
	case r.path == pathHealthCheck:
		st.kind = kindHealthCheck
	case r.path == pathHealthWatch:
		st.kind = kindHealthWatch
	default:
		c.refuse(st, codeUnimplemented, "there is no such method")
	}
}

// data handles a part of a request's body.
func (c *conn) data(t *turn, f *http2.DataFrame) {
	size, id := int(f.Length), f.StreamID
	if c.window -= size; c.window < 0 {
		c.fail(http2.ErrCodeFlowControl, "more than the connection's window")
		return
	}
	st := c.streams[id]
	if st == nil || st.ended {
		c.returnWindow(size)
		c.closedData(id)
		return
	}
	body := f.Data()
	if len(body) < 256 && !f.StreamEnded() {
		c.disturb(1)
	}
	st.received += int64(len(body))
	switch st.window -= size; {
	case st.window < 0:
		c.returnWindow(size)
		c.reset(id, http2.ErrCodeFlowControl)
		return
	case st.length >= 0 && (st.received > st.length || f.StreamEnded() && st.received != st.length):
		c.returnWindow(size)
		c.reset(id, http2.ErrCodeProtocol)
		return
	}
	c.returnWindow(size - len(body)) // padding
	if st.kind == kindPlain {
		c.discard(st, len(body))
	} else {
		c.hold(st, len(body))
		st.window += c.returnPadding(st, size-len(body))
		if f.StreamEnded() && st.message.got == 0 && len(body) >= messagePrefix && whole(body) {
			st.message.single(body, c.copied(body[messagePrefix:]))
		} else if !c.receive(st, body) {
			st.ended = st.ended || f.StreamEnded()
			return
		}
	}
	if f.StreamEnded() {
		c.end(t, st)
	}
}

// closedData answers data on a stream that is closed.
func (c *conn) closedData(id uint32) {
	switch {
	case id > c.lastID || id%2 == 0:
		if !c.announced {
			c.fail(http2.ErrCodeProtocol, "DATA on a stream that is idle")
		}
	case c.recent.has(id):
		c.disturb(1)
	default:
		c.disturb(1)
		c.recent.add(id)
		c.reset(id, http2.ErrCodeStreamClosed)
	}
}

// hold notes bytes that are kept until the call is decided. Those of an admitted message
// count elsewhere.
func (c *conn) hold(st *stream, n int) {
	if st.message.admitted > 0 {
		c.returnWindow(n)
		return
	}
	st.held += n
}

// discard throws away the body of a request that is no call, and lets it go on.
func (c *conn) discard(st *stream, body int) {
	c.returnWindow(body)
	if st.window < streamWindow/2 && !st.ended {
		_ = c.framer.WriteWindowUpdate(st.id, uint32(streamWindow-st.window))
		st.window = streamWindow
	}
}

// returnPadding gives back what padding took of a stream's window.
func (c *conn) returnPadding(st *stream, n int) int {
	if n > 0 {
		c.disturb(1)
		_ = c.framer.WriteWindowUpdate(st.id, uint32(n))
	}
	return n
}

// returnWindow gives back what the peer may send on all streams, a part of the window at
// a time.
func (c *conn) returnWindow(n int) {
	if c.consumed += n; c.consumed >= connWindow/16 && !c.ending {
		_ = c.framer.WriteWindowUpdate(0, uint32(c.consumed))
		c.window += c.consumed
		c.consumed = 0
	}
}

// end is called when a request is whole.
func (c *conn) end(t *turn, st *stream) {
	if st.length >= 0 && st.received != st.length {
		c.reset(st.id, http2.ErrCodeProtocol)
		return
	}
	st.ended = true
	c.noise = max(0, c.noise-noisePerCall)
	if st.deciding || st.done { // it is being refused
		return
	}
	if st.kind == kindPlain {
		c.answerPlain(st)
		return
	}
	text, code, why := st.message.take()
	switch {
	case code != codeOK:
		c.refuse(st, code, why)
	case st.kind == kindCall:
		c.decide(t, st, text)
	default:
		c.health(st, text)
	}
}

// remove forgets a stream. If its decision is on its way, it stays counted until then.
func (c *conn) remove(st *stream) {
	delete(c.streams, st.id)
	if st.deciding {
		c.orphaned[st.id] = st
		return
	}
	c.release(st)
	c.endIfDone()
}

// release gives back what a stream holds.
func (c *conn) release(st *stream) {
	c.returnWindow(st.held)
	st.held = 0
	c.s.budget.give(int64(st.message.charged + st.charged))
	if st.message.admitted > 0 {
		c.admitted -= st.message.admitted
		c.admitNext()
	}
	st.message, st.rest = message{}, nil
}

// message is a message as it comes in: a prefix of five bytes, of which the last four are
// the length, and the rest.
type message struct {
	prefix     [messagePrefix]byte
	got        int // bytes, with the prefix
	text       strings.Builder
	whole      string // if it came in one frame
	tooMany    bool
	charged    int // bytes taken from the server's budget
	admitted   int // bytes taken from the connection's
	compressed bool
}

const messagePrefix = 5

func lengthOf(prefix []byte) uint32 {
	return uint32(prefix[1])<<24 | uint32(prefix[2])<<16 | uint32(prefix[3])<<8 | uint32(prefix[4])
}

// whole reports whether a body is one message, and all of it.
func whole(body []byte) bool {
	return uint64(lengthOf(body)) == uint64(len(body)-messagePrefix)
}

// single takes a message that is here as a whole, and a copy of its text: the frame's buffer is
// used again.
func (m *message) single(body []byte, text string) {
	m.got, m.compressed = len(body), body[0] != 0
	m.whole = text
}

// copied copies a message. Those of a busy connection share memory that is allocated in larger pieces.
func (c *conn) copied(body []byte) string {
	if !c.large || len(body) > textChunk/8 {
		return string(body)
	}
	if c.texts.Cap()-c.texts.Len() < len(body) {
		c.texts = strings.Builder{}
		c.texts.Grow(textChunk)
	}
	start := c.texts.Len()
	c.texts.Write(body)
	return c.texts.String()[start:]
}

// take returns the message, or what is wrong with it.
func (m *message) take() (text string, code int, why string) {
	size := int64(lengthOf(m.prefix[:]))
	switch {
	case m.compressed:
		return "", codeUnimplemented, "the message is compressed, which is not supported"
	case m.whole != "" || m.got == messagePrefix && size == 0 && !m.tooMany:
		return m.whole, codeOK, ""
	case m.got < messagePrefix || int64(m.text.Len()) != size || m.tooMany:
		return "", codeInternal, "expected one message"
	}
	return m.text.String(), codeOK, ""
}
