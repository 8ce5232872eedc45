package company

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/patgate/patgate/audit"
)

// pods is how many processes decide at a time. Each is replaced once a week.
const pods = 3

// process is one of them, with the number of its last event.
type process struct {
	name string
	seq  uint64
}

// logWriter writes the events of a company in the order of their times.
type logWriter struct {
	*Company
	out    io.Writer
	random *rand.Rand
	pods   [pods]process
	line   []byte
	err    error
	ids    int
	active []*Token // with weights
}

// Log writes the company's audit log.
func (c *Company) Log(out io.Writer) error {
	w := &logWriter{Company: c, out: out, random: rand.New(rand.NewPCG(c.o.Seed, 2))}
	for _, t := range c.Tokens {
		n := t.kind.weight
		switch {
		case t.Unused:
			n = 0
		case t.Canary:
			n = 1 - min(1, len(w.active)%3) // some are never touched
		}
		for range n {
			w.active = append(w.active, t)
		}
	}
	for day := range c.o.Days {
		w.day(day)
	}
	return w.err
}

// day writes the events of one day: fewer at night and at weekends.
func (w *logWriter) day(n int) {
	if n%7 == 0 {
		for i := range w.pods {
			w.pods[i] = process{name: fmt.Sprintf("patgate-%d/w%02d", i, n/7)}
			w.write(i, &audit.Event{Time: w.Start.AddDate(0, 0, n), Kind: audit.PolicyLoaded, Severity: audit.Info, Revision: 1, Added: len(w.Tokens)})
		}
	}
	start := w.Start.AddDate(0, 0, n)
	events := w.o.Events / w.o.Days
	if day := start.Weekday(); day == time.Saturday || day == time.Sunday {
		events /= 3
	} else {
		events = events * 7 / 6
	}
	for i := range events {
		share := float64(i) / float64(events)
		at := start.Add(time.Duration((share*0.7 + share*share*0.3) * 24 * float64(time.Hour)))
		w.call(w.active[w.random.IntN(len(w.active))], at)
	}
}

// call writes one decision.
func (w *logWriter) call(t *Token, at time.Time) {
	w.ids++
	need := w.need(t, at)
	call := need.Call(w.random)
	e := &audit.Event{
		Time: at, Kind: audit.Decision, Severity: audit.Info, ID: fmt.Sprintf("E%025d", w.ids), Decision: audit.Allow, Reason: "ok", Gate: call.Gate,
		Scheme: t.kind.scheme, User: w.people[t.user].name, Token: t.Name, Previous: w.older(t, at),
		Client: netip.MustParseAddr(t.clients[w.random.IntN(len(t.clients))]), ClientSource: "xff", Peer: netip.MustParseAddr("10.255.0.1"),
		Method: call.Method, Host: call.Gate + ".example.com", Path: call.Path, Query: call.Query, UserAgent: t.kind.agent, TLS: true,
		BodyState: "absent", Revision: 1, Elapsed: time.Duration(15+w.random.IntN(60)) * time.Microsecond, RequestID: fmt.Sprintf("%016x", w.random.Uint64()),
	}
	for i, area := range t.areas() {
		if area == need.area {
			e.Rule, e.Source = fmt.Sprintf("limitTo[%d]", i), "tokens.yaml:1"
		}
	}
	if e.Scheme == "basic" && call.Gate == "tracker" {
		e.BasicEnds = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	}
	w.refuse(t, e)
	w.write(w.random.IntN(pods), e)
}

// need is what the client does this time.
func (w *logWriter) need(t *Token, at time.Time) *Need {
	for {
		n := &t.Needs[w.random.IntN(len(t.Needs))]
		if !at.Before(n.From) && (n.Until.IsZero() || at.Before(n.Until)) {
			return n
		}
	}
}

// older reports whether the client still uses the value from before a rotation.
func (w *logWriter) older(t *Token, at time.Time) bool {
	return !t.rotated.IsZero() && !at.Before(t.rotated) && at.Before(t.rotated.AddDate(0, 0, w.random.IntN(overlap)))
}

// refuse makes an event a refusal where the client has no right.
func (w *logWriter) refuse(t *Token, e *audit.Event) {
	reason, status := "", 401
	left := w.people[t.user].left
	switch {
	case t.Canary:
		reason, e.User, e.Severity = "token_canary", "", audit.Alert
	case !left.IsZero() && !e.Time.Before(left):
		reason, status = "token_deactivated", 403
	case t.broken && w.random.IntN(3) > 0:
		reason, status, e.Path, e.Query = "no_rule_matched", 403, "/internal/health", ""
	default:
		return
	}
	if e.Severity == audit.Info {
		e.Severity = audit.Notice
	}
	e.Decision, e.Reason, e.Status, e.Rule, e.Source = audit.Deny, reason, status, "", ""
}

// write writes an event of one process.
func (w *logWriter) write(pod int, e *audit.Event) {
	p := &w.pods[pod]
	p.seq++
	w.line = audit.AppendLine(w.line[:0], e, p.name, p.seq)
	if _, err := w.out.Write(w.line); err != nil && w.err == nil {
		w.err = err
	}
}
