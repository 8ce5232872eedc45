package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/patgate/patgate/token"
)

// slowTook is how long a slow decision takes that others must not wait for.
const slowTook = 20 * time.Millisecond

// slowRate is how many ordinary checks a second go over the connection of slow ones.
const slowRate = 500

// slowSecret is the value of a token whose rules take long at long paths.
var slowSecret = token.NewSecret("bench-slow-" + strings.Repeat("s", 34))

// writeSlow adds that token to the manifests.
func writeSlow(manifests string) error {
	var b strings.Builder
	document(&b, "TokenPolicy", "slow", "spec:\n  allow:\n")
	for i := range 5 {
		_, _ = fmt.Fprintf(&b, "  - path: /slow/(a*b?){120}x%d\n", i)
	}
	document(&b, "APIToken", "slow", fmt.Sprintf("spec:\n  user: user-0\n  digest: %s\n  issued: 2026-01-01T00:00:00Z\n  policies: [slow]\n", token.Sum(slowSecret)))
	return os.WriteFile(filepath.Join(manifests, "slow.yaml"), []byte(b.String()), 0o600)
}

// slowRequest is a check that is refused after all rules were tried at so long a path.
func slowRequest(length int) request {
	return newRequest("/slow/"+strings.Repeat("a", length), "Bearer "+slowSecret.Reveal(), false)
}

// calibrate finds a check whose decision takes as long as it should, by the server's CPU.
func (s *subject) calibrate() (*request, error) {
	if s.slowCheck != nil {
		return s.slowCheck, nil
	}
	length, r := 500, request{}
	for range 4 {
		r = slowRequest(length)
		best := time.Hour
		for range 5 {
			used := s.server.cpu()
			if err := s.ask(&r); err != nil {
				return nil, fmt.Errorf("a path of %d bytes: %w", length, err)
			}
			best = min(best, s.server.cpu()-used)
		}
		length = min(7_000, max(10, int(float64(length)*slowTook.Seconds()/best.Seconds())))
	}
	s.slowCheck = &r
	return &r, nil
}

// measureSlow runs an open loop of ordinary checks: first alone, and then while one slow check after another is
// decided on the same connection.
func (s *subject) measureSlow(span time.Duration) (round, error) {
	slow, err := s.calibrate()
	if err != nil {
		return round{}, err
	}
	l, err := s.dial()
	if err != nil {
		return round{}, err
	}
	defer l.close()
	m := &measurement{link: l, requests: s.requests, slow: make(chan time.Duration, 1)}
	ended, others := make(chan error, 1), make(chan error, 1)
	go func() { ended <- l.answers(m.done) }()
	if err := m.schedule(time.Now(), span, slowRate); err != nil {
		return round{}, err
	}
	start := time.Now()
	go func() { others <- m.schedule(start, span, slowRate) }()
	var took []float64
	for time.Since(start) < span {
		if err := m.link.send(slow, sent{from: time.Now(), slow: true}); err != nil {
			return round{}, err
		}
		if err := m.link.flush(); err != nil {
			return round{}, err
		}
		select {
		case d := <-m.slow:
			took = append(took, micros(d))
		case err := <-ended:
			return round{}, err
		}
	}
	if err := <-others; err != nil {
		return round{}, err
	}
	m.over.Store(true)
	if err := m.drain(ended); err != nil {
		return round{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wrong != nil {
		return round{}, fmt.Errorf("a wrong answer: %w", m.wrong)
	}
	var before, during []answer
	for _, a := range m.answers {
		if a.from.Before(start) {
			before = append(before, a)
		} else {
			during = append(during, a)
		}
	}
	r := round{Subject: s.name, Loop: "slow", Checks: len(during), Curve: curve(during), SlowMillis: median(took) / 1e3, CalmP99: curve(before)[7]}
	r.P50, r.P99, r.P999 = r.Curve[2], r.Curve[7], r.Curve[10]
	return r, nil
}
