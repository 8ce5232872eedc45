package extauthz

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
)

// Transport serves a Server over gRPC, with the health service beside it. Make one
// with NewTransport.
type Transport struct {
	grpc   *grpc.Server
	health *health.Server
}

// bodyHeadroom is what a CheckRequest holds beside the body: headers up to Envoy's
// limit, and the rest of the attributes.
const bodyHeadroom = 256 << 10

// streamWorkers are goroutines that stay, which saves growing a new one's stack for each
// check: a sixth of its CPU (measured).
const streamWorkers = 64

// NewTransport returns a transport that takes bodies of up to maxBody bytes, which
// should be no less than Envoy's max_request_bytes. config may be nil: no TLS. It is
// not serving until SetServing says so.
func NewTransport(s *Server, maxBody int, config *tls.Config) *Transport {
	options := []grpc.ServerOption{
		grpc.UnaryInterceptor(s.guard),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.MaxRecvMsgSize(maxBody + bodyHeadroom),
		grpc.MaxConcurrentStreams(1000),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge:      5 * time.Minute, // so that Envoys find new replicas
			MaxConnectionAgeGrace: 30 * time.Second,
			Time:                  30 * time.Second,
			Timeout:               10 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
	if config != nil {
		s.namesPeers = true
		options = append(options, grpc.Creds(handshakes{credentials.NewTLS(config), s.HandshakeFailed}))
	}
	t := &Transport{grpc: grpc.NewServer(options...), health: health.NewServer()}
	t.grpc.RegisterService(&service, s)
	healthv1.RegisterHealthServer(t.grpc, t.health)
	t.SetServing(false)
	return t
}

// SetServing sets what the health service says, of the process and of the service.
func (t *Transport) SetServing(serving bool) {
	status := healthv1.HealthCheckResponse_NOT_SERVING
	if serving {
		status = healthv1.HealthCheckResponse_SERVING
	}
	t.health.SetServingStatus("", status)
	t.health.SetServingStatus(authv3.Authorization_ServiceDesc.ServiceName, status)
}

// Serve answers on a listener until Stop. It closes the listener.
func (t *Transport) Serve(l net.Listener) error { return t.grpc.Serve(l) }

// Stop takes no new calls and waits for those under way, until ctx is done: then it
// cuts them.
func (t *Transport) Stop(ctx context.Context) {
	t.SetServing(false)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		t.grpc.GracefulStop()
	}()
	select {
	case <-stopped:
	case <-ctx.Done():
		t.grpc.Stop()
		<-stopped
	}
}
