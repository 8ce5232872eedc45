package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const method = "/test.Service/Method"

// fake is a Handler whose answer names the message that it answers. A message with the word
// "deny" is refused; every other answer must come after its line.
type fake struct {
	mu      sync.Mutex
	lines   map[string]bool
	late    func(message string) bool // its line is written later
	decide  func(message string)      // is called first
	slow    func(size int) bool
	decided int
	refused int
}

func (f *fake) Decide(c Call) Decision {
	if f.decide != nil {
		f.decide(c.Message)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decided++
	return c.Message
}

func (f *fake) Refuse() Decision {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused++
	return "deny: not received"
}

func (f *fake) Slow(size int) bool { return f.slow != nil && f.slow(size) }

func (f *fake) NewBatch() Batch { return &fakeBatch{fake: f} }

// write writes a line, and returns the answer that follows it.
func (f *fake) write(message string) []byte {
	message = message[:min(len(message), 60)]
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines[message] = true
	return []byte("answer to " + message)
}

func (f *fake) hasLine(message string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lines[message]
}

type fakeBatch struct {
	fake  *fake
	calls []fakeCall
}

type fakeCall struct {
	stream  uint32
	message string
}

func (b *fakeBatch) Add(stream uint32, d Decision) {
	b.calls = append(b.calls, fakeCall{stream, d.(string)})
}

func (b *fakeBatch) Size() int { return 100 * len(b.calls) }

func (b *fakeBatch) Commit(answer Answer) (late func(Answer)) {
	var waits []fakeCall
	for _, c := range b.calls {
		if b.fake.late != nil && b.fake.late(c.message) {
			waits = append(waits, c)
			continue
		}
		answer(c.stream, b.fake.write(c.message))
	}
	b.calls = b.calls[:0]
	if len(waits) == 0 {
		return nil
	}
	return func(answer Answer) {
		for _, c := range waits {
			time.Sleep(time.Millisecond)
			answer(c.stream, b.fake.write(c.message))
		}
	}
}

// pipes is a listener of connections in memory.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// serve serves a handler until the test ends, and returns what dials it.
func serve(t testing.TB, f *fake, o Options, change func(*Server)) (*Server, func() net.Conn) {
	t.Helper()
	if f.lines == nil {
		f.lines = map[string]bool{}
	}
	o.Method = method
	s := New(f, o)
	if change != nil {
		change(s)
	}
	s.SetServing(true)
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.Stop(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
		// Decisions may still be in progress; their answers are dropped.
		for deadline := time.Now().Add(5 * time.Second); s.budget.used.Load() != 0 || s.connBudget.used.Load() != 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d bytes of the budget were not given back", s.budget.used.Load())
			}
		}
	})
	return s, func() net.Conn {
		ours, theirs := net.Pipe()
		l.conns <- theirs
		_ = ours.SetDeadline(time.Now().Add(30 * time.Second))
		return ours
	}
}

// encodeHeaders encodes a header list without the dynamic table.
func encodeHeaders(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i+1 < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1], Sensitive: true})
	}
	return b.Bytes()
}

var callHeaders = []string{":method", "POST", ":scheme", "http", ":path", method, ":authority", "a", "content-type", "application/grpc", "te", "trailers"}

func frameOf(message string) []byte {
	return append(appendPrefix(nil, len(message)), message...)
}

// received is what came on a stream.
type received struct {
	headers, ended, reset bool
	data                  []byte
	code                  string // grpc-status
	status                string // :status
}

// client speaks HTTP/2 frame by frame, and checks what no server may do.
type client struct {
	t  testing.TB
	nc net.Conn
	*http2.Framer
	fake *fake

	mu      sync.Mutex
	changed *sync.Cond
	streams map[uint32]*received
	goAway  []http2.ErrCode
	lastIDs []uint32
	closed  bool
	acks    int
	pings   int
	opened  map[uint32]bool
	windows map[uint32]int // that were granted
	dec     *hpack.Decoder
	now     *received
}

func newClient(t testing.TB, f *fake, nc net.Conn) *client {
	c := &client{t: t, nc: nc, Framer: http2.NewFramer(nc, nc), fake: f, streams: map[uint32]*received{}, opened: map[uint32]bool{}, windows: map[uint32]int{}}
	c.AllowIllegalWrites = true
	c.changed = sync.NewCond(&c.mu)
	c.dec = hpack.NewDecoder(4096, func(h hpack.HeaderField) {
		switch h.Name {
		case "grpc-status":
			c.now.code = h.Value
		case ":status":
			c.now.status = h.Value
		}
	})
	go c.read()
	return c
}

// hello sends the client's preface.
func (c *client) hello(settings ...http2.Setting) {
	if _, err := io.WriteString(c.nc, http2.ClientPreface); err != nil {
		c.t.Error(err)
	}
	_ = c.WriteSettings(settings...)
}

func (c *client) read() {
	fr := http2.NewFramer(io.Discard, c.nc)
	for {
		f, err := fr.ReadFrame()
		c.mu.Lock()
		if err != nil {
			c.closed = true
			c.changed.Broadcast()
			c.mu.Unlock()
			return
		}
		c.take(f)
		c.changed.Broadcast()
		c.mu.Unlock()
	}
}

// take checks a frame of the server against what it may send.
func (c *client) take(f http2.Frame) {
	id := f.Header().StreamID
	st := c.streams[id]
	switch f.(type) {
	case *http2.HeadersFrame, *http2.DataFrame:
		if !c.opened[id] {
			c.t.Errorf("a frame on stream %d, which was never opened", id)
		}
		if st == nil {
			st = &received{}
			c.streams[id] = st
		}
		if st.ended || st.reset {
			c.t.Errorf("%v on stream %d, which has ended", f, id)
		}
	}
	switch f := f.(type) {
	case *http2.HeadersFrame:
		c.now = st
		if _, err := c.dec.Write(f.HeaderBlockFragment()); err != nil {
			c.t.Errorf("a broken header block: %v", err)
		}
		if st.headers && !f.StreamEnded() {
			c.t.Errorf("a second answer on stream %d", id)
		}
		st.headers, st.ended = true, f.StreamEnded()
		if st.ended && st.code == "0" {
			c.whole(id, st)
		}
	case *http2.DataFrame:
		if !st.headers {
			c.t.Errorf("data before headers on stream %d", id)
		}
		st.data = append(st.data, f.Data()...)
		st.ended = f.StreamEnded()
	case *http2.RSTStreamFrame:
		if st == nil {
			st = &received{}
			c.streams[id] = st
		}
		st.reset = true
	case *http2.GoAwayFrame:
		c.goAway, c.lastIDs = append(c.goAway, f.ErrCode), append(c.lastIDs, f.LastStreamID)
	case *http2.SettingsFrame:
		if f.IsAck() {
			c.acks++
		}
	case *http2.PingFrame:
		c.pings++
	case *http2.WindowUpdateFrame:
		c.windows[id] += int(f.Increment)
	}
}

// whole checks a whole answer: it is that of the stream's own message, and its line was
// written before.
func (c *client) whole(id uint32, st *received) {
	text, ok := strings.CutPrefix(string(st.data[min(5, len(st.data)):]), "answer to ")
	switch {
	case len(st.data) == 7 && st.data[5] == 8: // of the health service
	case !ok || len(st.data)-5 != int(lengthOf(st.data)):
		c.t.Errorf("stream %d has the answer %q", id, st.data)
	case strings.HasPrefix(text, "deny: not received"):
	case !strings.HasPrefix(text, fmt.Sprintf("stream %d ", id)):
		c.t.Errorf("stream %d has the answer of another: %q", id, st.data)
	case !c.fake.hasLine(text):
		c.t.Errorf("stream %d was answered before its line was written", id)
	}
}

// await waits until something is so, or the connection ends.
func (c *client) await(what string, so func() bool) {
	c.t.Helper()
	timer := time.AfterFunc(15*time.Second, func() {
		c.mu.Lock()
		c.closed = true
		c.changed.Broadcast()
		c.mu.Unlock()
	})
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !so() {
		if c.closed {
			c.t.Fatalf("%s: not so; GOAWAY %v, streams %v", what, c.goAway, c.streams)
		}
		c.changed.Wait()
	}
}

// open opens a stream with the headers of a call.
func (c *client) open(id uint32, fields ...string) {
	if len(fields) == 0 {
		fields = callHeaders
	}
	c.mu.Lock()
	c.opened[id] = true
	c.mu.Unlock()
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: encodeHeaders(fields...), EndHeaders: true})
}

func messageOf(id uint32, text string) string { return fmt.Sprintf("stream %d %s", id, text) }

// call sends a whole call.
func (c *client) call(id uint32, text string) {
	c.open(id)
	_ = c.WriteData(id, true, frameOf(messageOf(id, text)))
}

func (c *client) awaitEnd(ids ...uint32) {
	c.t.Helper()
	for _, id := range ids {
		c.await(fmt.Sprintf("an answer on stream %d", id), func() bool { return c.streams[id] != nil && (c.streams[id].ended || c.streams[id].reset) })
	}
}

func (c *client) stream(id uint32) received {
	c.mu.Lock()
	defer c.mu.Unlock()
	if st := c.streams[id]; st != nil {
		return *st
	}
	return received{}
}
