package extauthz

import (
	"sync/atomic"
	"time"
)

// maxStepBack is up to where the clock of requests does not follow steps back: it
// stops until the system's clock has caught up.
const maxStepBack = time.Hour

// Clock is the clock that requests get. It does not follow the system's clock back by
// up to an hour, so that a correction revives no expired token; a longer step is
// followed and reported. Any number of goroutines may share it. Make one with NewClock.
type Clock struct {
	now     func() time.Time
	stepped func(back time.Duration)
	last    atomic.Int64 // nanoseconds since 1970
}

// NewClock returns a clock that reads now, and calls stepped for long steps back.
func NewClock(now func() time.Time, stepped func(back time.Duration)) *Clock {
	return &Clock{now: now, stepped: stepped}
}

// Now returns the time for a request, in UTC.
func (c *Clock) Now() time.Time {
	t := c.now().UnixNano()
	for {
		last := c.last.Load()
		switch back := time.Duration(last - t); {
		case back <= 0:
			if c.last.CompareAndSwap(last, t) {
				return time.Unix(0, t).UTC()
			}
		case back <= maxStepBack:
			return time.Unix(0, last).UTC()
		case c.last.CompareAndSwap(last, t):
			c.stepped(back)
			return time.Unix(0, t).UTC()
		}
	}
}
