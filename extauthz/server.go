// Package extauthz implements Envoy's external authorization service: it reads CheckRequests,
// evaluates the policy, writes the audit event, and answers. The answer is always explicit, even
// after a panic: Envoy takes an empty answer for an allow, and lets failure_mode_allow decide
// after an error.
package extauthz

import (
	"context"
	"crypto/rand"
	"log/slog"
	"runtime"
	"runtime/debug"
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
	// Decided is called once a check, with its decision and how long it took.
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
	// a moment: a replica that has just been started need not refuse anybody. nil: none waits.
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

// largeBody is from how many bytes on a body is one of few that are read at a time.
const largeBody = 64 << 10

// admitLarge waits until a large body may be read, and returns what ends that.
func (s *Server) admitLarge(size int) (done func()) {
	if size < largeBody {
		return func() {}
	}
	s.once.Do(func() { s.large = make(chan struct{}, 2*runtime.GOMAXPROCS(0)) })
	s.large <- struct{}{}
	return func() { <-s.large }
}

// call is one check: begin decides it, record has its event written, finish answers it. A
// transport may write the events of several calls at once between begin and finish.
type call struct {
	server   *Server
	start    time.Time
	recorded bool // the audit has its event
	request  policy.Request
	budget   callBudget
	peerName string // the Envoy that sent the check, by its client certificate
	answer   answer
	out      *reply       // the answer, if the event is written
	event    *audit.Event // nil if it could not be made
}

func (c *call) elapsed() time.Duration { return time.Since(c.start) }

// check answers one check (envoy.service.auth.v3.Authorization), whatever happens.
func (s *Server) check(ctx context.Context, in *attributes) *reply {
	defer s.leave()
	if s.namesPeers {
		in.peerName = connectionName(ctx)
	}
	c := s.begin(ctx, in, s.enter())
	return c.finish(c.record(ctx))
}

// enter counts a check in, until leave, and reports whether there are too many at a time.
func (s *Server) enter() (crowded bool) {
	return s.inFlight.Add(1) > s.MaxInFlight && s.MaxInFlight > 0
}

func (s *Server) leave() { s.inFlight.Add(-1) }

// begin decides a check and makes its answer and its event.
func (s *Server) begin(ctx context.Context, in *attributes, crowded bool) (c *call) {
	c = &call{server: s, start: time.Now(), peerName: in.peerName}
	c.answer.id = rand.Text()
	defer func() {
		if p := recover(); p != nil {
			c.fault(p)
		}
	}()
	c.decide(ctx, in, crowded)
	// All that can fail comes before the event is written.
	c.out = c.answer.reply()
	c.event = c.newEvent()
	return c
}

// decide reads the request and evaluates it by one snapshot.
func (c *call) decide(ctx context.Context, in *attributes, crowded bool) {
	a := &c.answer
	a.now = c.server.Clock.Now()
	if in.panicked != nil {
		panic(in.panicked)
	}
	c.request = in.request(a.now)
	a.given = c.request.CredentialGiven()
	if in.front.asks {
		a.authorization, _ = in.headers.Get("authorization")
	}
	snapshot := c.server.Index.Snapshot()
	if !snapshot.Ready() && !crowded {
		snapshot = c.server.awaitLoaded(ctx)
	}
	a.revision = snapshot.Revision().Number
	if crowded {
		a.decision.Refuse(policy.Overloaded)
		return
	}
	defer c.server.admitLarge(len(c.request.Body.Bytes))()
	c.budget = callBudget{ctx: ctx, shares: &c.server.shares}
	defer c.budget.release()
	c.request.Budget = &c.budget
	a.decision = policy.Evaluate(snapshot, &c.request, nil)
	in.front.checkRemovals(&a.decision)
}

// startWait is how long a check waits for the first manifests: less than Envoy waits for it.
const startWait = 400 * time.Millisecond

// awaitLoaded returns the running revision once there is one, or the empty one after
// startWait: then the check is refused as not_ready, which is clearer than a timeout.
func (s *Server) awaitLoaded(ctx context.Context) *policy.Snapshot {
	if s.Loaded != nil {
		timer := time.NewTimer(startWait)
		defer timer.Stop()
		select {
		case <-s.Loaded:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return s.Index.Snapshot()
}

// record has the event written.
func (c *call) record(ctx context.Context) (err error) {
	c.recorded = c.writeEvent(func(e *audit.Event) { err = c.server.Audit.Record(ctx, e) })
	return err
}

// writeEvent writes the event. If that panics, the call is refused, and the event of that is
// written; if that panics too, one that holds only the decision. It reports whether
// one is written.
func (c *call) writeEvent(write func(*audit.Event)) bool {
	p := panicOf(func() { write(c.event) })
	if p == nil {
		return true
	}
	c.fault(p)
	if panicOf(func() { write(c.event) }) == nil {
		return true
	}
	c.event = c.bareEvent()
	return panicOf(func() { write(c.event) }) == nil
}

// panicOf returns what a function panics with; nil: it does not.
func panicOf(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

// finish returns the answer once it is known whether the event was written. An allow
// whose event was not is refused.
func (c *call) finish(err error) *reply {
	d := &c.answer.decision
	if err != nil && d.Effect == policy.Allow {
		d.Refuse(policy.AuditUnavailable)
		c.guard(func() { c.out = c.answer.reply() })
	}
	c.guard(func() { c.server.Observer.Decided(d, c.elapsed()) })
	if c.server.Seen != nil && d.Token != nil && c.event != nil {
		c.guard(func() { c.server.Seen(d, c.event) })
	}
	return c.out
}

// guard makes a panic a refusal.
func (c *call) guard(f func()) {
	if p := panicOf(f); p != nil {
		c.fault(p)
	}
}

// fault turns a panic into a refusal, with an event of its own if none is written yet.
func (c *call) fault(p any) {
	c.server.Observer.Faulted()
	// The panic's value may hold what a client sent: its type and place are enough.
	c.server.Logger.Error("a check panicked, the request is refused", "id", c.answer.id, "panic", panicText(p), "stack", string(debug.Stack()))
	decision := policy.Decision{Gate: c.answer.decision.Gate}
	decision.Refuse(policy.Internal)
	c.answer.decision = decision
	if c.answer.now.IsZero() {
		c.answer.now = time.Now().UTC()
	}
	c.out = c.answer.reply()
	if !c.recorded {
		c.event = c.faultEvent()
	}
}

// faultEvent is the event of a refusal after a panic. If the event is what panics, it
// holds only the decision.
func (c *call) faultEvent() (e *audit.Event) {
	if panicOf(func() { e = c.newEvent() }) != nil {
		e = c.bareEvent()
	}
	return e
}

func (c *call) bareEvent() *audit.Event {
	d := &c.answer.decision
	return &audit.Event{
		Time: c.answer.now, Kind: audit.Decision, Severity: audit.Notice, ID: c.answer.id,
		Decision: d.Effect.String(), Reason: d.Reason.String(), Status: d.Status(), Revision: c.answer.revision,
	}
}
