package check

import (
	"bytes"
	"strings"
)

// objects are the objects of Kubernetes that say something of Envoy.
type objects struct {
	security []*node // SecurityPolicy with extAuth
	others   []*node // and without
	clients  []*node // ClientTrafficPolicy

	mesh      bool       // whether there is a MeshConfig
	providers []provider // of all MeshConfigs
	custom    []*node    // specs of AuthorizationPolicies that ask one
}

// object takes in one object of Kubernetes. Kinds that say nothing of Envoy are passed over.
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
			if err := c.embedded(t, f.name, f.value); err != nil {
				return err
			}
		}
	case "EnvoyProxy":
		if err := c.embedded(t, "", spec.get("bootstrap", "value")); err != nil {
			return err
		}
		c.filterOrder(spec)
	case "EnvoyExtensionPolicy":
		c.extensionPolicy(spec)
	case "DestinationRule":
		c.destinationRule(spec)
	case "IstioOperator":
		c.mesh(spec.get("mesh_config"))
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
	case "EnvoyPatchPolicy":
		c.envoyPatch(spec)
	case "HTTPRoute", "GRPCRoute", "VirtualService":
		c.kubeRouteHeaders(spec)
	}
	for _, n := range spec.within("image") {
		c.imageVersion(n)
	}
	return nil
}

// embedded reads what an object holds as text, if it is a configuration.
func (c *checker) embedded(t *text, key string, n *node) error {
	if n == nil || n.kind != scalar {
		return nil
	}
	is := key == "mesh"
	for _, mark := range []string{"static_resources", "staticResources", "dynamic_resources", "dynamicResources", "filter_chains", "filterChains", "@type"} {
		is = is || strings.Contains(n.text, mark)
	}
	if !is {
		return nil
	}
	inner := &text{file: t.file, data: []byte(n.text), line: n.at.line, column: n.at.column - 1}
	// A block begins on the line after its key; its indent is that of its first line.
	lines := bytes.Split(t.data, []byte("\n"))
	first, _, _ := strings.Cut(n.text, "\n")
	if at := n.at.line - t.line; at < len(lines) {
		line := strings.TrimRight(string(lines[at]), "\r")
		if indent := len(line) - len(strings.TrimLeft(line, " ")); strings.TrimLeft(line, " ") == strings.TrimLeft(first, " ") && strings.HasSuffix(line, first) {
			inner.column = t.column + indent
			return c.read(inner)
		}
	}
	inner.fixed = &n.at
	return c.read(inner)
}

// judgeObjects judges what several objects say together.
func (c *checker) judgeObjects() {
	c.judgeProviders()
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
		c.find(NotSeen, c.kube.security[0].get("spec").missing("ext_auth"), "no ClientTrafficPolicy is here: how paths and client addresses are read is not seen")
	}
}

// fragment judges what a patch holds, wherever it stands in it: whole filters, parts of
// them, and settings of routes.
func (c *checker) fragment(value *node, part bool) {
	value.walk(func(n *node) bool {
		switch typ, body := typed(n); typ {
		case typeExtAuthz:
			c.judged++
			a := &authz{body: body, part: part, name: value.get("name").str()}
			c.authz = append(c.authz, a)
			c.judgeAuthz(a)
			return false
		case typeConnection:
			c.judged++
			c.judgeFields(connectionRules, body, true)
		}
		return true
	})
	c.perRoute(nil, value, nil)
	c.unbuffered(value)
	c.routeHeaders(value)
	c.admin(value.get("admin"))
	if d := value.get("disabled"); d.isTrue() && strings.Contains(value.get("name").str(), "ext_authz") {
		c.find(FilterDisabled, d.spot(), "the filter is off wherever no route turns it on")
	}
}

// kubeRouteHeaders judges the headers that routes of Gateway API and Istio set.
func (c *checker) kubeRouteHeaders(spec *node) {
	for _, f := range spec.within("request_header_modifier") {
		for _, list := range []*node{f.get("set"), f.get("add")} {
			for _, h := range list.elements() {
				c.kubeHeader(h.get("name"), h.get("name").str())
			}
		}
	}
	for _, f := range spec.within("headers") {
		for _, set := range []*node{f.get("request", "set"), f.get("request", "add")} {
			for _, h := range set.entries() {
				c.kubeHeader(h.value, h.name)
			}
		}
	}
}

func (c *checker) kubeHeader(at *node, name string) {
	if c.isIdentity(name) {
		c.judged++
		c.find(IdentityForged, at.spot(), "the route sets %s after the request was judged: the upstream takes it for patgate's word", name)
	}
}
