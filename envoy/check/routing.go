package check

import (
	"slices"
	"strings"

	"github.com/patgate/patgate/policy"
)

// routing checks what routes do with a request after its check: where it goes, and with
// which host and path.
func (c *checker) routing(routes *node) {
	for _, n := range routes.within("cluster_header") {
		c.find(RoutedByClient, n.spot(), "the client chooses the cluster by the header %s, and patgate checks host and path only", n.str())
	}
	for _, w := range routes.within("weighted_clusters") {
		if n := w.get("header_name"); n != nil {
			c.find(RoutedByClient, n.spot(), "the client chooses one of the clusters by the header %s", n.str())
		}
	}
	for _, n := range append(routes.within("inline_cluster_specifier_plugin"), routes.within("cluster_specifier_plugins")...) {
		c.find(NotSeen, n.spot(), "a plugin chooses the cluster: it may let the client choose")
	}
	for _, n := range routes.within("host_rewrite_header") {
		c.find(HostRewritten, n.spot(), "the upstream gets the host that the client writes into %s, but patgate checked another one", n.str())
	}
	for _, n := range routes.within("host_rewrite_path_regex") {
		c.find(HostRewritten, n.spot(), "the upstream gets a host that is made from the client's path, but patgate checked another one")
	}
	for _, route := range routes.within("route") {
		for _, field := range []string{"prefix_rewrite", "regex_rewrite", "path_rewrite", "path_rewrite_policy"} {
			if n := route.get(field); n != nil {
				c.find(PathRewritten, n.spot(), "policies check the path that the client sent, and the upstream gets another one")
			}
		}
	}
	for _, n := range routes.within("internal_redirect_policy") {
		c.find(InternalRedirect, n.spot(), "Envoy follows redirects of the upstream itself: the second check gets the request without its credential")
	}
}

// copiedHeader checks a header that a route sets, where it is one of the target and its
// value comes from the client.
func (c *checker) copiedHeader(key *node, name, value string) {
	value = strings.ToLower(value)
	value = strings.NewReplacer("%req(:authority)%", "", "%req(host)%", "").Replace(value)
	named := func(other string) bool { return strings.EqualFold(other, name) }
	if strings.Contains(value, "%req(") && (slices.ContainsFunc(hostHeaders, named) || slices.ContainsFunc(targetHeaders, named)) {
		c.find(HostRewritten, key.spot(), "the upstream gets %s as the client writes it into another header, but patgate checked another request", name)
	}
}

// chosenUpstream checks whether the client chooses the address within a cluster of
// guarded routes.
func (c *checker) chosenUpstream(cluster *node) {
	if n := cluster.get("original_dst_lb_config", "use_http_header"); n.isTrue() {
		name := cluster.get("original_dst_lb_config", "http_header_name").str()
		if name == "" {
			name = "x-envoy-original-dst-host"
		}
		c.find(RoutedByClient, n.spot(), "the client chooses the address by the header %s, and patgate checks host and path only", name)
	}
	for _, sources := range cluster.get("load_balancing_policy").within("override_host_sources") {
		for _, n := range sources.within("header") {
			c.find(RoutedByClient, n.spot(), "the client chooses the address by the header %s", n.str())
		}
	}
}

// hostDot requires the trailing dot of a host to be stripped where routes are found by
// the names of hosts.
func (c *checker) hostDot(conn *connection) {
	strip := conn.body.get("strip_trailing_host_dot")
	if strip.isTrue() {
		return
	}
	for _, routes := range []*node{conn.routes, conn.body.get("scoped_routes")} {
		if name := namedHost(routes); name != "" {
			c.find(HostDot, conn.body.missing("strip_trailing_host_dot"), "%s: the host %s finds these routes, and `%s.` finds others", wrongSwitch(strip), name, strings.TrimPrefix(name, "*."))
			return
		}
	}
}

func wrongSwitch(n *node) string {
	if n == nil {
		return "is missing"
	}
	return shown(n)
}

// namedHost returns a host that routes are found by, other than any.
func namedHost(routes *node) string {
	for _, domains := range routes.within("domains") {
		for _, d := range domains.elements() {
			if d.str() != "" && d.str() != "*" {
				return d.str()
			}
		}
	}
	for _, headers := range routes.within("headers") {
		for _, h := range headers.elements() {
			if name := strings.ToLower(h.get("name").str()); name != ":authority" && name != "host" {
				continue
			}
			for _, text := range append(h.within("exact"), append(h.within("suffix"), h.within("exact_match")...)...) {
				return text.str()
			}
		}
	}
	return ""
}

// hostHeaders are those that upstreams read their own host or path from.
var hostHeaders = []string{"x-original-uri", "x-forwarded-host", "forwarded", "x-forwarded-prefix", "x-forwarded-server", "x-host", "x-original-host", "x-http-host-override"}

// hostHeadersKept requires headers that upstreams read their host from to be removed or
// overwritten, by filters or for all routes.
func (c *checker) hostHeadersKept(conn *connection, mutations []*node) {
	removed := conn.routes.get("request_headers_to_remove").elements()
	var kept []string
	for _, name := range c.unreadHostHeaders() {
		gone := false
		for _, m := range mutations {
			gone = gone || removes(m, name) || overwrites(m, name)
		}
		for _, r := range removed {
			gone = gone || strings.EqualFold(r.str(), name)
		}
		if !gone {
			kept = append(kept, name)
		}
	}
	if len(kept) > 0 {
		c.find(HostHeadersKept, conn.filters[conn.authz[0]].node.spot(), keptHosts, strings.Join(kept, ", "))
	}
}

// unreadHostHeaders are the host headers that no gate reads, which envoy-config leaves in
// place.
func (c *checker) unreadHostHeaders() []string {
	if c.gates == nil {
		return hostHeaders
	}
	return slices.DeleteFunc(slices.Clone(hostHeaders), func(name string) bool {
		return slices.ContainsFunc(c.gates.rows, func(g *policy.Gate) bool { return g.ActAsHeader == name || g.ClientIP.Header == name })
	})
}

// keptHosts is the message for headers that nothing removes.
const keptHosts = "the upstream gets %s as the client wrote them: it may act on another host than patgate checked"

// overwrites reports whether a HeaderMutation writes a header whatever the client sent.
func overwrites(m *node, name string) bool {
	a := m.get("append")
	return strings.EqualFold(a.get("header", "key").str(), name) && a.get("append_action").is("OVERWRITE_IF_EXISTS_OR_ADD", 2) &&
		!strings.Contains(strings.ToLower(a.get("header", "value").str()), "%req("+name)
}
