package extauthz

import (
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/patgate/patgate/policy"
)

// gateExtension is the context extension by which an Envoy route names its gate.
const gateExtension = "patgate.gate"

// Attributes are the parts of a CheckRequest that the decision needs, the Envoy fields by their
// names. What is missing stays at its zero value, which no check passes. They are read
// from the wire (wire.go) or from the message.
type Attributes struct {
	method, path, query, host, protocol string

	headers    headers // of both forms; see readHeaders
	rawHeaders bool    // some come from header_map

	body    string // text, without pack_as_bytes
	rawBody string
	size    int64

	peer       string // source.address.socket_address.address
	sni        string // tls_session.sni
	route      string // context_extensions[patgate.gate]
	routeNamed bool
	peerName   string // of the connection: by its client certificate

	front frontAttributes // of a check over HTTP; zero: it came over gRPC

	panicked any // what reading them panicked with; nil: it did not
}

// readAttributes reads them from a message.
func readAttributes(in *authv3.CheckRequest) Attributes {
	c := in.GetAttributes()
	http := c.GetRequest().GetHttp()
	a := Attributes{
		method: http.GetMethod(), path: http.GetPath(), query: http.GetQuery(), host: http.GetHost(), protocol: http.GetProtocol(),
		headers: readHeaders(http.GetHeaders(), http.GetHeaderMap()), rawHeaders: len(http.GetHeaderMap().GetHeaders()) > 0,
		body: http.GetBody(), rawBody: string(http.GetRawBody()), size: http.GetSize(),
		peer: c.GetSource().GetAddress().GetSocketAddress().GetAddress(), sni: c.GetTlsSession().GetSni(),
	}
	a.route, a.routeNamed = c.GetContextExtensions()[gateExtension]
	return a
}

// readHeaders takes both forms in which Envoy sends headers: the map, whose values are
// sanitized and joined, and the list of encode_raw_headers. Envoy fills one of them; a
// header that is in both counts twice.
func readHeaders(joined map[string]string, list *corev3.HeaderMap) headers {
	raw := list.GetHeaders()
	h := make(headers, 0, len(joined)+len(raw))
	for name, value := range joined {
		h = append(h, header{name, value})
	}
	for _, v := range raw {
		value := v.GetValue()
		if b := v.GetRawValue(); len(b) > 0 {
			value = string(b)
		}
		h = append(h, header{v.GetKey(), value})
	}
	return h
}

// readRequest reads the request of a message.
func readRequest(in *authv3.CheckRequest, now time.Time) policy.Request {
	a := readAttributes(in)
	return a.request(now)
}

// request is the request that the attributes describe.
func (a *Attributes) request(now time.Time) (r policy.Request) {
	a.requestIn(&r, now)
	return r
}

// requestIn sets r to the request that the attributes describe, whose headers it shares.
//
// A TLS session counts by its server name: with include_tls_session, Envoy 1.40 sends an
// empty session for plain connections too (measured). A client that sends no name is
// known by x-forwarded-proto.
func (a *Attributes) requestIn(r *policy.Request, now time.Time) {
	*r = policy.Request{ // panic: read
		Time:       now,
		Method:     a.method,
		Target:     a.target(),
		Host:       a.host,
		Route:      a.route,
		RouteNamed: a.routeNamed,
		TLS:        a.sni != "",
		Problem:    a.front.problem,
		Header:     &a.headers,
		Joined:     !a.rawHeaders,
		Body:       a.bodyOf(),
		Unframed:   isHTTP2(a.protocol),
	}
	if peer, err := netip.ParseAddr(a.peer); err == nil {
		r.Peer = peer
	}
	r.Unseen = a.front.asks && !a.front.framed && r.Body.State == policy.BodyAbsent
	r.Credential = policy.ParseAuthorization(a.headers.Get("authorization"))
}

// target takes the path, in which Envoy leaves the query. One that comes apart belongs
// to it; a target with a query in both places can't be evaluated.
//
// Over HTTP/2, bytes that are not UTF-8 reach the upstream as they are, and patgate as
// `!` (measured). The raw headers have them (encode_raw_headers); without these, a `!`
// may replace any byte.
func (a *Attributes) target() policy.Target {
	path := a.path
	raw, n := a.headers.Get(":path")
	switch {
	case n > 1, n == 1 && a.rawHeaders && utf8.ValidString(raw) && raw != path:
		return policy.Target{}
	case n == 1 && a.rawHeaders:
		path = raw
	case strings.IndexByte(path, '!') >= 0 && isHTTP2(a.protocol):
		return policy.Target{}
	}
	switch {
	case a.query == "":
		return policy.NewTarget(path)
	case strings.IndexByte(path, '?') < 0:
		return policy.NewTarget(path + "?" + a.query)
	}
	return policy.Target{}
}

// isHTTP2 reports whether a target may hold raw bytes: in HTTP/1.1 Envoy refuses them.
func isHTTP2(protocol string) bool {
	return strings.HasPrefix(protocol, "HTTP/2") || strings.HasPrefix(protocol, "HTTP/3")
}

// isUpgrade reports whether the request upgrades to another protocol, of which a body would
// be the first bytes. Envoy answers h2c as an ordinary request.
func (a *Attributes) isUpgrade() bool {
	value, n := a.headers.Get("upgrade")
	return n > 0 && !strings.EqualFold(value, "h2c")
}

// bodyOf decides how much of the body there is. Envoy reports whether it cut the body, and
// how long it was: at least one of the two must be given, and they must agree.
func (a *Attributes) bodyOf() policy.Body {
	if a.rawBody == "" && a.body == "" || a.isUpgrade() {
		return policy.Body{}
	}
	partial, given := a.headers.Get("x-envoy-auth-partial-body")
	whole := given == 1 && partial == "false"
	b := []byte(a.rawBody)
	if len(b) == 0 {
		// Without pack_as_bytes Envoy replaces bytes that are not UTF-8 by `!`.
		b = []byte(a.body)
		whole = whole && a.size > 0 && strings.IndexByte(a.body, '!') < 0
	}
	switch {
	case given > 0 && !whole, a.size > 0 && a.size != int64(len(b)), given == 0 && a.size <= 0:
		return policy.Body{State: policy.BodyPartial, Bytes: b}
	}
	return policy.Body{State: policy.BodyWhole, Bytes: b}
}
