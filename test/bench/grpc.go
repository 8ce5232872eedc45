package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"
)

// grpcLink sends checks over one HTTP/2 connection, as a worker of Envoy's does, and reads
// their answers. It is as cheap as possible, because it runs on the cores of the server that it
// measures: every request's headers are the same bytes, and of an answer it reads only the
// decision.
type grpcLink struct {
	conn   net.Conn
	in     *bufio.Reader
	out    *bufio.Writer
	framer *http2.Framer
	header []byte
	next   uint32
	mu     sync.Mutex // of out, next and sent
	sent   map[uint32]sent

	leaving atomic.Bool // the server takes no more on this connection, but answers what it has
}

// connWindow is how many bytes of answers the server may have in flight.
const connWindow = 1 << 30

func dialGRPC(network, addr string) (*grpcLink, error) {
	conn, err := net.Dial(network, addr)
	if err != nil {
		return nil, err
	}
	c := &grpcLink{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), out: bufio.NewWriterSize(conn, 64<<10), next: 1, sent: map[uint32]sent{}}
	c.framer = http2.NewFramer(c.out, c.in)
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	e.SetMaxDynamicTableSize(0)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/envoy.service.auth.v3.Authorization/Check"}, {":authority", "authz"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		if err := e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true}); err != nil {
			return nil, err
		}
	}
	c.header = block.Bytes()
	if _, err := c.out.WriteString(http2.ClientPreface); err != nil {
		return nil, err
	}
	err = c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
	if err == nil {
		err = c.framer.WriteWindowUpdate(0, connWindow)
	}
	if err == nil {
		err = c.out.Flush()
	}
	return c, err
}

func (c *grpcLink) close() { _ = c.conn.Close() }

func (c *grpcLink) send(r *request, s sent) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.next
	c.next += 2
	c.sent[id] = s
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.header, EndHeaders: true}); err != nil {
		return err
	}
	return c.framer.WriteData(id, true, r.message)
}

func (c *grpcLink) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Flush()
}

func (c *grpcLink) answers(done func(s sent, wrong error)) error {
	decided := map[uint32]error{}
	received := 0
	for {
		if c.idle() { // else what was sent at the last answer might wait forever
			if err := c.flush(); err != nil {
				return err
			}
		}
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return err
		}
		id := frame.Header().StreamID
		ended := false
		switch f := frame.(type) {
		case *http2.DataFrame:
			decided[id] = c.sentAs(id).judge(f.Data())
			if received += len(f.Data()); received > connWindow/2 {
				err = c.extendWindow(received)
				received = 0
			}
		case *http2.HeadersFrame:
			ended = f.StreamEnded()
		case *http2.RSTStreamFrame:
			decided[id], ended = fmt.Errorf("stream error %v", f.ErrCode), true
		default:
			err = c.control(frame)
		}
		if err != nil {
			return err
		}
		if ended {
			wrong, answered := decided[id]
			delete(decided, id)
			if !answered {
				wrong = fmt.Errorf("no message")
			}
			done(c.end(id), wrong)
		}
	}
}

// control handles the frames that belong to the connection.
func (c *grpcLink) control(frame http2.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if f.IsAck() {
			return nil
		}
		if err := c.framer.WritePing(true, f.Data); err != nil {
			return err
		}
		return c.out.Flush()
	case *http2.GoAwayFrame:
		if f.ErrCode != http2.ErrCodeNo {
			return fmt.Errorf("the server goes away: %v %s", f.ErrCode, f.DebugData())
		}
		c.leaving.Store(true)
	}
	return nil
}

// sentAs returns what was sent on a stream.
func (c *grpcLink) sentAs(id uint32) sent {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent[id]
}

// end forgets a stream, and returns what was sent on it.
func (c *grpcLink) end(id uint32) sent {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sent[id]
	delete(c.sent, id)
	return s
}

// extendWindow lets the server send as many bytes more.
func (c *grpcLink) extendWindow(by int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.framer.WriteWindowUpdate(0, uint32(by))
}

// The fields of a CheckResponse that hold the decision.
const (
	fieldDenied = 2
	fieldOK     = 3
)

// judge compares an answer with the expected one.
func (s sent) judge(data []byte) error {
	if len(data) < 5 || data[0] != 0 {
		return fmt.Errorf("%d bytes that are no message", len(data))
	}
	for b := data[5:]; len(b) > 0; {
		n, t, size := protowire.ConsumeTag(b)
		if size < 0 {
			return fmt.Errorf("a broken message")
		}
		if n == fieldOK || n == fieldDenied {
			if (n == fieldOK) != s.allow {
				return fmt.Errorf("allowed: %v, want %v: %.300q", n == fieldOK, s.allow, data)
			}
			return nil
		}
		b = b[size:]
		if size = protowire.ConsumeFieldValue(n, t, b); size < 0 {
			return fmt.Errorf("a broken message")
		}
		b = b[size:]
	}
	return fmt.Errorf("an answer that says neither")
}

func (c *grpcLink) idle() bool { return c.in.Buffered() == 0 }

// lastingLink is a grpcLink that continues over a new connection when the server, which lets
// none live forever, leaves the last one.
type lastingLink struct {
	network, addr string
	done          func(s sent, wrong error)
	failed        chan error

	mu  sync.Mutex
	now *grpcLink
}

func dialLasting(network, addr string) (*lastingLink, error) {
	first, err := dialGRPC(network, addr)
	return &lastingLink{network: network, addr: addr, failed: make(chan error, 1), now: first}, err
}

func (l *lastingLink) answers(done func(s sent, wrong error)) error {
	l.mu.Lock()
	l.done = done
	go l.follow(l.now)
	l.mu.Unlock()
	return <-l.failed
}

// follow reads the answers of one connection.
func (l *lastingLink) follow(c *grpcLink) {
	err := c.answers(l.done)
	c.mu.Lock()
	waiting := len(c.sent)
	c.mu.Unlock()
	if !c.leaving.Load() || waiting > 0 {
		select {
		case l.failed <- err:
		default: // one is enough
		}
	}
}

func (l *lastingLink) send(r *request, s sent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now.leaving.Load() && l.done != nil {
		if err := l.now.flush(); err != nil {
			return err
		}
		next, err := dialGRPC(l.network, l.addr)
		if err != nil {
			return err
		}
		l.now = next
		go l.follow(next)
	}
	return l.now.send(r, s)
}

func (l *lastingLink) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now.flush()
}

func (l *lastingLink) idle() bool { return false }

func (l *lastingLink) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now.close()
}
