package test

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/patgate/patgate/token"
)

// TestHTTP2Clients asks over HTTP/2 with Go's client.
func TestHTTP2Clients(t *testing.T) {
	value := token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+tokenManifest("ci", value, ""))
	s := startSystem(t, dir, nil)
	var prior http.Protocols
	prior.SetUnencryptedHTTP2(true)
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{Protocols: &prior}}
	for authorization, want := range map[string]int{"Bearer " + value: 200, basicAuth("alice", value): 200, "Bearer x": 401, "": 401} {
		got := s.do(t, client, "http://"+s.clients, ask{path: "/rest/", authorization: authorization})
		if got.status != want {
			t.Errorf("status %d, want %d", got.status, want)
		}
	}
	client.CloseIdleConnections()
	s.oneEventACheck(t)
}

// TestGRPCClients puts a gRPC service behind Envoy: refusals must be the codes that gRPC
// clients understand, and none that makes them try again.
func TestGRPCClients(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	upstream := grpc.NewServer()
	healthv1.RegisterHealthServer(upstream, health.NewServer())
	go func() { _ = upstream.Serve(l) }()
	defer upstream.Stop()

	value := token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+strings.Replace(tokenManifest("ci", value, ""), "unrestricted: true",
		"allow:\n  - {methods: [POST], path: /grpc.health.v1.Health/Check}", 1))
	s := startSystem(t, dir, func(config string) string {
		return replacing(t,
			"  - name: upstream\n    type: STATIC\n", "  - name: upstream\n    type: STATIC\n    typed_extension_protocol_options:\n      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"+
				"        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n        explicit_http_config: {http2_protocol_options: {}}\n",
			"              with_request_body:\n                max_request_bytes: 65536\n                allow_partial_message: false\n                pack_as_bytes: true\n", "",
		)(strings.ReplaceAll(config, portOf(t, config, "UPSTREAM"), portLine(l.Addr().String())))
	})
	conn, err := grpc.NewClient(s.clients, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := healthv1.NewHealthClient(conn)
	call := func(authorization string) error {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if authorization != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", authorization)
		}
		_, err := client.Check(ctx, &healthv1.HealthCheckRequest{})
		return err
	}
	if err := call("Bearer " + value); err != nil {
		t.Errorf("with a token: %v", err)
	}
	for authorization, want := range map[string]codes.Code{"": codes.Unauthenticated, "Bearer x": codes.Unauthenticated} {
		if err := call(authorization); status.Code(err) != want {
			t.Errorf("%q: %v, want %v", authorization, err, want)
		}
	}
	stream, err := client.Watch(metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+value), &healthv1.HealthCheckRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("beyond its rules: %v", err)
	}
}

// portOf returns the port in the line with a mark.
func portOf(t *testing.T, config, mark string) string {
	t.Helper()
	for line := range strings.Lines(config) {
		if strings.HasSuffix(strings.TrimSpace(line), "# "+mark) {
			_, rest, _ := strings.Cut(line, "port_value: ")
			port, _, _ := strings.Cut(rest, "}")
			return "port_value: " + port + "}}}  # " + mark
		}
	}
	t.Fatalf("no line is marked %s", mark)
	return ""
}

func portLine(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return "port_value: " + port + "}}}  # UPSTREAM"
}
