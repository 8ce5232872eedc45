// Package wire serves one unary gRPC method, and the gRPC health service, over HTTP/2.
//
// One goroutine per connection runs to completion. It reads every complete frame that has arrived and decides each
// call. At the end of such a batch, one write takes the events of all decisions, and another their answers. A slow call
// does not delay the others: another goroutine goes on reading (see takeover.go).
//
// Frames are read by the Framer of golang.org/x/net/http2. The rules of RFC 9113 about more than one frame are in this
// package: streams (stream.go), flow control in both directions (output.go, receive.go), and the limits of a connection
// (limits.go).
package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Call is one call of the method, received whole.
type Call struct {
	Message  string
	Deadline time.Time // by grpc-timeout; zero: none
	Peer     string    // by Options.PeerName
}

// Decision is the decision of a Handler, before it is added to a Batch.
type Decision any

// Handler decides calls. Its methods do not panic, and any number of goroutines may use it.
type Handler interface {
	// Decide decides a call.
	Decide(Call) Decision
	// Refuse returns the decision about a call whose message is not received.
	Refuse() Decision
	// Slow reports whether a call may take long. It is decided by a goroutine of its own.
	Slow(size int) bool
	// NewBatch returns an empty batch, which one goroutine at a time uses.
	NewBatch() Batch
}

// Batch gathers decisions until their events are written together.
type Batch interface {
	// Add adds the decision about the call of a stream.
	Add(stream uint32, d Decision)
	// Size returns how many bytes the events have.
	Size() int
	// Commit writes the events and calls answer for each call that may be answered now.
	// The other calls are left to late, if it is not nil: it waits for their events, and
	// is called once, by a goroutine of its own. The batch is empty then.
	Commit(answer Answer) (late func(answer Answer))
}

// Answer takes the answer of a call: an encoded message, which it does not keep.
type Answer func(stream uint32, message []byte)

// Options of a Server. Zero values mean the defaults.
type Options struct {
	Method     string // full name: /package.Service/Method
	MaxMessage int    // bytes of a message; default 1 MiB
	MaxHeader  int    // bytes of a header list; default 16 KiB
	MaxReceive int64  // bytes that all connections together may hold; default 64 MiB
	TLS        *tls.Config
	Logger     *slog.Logger
	Faulted    func() // called for a panic outside of the Handler, which ends a connection

	PeerName        func(tls.ConnectionState) string // names the client of a TLS connection
	HandshakeFailed func(error)                      // called for each TLS handshake that fails
}

// Server serves a Handler. Make one with New.
type Server struct {
	handler Handler
	o       Options
	times   times
	budget  budget // for messages and answers
	serving atomic.Bool
	batches sync.Pool

	connBudget budget // for connections: there is room for them, whatever the others hold

	warned  time.Time // of too many connections; the goroutine that accepts owns it
	stopped chan struct{}
	stop    sync.Once
	running sync.WaitGroup // connections

	mu        sync.Mutex
	listeners map[net.Listener]bool
	conns     map[*conn]bool
	draining  bool
}

// New returns a server whose health is NOT_SERVING until SetServing(true).
func New(h Handler, o Options) *Server {
	if o.MaxMessage == 0 {
		o.MaxMessage = 1 << 20
	}
	if o.MaxHeader == 0 {
		o.MaxHeader = 16 << 10
	}
	if o.MaxReceive == 0 {
		o.MaxReceive = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.PeerName == nil {
		o.PeerName = func(tls.ConnectionState) string { return "" }
	}
	if o.HandshakeFailed == nil {
		o.HandshakeFailed = func(error) {}
	}
	if o.Faulted == nil {
		o.Faulted = func() {}
	}
	s := &Server{
		handler: h, o: o, times: defaultTimes, stopped: make(chan struct{}),
		listeners: map[net.Listener]bool{}, conns: map[*conn]bool{},
	}
	s.connBudget.limit = o.MaxReceive / 4
	s.budget.limit = o.MaxReceive - s.connBudget.limit
	s.batches.New = func() any { return h.NewBatch() }
	return s
}

// SetServing sets the status of the health service.
func (s *Server) SetServing(serving bool) {
	s.serving.Store(serving)
	for _, c := range s.connections() {
		c.notifyWatchers()
	}
}

// Serve answers on a listener until Stop. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	if !s.listen(l) {
		_ = l.Close()
		return nil
	}
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.accept(nc)
		case s.isDraining():
			return nil
		case isTemporary(err): // such as too many open files
			s.o.Logger.Error("a connection can't be accepted", "error", err)
			s.pause(100 * time.Millisecond)
		default:
			return err
		}
	}
}

func isTemporary(err error) bool {
	var n interface{ Temporary() bool }
	return errors.As(err, &n) && n.Temporary()
}

// pause waits, but not beyond Stop.
func (s *Server) pause(d time.Duration) {
	select {
	case <-s.stopped:
	case <-time.After(d):
	}
}

// listen notes a listener. It returns false if the server has been stopped.
func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	if len(s.listeners) == 0 {
		go s.sweep()
	}
	s.listeners[l] = true
	return true
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// accept serves a connection, if there is room for one.
func (s *Server) accept(nc net.Conn) {
	if !s.connBudget.take(connCost) {
		_ = nc.Close()
		s.warnFull(nc)
		return
	}
	c := newConn(s, nc)
	s.mu.Lock()
	draining := s.draining
	if !draining {
		s.conns[c] = true
		s.running.Add(1)
	}
	s.mu.Unlock()
	if draining {
		s.connBudget.give(connCost)
		_ = nc.Close()
		return
	}
	go c.run()
}

// warnFull logs that a connection was refused at the limit, at most every warnEvery.
func (s *Server) warnFull(nc net.Conn) {
	if now := time.Now(); now.Sub(s.warned) > warnEvery {
		s.warned = now
		s.o.Logger.Warn("too many connections, one is closed", "peer", nc.RemoteAddr().String())
	}
}

const warnEvery = 10 * time.Second

// forget is called when a connection has ended.
func (s *Server) forget(c *conn) {
	s.connBudget.give(connCost)
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.running.Done()
}

func (s *Server) connections() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		list = append(list, c)
	}
	return list
}

// Stop takes no new calls and waits for those in progress, until ctx is done: then it
// cuts them.
func (s *Server) Stop(ctx context.Context) {
	s.SetServing(false)
	s.mu.Lock()
	s.draining = true
	for l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	for _, c := range s.connections() {
		c.drain()
	}
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		for _, c := range s.connections() {
			c.cut()
		}
		<-ended
	}
	s.stop.Do(func() { close(s.stopped) })
}
