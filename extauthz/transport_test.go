package extauthz

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
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

// TestMessagesOverTheLimit sends more than --max-body-bytes allows. Our transport refuses it as
// any check, with its event; grpc-go answers with an error.
func TestMessagesOverTheLimit(t *testing.T) {
	onBoth(t, func(t *testing.T, name string) {
		s, p := newServer(t)
		_, conn := serveOn(t, s, name, TransportOptions{MaxBody: 100 << 10})
		client := authv3.NewAuthorizationClient(conn)
		for size, fits := range map[int]bool{50 << 10: true, 100 << 10: true, 600 << 10: false} {
			in := withToken()
			in.Attributes.Request.Http.RawBody = make([]byte, size)
			before := len(p.events)
			out, err := client.Check(context.Background(), in)
			switch {
			case fits && (err != nil || reasonOf(out) != "ok"):
				t.Errorf("%d bytes: %v, %v", size, reasonOf(out), err)
			case !fits && name == TransportGRPC && status.Code(err) != codes.ResourceExhausted:
				t.Errorf("%d bytes: %v, %v", size, reasonOf(out), err)
			case !fits && name == TransportH2:
				if err != nil || reasonOf(out) != "overloaded" || out.GetDeniedResponse().GetStatus().GetCode() != 503 {
					t.Errorf("%d bytes: %v, %v", size, out, err)
				}
				if len(p.events) != before+1 || p.events[before].Reason != "overloaded" {
					t.Errorf("%d events", len(p.events)-before)
				}
			}
		}
	})
}

// TestFaultsOnBoth plants panics around a check: each is a refusal by either transport.
func TestFaultsOnBoth(t *testing.T) {
	onBoth(t, func(t *testing.T, name string) {
		for _, where := range []string{"snapshot", "record", "line", "observe"} {
			s, p := newServer(t)
			p.panicIn = where
			_, conn := serveOn(t, s, name, TransportOptions{})
			out, err := authv3.NewAuthorizationClient(conn).Check(context.Background(), withToken())
			if err != nil || out.GetDeniedResponse().GetStatus().GetCode() != 500 {
				t.Errorf("%s: %v, %v", where, out, err)
			}
			if p.faults == 0 || len(p.events) != 1 {
				t.Errorf("%s: %d faults, %d events", where, p.faults, len(p.events))
			}
		}
	})
}

// TestADeadlineIsSeen gives a call less time than the first manifests take.
func TestADeadlineIsSeen(t *testing.T) {
	onBoth(t, func(t *testing.T, name string) {
		s, p := newServer(t)
		s.Loaded, p.index = make(chan struct{}), policy.NewIndex()
		_, conn := serveOn(t, s, name, TransportOptions{})
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		defer cancel()
		start := time.Now()
		// Both ends see the deadline at the same moment: the refusal may come just in time.
		out, err := authv3.NewAuthorizationClient(conn).Check(ctx, withToken())
		if status.Code(err) != codes.DeadlineExceeded && (err != nil || out.GetDeniedResponse() == nil) {
			t.Errorf("%v, %v", out, err)
		}
		for deadline := start.Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			p.mu.Lock()
			n := len(p.events)
			p.mu.Unlock()
			if n == 1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("no event")
			}
		}
		if took := time.Since(start); took > startWait-50*time.Millisecond {
			t.Errorf("decided after %v, though the caller has given up", took)
		}
	})
}
