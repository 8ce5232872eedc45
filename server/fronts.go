package server

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/patgate/patgate/extauthz"
)

// listening is a transport of checks with its listener.
type listening struct {
	listener  net.Listener
	transport extauthz.Transport
}

// setServing sets whether health checks report that the server takes checks.
func (s *Server) setServing(serving bool) {
	s.transport.SetServing(serving)
	if s.front != nil {
		s.front.transport.SetServing(serving)
	}
}

// stopChecks lets the checks under way end, until ctx is done.
func (s *Server) stopChecks(ctx context.Context) {
	var all sync.WaitGroup
	if s.front != nil {
		all.Go(func() { s.front.transport.Stop(ctx) })
	}
	s.transport.Stop(ctx)
	all.Wait()
}

// closeAll closes listeners.
func closeAll(list []net.Listener) (err error) {
	for _, l := range list {
		err = errors.Join(err, l.Close())
	}
	return err
}
