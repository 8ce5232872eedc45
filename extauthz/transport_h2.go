package extauthz

import (
	"context"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/extauthz/wire"
	"github.com/patgate/patgate/policy"
)

func newH2Transport(s *Server, o *TransportOptions) *wire.Server {
	return wire.New(handler{s}, wire.Options{
		Method: authv3.Authorization_Check_FullMethodName, MaxMessage: o.MaxBody + bodyHeadroom,
		MaxHeader: o.MaxHeader, MaxReceive: o.MaxReceive, TLS: o.TLS, Logger: s.Logger, Faulted: s.Observer.Faulted,
		PeerName: PeerName, HandshakeFailed: s.HandshakeFailed,
	})
}

// handler decides what package wire receives.
type handler struct{ server *Server }

// Decide implements wire.Handler.
func (h handler) Decide(call wire.Call) wire.Decision {
	c := calls.Get().(*Call)
	c.in.readMessage(call.Message)
	c.in.peerName = call.Peer
	ctx := &c.room.context
	*ctx = callContext{Context: context.Background(), deadline: call.Deadline}
	defer ctx.end()
	return h.check(ctx, c, false)
}

// Refuse implements wire.Handler.
func (h handler) Refuse() wire.Decision {
	return h.check(context.Background(), new(Call), true)
}

// check decides a check. What fault can't answer becomes a nil call.
func (h handler) check(ctx context.Context, c *Call, crowded bool) (decided *Call) {
	defer h.server.leave()
	defer func() {
		if p := recover(); p != nil {
			h.server.Logger.Error("a refusal panicked", "panic", panicText(p))
			decided = nil
		}
	}()
	c.decide(ctx, h.server, h.server.enter() || crowded)
	return c
}

// Slow implements wire.Handler: large bodies are read by few at a time, and before the
// first manifests are there every check waits.
func (h handler) Slow(size int) bool { return size >= largeBody || !h.server.isLoaded() }

// isLoaded reports whether checks need not wait for the first manifests.
func (s *Server) isLoaded() bool {
	select {
	case <-s.Loaded:
		return true
	default:
		return s.Loaded == nil
	}
}

// NewBatch implements wire.Handler.
func (h handler) NewBatch() wire.Batch {
	b := &batch{server: h.server}
	if log, ok := h.server.Audit.(batchRecorder); ok {
		b.lines = log.NewBatch()
	}
	return b
}

// batchRecorder is a Recorder that writes several events at once.
type batchRecorder interface {
	NewBatch() *audit.Batch
}

// batch holds decided checks until their events are written.
type batch struct {
	server *Server
	lines  *audit.Batch // nil: events are recorded one by one
	calls  []batched
	order  []int // of calls: that of each event
}

// batched is a check of a batch.
type batched struct {
	stream uint32
	call   *Call // nil: nothing is known but that it is refused
	late   bool
}

// Add implements wire.Batch.
func (b *batch) Add(stream uint32, d wire.Decision) {
	c := d.(*Call)
	if c != nil && b.lines != nil && c.writeEvent(b.lines.Add) {
		b.order = append(b.order, len(b.calls))
	}
	b.calls = append(b.calls, batched{stream: stream, call: c})
}

// Size implements wire.Batch.
func (b *batch) Size() int {
	if b.lines == nil {
		return 0
	}
	return b.lines.Size()
}

// Commit implements wire.Batch.
func (b *batch) Commit(answer wire.Answer) (late func(wire.Answer)) {
	waits := b.write()
	for i := range b.calls {
		if c := &b.calls[i]; !c.late { // mutant: answer-before-event
			out, done := b.server.conclude(c.call, nil)
			if answer(c.stream, out); done && b.lines != nil { // other recorders may keep an event
				c.call.recycle()
			}
		}
	}
	clear(b.calls)
	b.calls, b.order = b.calls[:0], b.order[:0]
	if len(waits) == 0 {
		return nil
	}
	b.server.inFlight.Add(int64(len(waits)))
	return func(answer wire.Answer) {
		for _, w := range waits {
			answer(w.stream, b.server.await(w))
			b.server.leave()
		}
	}
}

// await waits for the event of a check, and returns its answer.
func (s *Server) await(w lateCall) (out []byte) {
	defer func() {
		if p := recover(); p != nil {
			s.Logger.Error("an event panicked, the request is refused", "panic", panicText(p))
			out = s.refusal().wire
		}
	}()
	out, _ = s.conclude(w.call, w.wait())
	return out
}

// lateCall is a check whose event is waited for.
type lateCall struct {
	stream uint32
	call   *Call
	wait   func() error
}

// write writes the events, and returns the checks whose events are not written yet. After a
// panic all are refused.
func (b *batch) write() (waits []lateCall) {
	defer func() {
		if p := recover(); p != nil {
			b.fault(p)
			waits = nil
		}
	}()
	if b.lines == nil {
		return b.recordEach()
	}
	for _, l := range b.lines.Commit() {
		c := &b.calls[b.order[l.Index]]
		c.late = true
		waits = append(waits, lateCall{c.stream, c.call, func() error { return l.Wait(context.Background()) }})
	}
	for i := range b.calls {
		if c := b.calls[i].call; c != nil {
			c.recorded = true
		}
	}
	return waits
}

func (b *batch) fault(p any) {
	for i := range b.calls {
		b.calls[i].late = false
		if c := b.calls[i].call; c != nil {
			c.fault(p)
		}
	}
}

// recordEach records the events one by one.
func (b *batch) recordEach() (waits []lateCall) {
	for i := range b.calls {
		c := &b.calls[i]
		switch {
		case c.call == nil:
		case c.call.answer.decision.Effect == policy.Allow:
			call := c.call
			c.late = true
			waits = append(waits, lateCall{c.stream, call, func() error { return call.record(context.Background()) }})
		default:
			_ = c.call.record(context.Background())
		}
	}
	return waits
}

// conclude returns the answer of a check once it is known whether its event was written.
// Whatever happens, it is an explicit one. done reports whether it is that of the call, which is over
// once it is sent.
func (s *Server) conclude(c *Call, err error) (out []byte, done bool) {
	defer func() {
		if p := recover(); p != nil {
			s.Logger.Error("an answer panicked, the request is refused", "panic", panicText(p))
			out, done = s.refusal().wire, false
		}
	}()
	if c == nil {
		return s.refusal().wire, false
	}
	if r := c.finish(err); proper(r) {
		return r.wire, true
	}
	s.Logger.Error("an improper answer was replaced by a refusal")
	return s.refusal().wire, false
}

// callContext is the context of a check: it ends at the deadline of the call, but costs no
// timer unless somebody waits.
type callContext struct {
	context.Context
	deadline time.Time
	cancel   context.CancelFunc
}

// Deadline implements context.Context.
func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done implements context.Context. One goroutine calls it.
func (c *callContext) Done() <-chan struct{} {
	if c.cancel == nil && !c.deadline.IsZero() {
		c.Context, c.cancel = context.WithDeadline(c.Context, c.deadline)
	}
	return c.Context.Done()
}

// Err implements context.Context.
func (c *callContext) Err() error {
	if !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

func (c *callContext) end() {
	if c.cancel != nil {
		c.cancel()
	}
}
