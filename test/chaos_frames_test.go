package test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
)

// frames is a client that sends HTTP/2 to patgate frame by frame, and keeps only the
// rules that a test makes it keep.
type frames struct {
	net.Conn
	*http2.Framer
	head []byte // the headers of a check
	next uint32 // the next stream
}

// dialFrames opens a connection and sends a client's preface.
func dialFrames(t *testing.T, addr string, settings ...http2.Setting) *frames {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, wireTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	var head bytes.Buffer
	e := hpack.NewEncoder(&head)
	for _, h := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/envoy.service.auth.v3.Authorization/Check"}, {":authority", "patgate"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		// Never indexed: the same bytes do for every stream.
		if err := e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1], Sensitive: true}); err != nil {
			t.Fatal(err)
		}
	}
	f := &frames{Conn: c, Framer: http2.NewFramer(c, c), head: head.Bytes(), next: 1}
	f.AllowIllegalWrites = true
	if err := f.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return f
}

// open opens a stream with the headers of a check, and no more.
func (f *frames) open() (stream uint32, err error) {
	stream = f.next
	f.next += 2
	return stream, f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.head, EndHeaders: true})
}

// check sends a whole check.
func (f *frames) check(framed []byte) error {
	stream, err := f.open()
	if err == nil {
		err = f.WriteData(stream, true, framed)
	}
	return err
}

// awaitSettings waits until the server has answered: the connection is open.
func (f *frames) awaitSettings(t *testing.T) {
	t.Helper()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := frame.(*http2.SettingsFrame); ok && !s.IsAck() {
			if err := f.WriteSettingsAck(); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

// framed is a check as gRPC sends it.
func (m *message) framed(t *testing.T) []byte {
	t.Helper()
	b, err := proto.Marshal(m.checkRequest(true))
	if err != nil {
		t.Fatal(err)
	}
	return frame(b)
}

// frame adds gRPC's prefix to a message: no compression, its length.
func frame(b []byte) []byte {
	n := len(b)
	return append([]byte{0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, b...)
}
