package check

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// auditWait is the default of --audit-wait: how long patgate may take to answer.
const auditWait = 200 * time.Millisecond

// longest is the longest timeout of a check: a longer wait is itself an outage.
const longest = 5 * time.Second

// authz is an ext_authz filter that was checked.
type authz struct {
	body  *node
	scope *scope
	conn  *connection // nil for one of a patch
	name  string      // of the filter, by which routes name it
	asks  string      // the cluster or target
	part  bool        // only what a patch changes
}

// filter checks one ext_authz filter in its place.
func (c *checker) filter(s *scope, f *httpFilter, conn *connection) {
	c.judged++
	if o := f.node.get("is_optional"); o.isTrue() {
		c.find(FilterOptional, o.spot(), "an Envoy that does not know the filter ignores it")
	}
	if f.body == nil {
		return // no settings to check
	}
	a := &authz{body: f.body, scope: s, conn: conn, name: f.name()}
	c.authz = append(c.authz, a)
	c.checkAuthz(a)
}

// checkAuthz checks the filter's own fields.
func (c *checker) checkAuthz(a *authz) {
	c.checkFields(authzRules, a.body, a.part)
	// With deny_at_disable the requests that are left out are refused.
	if m := a.body.get("filter_enabled_metadata"); m != nil && !a.body.get("deny_at_disable", "default_value").isTrue() {
		if strings.HasPrefix(m.get("filter").str(), "envoy.filters.http.rbac") {
			c.find(IstioCondition, m.spot(), "only requests that a rule of an AuthorizationPolicy matches are checked: the others pass")
		} else {
			c.find(ConditionalCheck, m.spot(), "only requests with this metadata are checked: the others pass")
		}
	}
	if a.scope != nil {
		c.switchedOff(a)
	}
	if body := a.body.get("with_request_body"); body != nil {
		c.checkFields(bodyRules, body, a.part)
	}
	if rules := a.body.get("decoder_header_mutation_rules"); rules != nil {
		c.checkFields(mutationRules, rules, a.part)
	}
	if service := a.body.get("grpc_service"); service != nil {
		a.asks = c.service(a, service)
	} else if !a.part && a.body.get("http_service") == nil {
		c.find(UnknownCluster, a.body.missing("grpc_service"), "is missing: Envoy can't call patgate and refuses every request")
	}
}

// service checks how patgate is called, and returns its cluster or target.
func (c *checker) service(a *authz, service *node) (asks string) {
	c.timeout(service, a.part)
	if google := service.get("google_grpc"); google != nil {
		target := google.get("target_uri").str()
		c.find(GoogleGRPC, google.spot(), "Envoy's own health checks, outlier detection and retries to another host do not work with google_grpc")
		if google.get("channel_credentials", "ssl_credentials") == nil && !localTarget(target) {
			c.find(NoTLS, google.missing("channel_credentials"), "tokens go to %s unencrypted, and everyone on the network path can answer allow", target)
		}
		return target
	}
	name := service.get("envoy_grpc", "cluster_name")
	if name == nil {
		if policy := service.get("retry_policy"); policy != nil && a.part {
			c.retryPolicy(policy, true)
		}
		if !a.part {
			c.find(UnknownCluster, service.missing("envoy_grpc", "cluster_name"), "it names no cluster, so every request is refused")
		}
		return ""
	}
	if a.scope == nil {
		return name.str()
	}
	cluster := c.cluster(a.scope, name.str())
	switch {
	case cluster != nil:
		c.retries(service, c.calledCluster(cluster))
	case a.scope.bootstrap.get("dynamic_resources", "cds_config") != nil && !a.scope.dump, a.scope == c.loose, a.scope.partial:
		c.find(NotSeen, name.spot(), "the cluster %s is not in these files (CDS)", name.str())
	default:
		c.find(UnknownCluster, name.spot(), "there is no cluster %s, so every request is refused", name.str())
	}
	return name.str()
}

// timeout checks the timeout of a check.
func (c *checker) timeout(service *node, part bool) {
	field := service.get("timeout")
	if field == nil && part {
		return
	}
	if field == nil {
		c.find(Timeout, service.missing("timeout"), "is missing: the default of 200 ms is no more than patgate's --audit-wait, so Envoy cuts off patgate's refusals while the audit log stalls")
		return
	}
	c.checkTimeout(field)
}

func (c *checker) checkTimeout(field *node) {
	switch d, err := time.ParseDuration(field.str()); {
	case err != nil:
		c.find(Timeout, field.spot(), "%q is not a duration", field.str())
	case d == 0:
		c.find(Timeout, field.spot(), "a check may take forever: a patgate that hangs holds every request")
	case d <= auditWait:
		c.find(Timeout, field.spot(), "%s is no more than patgate's --audit-wait: Envoy cuts off patgate's refusals while the audit log stalls", field.str())
	case d > longest:
		c.find(Timeout, field.spot(), "a check may take %s: a patgate that hangs holds every request that long", field.str())
	}
}

// retries checks what happens to a check whose replica terminates.
func (c *checker) retries(service *node, local bool) {
	policy := service.get("retry_policy")
	if policy == nil {
		c.find(Retry, service.missing("retry_policy"), "is missing: a replica that stops costs refusals")
		return
	}
	c.retryPolicy(policy, local)
}

func (c *checker) retryPolicy(policy *node, local bool) {
	if n, given := policy.get("num_retries").number(); policy.get("retry_on") == nil || given && n == 0 {
		c.find(Retry, policy.missing("retry_on"), "Envoy never tries again")
	} else if left := notRetried(policy.get("retry_on").str()); left != "" {
		c.find(Retry, policy.missing("retry_on"), "%s not tried again: a replica that stops costs refusals", left)
	}
	if !local && policy.get("retry_host_predicate") == nil {
		c.find(Retry, policy.missing("retry_host_predicate"), "is missing: a retry may go to the replica that has just failed")
	}
	longestWait := policy.get("retry_back_off", "max_interval")
	if longestWait == nil {
		return
	}
	if d, err := time.ParseDuration(longestWait.str()); err == nil && d <= auditWait {
		c.find(Retry, longestWait.spot(), "Envoy uses %s as the timeout of each try, no more than patgate's --audit-wait: it checks one request twice", longestWait.str())
	}
}

// notRetried names the failures of a terminating replica that a retry_on leaves out.
func notRetried(on string) string {
	names := strings.FieldsFunc(on, func(r rune) bool { return r == ',' || r == ' ' })
	any := func(list ...string) bool {
		return slices.ContainsFunc(list, func(name string) bool { return slices.Contains(names, name) })
	}
	reset := any("reset", "5xx", "gateway-error")
	switch {
	case !reset && !any("connect-failure"):
		return "connections that can't be made (connect-failure, reset) are"
	case !reset && !any("refused-stream", "reset-before-request"):
		return "connections that end (refused-stream, reset) are"
	case !any("unavailable", "5xx"):
		return "what gRPC calls unavailable is"
	}
	return ""
}

// calledCluster checks the cluster of patgate, and reports whether it is on this machine.
func (c *checker) calledCluster(cluster *node) (local bool) {
	if !speaksHTTP2(cluster) {
		c.find(NotHTTP2, cluster.spot(), "the cluster does not speak HTTP/2, which gRPC needs: every request is refused")
	}
	endpoints := cluster.get("load_assignment").within("endpoint")
	local = len(endpoints) > 0
	for _, e := range endpoints {
		local = local && localEndpoint(e)
	}
	kind := cluster.get("type")
	byName := false
	if typ, dns := typed(cluster.get("cluster_type", "typed_config")); typ == typeDNSCluster {
		byName = !dns.get("all_addresses_in_single_endpoint").isTrue()
	}
	if !local && len(endpoints) == 1 && !byName && (kind == nil || kind.is("STATIC", 0) || kind.is("LOGICAL_DNS", 2)) {
		c.find(OneEndpoint, endpoints[0].spot(), "there is one replica: each restart refuses every request")
	}
	alone := local && len(endpoints) == 1
	if len(cluster.get("health_checks").elements()) == 0 {
		c.find(HealthCheck, cluster.missing("health_checks"), "is missing: Envoy sends checks to a replica that drains or is gone")
	} else if window := cluster.get("common_lb_config", "update_merge_window"); !alone && !kind.is("EDS", 3) && window.str() != "0s" {
		c.find(LateHealth, cluster.missing("common_lb_config", "update_merge_window"), "in a rolling update, results of health checks count up to a second late: Envoy calls replicas that are gone, and not those that are back")
	}
	threshold := cluster.get("common_lb_config", "healthy_panic_threshold")
	if percent, _ := threshold.get("value").number(); threshold == nil || percent > 1 { // a dump leaves zeros out
		c.find(PanicRouting, cluster.missing("common_lb_config", "healthy_panic_threshold"), "when few replicas are healthy, checks also go to replicas that drain or are not ready")
	}
	c.transport(cluster, local)
	return local
}

// transport checks whether the connection to patgate is encrypted, and its certificate verified.
func (c *checker) transport(cluster *node, local bool) {
	sockets := cluster.within("transport_socket")
	if len(sockets) == 0 {
		if !local {
			c.find(NoTLS, cluster.missing("transport_socket"), "is missing: tokens go to patgate unencrypted, and everyone on the network path can answer allow")
		}
		return
	}
	for _, socket := range sockets {
		typ, tls := typed(socket.get("typed_config"))
		if typ != typeUpstreamTLS || socket.get("name").str() == "dummy.transport_socket" {
			continue // Envoy Gateway's, next to transport_socket_matches
		}
		context := tls.get("common_tls_context")
		if len(context.within("trusted_ca")) == 0 && len(context.within("custom_validator_config")) == 0 && context.get("validation_context_sds_secret_config") == nil &&
			len(context.within("system_root_certs")) == 0 && len(context.within("validation_context_sds_secret_config")) == 0 &&
			len(context.within("ca_certificate_provider_instance")) == 0 {
			c.find(UnverifiedTLS, tls.missing("common_tls_context", "validation_context"), "is missing: Envoy trusts any server in patgate's place")
		}
		for _, check := range cluster.get("health_checks").elements() {
			if check.get("grpc_health_check") != nil && check.get("tls_options", "alpn_protocols") == nil && context.get("alpn_protocols") == nil {
				c.find(HealthCheck, check.missing("tls_options"), "is missing: the health check names no protocol (ALPN) and gRPC refuses it, so no replica counts as healthy")
			}
		}
	}
}

func speaksHTTP2(cluster *node) bool {
	if cluster.get("http2_protocol_options") != nil {
		return true
	}
	options := cluster.get("typed_extension_protocol_options").key("envoy.extensions.upstreams.http.v3.HttpProtocolOptions")
	typ, body := typed(options)
	return typ == typeHTTP && (body.get("explicit_http_config", "http2_protocol_options") != nil || body.get("auto_config") != nil ||
		body.get("use_downstream_protocol_config", "http2_protocol_options") != nil)
}

func localEndpoint(endpoint *node) bool {
	address := endpoint.get("address")
	return address.get("pipe") != nil || loopback(address.get("socket_address", "address").str())
}

func loopback(address string) bool {
	ip, err := netip.ParseAddr(address)
	return address == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// localTarget reports whether a gRPC target is a unix socket or a loopback address.
func localTarget(target string) bool {
	if strings.HasPrefix(target, "unix:") {
		return true
	}
	_, target, _ = strings.Cut("/"+strings.TrimPrefix(target, "dns:"), "/")
	host := strings.TrimLeft(target, "/")
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return loopback(strings.Trim(host, "[]"))
}
