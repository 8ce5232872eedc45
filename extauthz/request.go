package extauthz

import (
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/patgate/patgate/policy"
)

// gateExtension is the context extension by which an Envoy route names its gate.
const gateExtension = "patgate.gate"

// readRequest reads what the decision needs of a CheckRequest. What is missing stays
// at its zero value, which no check passes.
//
// A TLS session counts by its server name: with include_tls_session, Envoy 1.40 sends an
// empty session for plain connections too (measured). A client that sends no name is
// known by x-forwarded-proto.
func readRequest(in *authv3.CheckRequest, now time.Time) policy.Request {
	a := in.GetAttributes()
	http := a.GetRequest().GetHttp()
	h := readHeaders(http.GetHeaders(), http.GetHeaderMap())
	r := policy.Request{
		Time:   now,
		Method: http.GetMethod(),
		Target: readTarget(http, h),
		Host:   http.GetHost(),
		TLS:    a.GetTlsSession().GetSni() != "",
		Peer:   readPeer(a.GetSource()),
		Header: h,
		Body:   readBody(http, h),
	}
	r.Route, r.RouteNamed = a.GetContextExtensions()[gateExtension]
	r.Credential = policy.ParseAuthorization(h.Get("authorization"))
	return r
}

// readTarget takes the path, in which Envoy leaves the query. One that comes apart
// belongs to it; one in both places is no target that can be judged.
//
// Over HTTP/2, bytes that are not UTF-8 reach the upstream as they are, and patgate as
// `!` (measured). The raw headers have them (encode_raw_headers); without these, a `!`
// may stand for any byte.
func readTarget(http *authv3.AttributeContext_HttpRequest, h headers) policy.Target {
	path, query := http.GetPath(), http.GetQuery()
	raw, n := h.Get(":path")
	switch fromRaw := len(http.GetHeaderMap().GetHeaders()) > 0; {
	case n > 1, n == 1 && fromRaw && utf8.ValidString(raw) && raw != path:
		return policy.Target{}
	case n == 1 && fromRaw:
		path = raw
	case strings.IndexByte(path, '!') >= 0 && isHTTP2(http.GetProtocol()):
		return policy.Target{}
	}
	switch {
	case query == "":
		return policy.NewTarget(path)
	case strings.IndexByte(path, '?') < 0:
		return policy.NewTarget(path + "?" + query)
	}
	return policy.Target{}
}

// isHTTP2 reports whether a target may hold raw bytes: in HTTP/1.1 Envoy refuses them.
func isHTTP2(protocol string) bool {
	return strings.HasPrefix(protocol, "HTTP/2") || strings.HasPrefix(protocol, "HTTP/3")
}

// readPeer returns the address of Envoy's TCP peer, or the zero value.
func readPeer(p *authv3.AttributeContext_Peer) netip.Addr {
	addr, err := netip.ParseAddr(p.GetAddress().GetSocketAddress().GetAddress())
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

// isUpgrade reports whether the request asks for another protocol, of which a body would
// be the first bytes. Envoy answers h2c as an ordinary request.
func isUpgrade(h headers) bool {
	value, n := h.Get("upgrade")
	return n > 0 && !strings.EqualFold(value, "h2c")
}

// readBody decides how much of the body there is. Envoy says whether it cut the body,
// and how long it was: what it says must agree, and it must say at least one of the two.
func readBody(http *authv3.AttributeContext_HttpRequest, h headers) policy.Body {
	b, text := http.GetRawBody(), http.GetBody()
	if len(b) == 0 && text == "" || isUpgrade(h) {
		return policy.Body{}
	}
	partial, said := h.Get("x-envoy-auth-partial-body")
	whole := said == 1 && partial == "false"
	size := http.GetSize()
	if len(b) == 0 {
		// Without pack_as_bytes Envoy replaces bytes that are not UTF-8 by `!`.
		b = []byte(text)
		whole = whole && size > 0 && strings.IndexByte(text, '!') < 0
	}
	switch {
	case said > 0 && !whole, size > 0 && size != int64(len(b)), said == 0 && size <= 0:
		return policy.Body{State: policy.BodyPartial, Bytes: b}
	}
	return policy.Body{State: policy.BodyWhole, Bytes: b}
}
