package extauthz

import (
	"context"
	"runtime"
	"sync"

	"github.com/patgate/patgate/policy"
)

// shares bounds how many checks that cost much one token may have evaluated at a time, so
// that the patterns of one token can't keep every processor busy. Callers without a token
// count as one. Ordinary checks never ask: it is locked by those that cost much alone, and
// holds no more entries than there are of these. The zero value is ready.
type shares struct {
	mu   sync.Mutex
	held map[string]int // by the token's name
}

// sharePerToken is how many costly checks of one token are evaluated at a time: half the
// processors, so that the other half answers everybody else.
func sharePerToken() int { return max(1, runtime.GOMAXPROCS(0)/2) }

func (s *shares) take(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[token] >= sharePerToken() {
		return false
	}
	if s.held == nil {
		s.held = map[string]int{}
	}
	s.held[token]++
	return true
}

func (s *shares) free(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[token]--; s.held[token] == 0 {
		delete(s.held, token)
	}
}

// effort is what one check costs. It implements policy.Effort.
type effort struct {
	ctx    context.Context
	shares *shares
	token  string
	holds  bool
}

// GoOn implements policy.Effort: as long as the call's deadline is not over, and where the
// token has its share, from the first piece of work on until release.
func (e *effort) GoOn(t *policy.Token) bool {
	if e.ctx.Err() != nil {
		return false
	}
	if e.holds {
		return true
	}
	if t != nil {
		e.token = t.Name
	}
	e.holds = e.shares.take(e.token)
	return e.holds
}

// release gives the share back, if the check has one.
func (e *effort) release() {
	if e.holds {
		e.holds = false
		e.shares.free(e.token)
	}
}
