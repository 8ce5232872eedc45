// Package fronts prints configurations for proxies that call patgate over HTTP, and for the Gateway API.
package fronts

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"text/template"

	"github.com/patgate/patgate/policy"
)

// The kinds of configurations.
const (
	Nginx        = "nginx"         // a server of nginx
	IngressNginx = "ingress-nginx" // annotations and settings of the controller
	Traefik      = "traefik"       // static and dynamic configuration
	Caddy        = "caddy"         // a Caddyfile
	HAProxy      = "haproxy"       // a configuration; HAProxyLua is the script that it loads
	HAProxyLua   = "haproxy-lua"   // the script
	GatewayAPI   = "gateway-api"   // an HTTPRoute with ExternalAuth
)

// Kinds lists the kinds in the order of their names above.
func Kinds() []string {
	return []string{Nginx, IngressNginx, Traefik, Caddy, HAProxy, HAProxyLua, GatewayAPI}
}

// NoTLS as Settings.PatgateTLS means a plain connection.
const NoTLS = "none"

// Settings describe a configuration. Empty fields take the kind's defaults; a kind ignores fields that it does
// not use.
type Settings struct {
	Kind  string
	Gates []*policy.Gate // at least one

	Listen   string   // host:port for clients
	Upstream string   // host:port of the API
	Patgate  []string // host:port, or unix:///path; of a Kubernetes Service for kinds of Kubernetes

	TLS        string // directory of tls.crt and tls.key, for clients; empty: none
	PatgateTLS string // directory of tls.crt, tls.key and ca.crt, for patgate; "none": plain

	Bodies          bool // rules of the gates read bodies
	MaxRequestBytes int  // the largest body that is sent to patgate, where the proxy can send bodies

	Upgrades []string // protocols that a connection may be upgraded to, such as websocket

	Namespace string // of Kubernetes objects
	Gateway   string // of the Gateway API
}

const (
	defaultService = "patgate.patgate.svc.cluster.local:9193"
	defaultGRPC    = "patgate.patgate.svc.cluster.local:9191"
)

//go:embed templates
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"variable": variable, "quote": quote, "join": strings.Join, "host": hostOf, "port": portOf,
}).ParseFS(files, "templates/*.tmpl"))

// Text returns the configuration, which depends only on the settings, and notes on what is doubtful.
func (s Settings) Text() (text string, notes []string, err error) {
	if !slices.Contains(Kinds(), s.Kind) {
		return "", nil, fmt.Errorf("no kind of configuration %q, expected one of %s", s.Kind, strings.Join(Kinds(), ", "))
	}
	if len(s.Gates) == 0 {
		return "", nil, errors.New("no gate, expected at least one")
	}
	s.complete()
	if err := s.check(); err != nil {
		return "", nil, err
	}
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, s.Kind+".tmpl", &view{s}); err != nil {
		return "", nil, err
	}
	return b.String(), s.notes(), nil
}

func (s *Settings) complete() {
	kubernetes := s.Kind == IngressNginx || s.Kind == GatewayAPI
	fallback := func(value *string, text string) {
		if *value == "" {
			*value = text
		}
	}
	switch {
	case len(s.Patgate) > 0:
	case s.Kind == GatewayAPI:
		s.Patgate = []string{defaultGRPC}
	case kubernetes:
		s.Patgate = []string{defaultService}
	default:
		s.Patgate = []string{"127.0.0.1:9193"}
	}
	fallback(&s.Listen, "127.0.0.1:8080")
	if kubernetes {
		fallback(&s.Upstream, "api:80")
	}
	fallback(&s.Upstream, "127.0.0.1:8081")
	fallback(&s.PatgateTLS, NoTLS)
	if s.MaxRequestBytes == 0 {
		s.MaxRequestBytes = 65536
	}
	fallback(&s.Namespace, "default")
	fallback(&s.Gateway, "api")
}

// check refuses settings that a kind does not have.
func (s *Settings) check() error {
	var errs []error
	for _, address := range append([]string{s.Listen, s.Upstream}, s.Patgate...) {
		if path, unix := strings.CutPrefix(address, "unix://"); unix {
			if !strings.HasPrefix(path, "/") || !slices.Contains(unixKinds, s.Kind) || strings.ContainsAny(path, unsafe) || !slices.Contains(s.Patgate, address) {
				errs = append(errs, fmt.Errorf("%s: expected HOST:PORT; only nginx, caddy and haproxy ask at a unix socket, unix:///PATH", address))
			}
			continue
		}
		if host, port, err := net.SplitHostPort(address); err != nil || port == "" || strings.ContainsAny(host, unsafe) {
			errs = append(errs, fmt.Errorf("%s: expected HOST:PORT, such as 127.0.0.1:8080", address))
		}
	}
	errs = append(errs, s.checkTLS())
	for _, dir := range []string{s.TLS, s.PatgateTLS} {
		if dir != "" && dir != NoTLS && (!strings.HasPrefix(dir, "/") || strings.ContainsAny(dir, unsafe)) {
			errs = append(errs, fmt.Errorf("%s: expected an absolute directory without blanks and quotes, as the proxy sees it", dir))
		}
	}
	for _, g := range s.Gates {
		for _, name := range append(g.IdentityHeaders(), g.ActAsHeader) {
			if policy.FoldHeader(name) != name {
				errs = append(errs, fmt.Errorf("gate %s names the header %s, which %s can't be told to set: expected letters, digits and hyphens", g.Name, name, s.Kind))
			}
		}
	}
	return errors.Join(errs...)
}

// unixKinds can call patgate at a unix socket.
var unixKinds = []string{Nginx, Caddy, HAProxy, HAProxyLua}

// namedKinds compare patgate's certificate with a name alone.
var namedKinds = []string{Nginx, HAProxy, HAProxyLua}

// checkTLS refuses a TLS to patgate that a kind can't have.
func (s *Settings) checkTLS() error {
	if s.PatgateTLS == NoTLS {
		return nil
	}
	if s.Kind == IngressNginx || s.Kind == GatewayAPI {
		return fmt.Errorf("%s has no client certificate for patgate: expected none, and a network policy that admits the controller alone", s.Kind)
	}
	for _, address := range s.Patgate {
		host := hostOf(address)
		if strings.HasPrefix(address, "unix://") {
			return fmt.Errorf("%s: patgate has no TLS at a unix socket, expected none", address)
		}
		if _, err := netip.ParseAddr(host); err == nil && slices.Contains(namedKinds, s.Kind) {
			return fmt.Errorf("%s: %s compares patgate's certificate with a name, expected one that it has, such as patgate.example.com:9193", address, s.Kind)
		}
	}
	return nil
}

// unsafe are characters that end a word in some configuration.
const unsafe = " \t\r\n\"'`{};$\\#"

// notes lists what to check before the configuration is used.
func (s *Settings) notes() (notes []string) {
	if s.Bodies && s.Kind != Traefik && s.Kind != GatewayAPI {
		notes = append(notes, s.Kind+" sends no bodies to patgate: rules on JSON can't be decided, and refuse")
	}
	for _, g := range s.Gates {
		at := ""
		if place := g.Source.String(); place != "" {
			at = place + ": "
		}
		if one := s.Kind != Caddy && s.Kind != GatewayAPI; one && g.ClientIP.Source == policy.FromXFF && g.ClientIP.TrustedHops > 0 {
			notes = append(notes, fmt.Sprintf("%s%s counts %d trusted hops, and this front says one address: every range of addresses would refuse. Expected clientIP: {source: peer}", at, g.Name, g.ClientIP.TrustedHops))
		}
		if g.ClientIP.Source == policy.FromHeader {
			notes = append(notes, fmt.Sprintf("%s%s takes the client's address from %s: the proxies in front must overwrite it, or clients choose it", at, g.Name, g.ClientIP.Header))
		}
		if g.RequireTLS && s.TLS == "" && s.Kind != IngressNginx && s.Kind != GatewayAPI && s.Kind != Traefik {
			notes = append(notes, fmt.Sprintf("%s%s requires TLS, which this front does not have (--tls): every request would be refused", at, g.Name))
		}
	}
	return notes
}
