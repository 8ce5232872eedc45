package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/fronts"
	"github.com/patgate/patgate/policy"
)

// envoyConfigOptions are the flags of envoy-config.
type envoyConfigOptions struct {
	envoy.Settings
	kinds     []string // those that the command prints
	manifests []string
	gates     []string
	output    string
}

// The kinds by what they have.
var (
	ownEnvoy   = []string{envoy.KindStandalone, envoy.KindSidecar, envoy.KindEdge, envoy.KindHTTP}
	mesh       = []string{envoy.KindIstio, envoy.KindIstioMesh, envoy.KindEnvoyGateway}
	proxies    = []string{fronts.Nginx, fronts.Traefik, fronts.Caddy, fronts.HAProxy}
	kubernetes = []string{fronts.IngressNginx, fronts.GatewayAPI}
)

// flagKinds are the flags that mean nothing to the other kinds.
var flagKinds = []struct{ flags, kinds []string }{
	{[]string{"namespace"}, slices.Concat(mesh, kubernetes)},
	{[]string{"gateway"}, append(mesh, fronts.GatewayAPI)},
	{[]string{"listener"}, mesh},
	{[]string{"bodiless-route"}, []string{envoy.KindEnvoyGateway}},
	{[]string{"upstream"}, slices.Concat(ownEnvoy, proxies, kubernetes)},
	{[]string{"listen", "tls"}, append(slices.Concat(ownEnvoy, proxies), fronts.HAProxyLua)},
	{[]string{"upgrade"}, append(ownEnvoy, fronts.Nginx)},
	{[]string{"admin", "upstream-http2"}, ownEnvoy},
	{[]string{"cors-origin", "route-timeout", "connect-timeout"}, append(ownEnvoy, envoy.KindEnvoyGateway)},
	{[]string{"request-timeout", "headers-timeout", "idle-timeout", "keepalive-timeout"}, append(ownEnvoy, envoy.KindIstio, envoy.KindEnvoyGateway)},
	{[]string{"max-request-bytes"}, append(slices.Concat(ownEnvoy, mesh), fronts.Traefik)},
}

// frontKinds are the kinds of front-config, envoy.Kinds those of envoy-config.
func frontKinds() []string {
	return slices.Concat(fronts.Kinds(), []string{envoy.KindHTTP}, envoy.Kinds())
}

func newEnvoyConfig(s streams) *cobra.Command {
	return newConfigCommand(s, envoy.Kinds(), &cobra.Command{
		Use:   "envoy-config --for KIND [DIR...]",
		Short: "Print the configuration of Envoy, Istio or Envoy Gateway",
		Long: "Envoy-config prints a configuration for the gates: patgate may set and remove exactly the headers that\n" +
			"they name, JSON bodies are sent only for rules that read them, and client addresses are counted as the\n" +
			"gates count them. Warnings go to stderr. Print the configuration again when gates change. For other\n" +
			"proxies see front-config. The kinds are:\n" +
			"  standalone      one Envoy in front of an API\n" +
			"  sidecar         an Envoy in the API's pod, with patgate on a unix socket\n" +
			"  edge            TLS from clients, several replicas of patgate over mTLS\n" +
			"  istio           objects for kubectl apply; istio-mesh prints the Helm values for istiod that they need\n" +
			"  envoy-gateway   objects for kubectl apply",
		Example: "  patgate envoy-config --for standalone manifests >envoy.yaml && envoy -c envoy.yaml\n" +
			"  patgate envoy-config --for edge manifests --patgate patgate.example.com:9191 --upstream api.example.com:80\n" +
			"  patgate envoy-config --for istio manifests --namespace shop --gateway shop | kubectl apply -f -",
	})
}

func newFrontConfig(s streams) *cobra.Command {
	return newConfigCommand(s, frontKinds(), &cobra.Command{
		Use:   "front-config --for KIND [DIR...]",
		Short: "Print the configuration of nginx, Caddy or another proxy",
		Long: "Front-config prints a configuration for the gates: every identity header comes from patgate, and clients\n" +
			"cannot set one. Warnings go to stderr. Print the configuration again when gates change their headers.\n" +
			"docs/ingress.md lists what each proxy sends, keeps, changes and shows. The kinds are:\n" +
			"\n" +
			"  nginx, caddy, haproxy, traefik   a proxy that checks over HTTP (--http-front); haproxy-lua prints HAProxy's script\n" +
			"  ingress-nginx                    annotations and settings for the controller\n" +
			"  gateway-api                      an HTTPRoute with ExternalAuth (gRPC)\n" +
			"  envoy                            an Envoy that checks over HTTP\n" +
			"  standalone, sidecar, edge, istio, istio-mesh, envoy-gateway   as envoy-config prints them",
		Example: "  patgate front-config --for nginx manifests >/etc/nginx/conf.d/patgate.conf\n" +
			"  patgate front-config --for haproxy manifests >haproxy.cfg && patgate front-config --for haproxy-lua manifests >patgate.lua\n" +
			"  patgate front-config --for gateway-api manifests --namespace shop | kubectl apply -f -",
	})
}

// newConfigCommand adds to a command what prints configurations of these kinds.
func newConfigCommand(s streams, kinds []string, cmd *cobra.Command) *cobra.Command {
	o := envoyConfigOptions{kinds: kinds}
	cmd.RunE = func(cmd *cobra.Command, given []string) (err error) {
		if err := firstOf(checkOutput(o.output), o.checkFlags(cmd)); err != nil {
			return err
		}
		if o.manifests, err = manifestsOf(o.manifests, given); err != nil {
			return err
		}
		return envoyConfig(s, &o)
	}
	manifestsFlag(cmd, &o.manifests)
	f := cmd.Flags()
	f.StringVar(&o.Kind, "for", "", "`kind` of configuration (required)")
	f.StringArrayVar(&o.gates, "gate", nil, "`name` of a gate that this proxy protects (default: all); may repeat")
	f.StringVar(&o.Listen, "listen", "", "`address` for clients (default 127.0.0.1:8080, sidecar 0.0.0.0:8080, edge 0.0.0.0:8443)")
	f.StringVar(&o.Admin, "admin", "", "`address` of Envoy's admin listener (default 127.0.0.1:9901)")
	f.StringVar(&o.Upstream, "upstream", "", "`address` of the API (default 127.0.0.1:8081)")
	f.StringArrayVar(&o.Patgate, "patgate", nil, "`address` of patgate, host:port or unix:///path; may repeat; for a mesh, the address of its Service")
	f.StringVar(&o.TLS, "tls", "", "`directory` with tls.crt and tls.key for clients (default for edge /etc/envoy/tls)")
	f.StringVar(&o.PatgateTLS, "patgate-tls", "", "`directory` with tls.crt, tls.key and ca.crt for patgate, or none (default for edge\n"+
		"/etc/envoy/patgate, otherwise none); for a mesh the name of a Secret")
	f.IntVar(&o.MaxRequestBytes, "max-request-bytes", 65536, "largest body where rules read them, no more than serve's --max-body-bytes")
	f.BoolVar(&o.UpstreamHTTP2, "upstream-http2", false, "the API speaks HTTP/2 without TLS, as gRPC servers do")
	timeFlags(f, &o.Times)
	f.StringArrayVar(&o.CORSOrigins, "cors-origin", nil, "`origin` whose pages may call the API, such as https://app.example.com; may repeat")
	f.StringArrayVar(&o.Upgrades, "upgrade", nil, "`protocol` that a connection may be upgraded to, such as websocket; may repeat")
	f.StringVar(&o.Namespace, "namespace", "", "`namespace` of the objects for Kubernetes (default: default)")
	f.StringVar(&o.Gateway, "gateway", "", "`name` of the Gateway that patgate protects (default api)")
	f.StringArrayVar(&o.BodilessRoutes, "bodiless-route", nil, "`name` of an HTTPRoute whose bodies patgate does not need; may repeat")
	f.StringArrayVar(&o.Listeners, "listener", nil, "`name` of a listener of Envoy Gateway's Gateway (default http); may repeat")
	outputFlag(cmd, &o.output)
	_ = cmd.RegisterFlagCompletionFunc("for", fixed(kinds...))
	return cmd
}

// timeFlags are the flags for Envoy's timeouts.
func timeFlags(f *pflag.FlagSet, t *envoy.Times) {
	d := envoy.DefaultTimes
	f.DurationVar(&t.RouteTimeout, "route-timeout", d.RouteTimeout, "`time` for the whole answer of the API; 0s: no limit while data flows")
	f.DurationVar(&t.RequestTimeout, "request-timeout", d.RequestTimeout, "`time` for a whole request; 0s: no limit while data flows")
	f.DurationVar(&t.RequestHeadersTimeout, "headers-timeout", d.RequestHeadersTimeout, "`time` for the headers of a request")
	f.DurationVar(&t.IdleTimeout, "idle-timeout", d.IdleTimeout, "`time` for a request, answer or tunnel of which nothing comes")
	f.DurationVar(&t.ConnectionIdleTimeout, "keepalive-timeout", d.ConnectionIdleTimeout, "`time` for the next request on a client's connection")
	f.DurationVar(&t.ConnectTimeout, "connect-timeout", d.ConnectTimeout, "`time` for a connection to the API")
}

// checkFlags refuses flags that the kind of configuration does not have.
func (o *envoyConfigOptions) checkFlags(cmd *cobra.Command) error {
	kinds := o.kinds
	switch {
	case o.Kind == "":
		return usageError{fmt.Errorf("--for is missing, expected one of %s", strings.Join(kinds, ", "))}
	case !slices.Contains(kinds, o.Kind):
		return usageError{fmt.Errorf("--for %s: %s", o.Kind, diag.Suggest(o.Kind, kinds))}
	}
	if o.MaxRequestBytes < 1 {
		return usageError{fmt.Errorf("--max-request-bytes %d: expected more than zero, such as 65536", o.MaxRequestBytes)}
	}
	for _, name := range []string{"headers-timeout", "idle-timeout", "keepalive-timeout", "connect-timeout"} {
		if d, err := cmd.Flags().GetDuration(name); err == nil && d <= 0 {
			return usageError{fmt.Errorf("--%s %s: expected more than zero, such as 90s", name, d)}
		}
	}
	for _, group := range flagKinds {
		for _, name := range group.flags {
			if cmd.Flags().Changed(name) && !slices.Contains(group.kinds, o.Kind) {
				return usageError{fmt.Errorf("--%s means nothing to --for %s, expected it to be left out", name, o.Kind)}
			}
		}
	}
	return nil
}

func envoyConfig(s streams, o *envoyConfigOptions) error {
	m, snapshot, err := readGood(o.manifests, time.Now())
	if err != nil {
		return err
	}
	rows := m.Rows
	gates, err := chosenGates(snapshot.Gates(), o.gates)
	if err != nil {
		return err
	}
	for _, g := range gates {
		o.Gates = append(o.Gates, envoy.Gate{Gate: g, Body: rows.BodyRule(g), Types: rows.BodyTypes(g)})
	}
	text, notes, err := o.text(gates)
	if err != nil {
		return usageError{err}
	}
	if o.output == outputJSON {
		return json.NewEncoder(s.out).Encode(o.describe(text, notes))
	}
	for _, note := range notes {
		if _, err := fmt.Fprintln(s.err, note); err != nil {
			return err
		}
	}
	_, err = io.WriteString(s.out, text)
	return err
}

// text prints the configuration.
func (o *envoyConfigOptions) text(gates []*policy.Gate) (text string, notes []string, err error) {
	if !slices.Contains(fronts.Kinds(), o.Kind) {
		return o.YAML()
	}
	reads := func(g envoy.Gate) bool { return g.Body != nil }
	return fronts.Settings{
		Bodies: slices.ContainsFunc(o.Gates, reads),
		Kind:   o.Kind, Gates: gates, Listen: o.Listen, Upstream: o.Upstream, Patgate: o.Patgate, TLS: o.TLS, PatgateTLS: o.PatgateTLS,
		MaxRequestBytes: o.MaxRequestBytes, Upgrades: o.Upgrades, Namespace: o.Namespace, Gateway: o.Gateway,
	}.Text()
}

// printedConfig is the JSON output of envoy-config.
type printedConfig struct {
	For    string   `json:"for"`
	Gates  []string `json:"gates"`
	Config string   `json:"config"` // YAML
	Notes  []string `json:"notes"`  // what is doubtful
}

func (o *envoyConfigOptions) describe(text string, notes []string) printedConfig {
	p := printedConfig{For: o.Kind, Gates: []string{}, Config: text, Notes: append([]string{}, notes...)}
	for _, g := range o.Gates {
		p.Gates = append(p.Gates, g.Gate.Name)
	}
	return p
}

// chosenGates returns the gates of these names, or all.
func chosenGates(all []*policy.Gate, names []string) ([]*policy.Gate, error) {
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, g := range all {
		known = append(known, g.Name)
	}
	var chosen []*policy.Gate
	var errs []error
	for _, name := range names {
		if !slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("--gate %s: %s", name, diag.Suggest(name, known)))
		}
	}
	for _, g := range all {
		if slices.Contains(names, g.Name) {
			chosen = append(chosen, g)
		}
	}
	if len(errs) > 0 {
		return nil, usageError{errors.Join(errs...)}
	}
	return chosen, nil
}
