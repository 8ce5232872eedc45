package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// conn is one connection. Code that handles a frame, answers a call or maintains the
// connection holds mu; only decisions, reads and writes happen without it.
type conn struct {
	s       *Server
	nc      net.Conn
	raw     net.Conn // nc without TLS, whose Close may wait
	started time.Time
	peer    string
	answers Answer // answer, as one value

	mu     sync.Mutex
	turn   *turn // who reads
	in     input // of the goroutine that has the turn
	framer *http2.Framer
	heads  heads
	large  bool            // has a large buffer
	texts  strings.Builder // of messages; see copied

	streams  map[uint32]*stream
	orphaned map[uint32]*stream // reset, and their decisions are still on their way
	lastID   uint32             // the highest stream that the peer opened
	recent   recentIDs          // streams that we ended before the peer did
	waiting  []*stream          // messages that wait to be admitted
	admitted int                // bytes of admitted messages
	window   int                // how much the peer may still send on all streams
	consumed int                // bytes to return to that window
	noise    int

	output
	timing
	watch
}

// turn is the batch of the goroutine that reads.
type turn struct {
	batch Batch
	n     int // calls in it
	since time.Time
	full  bool
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{
		s: s, nc: nc, raw: nc, started: time.Now(), turn: &turn{},
		streams: map[uint32]*stream{}, orphaned: map[uint32]*stream{}, window: connWindow,
	}
	c.lastRead = c.started
	c.answers = c.answer
	c.drained.L = &c.mu
	c.sendWindow, c.initialSend = defaultWindow, defaultWindow
	return c
}

// run serves the connection.
func (c *conn) run() {
	if err := c.handshake(); err != nil {
		c.s.o.Logger.Debug("a connection could not be established", "peer", c.nc.RemoteAddr().String(), "error", err)
		_ = c.nc.Close()
		c.s.forget(c)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.framer = http2.NewFramer((*outWriter)(c), &c.in)
	c.framer.SetReuseFrames()
	c.framer.SetMaxReadFrameSize(maxFrame)
	c.heads.init(c.s.o.MaxHeader)
	t := c.turn
	c.greet()
	c.flushAs(t)
	c.readOn(t)
}

// handshake does the TLS handshake, where TLS is configured, and reads the client's
// preface.
func (c *conn) handshake() error {
	_ = c.nc.SetDeadline(c.started.Add(c.s.times.handshake))
	if c.s.o.TLS != nil {
		secure := tls.Server(c.nc, c.s.o.TLS)
		err := secure.Handshake()
		state := secure.ConnectionState()
		if err == nil && state.NegotiatedProtocol != "h2" {
			err = fmt.Errorf("the client did not ask for h2 (ALPN), but %q", state.NegotiatedProtocol)
		}
		if err != nil {
			c.s.o.HandshakeFailed(err)
			return err
		}
		c.peer = c.s.o.PeerName(state)
		c.mu.Lock()
		c.nc = secure
		c.mu.Unlock()
	}
	c.in.nc = c.nc
	for c.in.w < len(http2.ClientPreface) {
		c.in.makeRoom()
		if err := c.in.fill(); err != nil {
			return err
		}
		n := min(c.in.w, len(http2.ClientPreface))
		if string(c.in.buf[:n]) != http2.ClientPreface[:n] {
			return errors.New("what came first is no HTTP/2")
		}
	}
	c.in.r = len(http2.ClientPreface)
	return c.nc.SetDeadline(time.Time{})
}

// readOn reads frames until the connection ends, or another goroutine has the turn. mu is
// held, but for decisions, reads and writes.
func (c *conn) readOn(t *turn) {
	for c.turn == t && !c.ending {
		switch {
		case !c.in.frameReady():
			c.endBatch(t)
			if c.turn == t && !c.ending {
				c.fill()
			}
		default:
			c.frame(t)
			if c.turn == t && (t.full || len(c.out) > batchOut) {
				c.endBatch(t)
			}
		}
	}
	if c.turn == t {
		c.endBatch(t)
	}
	if c.turn == t {
		c.close()
	}
}

// endBatch writes the events of the batch, and then its answers.
func (c *conn) endBatch(t *turn) {
	if t.n > 0 {
		late := t.batch.Commit(c.answers)
		c.s.batches.Put(t.batch)
		*t = turn{}
		if late != nil {
			go late(c.answerLate)
		}
	}
	c.flushAs(t)
}

// add adds a decision to the batch.
func (c *conn) add(t *turn, id uint32, d Decision) {
	if t.n == 0 {
		t.batch, t.since = c.s.batches.Get().(Batch), time.Now()
	}
	t.batch.Add(id, d)
	t.n++
	t.full = t.n >= batchCalls || t.batch.Size() >= batchBytes || time.Since(t.since) > batchTime
}

// fill reads more from the connection.
func (c *conn) fill() {
	for len(c.out) > maxBacklog && c.writing && !c.ending {
		c.drained.Wait()
	}
	c.in.makeRoom()
	if c.in.isFull() || len(c.in.buf) == 0 {
		c.grow()
	}
	c.stopWatch()
	c.mu.Unlock()
	err := c.in.fill()
	c.mu.Lock()
	switch {
	case err == nil:
		c.lastRead = time.Now()
		if c.in.isFull() && !c.large {
			c.grow()
		}
	case errors.Is(err, os.ErrDeadlineExceeded) && c.poked:
		c.poked = false
		_ = c.nc.SetReadDeadline(time.Time{})
		c.rest()
	default:
		c.gone, c.ending = true, true
	}
}

// grow gets a larger buffer.
func (c *conn) grow() {
	switch {
	case !c.large && c.s.connBudget.take(largeCost):
		c.large = true
		c.in.replace(largeInputs.Get().(*[largeInput]byte)[:])
	case len(c.in.buf) < smallInput:
		c.in.replace(make([]byte, smallInput))
	}
}

// rest gives buffers back that are not needed while nothing happens.
func (c *conn) rest() {
	if c.in.r == c.in.w {
		c.shrink()
	}
}

func (c *conn) shrink() {
	c.in.release()
	c.in.r, c.in.w = 0, 0
	c.spare, c.texts = nil, strings.Builder{}
	if c.large {
		c.large = false
		c.s.connBudget.give(largeCost)
	}
}

// poke wakes the goroutine that reads.
func (c *conn) poke() {
	if !c.poked {
		c.poked = true
		_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	}
	c.drained.Broadcast()
}

// frame reads and handles one frame. A panic ends the connection, and not the process.
func (c *conn) frame(t *turn) {
	defer func() {
		if p := recover(); p != nil {
			c.s.o.Faulted()
			c.s.o.Logger.Error("a connection panicked, it is closed", "panic", fmt.Sprintf("a value of type %T", p), "stack", string(debug.Stack()))
			c.fail(http2.ErrCodeInternal, "a fault")
		}
	}()
	head, err := c.framer.ReadFrameHeader()
	var f http2.Frame
	if err == nil {
		f, err = c.framer.ReadFrameForHeader(head)
	}
	if err != nil {
		c.frameError(head, err)
		return
	}
	c.handle(t, f)
}

// frameError answers a frame that breaks a rule of its own.
func (c *conn) frameError(head http2.FrameHeader, err error) {
	var ofConn http2.ConnectionError
	var ofStream http2.StreamError
	switch {
	case errors.As(err, &ofStream) && head.Type != http2.FrameHeaders: // whose block must be decoded
		if ofStream.StreamID > c.lastID {
			c.fail(http2.ErrCodeProtocol, "a frame on a stream that is idle")
			return
		}
		c.reset(ofStream.StreamID, ofStream.Code)
	case errors.As(err, &ofConn):
		c.fail(http2.ErrCode(ofConn), "")
	case errors.Is(err, http2.ErrFrameTooLarge), errors.Is(err, io.ErrUnexpectedEOF):
		c.fail(http2.ErrCodeFrameSize, "a frame of a wrong size")
	default:
		c.fail(http2.ErrCodeProtocol, "")
	}
}

// fail ends the connection and sends the peer the reason.
func (c *conn) fail(code http2.ErrCode, why string) {
	if c.ending {
		return
	}
	c.ending = true
	_ = c.framer.WriteGoAway(c.lastID, code, []byte(why))
	c.s.o.Logger.Debug("a connection is closed", "peer", c.nc.RemoteAddr().String(), "code", code.String(), "why", why)
	c.poke()
}

// disturb counts frames that do nothing. A peer that sends too many of them is cut off.
func (c *conn) disturb(n int) {
	if c.noise += n; c.noise > maxNoise {
		c.fail(http2.ErrCodeEnhanceYourCalm, "too many frames that do nothing")
	}
}

// close ends the connection. The answers of decisions in progress are dropped.
func (c *conn) close() {
	c.ending = true
	for c.writing && c.writeErr == nil && !c.gone {
		c.drained.Wait()
	}
	c.closed = true
	c.stopWatch()
	for id, st := range c.streams {
		delete(c.streams, id)
		if st.deciding {
			c.orphaned[id] = st
		} else {
			c.release(st)
		}
	}
	c.waiting, c.blocked = nil, nil
	c.shrink()
	c.out = nil
	polite := !c.gone && c.writeErr == nil
	c.mu.Unlock()
	if polite {
		c.linger()
	}
	_ = c.nc.Close()
	c.s.forget(c)
	c.mu.Lock()
}

// linger lets the peer read the last answers: a connection that is closed while there is
// something to be read from it is reset, and what it sent may be lost.
func (c *conn) linger() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(c.s.times.linger))
	_, _ = io.CopyN(io.Discard, c.nc, 4<<20)
}

// cut ends the connection at once.
func (c *conn) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sever()
}

// sever ends the connection without a word. mu is held.
func (c *conn) sever() {
	c.gone, c.ending = true, true
	_ = c.raw.Close()
	c.drained.Broadcast()
}
