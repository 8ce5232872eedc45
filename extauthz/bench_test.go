package extauthz

import (
	"context"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// typicalRequest is a CheckRequest of about 1 KiB, as Envoy sends it of a browser's or a
// client library's call.
func typicalRequest() *authv3.CheckRequest {
	in := request(":authority", "jira.example.com", ":path", "/rest/api/2/issue/JRA-123?fields=summary", ":method", "GET", ":scheme", "https",
		"user-agent", "python-requests/2.34.2", "accept", "application/json", "accept-encoding", "gzip, deflate, br",
		"accept-language", "en-US,en;q=0.9", "cache-control", "no-cache", "content-type", "application/json",
		"x-forwarded-for", "203.0.113.7", "x-forwarded-proto", "https", "x-request-id", "5f0b1c2e-8d1f-4f64-9a0e-111122223333",
		"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-envoy-external-address", "203.0.113.7",
		"x-team", "platform", "x-client-version", "4.1.7", "referer", "https://jira.example.com/browse/JRA-123",
		"authorization", "Bearer "+secret.Reveal(), "x-trace", "abcdef0123456789")
	http := in.Attributes.Request.Http
	http.Id, http.Path, http.Scheme, http.Protocol = "1234567890123456789", "/rest/api/2/issue/JRA-123?fields=summary", "https", "HTTP/1.1"
	in.Attributes.Request.Time = timestamppb.New(time.Unix(1780000000, 123456000))
	peer := func(addr string, port uint32) *authv3.AttributeContext_Peer {
		return &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: addr, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}}
	}
	in.Attributes.Source, in.Attributes.Destination = peer("10.1.2.3", 51234), peer("10.1.2.4", 8443)
	in.Attributes.MetadataContext, in.Attributes.RouteMetadataContext = &corev3.Metadata{}, &corev3.Metadata{}
	return in
}

// forgetful is an audit that keeps nothing.
type forgetful struct{}

func (forgetful) Record(context.Context, *audit.Event) error { return nil }

// unobserved is an observer that counts nothing.
type unobserved struct{}

func (unobserved) Decided(*policy.Decision, time.Duration) {}
func (unobserved) Faulted()                                {}

// BenchmarkStages measures what a check costs, stage by stage, without the transport.
func BenchmarkStages(b *testing.B) {
	s, _ := newServer(b)
	s.Audit = forgetful{}
	in := typicalRequest()
	wire, err := proto.Marshal(in)
	if err != nil {
		b.Fatal(err)
	}
	attributes := readAttributes(in)
	allowed := answer{id: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", decision: policy.Evaluate(s.Index.Snapshot(), new(attributes.request(time.Now())), nil)}
	at := time.Now()
	for _, stage := range []struct {
		name string
		run  func()
	}{
		{"decode/protobuf", func() {
			message := &authv3.CheckRequest{}
			_ = proto.Unmarshal(wire, message)
			_ = readAttributes(message)
		}},
		{"decode/wire", func() { _, _ = parseWire(string(wire)) }},
		{"request", func() { _ = attributes.request(at) }},
		{"check", func() { _ = s.check(context.Background(), &attributes) }},
		{"answer", func() { _ = allowed.reply() }},
	} {
		b.Run(stage.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				stage.run()
			}
		})
	}
}
