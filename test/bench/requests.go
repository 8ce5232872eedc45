package main

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// refusedPath is one that no policy allows.
const refusedPath = "/rest/api/2/user?username=bob"

// requests are checks of about 1 KiB with these tokens. Where the server decides, every
// tenth is one that the token's policy refuses.
func requests(credentials []credential, judged bool) []request {
	var list []request
	for i, c := range credentials {
		path, allow := c.path+"?fields=summary", true
		if judged && i%10 == 9 {
			path, allow = refusedPath, false
		}
		list = append(list, newRequest(path, "Bearer "+c.secret.Reveal(), allow))
	}
	return list
}

func newRequest(path, authorization string, allow bool) request {
	message, err := proto.Marshal(checkRequest(path, authorization))
	if err != nil {
		panic(err) // a constant except for the value
	}
	framed := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return request{append(framed, message...), httpRequest(path, authorization), allow}
}

// clientHeaders are what a client library and the proxies before Envoy send.
var clientHeaders = [][2]string{
	{"user-agent", "python-requests/2.34.2"}, {"accept", "application/json"}, {"accept-encoding", "gzip, deflate, br"},
	{"accept-language", "en-US,en;q=0.9"}, {"cache-control", "no-cache"}, {"content-type", "application/json"},
	{"x-request-id", "5f0b1c2e-8d1f-4f64-9a0e-111122223333"}, {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	{"x-team", "platform"}, {"x-client-version", "4.1.7"}, {"referer", "https://jira.example.com/browse/JRA-123"}, {"x-trace", "abcdef0123456789"},
}

// httpRequest is a client's request.
func httpRequest(path, authorization string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nhost: jira.example.com\r\nauthorization: %s\r\n", path, authorization)
	for _, h := range clientHeaders {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	return []byte(b.String() + "\r\n")
}

// checkRequest is a check as Envoy makes it of such a request.
func checkRequest(path, authorization string) *authv3.CheckRequest {
	peer := func(addr string, port uint32) *authv3.AttributeContext_Peer {
		return &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: addr, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
		}}}}
	}
	var headers []*corev3.HeaderValue
	for _, h := range append([][2]string{
		{":authority", "jira.example.com"}, {":path", path}, {":method", "GET"}, {":scheme", "https"}, {"authorization", authorization},
		{"x-forwarded-for", "203.0.113.7"}, {"x-forwarded-proto", "https"}, {"x-envoy-external-address", "203.0.113.7"},
	}, clientHeaders...) {
		headers = append(headers, &corev3.HeaderValue{Key: h[0], RawValue: []byte(h[1])})
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: peer("203.0.113.7", 51234), Destination: peer("10.1.2.4", 8443),
		Request: &authv3.AttributeContext_Request{Time: timestamppb.New(time.Unix(1780000000, 123456000)), Http: &authv3.AttributeContext_HttpRequest{
			Id: "1234567890123456789", Method: "GET", Path: path, Host: "jira.example.com", Scheme: "https", Protocol: "HTTP/1.1",
			HeaderMap: &corev3.HeaderMap{Headers: headers},
		}},
		MetadataContext: &corev3.Metadata{}, RouteMetadataContext: &corev3.Metadata{},
	}}
}
