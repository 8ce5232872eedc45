// Package extauthz is Envoy's face of patgate: it reads CheckRequests, asks the policy,
// has the decision audited, and answers. Whatever happens, the answer is an explicit
// one: Envoy takes an empty answer for an allow, and an error for what
// failure_mode_allow says.
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

	inFlight atomic.Int64
	large    chan struct{} // holds a value for each large body that is being read
	once     sync.Once
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

// call is one check on its way.
type call struct {
	server   *Server
	start    time.Time
	recorded bool // the audit has its one event
	request  policy.Request
	answer   answer
}

func (c *call) elapsed() time.Duration { return time.Since(c.start) }

// check answers one check (envoy.service.auth.v3.Authorization), whatever happens.
func (s *Server) check(ctx context.Context, in *attributes) (out *reply) {
	c := &call{server: s, start: time.Now()}
	c.answer.id = rand.Text()
	defer func() {
		if p := recover(); p != nil {
			out = c.fault(ctx, p)
		}
	}()
	defer s.inFlight.Add(-1)
	crowded := s.inFlight.Add(1) > s.MaxInFlight && s.MaxInFlight > 0
	c.decide(ctx, in, crowded)
	return c.finish(ctx)
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
	a.decision = policy.Evaluate(snapshot, &c.request, nil)
	if a.decision.Reason == policy.BadTarget {
		a.problem = a.decision.Problem
	}
}

// startWait is how long a check waits for the first manifests: less than Envoy waits for it.
const startWait = 400 * time.Millisecond

// awaitLoaded returns the running revision once there is one, or what there is after
// startWait: then the check is refused as not ready, which says more than silence.
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

// finish has the decision audited and makes its answer. The answer of an allow is made
// first, so that nothing that can fail comes after the event.
func (c *call) finish(ctx context.Context) *reply {
	d := &c.answer.decision
	out := c.answer.reply()
	err := c.server.Audit.Record(ctx, c.event())
	c.recorded = true
	if err != nil && d.Effect == policy.Allow {
		d.Refuse(policy.AuditUnavailable)
		out = c.answer.reply()
	}
	c.server.Observer.Decided(d, c.elapsed())
	return out
}

// fault turns a panic into a refusal with its own event.
func (c *call) fault(ctx context.Context, p any) *reply {
	c.server.Observer.Faulted()
	// The panic's value may hold what a client sent: its type and place are enough.
	c.server.Logger.Error("a check panicked, the request is refused", "id", c.answer.id, "panic", panicText(p), "stack", string(debug.Stack()))
	decision := policy.Decision{Gate: c.answer.decision.Gate}
	decision.Refuse(policy.Internal)
	c.answer.decision = decision
	if c.answer.now.IsZero() {
		c.answer.now = time.Now().UTC()
	}
	if !c.recorded {
		c.recordFault(ctx)
		c.server.Observer.Decided(&c.answer.decision, c.elapsed())
	}
	return c.answer.reply()
}

// recordFault has the refusal of a panic audited (a refusal does not wait). Where the event is
// what panics, it says no more than the decision.
func (c *call) recordFault(ctx context.Context) {
	defer func() {
		if recover() == nil {
			return
		}
		d := &c.answer.decision
		_ = c.server.Audit.Record(ctx, &audit.Event{
			Time: c.answer.now, Kind: audit.Decision, Severity: audit.Notice, ID: c.answer.id,
			Decision: d.Effect.String(), Reason: d.Reason.String(), Status: d.Status(), Revision: c.answer.revision,
		})
	}()
	_ = c.server.Audit.Record(ctx, c.event())
}
