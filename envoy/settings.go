package envoy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/patgate/patgate/policy"
)

// The kinds of configurations.
const (
	KindStandalone   = "standalone"    // one Envoy in front of an API, plain HTTP
	KindSidecar      = "sidecar"       // an Envoy in the API's pod, patgate on a unix socket
	KindEdge         = "edge"          // TLS from clients, several replicas of patgate over mTLS
	KindHTTP         = "envoy"         // like standalone, but calls patgate over HTTP
	KindIstio        = "istio"         // Kubernetes objects for Istio
	KindIstioMesh    = "istio-mesh"    // Helm values for istiod, which KindIstio needs
	KindEnvoyGateway = "envoy-gateway" // Kubernetes objects for Envoy Gateway
)

// Kinds lists the kinds that call patgate over gRPC, in the order of their names above.
func Kinds() []string {
	return []string{KindStandalone, KindSidecar, KindEdge, KindIstio, KindIstioMesh, KindEnvoyGateway}
}

// Gate is a gate that the configuration is made for.
type Gate struct {
	*policy.Gate
	Body  *policy.Rule // the rule for which bodies are buffered (policy.Rows.BodyRule); nil: none
	Types []string     // the media types of those that rules read (policy.Rows.BodyTypes); empty: application/json
}

// Settings describe a configuration. Empty fields take the kind's defaults; a kind ignores
// fields that it does not use.
type Settings struct {
	Kind  string
	Gates []Gate // at least one

	Listen   string   // host:port where Envoy listens
	Admin    string   // host:port of Envoy's admin listener
	Upstream string   // host:port of the API
	Patgate  []string // host:port each, or one unix:///path; for a mesh one, of a Kubernetes Service

	TLS        string // directory of tls.crt and tls.key, for clients
	PatgateTLS string // directory (mesh: Secret) of tls.crt, tls.key and ca.crt, for patgate; "none": plain

	UpstreamHTTP2 bool // the API serves HTTP/2 without TLS, as gRPC servers do

	MaxRequestBytes int // the largest body that is buffered; larger ones get 413

	Times

	CORSOrigins []string // the origins whose pages may call the API: https://app.example.com
	Upgrades    []string // the protocols that a connection may be upgraded to, such as websocket

	Namespace string   // of the mesh's objects and its Gateway
	Gateway   string   // the Gateway (gateway.networking.k8s.io) that calls patgate
	Listeners []string // the names of its listeners; Envoy Gateway names what is patched by them

	BodilessRoutes []string // HTTPRoutes from which Envoy Gateway sends no bodies to patgate
}

// NoTLS as Settings.PatgateTLS means a plain connection.
const NoTLS = "none"

const (
	defaultService = "patgate.patgate.svc.cluster.local:9191"
	defaultSocket  = "unix:///run/patgate/patgate.sock"
)

// defaults are each kind's values for empty fields.
var defaults = map[string]Settings{
	KindStandalone: {Listen: "127.0.0.1:8080", Patgate: []string{"127.0.0.1:9191"}, PatgateTLS: NoTLS},
	KindHTTP:       {Listen: "127.0.0.1:8080", Patgate: []string{"127.0.0.1:9193"}, PatgateTLS: NoTLS},
	KindSidecar:    {Listen: "0.0.0.0:8080", Patgate: []string{defaultSocket}, PatgateTLS: NoTLS},
	KindEdge: {Listen: "0.0.0.0:8443", Upstream: "api.default.svc.cluster.local:80", Patgate: []string{defaultService},
		TLS: "/etc/envoy/tls", PatgateTLS: "/etc/envoy/patgate"},
	KindIstio:        {Patgate: []string{defaultService}, PatgateTLS: NoTLS},
	KindIstioMesh:    {Patgate: []string{defaultService}, PatgateTLS: NoTLS},
	KindEnvoyGateway: {Patgate: []string{defaultService}, PatgateTLS: NoTLS},
}

// complete returns the settings with their defaults.
func (s Settings) complete() (Settings, error) {
	d, ok := defaults[s.Kind]
	if !ok {
		return s, fmt.Errorf("no kind of configuration %q, expected one of %s", s.Kind, strings.Join(Kinds(), ", "))
	}
	if len(s.Gates) == 0 {
		return s, errors.New("no gate, expected at least one")
	}
	if len(s.Patgate) == 0 {
		s.Patgate = d.Patgate
	}
	if len(s.Listeners) == 0 {
		s.Listeners = []string{"http"}
	}
	for _, field := range []struct {
		value   *string
		own     string
		general string
	}{
		{&s.Listen, d.Listen, ""}, {&s.Admin, d.Admin, "127.0.0.1:9901"}, {&s.Upstream, d.Upstream, "127.0.0.1:8081"}, {&s.TLS, d.TLS, ""},
		{&s.PatgateTLS, d.PatgateTLS, ""}, {&s.Namespace, d.Namespace, "default"}, {&s.Gateway, d.Gateway, "api"},
	} {
		if *field.value == "" {
			*field.value = field.own
		}
		if *field.value == "" {
			*field.value = field.general
		}
	}
	if s.MaxRequestBytes == 0 {
		s.MaxRequestBytes = 65536
	}
	s.Times = s.Times.complete()
	return s, s.check()
}

// check checks the form of the settings that are given.
func (s *Settings) check() error {
	var errs []error
	if s.MaxRequestBytes < 0 || s.MaxRequestBytes > 1<<30 {
		errs = append(errs, fmt.Errorf("a body of %d bytes, expected 1 to %d", s.MaxRequestBytes, 1<<30))
	}
	errs = append(errs, s.Times.check(), s.checkBrowsers())
	if s.Mesh() {
		errs = append(errs, s.checkMesh())
		return errors.Join(append(errs, s.checkGates())...)
	}
	for _, address := range append([]string{s.Listen, s.Admin, s.Upstream}, s.Patgate...) {
		errs = append(errs, checkAddress(address))
	}
	for _, address := range []string{s.Listen, s.Admin} {
		if host, _, err := net.SplitHostPort(address); err == nil && !isIP(host) {
			errs = append(errs, fmt.Errorf("%s: expected an IP address to listen on, such as 0.0.0.0:8080", address))
		}
	}
	if isPipe(s.Patgate[0]) && len(s.Patgate) > 1 {
		errs = append(errs, errors.New("a unix socket with other addresses of patgate, expected it alone"))
	}
	if isPipe(s.Patgate[0]) && s.PatgateTLS != NoTLS {
		errs = append(errs, fmt.Errorf("%s: TLS on a unix socket, expected none", s.Patgate[0]))
	}
	for _, dir := range []string{s.TLS, s.PatgateTLS} {
		if dir != "" && dir != NoTLS && !filepath.IsAbs(dir) {
			errs = append(errs, fmt.Errorf("%s: expected an absolute directory, as Envoy sees it", dir))
		}
	}
	return errors.Join(append(errs, s.checkGates())...)
}

// Mesh reports whether the configuration is of Kubernetes objects for a mesh.
func (s *Settings) Mesh() bool {
	return s.Kind == KindIstio || s.Kind == KindIstioMesh || s.Kind == KindEnvoyGateway
}

// checkAddress checks that an address is host:port or unix:///path.
func checkAddress(address string) error {
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		if !filepath.IsAbs(path) || len(path) > 107 { // sun_path
			return fmt.Errorf("%s: expected unix:// and an absolute path of at most 107 bytes, such as %s", address, defaultSocket)
		}
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	n, numErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numErr != nil || n == 0 || !isIP(host) && !isName(host) {
		return fmt.Errorf("%s: expected HOST:PORT, such as 127.0.0.1:8080", address)
	}
	return nil
}

func isPipe(address string) bool { return strings.HasPrefix(address, "unix://") }

func isIP(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == ""
}

// isName reports whether a text is a DNS name.
func isName(host string) bool {
	return host != "" && len(host) <= 253 && !strings.ContainsFunc(host, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// checkGates checks that the gates agree on each setting that an Envoy has only once.
func (s *Settings) checkGates() error {
	var errs []error
	var counts *Gate
	for i := range s.Gates {
		g := &s.Gates[i]
		if g.ClientIP.Source == policy.FromXFF {
			if counts == nil {
				counts = g
			} else if g.ClientIP.TrustedHops != counts.ClientIP.TrustedHops {
				errs = append(errs, fmt.Errorf("%strustedHops: %s counts %d, %s%s counts %d, and one Envoy has one number: expected the same, or --gate for those of each Envoy",
					at(g), g.Name, g.ClientIP.TrustedHops, counts.Name, in(counts), counts.ClientIP.TrustedHops))
			}
		}
		errs = append(errs, s.checkStripped(g)...)
	}
	return errors.Join(errs...)
}

// checkStripped checks that no gate reads a header that is removed from every request
// because another gate sets it for its upstream.
func (s *Settings) checkStripped(g *Gate) (errs []error) {
	reads := map[string]string{"actAs.header": g.ActAsHeader}
	if g.ClientIP.Source == policy.FromHeader {
		reads["clientIP.header"] = g.ClientIP.Header
	}
	for _, field := range []string{"actAs.header", "clientIP.header"} {
		for i := range s.Gates {
			if other := &s.Gates[i]; reads[field] != "" && slices.Contains(other.IdentityHeaders(), reads[field]) {
				errs = append(errs, fmt.Errorf("%s%s: %s reads %s, which %s%s sets for its upstream and which is taken off every request: expected another name, or --gate for those of each Envoy",
					at(g), field, g.Name, reads[field], other.Name, in(other)))
			}
		}
	}
	return errs
}

// at is the place of a gate as the prefix of a message.
func at(g *Gate) string {
	if place := g.Source.String(); place != "" {
		return place + ": "
	}
	return ""
}

func in(g *Gate) string {
	if place := g.Source.String(); place != "" {
		return " (" + place + ")"
	}
	return ""
}

// hops is the number of proxies in front, from the gates that count them.
func (s *Settings) hops() int {
	for i := range s.Gates {
		if c := &s.Gates[i].ClientIP; c.Source == policy.FromXFF {
			return c.TrustedHops
		}
	}
	return 0
}

// otherTargets are headers by which an API may read another path or host than patgate
// checked: an API trusts them from a proxy, and clients can send them.
var otherTargets = []string{
	"x-original-uri", "x-forwarded-host", "forwarded", "x-forwarded-prefix", "x-forwarded-server", "x-host", "x-original-host", "x-http-host-override",
}

// otherFronts are headers in which other proxies put the target of a request.
var otherFronts = []string{
	"x-original-method", "x-original-proto", "x-forwarded-method", "x-forwarded-uri", "x-forwarded-port", "x-real-ip",
}

// removed lists the headers that clients may not send to any of the gates: those that name
// another target, unless a gate reads them, and those that only patgate may set.
func (s *Settings) removed() []string {
	var names []string
	targets := otherTargets
	if s.Kind == KindHTTP {
		targets = slices.Concat(otherTargets, otherFronts)
	}
	for _, name := range targets {
		read := func(g Gate) bool {
			return g.ActAsHeader == name || g.ClientIP.Source == policy.FromHeader && g.ClientIP.Header == name
		}
		if !slices.ContainsFunc(s.Gates, read) {
			names = append(names, name)
		}
	}
	for _, name := range s.union((*policy.Gate).IdentityHeaders) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// mutated lists the headers that answers set or remove, at any of the gates, except those
// with the prefix of patgate's own, which are always among them. X-Forwarded-For is for a
// gate that reads it later: another spelling is then removed. So are headers that may hold
// a token where none belongs.
func (s *Settings) mutated() []string {
	own := strings.TrimSuffix(policy.PatgateHeaders, "*")
	names := slices.DeleteFunc(s.union((*policy.Gate).MutatedHeaders), func(name string) bool {
		return strings.HasPrefix(name, own) && name != policy.PatgateHeaders
	})
	if !slices.Contains(names, "x-forwarded-for") {
		names = append(names, "x-forwarded-for")
	}
	return append(names, policy.StrayHeaders...)
}

func (s *Settings) union(of func(*policy.Gate) []string) []string {
	var names []string
	for _, g := range s.Gates {
		for _, name := range of(g.Gate) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
