package main

import (
	"context"
	"fmt"
	"net"
	"os"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// noop allows every check. It is the baseline: the cost of plain grpc-go.
type noop struct {
	authv3.UnimplementedAuthorizationServer
}

var allowed = &authv3.CheckResponse{
	Status:       &status.Status{},
	HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
}

func (noop) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return allowed, nil
}

// constant is a codec that ignores its input and answers the same bytes: what is left of a
// call is grpc-go's transport.
type constant struct{ answer []byte }

// Name implements encoding.CodecV2.
func (constant) Name() string { return "proto" }

// Unmarshal implements encoding.CodecV2.
func (constant) Unmarshal(mem.BufferSlice, any) error { return nil }

// Marshal implements encoding.CodecV2.
func (c constant) Marshal(any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(c.answer)}, nil
}

var _ encoding.CodecV2 = constant{}

// tuned are the settings that make a no-op of grpc-go as fast as it gets.
func tuned() ([]grpc.ServerOption, error) {
	answer, err := proto.Marshal(allowed)
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(constant{answer}), grpc.NumStreamWorkers(64),
		grpc.ReadBufferSize(128 << 10), grpc.WriteBufferSize(128 << 10),
		grpc.InitialWindowSize(1 << 20), grpc.InitialConnWindowSize(16 << 20),
	}, err
}

// serveNoop serves it on an address, until it is killed: `noop [-tuned] NETWORK ADDRESS`.
func serveNoop(args []string) error {
	var options []grpc.ServerOption
	if args[0] == "-tuned" {
		var err error
		if options, err = tuned(); err != nil {
			return err
		}
		args = args[1:]
	}
	l, err := net.Listen(args[0], args[1])
	if err != nil {
		return err
	}
	s := grpc.NewServer(options...)
	authv3.RegisterAuthorizationServer(s, noop{})
	if len(options) == 0 { // the codec above knows no other service
		healthv1.RegisterHealthServer(s, health.NewServer())
	}
	fmt.Fprintln(os.Stderr, "serving", l.Addr())
	return s.Serve(l)
}
