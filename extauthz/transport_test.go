package extauthz

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/patgate/patgate/audit"
)

// serveOn serves on loopback by a transport, and returns a client.
func serveOn(t testing.TB, s *Server, name string, o TransportOptions) (Transport, *grpc.ClientConn) {
	t.Helper()
	o.Name = name
	transport, err := NewTransport(s, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- transport.Serve(l) }()
	transport.SetServing(true)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		transport.Stop(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return transport, conn
}

// onBoth runs a test on both transports.
func onBoth(t *testing.T, run func(t *testing.T, transport string)) {
	for _, name := range Transports {
		t.Run(name, func(t *testing.T) { run(t, name) })
	}
}

func TestTransports(t *testing.T) {
	onBoth(t, func(t *testing.T, name string) {
		s, p := newServer(t)
		_, conn := serveOn(t, s, name, TransportOptions{})
		client := authv3.NewAuthorizationClient(conn)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 50 {
					out, err := client.Check(context.Background(), withToken())
					if err != nil || reasonOf(out) != "ok" {
						t.Errorf("%v, %v", out, err)
					}
					out, err = client.Check(context.Background(), request())
					if err != nil || reasonOf(out) != "no_credential" {
						t.Errorf("%v, %v", out, err)
					}
				}
			})
		}
		wg.Wait()
		if len(p.events) != 2000 {
			t.Errorf("%d events", len(p.events))
		}
		health := healthv1.NewHealthClient(conn)
		out, err := health.Check(context.Background(), &healthv1.HealthCheckRequest{})
		if err != nil || out.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("%v, %v", out, err)
		}
	})
}

// TestUnauditedAllowsAreRefusedOnBoth has a recorder that fails.
func TestUnauditedAllowsAreRefusedOnBoth(t *testing.T) {
	onBoth(t, func(t *testing.T, name string) {
		s, p := newServer(t)
		p.recorded = audit.ErrUnavailable
		_, conn := serveOn(t, s, name, TransportOptions{})
		out, err := authv3.NewAuthorizationClient(conn).Check(context.Background(), withToken())
		if err != nil || reasonOf(out) != "audit_unavailable" || len(p.events) != 1 {
			t.Errorf("%v, %v, %d events", out, err, len(p.events))
		}
	})
}
