// Package httpfront reads the checks that proxies make over HTTP. Such a proxy, a front, describes the client's request
// in its own family of headers. Only this family counts, with exactly one value for each header, because every front
// passes on the client's headers of the other families.
package httpfront

import "slices"

// Kind is a kind of front.
type Kind string

// The kinds of fronts.
const (
	Nginx        Kind = "nginx"         // auth_request, as front-config prints it
	IngressNginx Kind = "ingress-nginx" // the auth-url annotation
	Traefik      Kind = "traefik"       // the forwardAuth middleware
	Caddy        Kind = "caddy"         // forward_auth
	HAProxy      Kind = "haproxy"       // the Lua script that front-config prints
	Envoy        Kind = "envoy"         // ext_authz with http_service
	GatewayAPI   Kind = "gateway-api"   // ExternalAuth with protocol HTTP
)

// Kinds lists the kinds in the order of their names above.
func Kinds() []Kind {
	return []Kind{Nginx, IngressNginx, Traefik, Caddy, HAProxy, Envoy, GatewayAPI}
}

// Names lists the names of the kinds.
func Names() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return names
}

// Known reports whether there is such a kind.
func (k Kind) Known() bool { return slices.Contains(Kinds(), k) }

// family is the headers in which a kind describes a request, in the form of http.Header's keys.
type family struct {
	method, target, host string   // each must be there; all empty: the check itself is the request
	url                  string   // instead of target and host: scheme://host and the target
	address              string   // of the client: its last entry; absent: unknown
	proto                string   // http or https; absent: unknown
	body                 string   // `body=`, the request's Content-Length and Transfer-Encoding, a comma and its protocol; absent: unknown
	connection           string   // the client's Connection, where the front writes its own
	more                 []string // also written by the front alone
}

var forwarded = family{
	method: "X-Forwarded-Method", target: "X-Forwarded-Uri", host: "X-Forwarded-Host",
	address: "X-Forwarded-For", proto: "X-Forwarded-Proto", body: "X-Forwarded-Body",
}

var asked = family{address: "X-Envoy-External-Address", proto: "X-Forwarded-Proto", more: []string{"X-Forwarded-For"}}

var families = map[Kind]*family{
	Nginx: {
		method: "X-Original-Method", target: "X-Original-Uri", host: "X-Original-Host",
		address: "X-Real-Ip", proto: "X-Original-Proto", body: "X-Original-Body",
	},
	IngressNginx: {method: "X-Original-Method", url: "X-Original-Url", address: "X-Real-Ip", more: []string{"X-Auth-Request-Redirect"}},
	Traefik:      forwarded.with("X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Prefix"),
	Caddy:        &forwarded,
	HAProxy:      forwarded.and("X-Forwarded-Connection"),
	Envoy:        &asked,
	GatewayAPI:   &asked,
}

func (f family) with(more ...string) *family {
	f.more = more
	return &f
}

func (f family) and(connection string) *family {
	f.connection = connection
	return &f
}

// isRequest reports whether the check itself is the client's request.
func (f *family) isRequest() bool { return f.method == "" }

// names lists the headers of the family; a kind without one of them has an empty text in its place.
func (f *family) names() []string {
	return append([]string{f.method, f.target, f.host, f.url, f.address, f.proto, f.body, f.connection}, f.more...)
}

// owns reports whether a header is of the family.
func (f *family) owns(key string) bool {
	switch key {
	case f.method, f.target, f.host, f.url, f.address, f.proto, f.body, f.connection:
		return true
	}
	return slices.Contains(f.more, key)
}

// Removes reports whether the front takes headers off a request that an answer names.
func (k Kind) Removes() bool { return k == HAProxy || k == Envoy || k == GatewayAPI }

// Joins reports whether the front joins headers of one name by commas.
func (k Kind) Joins() bool { return k == Envoy || k == GatewayAPI }

// Bodies reports whether the front can send the request's body.
func (k Kind) Bodies() bool { return k == Traefik || k == Envoy || k == GatewayAPI }

// WholeBodies reports whether a body that it sends is always whole.
func (k Kind) WholeBodies() bool { return k == Traefik }

// ShowsBodies reports whether clients see the body of a refusal. The others take it from a header.
func (k Kind) ShowsBodies() bool { return k != Nginx && k != IngressNginx }
