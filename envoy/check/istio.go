package check

import "strings"

// istioRules are about MeshConfig's EnvoyExternalAuthorizationGrpcProvider and its like for
// HTTP.
var istioRules = []rule{
	{"fail_open", isOff, FailureModeAllow, "every request passes while patgate is down or slow"},
	{"clear_route_cache", isOff, RouteCache, "the headers that patgate sets can move a request to another route after the check"},
	{"status_on_error", isStatus(false, 4), StatusOnError, asRefusal},
	{"status_on_error", isStatus(false, 2), StatusOnError, asSuccess},
	{"status_on_error", isStatus(false, 1, 3), StatusOnError, asNeither},
	{"status_on_error", isStatus(false, 0), UnknownProvider, "istiod takes only the number of a status that Envoy knows: it ignores this provider, and every request is refused"},
	{"timeout", isGiven, Timeout, "the default is 600 s: a patgate that hangs holds every request that long"},
}

// mesh checks a MeshConfig.
func (c *checker) mesh(mesh *node) {
	if mesh == nil {
		return
	}
	c.takeProviders(mesh)
	grpc, web := mesh.within("envoy_ext_authz_grpc"), mesh.within("envoy_ext_authz_http")
	for _, provider := range append(grpc, web...) {
		c.judged++
		c.checkFields(istioRules, provider, false)
		if t := provider.get("timeout"); t != nil {
			c.checkTimeout(t)
		}
		if body := provider.get("include_request_body_in_check"); body != nil {
			c.checkFields(bodyRules, body, false)
		}
	}
	if len(grpc) == 0 {
		for _, n := range web {
			c.find(HTTPService, n.spot(), "is set: patgate serves gRPC only, so every request is refused (envoyExtAuthzGrpc)")
		}
	}
	if len(grpc)+len(web) == 0 {
		return
	}
	path := mesh.get("path_normalization", "normalization")
	switch at := mesh.missing("path_normalization", "normalization"); {
	case path.is("NONE", 1):
		c.find(NormalizePath, at, "is NONE: `..` and `%%2e%%2e` reach patgate, which refuses them, and Istio's rules read other paths than the upstream")
	case !path.is("MERGE_SLASHES", 3) && !path.is("DECODE_AND_MERGE_SLASHES", 4):
		c.find(MergeSlashes, at, "is not MERGE_SLASHES: patgate refuses each path with `//`, and Istio finds rules by it")
	}
	hops := mesh.get("default_config", "gateway_topology", "num_trusted_proxies")
	n, _ := hops.number()
	if c.gates != nil {
		c.compareHops(mesh.missing("default_config", "gateway_topology", "num_trusted_proxies"), n)
	} else if n > 0 {
		c.find(TrustedHops, hops.spot(), hopsUnasked, n)
	}
}

// authorizationPolicy checks which requests a policy with action CUSTOM covers.
func (c *checker) authorizationPolicy(doc *node) {
	spec := doc.get("spec")
	if !spec.get("action").is("CUSTOM", 3) {
		return
	}
	c.judged++
	if dry := doc.get("metadata", "annotations").key("istio.io/dry-run"); dry.isTrue() {
		c.find(ShadowMode, dry.spot(), "the policy is a dry run: refused requests pass")
	} else {
		c.kube.custom = append(c.kube.custom, spec)
	}
	rules := spec.get("rules")
	if len(rules.elements()) == 0 {
		c.find(ConditionalCheck, spec.missing("rules"), "without a rule the policy matches no request, so requests bypass patgate. `rules: [{}]` matches every request")
		return
	}
	for _, r := range rules.elements() {
		if len(r.fields) == 0 {
			return
		}
	}
	c.find(ConditionalCheck, rules.spot(), "only requests that a rule matches are checked: the others pass, unless deny_at_disable refuses them. `rules: [{}]` matches every request")
}

// destinationRule checks how the mesh reaches patgate, if the rule is about it.
func (c *checker) destinationRule(spec *node) {
	if !strings.Contains(spec.get("host").str(), "patgate") {
		return
	}
	c.judged++
	for _, tls := range spec.within("tls") {
		if tls.get("mode").is("DISABLE", 0) {
			c.find(NoTLS, tls.spot(), "tokens go to patgate unencrypted, and everyone on the network path can answer allow")
		}
		if skip := tls.get("insecure_skip_verify"); skip.isTrue() {
			c.find(UnverifiedTLS, skip.spot(), "is true: Envoy trusts any server in patgate's place")
		}
	}
}

// envoyFilter checks the patches of an EnvoyFilter.
func (c *checker) envoyFilter(spec *node) {
	for _, p := range spec.get("config_patches").elements() {
		value, operation := p.get("patch", "value"), p.get("patch", "operation")
		merge := operation.is("MERGE", 1)
		before := len(c.findings)
		switch to := p.get("apply_to"); {
		case p.get("match", "context").is("SIDECAR_OUTBOUND", 2): // clients of the API do not come through it
		case to.is("HTTP_FILTER", 4), to == nil:
			c.httpFilterPatch(p)
		case merge || !holds(value, typeConnection):
		default: // a listener, a chain or a connection manager of its own
			c.loose.listeners = append(c.loose.listeners, value)
		}
		if len(c.findings) > before {
			c.judged++
		}
		c.fragment(value, merge)
		if d := value.get("disabled"); merge && d.isTrue() && strings.Contains(matchedFilter(p), "ext_authz") {
			c.find(FilterDisabled, d.spot(), "the filter is off for each route that does not turn it on")
		}
	}
}

// httpFilterPatch checks a patch that removes or adds an HTTP filter.
func (c *checker) httpFilterPatch(p *node) {
	value, operation := p.get("patch", "value"), p.get("patch", "operation")
	matched := matchedFilter(p)
	authz := strings.Contains(matched, "ext_authz")
	switch {
	case operation.is("MERGE", 1):
	case operation.is("REMOVE", 3) && authz:
		c.find(FilterRemoved, operation.spot(), "the patch removes ext_authz: requests bypass patgate")
	case operation.is("REMOVE", 3) && matched == "":
		c.find(NotSeen, operation.spot(), "the patch removes a filter that is not named here: it may be ext_authz")
	case operation.is("REMOVE", 3):
	case operation.is("REPLACE", 7) && authz && !holds(value, typeExtAuthz):
		c.find(FilterRemoved, operation.spot(), "the patch replaces ext_authz by another filter: requests bypass patgate")
		c.added(value, somewhere)
	default:
		c.added(value, insertedAt(operation, matched))
	}
}

// insertedAt returns where an operation puts a filter, relative to the filter that it names.
func insertedAt(operation *node, matched string) spotInChain {
	switch before := operation.is("INSERT_BEFORE", 4); {
	case operation.is("INSERT_FIRST", 6), before && (matched == "" || strings.Contains(matched, "ext_authz")):
		return beforeAuthz
	case before && strings.Contains(matched, "router"), operation.is("ADD", 2), operation.is("INSERT_AFTER", 5) && (matched == "" || strings.Contains(matched, "ext_authz")):
		return behindAuthz
	}
	return somewhere
}

// wasmPlugin checks a WasmPlugin: without a phase istiod puts it before the router.
func (c *checker) wasmPlugin(spec *node) {
	switch phase := spec.get("phase"); {
	case spec.get("url") == nil:
	case phase.is("AUTHN", 1), phase.is("AUTHZ", 2):
		c.judged++
		c.find(AnswersBefore, phase.spot(), "the plugin is before ext_authz: it may answer requests without a check and without an audit event")
	default:
		c.judged++
		c.find(ChangesAfter, spec.missing("url"), "the plugin is after ext_authz: it may change the request after the check")
	}
}

// matchedFilter is the name of the HTTP filter that a patch is about.
func matchedFilter(p *node) string {
	return p.get("match", "listener", "filter_chain", "filter", "sub_filter", "name").str()
}
