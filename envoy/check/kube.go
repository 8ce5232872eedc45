package check

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strings"
)

// objects are the Kubernetes objects that configure Envoy.
type objects struct {
	security []*node // SecurityPolicy with extAuth
	others   []*node // and without
	clients  []*node // ClientTrafficPolicy

	mesh      bool       // whether there is a MeshConfig
	providers []provider // of all MeshConfigs
	custom    []*node    // specs of AuthorizationPolicies that ask one
}

// object adds one Kubernetes object. Kinds that do not configure Envoy are ignored.
func (c *checker) object(t *text, doc *node) error {
	spec := doc.get("spec")
	switch doc.key("kind").str() {
	case "List":
		for _, item := range doc.get("items").elements() {
			if err := c.object(t, item); err != nil {
				return err
			}
		}
		return nil
	case "ConfigMap":
		for _, f := range doc.get("data").entries() {
			c.embedded(t, f.name, f.value)
		}
	case "EnvoyProxy":
		c.embedded(t, "", spec.get("bootstrap", "value"))
		c.filterOrder(spec)
	case "EnvoyExtensionPolicy":
		c.extensionPolicy(spec)
	case "DestinationRule":
		c.destinationRule(spec)
	case "IstioOperator":
		c.mesh(spec.get("mesh_config"))
	case "WasmPlugin":
		c.wasmPlugin(spec)
	case "EnvoyFilter":
		c.envoyFilter(spec)
	case "AuthorizationPolicy":
		c.authorizationPolicy(doc)
	case "SecurityPolicy":
		if spec.get("ext_auth") != nil {
			c.kube.security = append(c.kube.security, doc)
		} else {
			c.kube.others = append(c.kube.others, doc)
		}
	case "ClientTrafficPolicy":
		c.kube.clients = append(c.kube.clients, doc)
	case "BackendTrafficPolicy":
		c.responseOverride(spec)
	case "HTTPRouteFilter":
		c.routeFilter(spec)
	case "EnvoyPatchPolicy":
		c.envoyPatch(spec)
	case "HTTPRoute", "GRPCRoute", "VirtualService":
		c.kubeRouteHeaders(spec)
		c.kubeRewrites(spec)
	}
	for _, n := range spec.within("image") {
		c.imageVersion(n)
	}
	return nil
}

// The fields that only a whole configuration has, and what any piece of one may have.
var (
	configMarks   = []string{"static_resources", "staticResources", "dynamic_resources", "dynamicResources", "filter_chains", "filterChains"}
	fragmentMarks = []string{"@type", "virtual_hosts", "virtualHosts", "load_assignment", "loadAssignment"}
)

// embedded reads a configuration that an object holds as text. Other texts and parts of
// a configuration are ignored; a configuration that can't be read is a finding.
func (c *checker) embedded(t *text, key string, n *node) {
	if n == nil || n.kind != scalar {
		return
	}
	marked := func(mark string) bool { return strings.Contains(n.text, mark) }
	whole := key == "mesh" || slices.ContainsFunc(configMarks, marked)
	if !whole && !slices.ContainsFunc(fragmentMarks, marked) {
		return
	}
	err := c.read(innerText(t, n))
	if errors.Is(err, errForeign) && !strings.HasSuffix(key, ".yaml") && !strings.HasSuffix(key, ".yml") && !strings.HasSuffix(key, ".json") {
		return // a text that only mentions one
	}
	if err != nil && whole {
		c.find(NotSeen, n.spot(), "%s can't be read as a configuration: %s", cmp.Or(key, "value"), strings.TrimPrefix(err.Error(), t.file+": "))
	}
}

// innerText is the text that a node holds, with its place.
func innerText(t *text, n *node) *text {
	inner := &text{file: t.file, data: []byte(n.text), line: n.at.line, column: n.at.column - 1}
	// A block begins on the line after its key; its indent is that of its first line.
	lines := bytes.Split(t.data, []byte("\n"))
	first, _, _ := strings.Cut(n.text, "\n")
	if at := n.at.line - t.line; at < len(lines) {
		line := strings.TrimRight(string(lines[at]), "\r")
		if indent := len(line) - len(strings.TrimLeft(line, " ")); strings.TrimLeft(line, " ") == strings.TrimLeft(first, " ") && strings.HasSuffix(line, first) {
			inner.column = t.column + indent
			return inner
		}
	}
	inner.fixed = &n.at
	return inner
}

// checkObjects checks several objects together.
func (c *checker) checkObjects() {
	c.checkProviders()
	for _, doc := range c.kube.security {
		c.securityPolicy(doc)
	}
	for _, doc := range c.kube.others {
		c.overriding(doc)
	}
	for _, doc := range c.kube.clients {
		c.clientTrafficPolicy(doc)
	}
	if len(c.kube.security) > 0 && len(c.kube.clients) == 0 {
		c.find(NotSeen, c.kube.security[0].get("spec").missing("ext_auth"), "there is no ClientTrafficPolicy here: it sets how Envoy reads paths and client addresses")
	}
}

// fragment checks the content of a patch at any depth: whole filters, parts of them,
// and settings of routes.
func (c *checker) fragment(value *node, part bool) {
	value.walk(func(n *node) bool {
		switch typ, body := typed(n); typ {
		case typeExtAuthz:
			c.judged++
			a := &authz{body: body, part: part, name: value.get("name").str()}
			c.authz = append(c.authz, a)
			c.checkAuthz(a)
			return false
		case typeConnection:
			c.judged++
			c.patchedConnection(body)
		}
		return true
	})
	c.perRoute(nil, value, nil)
	c.unbuffered(value)
	c.routeHeaders(value)
	c.routing(value)
	c.admin(value.get("admin"))
	for _, n := range value.get("layered_runtime").within("admin_layer") {
		c.judged++
		c.find(RuntimeOpen, n.spot(), adminLayer)
	}
	if d := value.get("disabled"); d.isTrue() && strings.Contains(value.get("name").str(), "ext_authz") {
		c.find(FilterDisabled, d.spot(), "the filter is off for each route that does not turn it on")
	}
}

// kubeRouteHeaders checks the headers that routes of Gateway API and Istio set.
func (c *checker) kubeRouteHeaders(spec *node) {
	for _, f := range spec.within("request_header_modifier") {
		for _, list := range []*node{f.get("set"), f.get("add")} {
			for _, h := range list.elements() {
				c.kubeHeader(h.get("name"), h.get("name").str(), h.get("value").str())
			}
		}
	}
	for _, f := range spec.within("headers") {
		for _, set := range []*node{f.get("request", "set"), f.get("request", "add")} {
			for _, h := range set.entries() {
				c.kubeHeader(h.value, h.name, h.value.str())
			}
		}
	}
}

// kubeRewrites checks the paths that routes of Gateway API and Istio rewrite.
func (c *checker) kubeRewrites(spec *node) {
	for _, rewrite := range append(spec.within("url_rewrite"), spec.within("rewrite")...) {
		for _, field := range []string{"path", "uri", "uri_regex_rewrite"} {
			if n := rewrite.get(field); n != nil {
				c.judgedBy(func() {
					c.find(PathRewritten, n.spot(), "policies check the path that the client sent, and the upstream gets another one")
				})
			}
		}
	}
}

// routeFilter checks an HTTPRouteFilter of Envoy Gateway.
func (c *checker) routeFilter(spec *node) {
	c.kubeRewrites(spec)
	if n := spec.get("url_rewrite", "hostname", "header"); n != nil {
		c.judgedBy(func() {
			c.find(HostRewritten, n.spot(), "the upstream gets the host that the client writes into %s, but patgate checked another one", n.str())
		})
	}
}

func (c *checker) kubeHeader(at *node, name, value string) {
	c.judgedBy(func() { c.copiedHeader(at, name, value) })
	if c.isIdentity(name) {
		c.judged++
		c.find(IdentityForged, at.spot(), "the route sets %s after the check: the upstream takes it for patgate's", name)
	}
}
