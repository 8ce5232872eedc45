package extauthz

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// frontListener accepts the connections of a front.
type frontListener struct {
	net.Listener
	front *front
}

// Accept implements net.Listener.
func (l frontListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if secure, ok := c.(*tls.Conn); ok {
		return &secureFrontConn{frontConn{Conn: c, front: l.front}, secure}, nil
	}
	return &frontConn{Conn: c, front: l.front}, nil
}

// frontConn is a connection of a front. net/http answers what it can't read as a request by itself: such an answer
// becomes one of patgate's answers, with its event. Only the goroutine that serves the connection writes and reads the flags.
type frontConn struct {
	net.Conn
	front *front

	handled bool // the check that is being answered came to ServeHTTP
	refused bool // one that did not was answered
	state   tls.ConnectionState
}

// secureFrontConn is one with TLS.
type secureFrontConn struct {
	frontConn
	secure *tls.Conn
}

// ConnectionState does the handshake. net/http asks for it before it reads, and waits for no more than frontRead.
func (c *secureFrontConn) ConnectionState() tls.ConnectionState {
	ctx, cancel := context.WithTimeout(context.Background(), frontRead)
	defer cancel()
	if err := c.secure.HandshakeContext(ctx); err != nil {
		if failed := c.front.server.HandshakeFailed; failed != nil {
			failed(err)
		}
		c.refused = true // nothing that was asked
		_ = c.secure.Close()
	}
	c.state = c.secure.ConnectionState()
	return c.state
}

// Write implements net.Conn.
func (c *frontConn) Write(text []byte) (int, error) {
	switch {
	case c.handled:
		return c.Conn.Write(text)
	case c.refused:
		return len(text), nil
	}
	c.refused = true
	_, err := c.Conn.Write(c.refusal(text))
	return len(text), err
}

// refusal is the answer to a check that net/http can't read, instead of its own.
func (c *frontConn) refusal(own []byte) []byte {
	w := &plainAnswer{header: http.Header{}, status: http.StatusInternalServerError}
	c.front.answer(context.Background(), w, func(context.Context, bool) (Attributes, func()) {
		a := Attributes{front: frontAttributes{asks: true, problem: unreadable(own)}}
		if c.state.HandshakeComplete {
			a.peerName = PeerName(c.state)
		}
		return a, func() {}
	})
	if w.status < 400 {
		w.status = http.StatusInternalServerError
	}
	return w.bytes()
}

// unreadable describes a check by net/http's answer, HTTP/1.1 and a status.
func unreadable(own []byte) string {
	fields := bytes.Fields(own[:min(len(own), 16)])
	if len(fields) > 1 {
		switch status, _ := strconv.Atoi(string(fields[1])); status {
		case http.StatusRequestHeaderFieldsTooLarge:
			return fmt.Sprintf("the head of the check is larger than %d KiB", frontHeader>>10)
		case http.StatusExpectationFailed:
			return "the check expects something else than 100-continue"
		case http.StatusNotImplemented:
			return "the check's transfer coding is unknown"
		}
	}
	return "the check is no request of HTTP/1.1 that can be read"
}

// plainAnswer is an answer as bytes.
type plainAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *plainAnswer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *plainAnswer) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *plainAnswer) Write(text []byte) (int, error) { return w.body.Write(text) }

func (w *plainAnswer) bytes() []byte {
	w.header.Set("content-length", strconv.Itoa(w.body.Len()))
	w.header.Set("date", time.Now().UTC().Format(http.TimeFormat))
	w.header.Set("connection", "close")
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", w.status, http.StatusText(w.status))
	_ = w.header.Write(&b)
	b.WriteString("\r\n")
	_, _ = w.body.WriteTo(&b)
	return b.Bytes()
}

// connKey is the key of a connection in the contexts of its checks.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, plainConn(c))
}

func connOf(ctx context.Context) *frontConn {
	c, _ := ctx.Value(connKey{}).(*frontConn)
	return c
}

// plainConn has the methods of both kinds of connections.
func plainConn(c net.Conn) *frontConn {
	switch c := c.(type) {
	case *frontConn:
		return c
	case *secureFrontConn:
		return &c.frontConn
	}
	return nil
}

// nextCheck marks a connection whose check was answered.
func nextCheck(c net.Conn, state http.ConnState) {
	if c := plainConn(c); c != nil && state == http.StateIdle {
		c.handled = false
	}
}
