package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"time"
)

// link sends checks: over gRPC as Envoy does, or over HTTP through an Envoy.
type link interface {
	// send sends a check. The expected decision comes back with the answer.
	send(r *request, s sent) error
	// flush sends what send has gathered.
	flush() error
	// idle reports whether no more answers are waiting to be read, so that what is to
	// be sent should go now.
	idle() bool
	// answers reads what comes and calls done for each answer, with what is wrong with
	// it. It returns when the link ends.
	answers(done func(s sent, wrong error)) error
	close()
}

// request is a check, in the forms in which it is sent, and its expected answer.
type request struct {
	message []byte // a CheckRequest as gRPC frames it
	http    []byte // the client's request, of which Envoy makes such a check
	allow   bool
}

// sent is a check in flight.
type sent struct {
	from  time.Time // when it was sent, or was to be sent
	allow bool      // what must be answered
	slow  bool      // one of those that others are not to wait for
}

// httpLink sends requests to an Envoy over connections that stay, one at a time on each.
type httpLink struct {
	all  []*httpConn
	free chan *httpConn
}

type httpConn struct {
	conn net.Conn
	in   *bufio.Reader
	s    sent
}

func dialHTTP(addr string, connections int) (*httpLink, error) {
	l := &httpLink{free: make(chan *httpConn, connections)}
	for range connections {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			l.close()
			return nil, err
		}
		c := &httpConn{conn: conn, in: bufio.NewReaderSize(conn, 4<<10)}
		l.all = append(l.all, c)
		l.free <- c
	}
	return l, nil
}

func (l *httpLink) close() {
	for _, c := range l.all {
		_ = c.conn.Close()
	}
}

// send waits for a connection without a request on it. An open loop counts that wait,
// as it counts from when the request was to be sent.
func (l *httpLink) send(r *request, s sent) error {
	select {
	case c := <-l.free:
		c.s = s
		_, err := c.conn.Write(r.http)
		return err
	case <-time.After(10 * time.Second):
		return fmt.Errorf("no answer on any of %d connections", len(l.all))
	}
}

func (l *httpLink) flush() error { return nil }
func (l *httpLink) idle() bool   { return true }

func (l *httpLink) answers(done func(s sent, wrong error)) error {
	ended := make(chan error, len(l.all))
	for _, c := range l.all {
		go func() {
			for {
				status, err := c.readResponse()
				if err != nil {
					ended <- err
					return
				}
				s := c.s
				l.free <- c
				done(s, s.judgeStatus(status))
			}
		}()
	}
	return <-ended
}

// readResponse reads a response with a content-length, and returns its status.
func (c *httpConn) readResponse() (status int, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, fmt.Errorf("no response: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, err
	}
	length := 0
	for {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
	_, err = c.in.Discard(length)
	return status, err
}

func (s sent) judgeStatus(status int) error {
	want := 200
	if !s.allow {
		want = 403
	}
	if status != want {
		return fmt.Errorf("status %d, want %d", status, want)
	}
	return nil
}

// serveUpstream answers every request at once, without reading it: the API behind Envoy.
func serveUpstream(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			in := bufio.NewReaderSize(conn, 8<<10)
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(line) > 2 {
					continue
				}
				if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")); err != nil {
					return
				}
			}
		}()
	}
}
