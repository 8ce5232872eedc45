package extauthz

import (
	"context"
	"runtime"
	"sync"

	"github.com/patgate/patgate/policy"
)

// shares bounds how many costly checks of one token are evaluated at a time, so that the
// patterns of one token can't keep every processor busy. Callers without a token count as
// one. Only costly checks take its lock, and it has no more entries than there are costly
// checks in flight. The zero value is ready.
type shares struct {
	mu   sync.Mutex
	held map[string]int // by the token's name
}

// sharePerToken is the number of costly checks of one token that are evaluated at a time: half the
// processors, so that the other half answers all other requests.
func sharePerToken() int { return max(1, runtime.GOMAXPROCS(0)/2) }

func (s *shares) take(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[token] >= sharePerToken() { // mutant: no-share-per-token
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

// callBudget limits the cost of one check. It implements policy.Budget.
type callBudget struct {
	ctx    context.Context
	shares *shares
	token  string
	holds  bool
}

// MayContinue implements policy.Budget. From the first piece of costly work until release,
// the check counts toward its token's share.
func (b *callBudget) MayContinue(t *policy.Token) bool {
	if b.ctx.Err() != nil {
		return false
	}
	if b.holds {
		return true
	}
	if t != nil {
		b.token = t.Name
	}
	b.holds = b.shares.take(b.token)
	return b.holds
}

// release gives the share back, if the check has one.
func (b *callBudget) release() {
	if b.holds {
		b.holds = false
		b.shares.free(b.token)
	}
}
