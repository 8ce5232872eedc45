package lookalikes

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Answer is what came back.
type Answer struct {
	Status  int // 0: the connection was closed without an answer
	Headers http.Header
	Body    []byte
}

// Header returns the first value of a header.
func (a *Answer) Header(name string) string { return a.Headers.Get(name) }

const timeout = 10 * time.Second

// Send sends the request over a connection of its own, whatever a library would think of
// it. An error says that no answer came in time; a closed connection is an answer.
func (q *Request) Send(address string) (*Answer, error) {
	return q.SendOver(func() (net.Conn, error) { return net.DialTimeout("tcp", address, timeout) })
}

// SendOver sends the request as Send does, over a connection that a function makes.
func (q *Request) SendOver(dial func() (net.Conn, error)) (*Answer, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(timeout))
	send := q.send1
	if q.HTTP2 {
		send = q.send2
	}
	a, err := send(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, fmt.Errorf("no answer within %s: %w", timeout, err)
	}
	return a, nil
}

// http1 is the request as HTTP/1.1.
func (q *Request) http1() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", q.Method, q.Target, q.Host)
	for _, h := range q.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	switch {
	case q.Body != "" && q.Chunked:
		fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(q.Body), q.Body)
	case q.Body != "":
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(q.Body), q.Body)
	default:
		b.WriteString("\r\n")
	}
	return b.String()
}

func (q *Request) send1(c net.Conn) (*Answer, error) {
	if _, err := io.WriteString(c, q.http1()); err != nil {
		return &Answer{}, err
	}
	r := bufio.NewReader(c)
	for {
		got, err := http.ReadResponse(r, &http.Request{Method: q.Method})
		if err != nil {
			return &Answer{}, err
		}
		body, err := io.ReadAll(got.Body)
		if got.StatusCode != http.StatusContinue {
			return &Answer{Status: got.StatusCode, Headers: got.Header, Body: body}, err
		}
	}
}

// hpack is the head of the request as HTTP/2.
func (q *Request) hpack() []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	field := func(name, value string) { _ = e.WriteField(hpack.HeaderField{Name: name, Value: value}) }
	field(":method", q.Method)
	scheme := "http"
	if q.HTTPS {
		scheme = "https"
	}
	field(":scheme", scheme)
	field(":authority", q.Host)
	field(":path", q.Target)
	for _, h := range q.Headers {
		field(strings.ToLower(h[0]), h[1])
	}
	if q.Body != "" && !q.Chunked {
		field("content-length", strconv.Itoa(len(q.Body)))
	}
	return b.Bytes()
}

func (q *Request) send2(c net.Conn) (*Answer, error) {
	_, _ = io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	f.AllowIllegalWrites = true
	_ = f.WriteSettings()
	q.writeHead(f)
	if q.Body != "" {
		_ = f.WriteData(1, true, []byte(q.Body))
	}
	a := &Answer{Headers: http.Header{}}
	decoder := hpack.NewDecoder(4096, func(h hpack.HeaderField) {
		if h.Name == ":status" {
			a.Status, _ = strconv.Atoi(h.Value)
		}
		a.Headers.Add(h.Name, h.Value)
	})
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return a, err
		}
		if done := a.take(f, frame, decoder); done {
			return a, nil
		}
	}
}

// writeHead writes the head in as many frames as it takes.
func (q *Request) writeHead(f *http2.Framer) {
	const most = 16 << 10
	block := q.hpack()
	first := block[:min(most, len(block))]
	block = block[len(first):]
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first, EndHeaders: len(block) == 0, EndStream: q.Body == ""})
	for len(block) > 0 {
		next := block[:min(most, len(block))]
		block = block[len(next):]
		_ = f.WriteContinuation(1, len(block) == 0, next)
	}
}

// take reads one frame of the answer. done is true with the last one.
func (a *Answer) take(f *http2.Framer, frame http2.Frame, decoder *hpack.Decoder) (done bool) {
	switch frame := frame.(type) {
	case *http2.HeadersFrame:
		_, _ = decoder.Write(frame.HeaderBlockFragment())
		return frame.StreamEnded()
	case *http2.DataFrame:
		a.Body = append(a.Body, frame.Data()...)
		return frame.StreamEnded()
	case *http2.RSTStreamFrame, *http2.GoAwayFrame:
		return true
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			_ = f.WriteSettingsAck()
		}
	}
	return false
}
