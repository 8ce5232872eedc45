package extauthz

import (
	"context"
	"net"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
)

// grpcTransport serves a Server by grpc-go.
type grpcTransport struct {
	grpc   *grpc.Server
	health *health.Server
}

// streamWorkers are goroutines that stay, which saves growing a new one's stack for each
// check: a sixth of its CPU (measured).
const streamWorkers = 64

func newGRPCTransport(s *Server, o *TransportOptions) *grpcTransport {
	options := []grpc.ServerOption{
		grpc.UnaryInterceptor(s.guard),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.MaxRecvMsgSize(o.MaxBody + bodyHeadroom),
		grpc.MaxHeaderListSize(uint32(o.MaxHeader)),
		grpc.MaxConcurrentStreams(200),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge:      5 * time.Minute, // so that Envoys find new replicas
			MaxConnectionAgeGrace: 30 * time.Second,
			Time:                  30 * time.Second,
			Timeout:               10 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
	if o.TLS != nil {
		s.namesPeers = true
		options = append(options, grpc.Creds(handshakes{credentials.NewTLS(o.TLS), s.HandshakeFailed}))
	}
	t := &grpcTransport{grpc: grpc.NewServer(options...), health: health.NewServer()}
	t.grpc.RegisterService(&service, s)
	healthv1.RegisterHealthServer(t.grpc, t.health)
	t.SetServing(false)
	return t
}

// SetServing implements Transport.
func (t *grpcTransport) SetServing(serving bool) {
	status := healthv1.HealthCheckResponse_NOT_SERVING
	if serving {
		status = healthv1.HealthCheckResponse_SERVING
	}
	t.health.SetServingStatus("", status)
	t.health.SetServingStatus(authv3.Authorization_ServiceDesc.ServiceName, status)
}

// Serve implements Transport.
func (t *grpcTransport) Serve(l net.Listener) error { return t.grpc.Serve(l) }

// Stop implements Transport.
func (t *grpcTransport) Stop(ctx context.Context) {
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
