package wire

import (
	"encoding/binary"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

const (
	defaultWindow = 65_535
	maxWindow     = 1<<31 - 1
)

// The codes of gRPC that we answer with.
const (
	codeOK                = 0
	codeNotFound          = 5
	codeResourceExhausted = 8
	codeUnimplemented     = 12
	codeInternal          = 13
	codeUnavailable       = 14
)

// output holds the frames for the peer. Frames of all kinds are appended to out in their order.
type output struct {
	out, spare  []byte
	writing     bool // somebody writes, without mu
	writeSince  time.Time
	writeErr    error
	drained     sync.Cond // out was written, or the connection ends
	sendWindow  int64     // how much the peer takes on all streams
	initialSend int64     // and on a new one
	blocked     []*stream // whose answers the peer does not take yet
	began       bool      // a header block was sent
}

// outWriter is the writer of the Framer.
type outWriter conn

func (w *outWriter) Write(b []byte) (int, error) {
	w.out = append(w.out, b...)
	return len(b), nil
}

// flush writes the pending output, in one write where it can. If another goroutine is
// writing, it leaves the output to that one.
func (c *conn) flush() {
	if c.writing {
		return
	}
	c.writing = true
	for len(c.out) > 0 && c.writeErr == nil && !c.closed {
		out := c.out
		c.out, c.spare = c.spare[:0], nil
		c.writeSince = time.Now()
		c.mu.Unlock()
		_, err := c.nc.Write(out)
		c.mu.Lock()
		if err != nil {
			c.writeErr, c.ending = err, true
			c.poke()
		}
		if c.large && cap(out) <= maxBacklog {
			c.spare = out
		}
	}
	c.writing = false
	c.drained.Broadcast()
}

// flushAs writes as the goroutine that has the turn. If the peer does not take it, another
// one reads on meanwhile: some peers read no more until they have written.
func (c *conn) flushAs(t *turn) {
	if len(c.out) == 0 || c.writing {
		return
	}
	c.begin()
	c.flush()
	c.done(t)
}

// flushAside writes without waiting for it.
func (c *conn) flushAside() {
	if len(c.out) == 0 || c.writing {
		return
	}
	go func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.flush()
	}()
}

func appendFrame(out []byte, size int, kind http2.FrameType, flags http2.Flags, id uint32) []byte {
	out = append(out, byte(size>>16), byte(size>>8), byte(size), byte(kind), byte(flags))
	return binary.BigEndian.AppendUint32(out, id)
}

// Header blocks. They leave the dynamic table alone, so that they are always the same
// bytes; the first of a connection declares that it is not used (RFC 7541, 4.2 and 6.3).
var (
	noTable = []byte{0x20}
	headOK  = append([]byte{0x88}, literal("content-type", "application/grpc")...)
	tailOK  = literal("grpc-status", "0")
)

// literal encodes a field whose name and value are shorter than 127 bytes.
func literal(name, value string) []byte {
	b := append([]byte{0, byte(len(name))}, name...)
	return append(append(b, byte(len(value))), value...)
}

// firstBlock returns what must precede the next header block.
func (c *conn) firstBlock() []byte {
	if c.began {
		return nil
	}
	c.began = true
	return noTable
}

func appendHeaders(out []byte, id uint32, flags http2.Flags, before, block []byte) []byte {
	out = appendFrame(out, len(before)+len(block), http2.FrameHeaders, flags|http2.FlagHeadersEndHeaders, id)
	return append(append(out, before...), block...)
}

// appendStatus appends an answer without a message.
func appendStatus(out []byte, id uint32, code int, why string, before []byte) []byte {
	block := append([]byte{}, headOK...)
	block = append(block, literal("grpc-status", strconv.Itoa(code))...)
	block = append(block, literal("grpc-message", why)...)
	return appendHeaders(out, id, http2.FlagHeadersEndStream, before, block)
}

// okTrailers is the frame that ends an answer.
func okTrailers(id uint32) []byte {
	return appendHeaders(nil, id, http2.FlagHeadersEndStream, nil, tailOK)
}

// answer answers a call. A stream that is gone gets none, and no other stream can get it:
// numbers are not used twice.
func (c *conn) answer(id uint32, message []byte) {
	st := c.streams[id] // mutant: answer-after-reset
	if st == nil {
		if st = c.orphaned[id]; st != nil {
			delete(c.orphaned, id)
			st.deciding = false
			c.release(st)
			c.endIfDone()
		}
		return
	}
	if !st.deciding {
		return
	}
	st.deciding, st.done = false, true // panic: response
	size := messagePrefix + len(message)
	c.out = appendHeaders(c.out, id, 0, c.firstBlock(), headOK)
	if int64(size) <= min(c.sendWindow, st.send) && size <= maxFrame {
		c.out = appendFrame(c.out, size, http2.FrameData, 0, id)
		c.out = appendPrefix(c.out, len(message))
		c.out = append(c.out, message...)
		c.out = appendHeaders(c.out, id, http2.FlagHeadersEndStream, nil, tailOK)
		c.sendWindow -= int64(size)
		c.finish(st)
		return
	}
	c.sendRest(st, append(appendPrefix(nil, len(message)), message...), okTrailers(id))
}

func appendPrefix(out []byte, size int) []byte {
	return binary.BigEndian.AppendUint32(append(out, 0), uint32(size))
}

// answerLate answers a call whose event was waited for.
func (c *conn) answerLate(id uint32, message []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer(id, message)
	c.flush()
}

// answerPlain answers a request that is no gRPC.
func (c *conn) answerPlain(st *stream) {
	st.done = true
	body := []byte("This port answers gRPC calls.\n")
	block := append(literal(":status", strconv.Itoa(st.status)), literal("content-type", "text/plain")...)
	c.out = appendHeaders(c.out, st.id, 0, c.firstBlock(), block)
	c.sendRest(st, body, appendFrame(nil, 0, http2.FrameData, http2.FlagDataEndStream, st.id))
}

// sendRest sends data and what follows it as far as the peer takes it.
func (c *conn) sendRest(st *stream, data, trailers []byte) {
	if !c.s.budget.take(int64(len(data))) {
		c.fail(http2.ErrCodeEnhanceYourCalm, "too many answers that are not read")
		return
	}
	st.rest, st.charged, st.trailers, st.blocked = data, len(data), trailers, time.Now()
	c.blocked = append(c.blocked, st)
	c.pump()
}

// pump sends what is blocked as far as the windows are open now.
func (c *conn) pump() {
	blocked := c.blocked
	c.blocked = c.blocked[:0:0]
	for _, st := range blocked {
		if c.streams[st.id] != st || c.ending {
			continue
		}
		for n := c.sendable(st); n > 0; n = c.sendable(st) {
			c.out = append(appendFrame(c.out, n, http2.FrameData, 0, st.id), st.rest[:n]...)
			c.sendWindow -= int64(n)
			st.send -= int64(n)
			st.rest, st.blocked = st.rest[n:], time.Now()
		}
		if len(st.rest) > 0 {
			c.blocked = append(c.blocked, st)
			continue
		}
		c.s.budget.give(int64(st.charged))
		st.charged, st.rest = 0, nil
		c.out = append(c.out, st.trailers...)
		if st.done {
			c.finish(st)
		} else {
			c.notifyWatcher(st)
		}
	}
}

// sendable returns how many bytes of an answer may be sent in a frame now.
func (c *conn) sendable(st *stream) int {
	return int(max(0, min(int64(len(st.rest)), c.sendWindow, st.send, maxFrame)))
}

// setInitialSend changes how much the peer takes on each stream. It returns false if that
// is beyond what a window may be.
func (c *conn) setInitialSend(n int64) bool {
	change := n - c.initialSend
	c.initialSend = n
	for _, st := range c.streams {
		if st.send += change; st.send > maxWindow {
			return false
		}
	}
	return true
}
