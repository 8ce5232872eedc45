package check

import (
	"slices"
	"strings"
)

// securityRules are about the extAuth of Envoy Gateway's SecurityPolicy.
var securityRules = []rule{
	{"fail_open", isOff, FailureModeAllow, "every request passes while patgate is down or slow, and while the policy is invalid"},
	{"recompute_route", isOff, RouteCache, "the headers that patgate sets can move a request to another route after it was judged"},
	{"headers_to_ext_auth", isNotGiven, HeadersHidden, "patgate sees only some headers: authorization, x-forwarded-for, content-type and those that change the method must be among them"},
	{"http", isNotGiven, HTTPService, "patgate speaks gRPC alone, so that every request is refused"},
	{"status_on_error", isStatus(false, 4), StatusOnError, asRefusal},
	{"status_on_error", isStatus(false, 0, 1, 2, 3), StatusOnError, "Envoy Gateway takes the numbers of 4xx and 5xx alone: the policy is not taken, or stays as it was"},
	{"timeout", isGiven, Timeout, "it is 10 s: a patgate that hangs holds every request so long"},
}

// clientRules are about ClientTrafficPolicy, where Envoy Gateway's defaults do not do.
var clientRules = []rule{
	{"path.escaped_slashes_action", isOneOf(isWord("KeepUnchanged", -1), isWord("RejectRequest", -1)), EscapedSlashes, "a path with `%2f` is decoded and sent on, or sent back to the client"},
	{"path.disable_merge_slashes", isOff, MergeSlashes, "patgate refuses each path with `//`, and routes are found by it"},
	{"client_ip_detection.x_forwarded_for.disable_x_forwarded_for_append", isOff, XFFAppend, "x-forwarded-for lacks the peer, so that the entry that a gate counts to is the client's own word"},
	{"client_ip_detection.custom_header", isNotGiven, RemoteAddress, "the client's address comes from a header: x-forwarded-for and x-forwarded-proto are the client's own words"},
	{"headers.with_underscores_action", isRejectOrDefault, Underscores, "`x_forwarded_user` reaches filters and upstreams that take it for x-forwarded-user"},
}

// isRejectOrDefault wants RejectRequest, which is Envoy Gateway's default.
func isRejectOrDefault(n *node) string {
	if n == nil {
		return ""
	}
	return isWord("RejectRequest", -1)(n)
}

func (c *checker) securityPolicy(doc *node) {
	c.judged++
	auth := doc.get("spec", "ext_auth")
	c.judgeFields(securityRules, auth, false)
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

// overriding judges a SecurityPolicy without extAuth: at a route it takes the place of the
// one at its Gateway.
func (c *checker) overriding(doc *node) {
	spec := doc.get("spec")
	if len(c.kube.security) == 0 || spec.get("merge_type") != nil {
		return
	}
	refs := spec.get("target_refs").elements()
	if ref := spec.get("target_ref"); ref != nil {
		refs = append(refs, ref)
	}
	for _, ref := range refs {
		if kind := ref.get("kind").str(); strings.HasSuffix(kind, "Route") {
			c.find(RouteUnchecked, ref.spot(), "without extAuth of its own, or mergeType, it takes the place of the Gateway's: nobody is asked about the requests of %s %s", kind, ref.get("name").str())
		}
	}
}

func (c *checker) clientTrafficPolicy(doc *node) {
	c.judged++
	spec := doc.get("spec")
	c.judgeFields(clientRules, spec, false)
	hops := spec.get("client_ip_detection", "x_forwarded_for", "num_trusted_hops")
	n, _ := hops.number()
	if c.gates != nil {
		c.compareHops(spec.missing("client_ip_detection", "x_forwarded_for", "num_trusted_hops"), n)
	} else if n > 0 {
		c.find(TrustedHops, hops.spot(), hopsUnasked, n)
	}
	for _, set := range []string{"set", "add"} {
		for _, h := range spec.get("headers", "early_request_headers", set).elements() {
			if name := h.get("name"); slices.ContainsFunc(callerHeaders, func(s string) bool { return strings.EqualFold(s, name.str()) }) {
				c.find(CallerForged, name.spot(), "%s is set before ext_authz: patgate takes it for what the client said", name.str())
			}
		}
	}
	var kept []string
	removed := spec.get("headers", "early_request_headers", "remove")
	for _, name := range c.identities() {
		found := false
		for _, r := range removed.elements() {
			found = found || strings.EqualFold(r.str(), name)
		}
		if !found {
			kept = append(kept, name)
		}
	}
	if len(kept) > 0 {
		c.find(IdentityKept, spec.missing("headers", "early_request_headers", "remove"), "what a client sends as %s is seen by every filter before ext_authz has answered", strings.Join(kept, ", "))
	}
}

// filterOrder judges where an EnvoyProxy moves filters around ext_authz.
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
			c.find(CallerForged, move.spot(), "%s is put before ext_authz: patgate takes the credential that it gives for the client's", short)
		case t&answers != 0:
			c.find(AnswersBefore, move.spot(), "%s is put before ext_authz: it may answer requests that nobody has judged, and nobody audits", short)
		}
	}
}

// extensionPolicy judges an EnvoyExtensionPolicy, whose filters stand behind ext_authz.
func (c *checker) extensionPolicy(spec *node) {
	for _, name := range []string{"lua", "wasm", "ext_proc", "dynamic_module"} {
		if n := spec.get(name); n != nil {
			c.judged++
			c.find(ChangesAfter, n.spot(), "the filter stands after ext_authz: it may make of the request that was judged another one")
		}
	}
}

// envoyPatch judges the patches of an EnvoyPatchPolicy.
func (c *checker) envoyPatch(spec *node) {
	for _, p := range spec.get("json_patches").elements() {
		operation := p.get("operation")
		c.judged++
		value := operation.get("value")
		if op := operation.get("op"); op.is("remove", -1) && strings.Contains(operation.get("path").str()+operation.get("json_path").str(), "ext_authz") {
			c.find(FilterRemoved, op.spot(), "the patch takes ext_authz, or a part of it, off")
		}
		if value == nil {
			continue
		}
		c.fragment(value, true)
		c.patchedField(operation, value)
	}
}

// patchedField judges a patch of a field within a filter or connection manager, as the
// message that has this field alone.
func (c *checker) patchedField(operation, value *node) {
	path := strings.ReplaceAll(operation.get("json_path").str(), ".", "/") + operation.get("path").str()
	if i := strings.LastIndex(path, "typed_config/"); i >= 0 {
		path = path[i+len("typed_config/"):]
	}
	names := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '.' })
	if len(names) == 0 {
		return
	}
	if names[len(names)-1] == "disabled" && value.isTrue() {
		c.find(RouteUnchecked, value.spot(), "nobody is asked about the requests of what is patched")
	}
	before, message := len(c.findings), value
	for i := len(names) - 1; i >= 0; i-- {
		message = &node{kind: mapping, at: value.at, fields: []field{{names[i], message}}}
	}
	c.judgeFields(connectionRules, message, true)
	a := &authz{body: message, part: true}
	c.authz = append(c.authz, a)
	c.judgeAuthz(a)
	for i := range c.findings[before:] { // the value's own path does not tell which field it is
		if f := &c.findings[before+i]; f.Field == value.path() {
			f.Field += " (" + strings.Join(names, ".") + ")"
		}
	}
}
