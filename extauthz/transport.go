package extauthz

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Transport serves a Server and the health service over gRPC. Make one with
// NewTransport. Its health is NOT_SERVING until SetServing(true).
type Transport interface {
	// SetServing sets the health of the process and of the service.
	SetServing(serving bool)
	// Serve answers on a listener until Stop. It closes the listener.
	Serve(l net.Listener) error
	// Stop takes no new calls and waits for those in progress, until ctx is done: then it
	// cuts them.
	Stop(ctx context.Context)
}

// The transports.
const (
	TransportH2   = "h2"   // our own (package wire)
	TransportGRPC = "grpc" // grpc-go: the fallback, and what tests compare the other with
)

// Transports are the names of the transports.
var Transports = []string{TransportH2, TransportGRPC}

// TransportOptions of a Transport. Zero values mean the defaults.
type TransportOptions struct {
	Name       string // one of Transports; default TransportH2
	MaxBody    int    // bytes of a request's body; no less than Envoy's max_request_bytes; default 1 MiB
	MaxHeader  int    // bytes of a call's own headers; default 16 KiB
	MaxReceive int64  // bytes that all connections together may hold; default 64 MiB; TransportH2 only
	TLS        *tls.Config
}

// bodyHeadroom is the size of a CheckRequest without the body: headers up to Envoy's
// limit, and the rest of the attributes.
const bodyHeadroom = 256 << 10

// NewTransport returns a transport for a server.
func NewTransport(s *Server, o TransportOptions) (Transport, error) {
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	if o.MaxHeader == 0 {
		o.MaxHeader = 16 << 10
	}
	switch o.Name {
	case "", TransportH2:
		return newH2Transport(s, &o), nil
	case TransportGRPC:
		return newGRPCTransport(s, &o), nil
	}
	return nil, fmt.Errorf("transport %q: expected %s", o.Name, strings.Join(slices.Sorted(slices.Values(Transports)), " or "))
}
