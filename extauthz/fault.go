package extauthz

import (
	"runtime/debug"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// panicOf returns what a function panics with; nil: it does not.
func panicOf(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

// guard makes a panic a refusal.
func (c *Call) guard(f func()) {
	if p := panicOf(f); p != nil {
		c.fault(p)
	}
}

// fault turns a panic into a refusal, with an event of its own if none is written yet.
func (c *Call) fault(p any) {
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
func (c *Call) faultEvent() (e *audit.Event) {
	if panicOf(func() { e = c.newEvent() }) != nil {
		e = c.bareEvent()
	}
	return e
}

func (c *Call) bareEvent() *audit.Event {
	d := &c.answer.decision
	return &audit.Event{
		Time: c.answer.now, Kind: audit.Decision, Severity: audit.Notice, ID: c.answer.id,
		Decision: d.Effect.String(), Reason: d.Reason.String(), Status: d.Status(), Revision: c.answer.revision,
	}
}
