// Package extauthz implements Envoy's external authorization service. It reads CheckRequests, evaluates the policy,
// writes the audit event, and answers. The answer is always explicit, even after a panic: Envoy takes an empty answer
// for an allow, and decides by failure_mode_allow after an error.
package extauthz

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// Recorder writes audit events. An allow is answered only if it returns nil.
type Recorder interface {
	Record(context.Context, *audit.Event) error
}

// Snapshots hands out the running revision.
type Snapshots interface {
	Snapshot() *policy.Snapshot
}

// Observer counts what happens, for metrics.
type Observer interface {
	// Decided is called once a check, with its decision, which it must not keep, and how long it took.
	Decided(d *policy.Decision, took time.Duration)
	// Faulted is called for a panic that became a refusal, and for an answer that
	// had to be replaced by one.
	Faulted()
}

// Server answers checks. All fields but MaxInFlight and Loaded are required.
type Server struct {
	Index       Snapshots
	Audit       Recorder
	Clock       *Clock
	Observer    Observer
	Logger      *slog.Logger
	MaxInFlight int64 // checks at a time; beyond, they are refused. 0: no limit

	// Loaded is closed when the first manifests are there. A check that comes before waits for
	// a moment, so that a replica that has just started refuses no caller. nil: none waits.
	Loaded <-chan struct{}

	// Seen is called for each decision and its event, which it must not keep. nil: nothing is.
	Seen func(*policy.Decision, *audit.Event)

	// HandshakeFailed is called for each TLS handshake that fails. nil: none is reported.
	HandshakeFailed func(error)

	namesPeers bool // connections have clients with names
	inFlight   atomic.Int64
	shares     shares
	large      chan struct{} // holds a value for each large body that is being read
	once       sync.Once
}

// Check decides one check (envoy.service.auth.v3.Authorization), whatever happens. It is the middle of a
// request's life, which both transports lead it through:
//
//  1. A transport receives a message, and readMessage reads it into Attributes.
//  2. Check decides, and makes the answer and the event.
//  3. The transport writes the event: alone by Call.record, or with those of other checks in a batch.
//  4. Call.finish returns the answer. An allow whose event was not written becomes a refusal.
//
// A panic anywhere becomes a refusal. A check that is crowded out is refused as overloaded.
func (s *Server) Check(ctx context.Context, in *Attributes, crowded bool) *Call {
	c := &Call{in: *in}
	c.decide(ctx, s, crowded)
	return c
}

// decide is Check, of a call that holds its attributes.
func (c *Call) decide(ctx context.Context, s *Server, crowded bool) {
	c.server, c.start = s, time.Since(started)
	c.answer.id = newID()
	defer func() {
		if p := recover(); p != nil {
			c.fault(p)
		}
	}()
	c.read()                             // what Envoy sent becomes a policy.Request
	snapshot := c.snapshot(ctx, crowded) // one revision decides the whole check
	if crowded {
		c.answer.decision.Refuse(policy.Overloaded)
	} else {
		c.evaluate(ctx, snapshot) // policy.Evaluate makes the decision
	}
	c.reply()              // for Envoy
	c.event = c.newEvent() // for the audit. All that can fail comes before it is written
}

// Call is one check: Check decides it, record writes its event, finish returns its answer.
type Call struct {
	server   *Server
	start    time.Duration // since started
	recorded bool          // the audit has its event
	in       Attributes
	request  policy.Request
	budget   callBudget
	answer   answer
	out      *reply       // the answer, if the event is written
	event    *audit.Event // nil if it could not be made

	room callRoom
}

// reply makes the answer.
func (c *Call) reply() {
	c.out = nil // unless this succeeds
	c.room.reply = c.answer.replyIn(c.room.reply.wire)
	c.out = &c.room.reply
}

// started is the time that durations are measured from: to read one clock is half of reading both.
var started = time.Now()

func (c *Call) elapsed() time.Duration { return time.Since(started) - c.start }

// check takes one check through its whole life.
func (s *Server) check(ctx context.Context, in *Attributes) *reply {
	defer s.leave()
	if s.namesPeers {
		in.peerName = connectionName(ctx)
	}
	c := s.Check(ctx, in, s.enter())
	return c.finish(c.record(ctx))
}

// enter counts a check in, until leave, and reports whether there are too many at a time.
func (s *Server) enter() (crowded bool) {
	return s.inFlight.Add(1) > s.MaxInFlight && s.MaxInFlight > 0
}

func (s *Server) leave() { s.inFlight.Add(-1) }

// read makes the request that the decision is about.
func (c *Call) read() {
	in := &c.in
	c.answer.now = c.server.Clock.Now()
	if in.panicked != nil {
		panic(in.panicked)
	}
	in.requestIn(&c.request, c.answer.now)
	c.answer.given = c.request.CredentialGiven()
	c.answer.overHTTP = in.front.asks
	if in.front.asks {
		c.answer.authorization, _ = in.headers.Get("authorization")
	}
}

// snapshot returns the running revision. At the start, a check that is not crowded out waits for it.
func (c *Call) snapshot(ctx context.Context, crowded bool) *policy.Snapshot {
	running := c.server.Index.Snapshot() // panic: snapshot
	if !running.Ready() && !crowded {
		running = c.server.awaitLoaded(ctx)
	}
	c.answer.revision = running.Revision().Number
	return running
}

// evaluate decides the request, within its budget.
func (c *Call) evaluate(ctx context.Context, snapshot *policy.Snapshot) {
	defer c.server.admitLarge(len(c.request.Body.Bytes))()
	c.budget = callBudget{ctx: ctx, shares: &c.server.shares}
	defer c.budget.release()
	c.request.Budget = &c.budget
	c.answer.decision = policy.Evaluate(snapshot, &c.request, nil)
	c.in.front.checkRemovals(&c.answer.decision)
}

// record writes the event.
func (c *Call) record(ctx context.Context) (err error) {
	c.recorded = c.writeEvent(func(e *audit.Event) { err = c.server.Audit.Record(ctx, e) })
	return err
}

// writeEvent writes the event. If that panics, the call is refused, and the event of that is
// written; if that panics too, one that holds only the decision. It reports whether
// one is written.
func (c *Call) writeEvent(write func(*audit.Event)) bool {
	p := panicOf(func() { write(c.event) })
	if p == nil {
		return true
	}
	c.fault(p)
	if panicOf(func() { write(c.event) }) == nil {
		return true
	}
	c.event = c.bareEvent() // mutant: panicking-event
	return panicOf(func() { write(c.event) }) == nil
}

// finish returns the answer once it is known whether the event was written. An allow
// whose event was not is refused.
func (c *Call) finish(err error) *reply {
	d := &c.answer.decision
	if err != nil && d.Effect == policy.Allow { // mutant: allow-without-event
		d.Refuse(policy.AuditUnavailable)
		c.guard(c.reply)
	}
	c.guard(func() { c.server.Observer.Decided(d, c.elapsed()) })
	if c.server.Seen != nil && d.Token != nil && c.event != nil {
		c.guard(func() { c.server.Seen(d, c.event) })
	}
	return c.out
}
