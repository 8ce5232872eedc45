package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// round is one measurement of one subject.
type round struct {
	Subject     string    `json:"subject"`
	Loop        string    `json:"loop"` // closed, open, or slow
	Round       int       `json:"round"`
	Checks      int       `json:"checks"`
	Rate        float64   `json:"rate"`       // checks a second
	CPUMicros   float64   `json:"cpu_micros"` // of the server, a check
	EnvoyMicros float64   `json:"envoy_cpu_micros,omitempty"`
	P50         float64   `json:"p50_micros"`
	P99         float64   `json:"p99_micros"`
	P999        float64   `json:"p999_micros"`
	Curve       []float64 `json:"curve_micros"` // latency at each of the shares
	Events      int       `json:"events,omitempty"`
	SlowMillis  float64   `json:"slow_millis,omitempty"`     // that the slow checks took
	CalmP99     float64   `json:"calm_p99_micros,omitempty"` // without them
}

// shares are where the curve of latencies is taken.
var shares = []float64{0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999}

// measure runs one loop for a span. The closed loop keeps a number of checks in
// flight; the open one sends at a fixed rate, and counts latency from when a check was to be
// sent, so that a server that stalls does not get fewer checks.
func (s *subject) measure(loop string, span time.Duration, rate int) (round, error) {
	l, err := s.dial()
	if err != nil {
		return round{}, err
	}
	defer l.close()
	m := &measurement{link: l, requests: s.requests, answers: make([]answer, 0, 1<<18), refill: loop == "closed"}
	ended := make(chan error, 1)
	go func() { ended <- l.answers(m.done) }()
	before, envoyBefore, events, start := s.server.cpu(), s.envoyCPU(), s.server.events.Load(), time.Now()
	if m.refill {
		if err = m.burst(inFlight); err == nil {
			time.Sleep(time.Until(start.Add(span)))
		}
	} else {
		err = m.schedule(start, span, rate)
	}
	m.over.Store(true)
	if err == nil {
		err = m.drain(ended)
	}
	if err != nil {
		return round{}, err
	}
	took, used, envoyUsed := time.Since(start), s.server.cpu()-before, s.envoyCPU()-envoyBefore
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wrong != nil {
		return round{}, fmt.Errorf("a wrong answer: %w", m.wrong)
	}
	n := len(m.answers)
	r := round{
		Subject: s.name, Loop: loop, Checks: n, Rate: float64(n) / took.Seconds(),
		CPUMicros: micros(used) / float64(n), EnvoyMicros: micros(envoyUsed) / float64(n),
	}
	r.Curve = curve(m.answers)
	r.P50, r.P99, r.P999 = r.Curve[2], r.Curve[7], r.Curve[10]
	if s.kind != full {
		return r, nil
	}
	r.Events, err = s.awaitEvents(events, n)
	return r, err
}

// awaitEvents checks that each check has an audit event. The reader may have yet to see the
// last of them.
func (s *subject) awaitEvents(before int64, checks int) (int, error) {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		events := int(s.server.events.Load() - before)
		if events >= checks {
			return events, nil
		}
		if time.Now().After(deadline) {
			return events, fmt.Errorf("%d checks, and %d events", checks, events)
		}
	}
}

func (s *subject) envoyCPU() time.Duration {
	if s.envoy == nil {
		return 0
	}
	return s.envoy.cpu()
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// curve returns the latencies of answers at each of the shares, in microseconds.
func curve(answers []answer) []float64 {
	took := make([]time.Duration, len(answers))
	for i, a := range answers {
		took[i] = a.took
	}
	slices.Sort(took)
	list := make([]float64, len(shares))
	for i, share := range shares {
		if len(took) > 0 {
			list[i] = micros(took[int(float64(len(took)-1)*share)])
		}
	}
	return list
}

// answer is a received answer.
type answer struct {
	from time.Time // when its check was sent, or was to be sent
	took time.Duration
}

// measurement is a running round.
type measurement struct {
	link     link
	requests []request
	refill   bool
	over     atomic.Bool
	next     atomic.Int64
	pending  atomic.Int64

	slow chan time.Duration // gets how long slow checks took

	mu      sync.Mutex
	answers []answer
	wrong   error
	failed  int
}

func (m *measurement) send(from time.Time) error {
	r := &m.requests[int(m.next.Add(1))%len(m.requests)]
	m.pending.Add(1)
	return m.link.send(r, sent{from: from, allow: r.allow})
}

func (m *measurement) burst(n int) error {
	for range n {
		if err := m.send(time.Now()); err != nil {
			return err
		}
	}
	return m.link.flush()
}

// schedule sends at a fixed rate, until the span is over or it is stopped.
func (m *measurement) schedule(start time.Time, span time.Duration, rate int) error {
	each := time.Second / time.Duration(rate)
	for due := start; due.Before(start.Add(span)) && !m.over.Load(); {
		now := time.Now()
		for ; !due.After(now); due = due.Add(each) {
			if err := m.send(due); err != nil {
				return err
			}
		}
		if err := m.link.flush(); err != nil {
			return err
		}
		time.Sleep(time.Until(due))
	}
	return nil
}

// done records an answer, and sends the next check in a closed loop.
func (m *measurement) done(s sent, wrong error) {
	now := time.Now()
	if s.slow && wrong == nil {
		m.slow <- now.Sub(s.from)
		return
	}
	m.mu.Lock()
	m.answers = append(m.answers, answer{s.from, now.Sub(s.from)})
	if wrong != nil {
		m.wrong = wrong
		m.failed++
	}
	m.mu.Unlock()
	m.pending.Add(-1)
	if m.refill && !m.over.Load() {
		if err := m.send(now); err == nil && m.link.idle() {
			_ = m.link.flush()
		}
	}
}

// drain waits for the checks in flight.
func (m *measurement) drain(ended <-chan error) error {
	_ = m.link.flush()
	for deadline := time.Now().Add(30 * time.Second); m.pending.Load() > 0; time.Sleep(time.Millisecond) {
		select {
		case err := <-ended:
			return err
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d checks got no answer", m.pending.Load())
		}
	}
	return nil
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
