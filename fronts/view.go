package fronts

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/patgate/patgate/policy"
)

// view is the data of the templates.
type view struct{ Settings }

// fixed are the identity headers of every gate.
var fixed = []string{policy.HeaderUserAsserted, policy.HeaderID}

// Identity lists the headers that answers of patgate have for the API, of any gate. An answer without one
// means that a request must not have it.
func (v *view) Identity() []string {
	var names []string
	for _, g := range v.Gates {
		for _, name := range g.IdentityHeaders() {
			if !slices.Contains(names, name) && !slices.Contains(fixed, name) {
				names = append(names, name)
			}
		}
	}
	return append(names, fixed...)
}

// Copied lists the headers of answers that replace those of a request: the identity, and Authorization
// where the API may have it.
func (v *view) Copied() []string { return append(v.Identity(), "authorization") }

// otherTargets are headers by which an API may read another method, path, host or client than patgate judged.
var otherTargets = []string{
	"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url",
	"x-original-uri", "x-original-method", "x-original-host", "x-original-proto", "x-forwarded-uri", "x-forwarded-method",
	"x-forwarded-prefix", "x-forwarded-server", "x-forwarded-port", "x-host", "x-http-host-override", "forwarded",
}

// Removed lists the headers that no API may see from a client.
func (v *view) Removed() []string {
	names := slices.Clone(otherTargets)
	for _, g := range v.Gates {
		if g.ActAsHeader != "" && !slices.Contains(names, g.ActAsHeader) {
			names = append(names, g.ActAsHeader)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(v.Identity(), name) })
}

// Sets reports whether the front may write a header of its own: none that patgate's answers have.
func (v *view) Sets(name string) bool { return !slices.Contains(v.Identity(), name) }

// ForClients lists the headers of an allow that clients get.
func (v *view) ForClients() []string {
	return []string{policy.HeaderID, policy.HeaderTokenExpires, policy.HeaderBasicEnds}
}

// Hosts lists the hosts of the gates; none: every host.
func (v *view) Hosts() []string {
	var hosts []string
	for _, g := range v.Gates {
		for _, h := range g.Hosts {
			if h == policy.AnyHost {
				return nil
			}
			if !slices.Contains(hosts, h) {
				hosts = append(hosts, h)
			}
		}
	}
	return hosts
}

// Servers lists patgate's addresses in the form of nginx. HAProxy's begin with unix@ instead.
func (v *view) Servers() []string {
	var list []string
	for _, address := range v.Patgate {
		list = append(list, strings.Replace(address, "unix://", "unix:", 1))
	}
	return list
}

// PatgateAt is patgate's first address.
func (v *view) PatgateAt() string { return v.Patgate[0] }

// Unix reports whether the front calls patgate at a unix socket.
func (v *view) Unix() bool { return strings.HasPrefix(v.Patgate[0], "unix://") }

// PlainPatgate reports whether the front calls patgate without TLS.
func (v *view) PlainPatgate() bool { return v.PatgateTLS == NoTLS }

// Scheme is that of patgate's URL.
func (v *view) Scheme() string {
	if v.PlainPatgate() {
		return "http"
	}
	return "https"
}

// variable writes a header's name as a part of a variable's.
func variable(name string) string { return strings.ReplaceAll(name, "-", "_") }

// HAProxyChecks is the address within HAProxy at which its script asks: no other HAProxy of the host has it.
func (v *view) HAProxyChecks() string {
	return "abns@patgate-" + strings.ReplaceAll(v.Listen, ":", "-")
}

// HAProxyServer is one of patgate's addresses in the form of HAProxy.
func (v *view) HAProxyServer(address string) string {
	if path, unix := strings.CutPrefix(address, "unix:"); unix {
		address = "unix@" + path
	}
	if v.PlainPatgate() {
		return address
	}
	host := hostOf(address)
	return fmt.Sprintf("%s ssl verify required verifyhost %s sni str(%s) ca-file %s/ca.crt crt %s/tls.pem  # tls.crt and tls.key in one file",
		address, host, host, v.PatgateTLS, v.PatgateTLS)
}

func quote(text string) string { return strconv.QuoteToASCII(text) }

func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return host
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// UnixAddress is patgate's unix socket in the form of Caddy.
func (v *view) UnixAddress() string { return strings.Replace(v.PatgateAt(), "unix://", "unix/", 1) }

// Opens reports whether some gate lets an encoded character into its paths.
func (v *view) Opens(escape string) bool {
	return slices.ContainsFunc(v.Gates, func(g *policy.Gate) bool { return strings.Contains(g.AllowEncoded.String(), escape) })
}

// TraefikRule matches the hosts of the gates.
func (v *view) TraefikRule() string {
	var rules []string
	for _, h := range v.Hosts() {
		if tail, wild := strings.CutPrefix(h, "*"); wild {
			rules = append(rules, "HostRegexp(`^.+"+strings.ReplaceAll(tail, ".", `\.`)+"$`)")
		} else {
			rules = append(rules, "Host(`"+h+"`)")
		}
	}
	if len(rules) == 0 {
		return "PathPrefix(`/`)"
	}
	return strings.Join(rules, " || ")
}

// HostsOrAny lists the hosts of the gates, or an empty text for every host.
func (v *view) HostsOrAny() []string {
	if hosts := v.Hosts(); len(hosts) > 0 {
		return hosts
	}
	return []string{""}
}

// ServiceName is the name of patgate's Service.
func (v *view) ServiceName() string {
	name, _, _ := strings.Cut(hostOf(v.PatgateAt()), ".")
	return name
}

// ServiceNamespace is that of patgate's Service.
func (v *view) ServiceNamespace() string {
	if labels := strings.Split(hostOf(v.PatgateAt()), "."); len(labels) > 1 {
		return labels[1]
	}
	return v.Namespace
}
