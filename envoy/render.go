package envoy

import (
	"bytes"
	"embed"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/patgate/patgate/policy"
)

//go:embed templates
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"address": socketAddress, "quote": quote, "scalar": scalar, "file": file, "list": list,
	"regex": mutationRegex, "cluster": cluster, "san": sanType, "seconds": seconds, "duration": gatewayDuration,
	"upgrades": upgrades, "origins": origins, "localReplies": localReplies,
}).ParseFS(templateFiles, "templates/*.tmpl"))

// view is the data of the templates.
type view struct {
	Settings
	Head      []string
	Hops      int
	Hosts     []host
	Body      bool // bodies are buffered on every route
	AnyBody   bool // on some
	Why       []string
	Removed   []string // what clients may not send
	Mutated   []string
	PatgateAt address // of the first
}

// address is a host and a port.
type address struct{ Host, Port string }

// YAML returns the configuration, which depends only on the settings, and notes on doubtful
// settings, for the person who applies it.
func (s Settings) YAML() (text string, notes []string, err error) {
	s, err = s.complete()
	if err != nil {
		return "", nil, err
	}
	n := s.bodies()
	v := view{
		Settings: s, Head: heads[s.Kind], Hops: s.hops(), Hosts: s.hosts(), Body: n > 0 && (s.Mesh() || n == len(s.Gates)), AnyBody: n > 0,
		Removed: s.removed(), Mutated: s.mutated(),
	}
	for i := range s.Gates {
		v.Why = append(v.Why, s.Gates[i].why()...)
	}
	if host, port, err := net.SplitHostPort(s.Patgate[0]); err == nil {
		v.PatgateAt = address{host, port}
	}
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, templateOf(s.Kind), v); err != nil {
		return "", nil, err
	}
	return b.String(), s.notes(), nil
}

func templateOf(kind string) string {
	switch kind {
	case KindStandalone, KindSidecar, KindEdge, KindHTTP:
		return "envoy.yaml.tmpl"
	}
	return kind + ".yaml.tmpl"
}

// heads are the first lines of each kind of configuration.
var heads = map[string][]string{
	KindStandalone: {
		"A hardened Envoy 1.40 in front of an HTTP API, with patgate as its gate. `patgate envoy-config`",
		"prints it for other addresses; envoy/README.md of patgate says what each setting is for.",
	},
	KindSidecar: {
		"A hardened Envoy 1.40 in the pod of an HTTP API, with patgate next to it on a unix socket.",
		"The API listens on loopback only: a client that reaches its port bypasses the gate.",
	},
	KindHTTP: {
		"A hardened Envoy 1.40 in front of an HTTP API, which asks patgate over HTTP (http_service,",
		"`patgate serve --http-front envoy`). Prefer gRPC: it sends two headers of one name as two,",
		"and needs no list of headers. patgate and the API get only what is named below.",
	},
	KindEdge: {
		"A hardened Envoy 1.40 where clients come in: TLS and HTTP/2 from them, and several replicas",
		"of patgate over mTLS. Change the addresses and the two directories of certificates.",
	},
}

// Edge reports whether clients come from anywhere.
func (v view) Edge() bool { return v.Kind == KindEdge }

// OverHTTP reports whether Envoy calls patgate over HTTP.
func (v view) OverHTTP() bool { return v.Kind == KindHTTP }

// Identity lists the headers that patgate sets at any of the gates.
func (v view) Identity() []string { return v.union((*policy.Gate).IdentityHeaders) }

// Alone reports whether this Envoy has its own, single patgate.
func (v view) Alone() bool { return isPipe(v.Patgate[0]) }

// BufferLimit returns the number of bytes that Envoy buffers of a connection: at least a body.
func (v view) BufferLimit() int { return max(1<<20, v.MaxRequestBytes) }

// PatgateName is the name that patgate's certificate must have.
func (v view) PatgateName() string { return v.PatgateAt.Host }

// PlainPatgate reports whether Envoy calls patgate without TLS.
func (v view) PlainPatgate() bool { return v.PatgateTLS == NoTLS }

// socketAddress writes Envoy's Address.
func socketAddress(text string) (string, error) {
	if path, ok := strings.CutPrefix(text, "unix://"); ok {
		return fmt.Sprintf("{pipe: {path: %s}}", scalar(path)), nil
	}
	host, port, err := net.SplitHostPort(text)
	return fmt.Sprintf("{socket_address: {address: %s, port_value: %s}}", scalar(host), port), err
}

// cluster writes how a cluster finds its endpoints: by their addresses, or by their names,
// which are resolved periodically.
func cluster(refresh string, addresses any) string {
	list, ok := addresses.([]string)
	if !ok {
		list = []string{addresses.(string)}
	}
	if !slices.ContainsFunc(list, named) {
		return "    type: STATIC"
	}
	text := `    cluster_type:
      name: envoy.clusters.dns
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster
        dns_lookup_family: V4_PREFERRED`
	if refresh != "" {
		text += "\n        dns_refresh_rate: " + refresh + "  # how long a new replica waits to be asked"
	}
	return text
}

// named reports whether an address has a name to resolve.
func named(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && !isIP(host) && !isPipe(address)
}

func sanType(name string) string {
	if isIP(name) {
		return "IP_ADDRESS"
	}
	return "DNS"
}

// plain are texts that need no quotes in YAML.
var plain = regexp.MustCompile(`^[A-Za-z/0-9][A-Za-z0-9./_-]*$`)

// scalar writes a text of YAML, in quotes where it needs them.
func scalar(text string) string {
	if plain.MatchString(text) && strings.ContainsAny(text, "./-_") {
		return text
	}
	return quote(text)
}

func quote(text string) string { return strconv.QuoteToASCII(text) }

func file(dir, name string) string { return scalar(strings.TrimSuffix(dir, "/") + "/" + name) }

func list(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = quote(t)
	}
	return strings.Join(quoted, ", ")
}

// mutationRegex writes the expression that matches these headers, in every spelling with
// `_` for some `-`, a line each. A `*` at an end of a name matches anything.
func mutationRegex(indent string, names []string) string {
	var b strings.Builder
	b.WriteString(`"`)
	for i, name := range slices.Sorted(slices.Values(names)) {
		if i > 0 {
			b.WriteString("\\\n" + indent + "|")
		}
		expression := strings.ReplaceAll(regexp.QuoteMeta(name), "-", "[-_]")
		expression = strings.ReplaceAll(expression, `\*`, "[^:]*") // and never :authority
		text := quote(expression)
		b.WriteString(text[1 : len(text)-1])
	}
	b.WriteString(`"`)
	return b.String()
}

// notes lists what to check before the configuration is used.
func (s *Settings) notes() (notes []string) {
	tls := s.TLS != "" || s.Mesh()
	for i := range s.Gates {
		g := &s.Gates[i]
		if g.RequireTLS && !tls && s.hops() == 0 {
			notes = append(notes, fmt.Sprintf("%s%s requires TLS, which this Envoy does not have, and no proxy in front is counted (trustedHops): every request would be refused", at(g), g.Name))
		}
		if g.ClientIP.Source == policy.FromHeader && g.ClientIP.Header != "x-envoy-external-address" {
			notes = append(notes, fmt.Sprintf("%s%s takes the client's address from %s: the proxies in front must overwrite it, or clients choose it", at(g), g.Name, g.ClientIP.Header))
		}
		if g.ClientIP.Source == policy.FromXFF && g.ClientIP.TrustedHops == 0 && !s.Mesh() && onLoopback(s.Listen) {
			notes = append(notes, fmt.Sprintf("%s%s takes the last entry of x-forwarded-for, and Envoy listens on %s: for a client on loopback that entry is this machine's own address", at(g), g.Name, s.Listen))
		}
	}
	return notes
}

// onLoopback reports whether only this machine reaches a host:port.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
