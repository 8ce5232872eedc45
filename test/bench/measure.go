package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// measure runs one loop for a span. The closed loop keeps a number of checks on their
// way; the open one sends at a fixed rate, and counts latency from when a check was to be
// sent, so that a server that stalls is not asked less for it.
func (s *subject) measure(loop string, span time.Duration, rate int) (round, error) {
	c, err := dial(s.network, s.server.addr)
	if err != nil {
		return round{}, err
	}
	defer func() { _ = c.conn.Close() }()
	m := &measurement{client: c, requests: s.server.requests, took: make([]time.Duration, 0, 1<<18)}
	ended := make(chan error, 1)
	m.refill = loop == "closed"
	go func() { ended <- c.answers(m.done) }()
	before, events, start := s.server.cpu(), s.server.events.Load(), time.Now()
	if m.refill {
		err = m.burst(inFlight)
	} else {
		err = m.schedule(start, span, rate)
	}
	if err != nil {
		return round{}, err
	}
	if m.refill {
		time.Sleep(time.Until(start.Add(span)))
	}
	m.over.Store(true)
	if err := m.drain(ended); err != nil {
		return round{}, err
	}
	took, used := time.Since(start), s.server.cpu()-before
	n := len(m.took)
	for deadline := time.Now().Add(time.Second); s.tokens > 0 && s.server.events.Load()-events < int64(n) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // the reader has yet to see the last of them
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wrong != nil {
		return round{}, fmt.Errorf("a wrong answer: %w", m.wrong)
	}
	r := round{
		Subject: s.name, Loop: loop, Checks: n, Rate: float64(n) / took.Seconds(),
		CPUMicros: float64(used.Microseconds()) / float64(n), Events: int(s.server.events.Load() - events),
	}
	slices.Sort(m.took)
	at := func(share float64) float64 { return float64(m.took[int(float64(n-1)*share)].Nanoseconds()) / 1e3 }
	r.P50, r.P99, r.P999 = at(0.5), at(0.99), at(0.999)
	if s.tokens > 0 && r.Events < n {
		return r, fmt.Errorf("%d checks, and %d events", n, r.Events)
	}
	return r, nil
}

// measurement is a round under way.
type measurement struct {
	client   *client
	requests []request
	refill   bool
	over     atomic.Bool
	next     atomic.Int64
	pending  atomic.Int64

	mu    sync.Mutex
	took  []time.Duration
	wrong error
}

// request is an encoded check, and what must be answered.
type request struct {
	message []byte
	allow   bool
}

func (m *measurement) send(from time.Time) error {
	r := &m.requests[int(m.next.Add(1))%len(m.requests)]
	m.pending.Add(1)
	return m.client.send(r.message, sent{from, r.allow})
}

func (m *measurement) burst(n int) error {
	for range n {
		if err := m.send(time.Now()); err != nil {
			return err
		}
	}
	return m.client.flush()
}

// schedule sends at a fixed rate, in steps of a millisecond.
func (m *measurement) schedule(start time.Time, span time.Duration, rate int) error {
	each := time.Second / time.Duration(rate)
	for due := start; due.Before(start.Add(span)); {
		now := time.Now()
		for ; !due.After(now); due = due.Add(each) {
			if err := m.send(due); err != nil {
				return err
			}
		}
		if err := m.client.flush(); err != nil {
			return err
		}
		time.Sleep(time.Until(due))
	}
	return nil
}

// done notes an answer, and sends the next check where the loop is closed.
func (m *measurement) done(s sent, wrong error) {
	now := time.Now()
	m.mu.Lock()
	m.took = append(m.took, now.Sub(s.from))
	if wrong != nil && m.wrong == nil {
		m.wrong = wrong
	}
	m.mu.Unlock()
	m.pending.Add(-1)
	if m.refill && !m.over.Load() {
		if err := m.send(now); err == nil && m.client.idle() {
			_ = m.client.flush()
		}
	}
}

// drain waits for the checks that are on their way.
func (m *measurement) drain(ended <-chan error) error {
	_ = m.client.flush()
	for deadline := time.Now().Add(5 * time.Second); m.pending.Load() > 0; time.Sleep(time.Millisecond) {
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
	return sorted[len(sorted)/2]
}

func extremes(list []float64) (low, high float64) { return slices.Min(list), slices.Max(list) }
