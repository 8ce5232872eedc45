package envoy

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
)

// dnsLabel is a Kubernetes name that is one label.
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// checkMesh checks the form of a mesh's settings.
func (s *Settings) checkMesh() error {
	var errs []error
	if len(s.Patgate) > 1 {
		errs = append(errs, fmt.Errorf("%s: a second address of patgate, expected its Service alone, which covers all replicas", s.Patgate[1]))
	}
	if _, err := parseService(s.Patgate[0]); err != nil {
		errs = append(errs, err)
	}
	names := slices.Concat([]string{s.Namespace, s.Gateway}, s.Listeners, s.BodilessRoutes)
	if s.PatgateTLS != NoTLS {
		names = append(names, s.PatgateTLS)
	}
	for _, name := range names {
		if !dnsLabel.MatchString(name) {
			errs = append(errs, fmt.Errorf("%s: expected a name of Kubernetes: lower-case letters, digits and hyphens", name))
		}
	}
	return errors.Join(errs...)
}

// service is the Kubernetes Service of patgate.
type service struct{ Name, Namespace, Host, Port string }

// parseService reads NAME.NAMESPACE.svc.cluster.local:PORT; the middle part may be
// another domain of the cluster, or be left out.
func parseService(text string) (service, error) {
	host, port, err := net.SplitHostPort(text)
	labels := strings.Split(host, ".")
	if err != nil || checkAddress(text) != nil || len(labels) < 2 || isIP(host) || len(labels) > 2 && labels[2] != "svc" ||
		!dnsLabel.MatchString(labels[0]) || !dnsLabel.MatchString(labels[1]) {
		return service{}, fmt.Errorf("%s: expected a Service and its port, such as %s", text, defaultService)
	}
	if len(labels) < 4 {
		host = labels[0] + "." + labels[1] + ".svc.cluster.local"
	}
	return service{labels[0], labels[1], host, port}, nil
}

// Service is patgate's.
func (v view) Service() (service, error) { return parseService(v.Patgate[0]) }

// securityPolicy is one of Envoy Gateway's: for the Gateway, or for the routes that send no bodies.
type securityPolicy struct {
	Name   string
	Routes []string // empty: the Gateway
	Body   bool
}

// SecurityPolicies are the Gateway's, and that of the routes without bodies.
func (v view) SecurityPolicies() []securityPolicy {
	list := []securityPolicy{{Name: "patgate", Body: v.AnyBody}}
	if v.AnyBody && len(v.BodilessRoutes) > 0 {
		list = append(list, securityPolicy{Name: "patgate-bodiless", Routes: v.BodilessRoutes})
	}
	return list
}

// JSONTypes is the regular expression of the content types that rules read.
func (v view) JSONTypes() string {
	var gates []*Gate
	for i := range v.Gates {
		gates = append(gates, &v.Gates[i])
	}
	return typesRegex(types(gates...))
}

// patch is one setting that Envoy Gateway has no field for: its path and value.
type patch struct{ Of, Path, Value string }

// connectionPatch is the target of JSON patches of the connection manager.
const connectionPatch = `$..filters[?(@.name=="envoy.filters.network.http_connection_manager")].typed_config`

// Patches are Envoy Gateway's JSON patches.
func (v view) Patches() []patch {
	list := []patch{
		{connectionPatch, "/strip_trailing_host_dot", "true"},
		{connectionPatch, "/request_headers_timeout", seconds(v.RequestHeadersTimeout)},
		{connectionPatch, "/local_reply_config", "\n" + localReplies("        ", v)},
	}
	for _, p := range v.SecurityPolicies() {
		list = append(list, v.authzPatches(p)...)
	}
	return list
}

// authzPatches are those of the ext_authz filter that a policy makes.
func (v view) authzPatches(p securityPolicy) []patch {
	authz := fmt.Sprintf(`$..http_filters[?(@.name=="envoy.filters.http.ext_authz/securitypolicy/%s/%s")].typed_config`, v.Namespace, p.Name)
	list := []patch{
		{authz, "/encode_raw_headers", "true"},
		{authz, "/include_tls_session", "true"},
		{authz, "/validate_mutations", "true"},
		{authz, "/max_denied_response_body_bytes", "4096"},
		{authz, "/deny_at_disable", "{default_value: true, runtime_key: patgate.deny_at_disable}"},
	}
	if p.Body {
		list = append(list, patch{authz, "/with_request_body/pack_as_bytes", "true"})
	}
	rules := "\n        # Every header that a gate sets or removes, in every spelling. A name that is not here\n" +
		"        # (upstream.userHeader, actAs.header) fails each call of its gate.\n" +
		"        disallow_all: true\n        disallow_is_error: true\n        allow_expression:\n          regex: "
	return append(list, patch{authz, "/decoder_header_mutation_rules", rules + mutationRegex("            ", v.Mutated)})
}
