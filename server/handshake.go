package server

import (
	"sync"
	"time"
)

// reminder lets one message pass per period. The zero value lets the first pass.
type reminder struct {
	mu      sync.Mutex
	last    time.Time
	skipped int
}

// pass reports whether the last one passed at least `every` ago, and how many were held back since.
func (r *reminder) pass(every time.Duration) (skipped int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.IsZero() && time.Since(r.last) < every {
		r.skipped++
		return 0, false
	}
	skipped, r.skipped, r.last = r.skipped, 0, time.Now()
	return skipped, true
}

// handshakeFailed counts a TLS handshake that failed, and logs the reason of one in a minute:
// otherwise an expired certificate would be silent.
func (s *Server) handshakeFailed(err error) {
	s.metrics.handshakes.Inc()
	if skipped, ok := s.handshakes.pass(time.Minute); ok {
		s.o.Logger.Warn("a TLS handshake failed", "error", err, "more_since_last", skipped)
	}
}
