package extauthz

import (
	"context"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	protobuf "google.golang.org/protobuf/proto"
)

// incoming is a CheckRequest on its way in. Bytes that don't decode leave it empty: such a
// check is refused like any other whose target is missing, with its event, whereas an
// error would be subject to failure_mode_allow.
type incoming struct{ Attributes }

// codec reads checks by parseWire where it can, and sends answers that are encoded
// already. It leaves everything else to gRPC's own codec: what parseWire does not take,
// and the health service.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Unmarshal implements encoding.CodecV2. gRPC calls it outside of guard, where a panic would end
// the process.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*incoming)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	defer func() { in.keepPanic(recover()) }()
	in.Attributes = readMessage(joined(data))
	return nil
}

// joined copies a message: the buffers are gRPC's to use again.
func joined(data mem.BufferSlice) string {
	var text strings.Builder
	text.Grow(data.Len())
	for _, buffer := range data {
		text.Write(buffer.ReadOnlyData())
	}
	return text.String()
}

// readMessage reads an encoded CheckRequest. Bytes that are none leave the attributes empty.
// A panic waits in them until the check recovers from it.
func readMessage(message string) (a Attributes) {
	a.readMessage(message)
	return a
}

// readMessage is readMessage into attributes that are empty, but for room for headers.
func (a *Attributes) readMessage(message string) {
	defer func() { a.keepPanic(recover()) }()
	room := a.headers
	if a.parse(message) { // panic: decode
		return
	}
	*a = Attributes{headers: room}
	stock := &authv3.CheckRequest{}
	if protobuf.Unmarshal([]byte(message), stock) == nil {
		*a = readAttributes(stock)
	}
}

// keepPanic keeps what reading the attributes panicked with.
func (a *Attributes) keepPanic(p any) {
	if p != nil {
		*a = Attributes{panicked: p} // mutant: panic-in-decoding
	}
}

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*reply); ok { // panic: answer
		return mem.BufferSlice{mem.SliceBuffer(r.wire)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// checker is the server, as the gRPC service calls it.
type checker interface {
	check(context.Context, *Attributes) *reply
}

// service is authv3.Authorization_ServiceDesc with a handler that lets the codec read
// checks.
var service = grpc.ServiceDesc{
	ServiceName: authv3.Authorization_ServiceDesc.ServiceName,
	HandlerType: (*checker)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: handleCheck}},
	Metadata:    authv3.Authorization_ServiceDesc.Metadata,
}

func handleCheck(server any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
	in := new(incoming)
	if err := decode(in); err != nil {
		return nil, err // the call was cancelled, or its message is over the limit: gRPC's own status is the answer
	}
	info := &grpc.UnaryServerInfo{Server: server, FullMethod: authv3.Authorization_Check_FullMethodName}
	return interceptor(ctx, in, info, func(ctx context.Context, in any) (any, error) {
		return server.(checker).check(ctx, &in.(*incoming).Attributes), nil
	})
}
