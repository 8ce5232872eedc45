package check

import (
	"slices"
	"strconv"
	"strings"
)

// securityRules are about the extAuth of Envoy Gateway's SecurityPolicy.
var securityRules = []rule{
	{"fail_open", isOff, FailureModeAllow, "every request passes while patgate is down or slow, and while the policy is invalid"},
	{"recompute_route", isOff, RouteCache, "the headers that patgate sets can move a request to another route after the check"},
	{"headers_to_ext_auth", isNotGiven, HeadersHidden, "patgate sees only some headers: authorization, x-forwarded-for, content-type and those that change the method must be among them"},
	{"http", isNotGiven, HTTPService, "patgate serves gRPC only, so every request is refused"},
	{"status_on_error", isStatus(false, 4), StatusOnError, asRefusal},
	{"status_on_error", isStatus(false, 0, 1, 2, 3), StatusOnError, "Envoy Gateway takes the numbers of 4xx and 5xx alone: the policy is not taken, or stays as it was"},
	{"timeout", isGiven, Timeout, "the default is 10 s: a patgate that hangs holds every request that long"},
}

// clientRules are about ClientTrafficPolicy, where Envoy Gateway's defaults do not do.
var clientRules = []rule{
	{"path.escaped_slashes_action", isOneOf(isWord("KeepUnchanged", -1), isWord("RejectRequest", -1)), EscapedSlashes, "a path with `%2f` is decoded and sent on, or sent back to the client"},
	{"path.disable_merge_slashes", isOff, MergeSlashes, "patgate refuses each path with `//`, and Envoy finds routes by it"},
	{"client_ip_detection.x_forwarded_for.disable_x_forwarded_for_append", isOff, XFFAppend, "x-forwarded-for lacks the peer, so a gate reads an entry that the client wrote"},
	{"client_ip_detection.custom_header", isNotGiven, RemoteAddress, "the client's address comes from a header: clients choose their own x-forwarded-for and x-forwarded-proto"},
	{"headers.with_underscores_action", isRejectOrDefault, Underscores, "`x_forwarded_user` reaches filters and upstreams that take it for x-forwarded-user"},
}

// isRejectOrDefault requires RejectRequest, which is Envoy Gateway's default.
func isRejectOrDefault(n *node) string {
	if n == nil {
		return ""
	}
	return isWord("RejectRequest", -1)(n)
}

func (c *checker) securityPolicy(doc *node) {
	c.judged++
	auth := doc.get("spec", "ext_auth")
	c.checkFields(securityRules, auth, false)
	if t := auth.get("timeout"); t != nil {
		c.checkTimeout(t)
	}
	for _, e := range auth.get("context_extensions").elements() {
		if e.get("name").str() == "patgate.gate" {
			c.gateName(e.get("value"))
		}
	}
	if gate, why := c.gates.readsBodies(); gate != "" && auth.get("body_to_ext_auth") == nil {
		c.find(BodyMissing, auth.missing("body_to_ext_auth"), "is missing: %s", why)
	}
}

func (c *checker) clientTrafficPolicy(doc *node) {
	c.judged++
	spec := doc.get("spec")
	c.checkFields(clientRules, spec, false)
	hops := spec.get("client_ip_detection", "x_forwarded_for", "num_trusted_hops")
	n, _ := hops.number()
	if c.gates != nil {
		c.compareHops(spec.missing("client_ip_detection", "x_forwarded_for", "num_trusted_hops"), n)
	} else if n > 0 {
		c.find(TrustedHops, hops.spot(), hopsUnasked, n)
	}
	ranges := map[*node]int64{}
	trusted := spec.get("client_ip_detection", "x_forwarded_for", "trusted_cidrs")
	for _, r := range trusted.elements() {
		_, length, _ := strings.Cut(r.str(), "/")
		if ranges[r], _ = strconv.ParseInt(length, 10, 64); length == "" {
			ranges[r] = 32 // one address
		}
	}
	if len(ranges) > 0 {
		c.trustedRanges(trusted, ranges)
	}
	if n := spec.get("proxy_protocol", "optional"); n.isTrue() {
		c.find(RemoteAddress, n.spot(), "is true: everyone who reaches the listener directly may claim any address by PROXY protocol")
	}
	for _, set := range []string{"set", "add", "add_if_absent"} {
		for _, h := range spec.get("headers", "early_request_headers", set).elements() {
			if name := h.get("name"); slices.ContainsFunc(callerHeaders, func(s string) bool { return strings.EqualFold(s, name.str()) }) {
				c.find(CallerForged, name.spot(), "%s is set before ext_authz: patgate takes it for the client's own header", name.str())
			}
		}
	}
	early := spec.get("headers", "early_request_headers")
	at := spec.missing("headers", "early_request_headers", "remove")
	if kept := notRemoved(early, c.identities(), false); kept != "" {
		c.find(IdentityKept, at, "filters before ext_authz see %s as the client sent them", kept)
	}
	if kept := notRemoved(early, c.unreadHostHeaders(), true); kept != "" {
		c.find(HostHeadersKept, at, keptHosts, kept)
	}
}

// notRemoved lists the headers that early_request_headers do not remove, or set to something else.
func notRemoved(early *node, names []string, set bool) string {
	var kept []string
	for _, name := range names {
		found := false
		for _, r := range early.get("remove").elements() {
			found = found || strings.EqualFold(r.str(), name)
		}
		for _, m := range early.get("remove_on_match").elements() {
			found = found || matchesKind(m, name)
		}
		for _, h := range early.get("set").elements() {
			found = found || set && strings.EqualFold(h.get("name").str(), name)
		}
		if !found {
			kept = append(kept, name)
		}
	}
	return strings.Join(kept, ", ")
}

// matchesKind evaluates a StringMatch of Envoy Gateway, which is exact where it says no type.
func matchesKind(m *node, text string) bool {
	value := m.get("value").str()
	switch typ := m.get("type").str(); typ {
	case "Prefix":
		return strings.HasPrefix(text, value)
	case "Suffix":
		return strings.HasSuffix(text, value)
	case "RegularExpression":
		return fullMatch(value, text)
	case "", "Exact":
		return strings.EqualFold(text, value)
	}
	return false
}

// filterOrder checks where an EnvoyProxy moves filters around ext_authz.
func (c *checker) filterOrder(spec *node) {
	for _, move := range spec.get("filter_order").elements() {
		first, last := move.get("name"), move.get("before")
		if after := move.get("after"); after != nil {
			first, last = after, first
		}
		if !strings.Contains(last.str(), "ext_authz") {
			continue
		}
		c.judged++
		short := first.str()[strings.LastIndexByte(first.str(), '.')+1:]
		switch t := filterTraits[short]; {
		case t&gives != 0:
			c.find(CallerForged, move.spot(), "%s is put before ext_authz: patgate takes the credential that it sets for the client's", short)
		case t&answers != 0:
			c.find(AnswersBefore, move.spot(), "%s is put before ext_authz: it may answer requests without a check and without an audit event", short)
		}
	}
}

// extensionPolicy checks an EnvoyExtensionPolicy, whose filters run after ext_authz.
func (c *checker) extensionPolicy(spec *node) {
	for _, name := range []string{"lua", "wasm", "ext_proc", "dynamic_module"} {
		if n := spec.get(name); n != nil {
			c.judged++
			c.find(ChangesAfter, n.spot(), "the filter is after ext_authz: it may change the request after the check")
		}
	}
}
