package extauthz

import (
	"context"
	"runtime"
	"time"

	"github.com/patgate/patgate/policy"
)

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

// startWait limits how long a check waits for the first manifests: less than Envoy waits for the check.
const startWait = 400 * time.Millisecond

// awaitLoaded returns the running revision once there is one, or the empty one after
// startWait: then the check is refused as not_ready, which is clearer than a timeout.
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
