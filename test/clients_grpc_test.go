//go:build clients

package test

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

// TestClientsGRPC keeps streams open, of a server and of both sides, while a rule on JSON
// has bodies of JSON buffered.
func TestClientsGRPC(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, state := grpc.NewServer(), health.NewServer()
	healthv1.RegisterHealthServer(server, state)
	reflection.Register(server)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	p := startPrinted(t, l.Addr().String(), bothGate, anything, "--upstream-http2")
	conn, err := grpc.NewClient(p.clients, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+p.value), time.Minute)
	defer cancel()
	watchHealth(ctx, t, conn, state)
	askReflection(ctx, t, conn)
	p.wantNoRefusals(t)
	stranger, err := healthv1.NewHealthClient(conn).Watch(metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer wrong"), &healthv1.HealthCheckRequest{})
	if err == nil {
		_, err = stranger.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("with a wrong token: %v", err)
	}
}

// watchHealth reads a stream whose messages come with pauses.
func watchHealth(ctx context.Context, t *testing.T, conn *grpc.ClientConn, state *health.Server) {
	t.Helper()
	stream, err := healthv1.NewHealthClient(conn).Watch(ctx, &healthv1.HealthCheckRequest{Service: "api"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []healthv1.HealthCheckResponse_ServingStatus{
		healthv1.HealthCheckResponse_SERVICE_UNKNOWN, healthv1.HealthCheckResponse_SERVING, healthv1.HealthCheckResponse_NOT_SERVING,
	} {
		if i > 0 {
			state.SetServingStatus("api", want)
		}
		if got, err := stream.Recv(); err != nil || got.GetStatus() != want {
			t.Fatalf("message %d: %v, %v, want %s", i, got, err, want)
		}
	}
}

// askReflection sends questions on one stream, each after the answer to the one before.
func askReflection(ctx context.Context, t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		question := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
		if err := stream.Send(question); err != nil {
			t.Fatal(err)
		}
		if answer, err := stream.Recv(); err != nil || len(answer.GetListServicesResponse().GetService()) == 0 {
			t.Fatalf("answer %d: %v, %v", i, answer, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}
