package check

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/patgate/patgate/policy"
)

// connection is one HTTP connection manager.
type connection struct {
	body    *node
	filters []*httpFilter
	authz   []int // which of the filters are ext_authz
	routes  *node // nil where they are not known
	targets map[string]bool
}

// checkScope checks one configuration.
func (c *checker) checkScope(s *scope) {
	c.checkEnvoy(s)
	guarded := map[string]bool{}
	var tunnels []*node
	for _, listener := range s.listeners {
		if c.sidecarsWay(s, listener) {
			continue
		}
		c.judged++
		open := c.isOpen(listener)
		listener.walk(func(n *node) bool {
			switch typ, body := typed(n); typ {
			case typeConnection:
				if open {
					return false
				}
				conn := c.connection(s, body)
				c.loopbackPeer(listener, conn)
				for cluster := range conn.targets {
					guarded[cluster] = guarded[cluster] || len(conn.authz) > 0
				}
				return false
			case typeTCPProxy:
				tunnels = append(tunnels, body)
			case typeProxyProtocol:
				if mixed := body.get("allow_requests_without_proxy_protocol"); mixed.isTrue() {
					c.find(RemoteAddress, mixed.spot(), "is true: everyone who reaches the listener directly may claim any address by PROXY protocol")
				}
			case typeNetworkAuthz:
				c.find(ConditionalCheck, body.spot(), "a network filter checks connections, not requests: patgate refuses what has no path")
			}
			return true
		})
	}
	for name, asked := range guarded {
		if asked {
			c.chosenUpstream(c.cluster(s, name))
		}
	}
	for _, t := range tunnels {
		clusters := t.within("cluster")
		for _, w := range t.get("weighted_clusters", "clusters").elements() {
			clusters = append(clusters, w.get("name"))
		}
		for _, cluster := range clusters {
			if guarded[cluster.str()] {
				c.find(SideDoor, cluster.spot(), "a tcp_proxy leads to %s, whose requests are checked by ext_authz elsewhere", cluster.str())
			}
		}
	}
	c.misplaced(s)
	if s.bootstrap != nil {
		asks := func(a *authz) bool { return a.scope == s }
		c.changedRuntime(s.bootstrap, slices.ContainsFunc(c.authz, asks))
	}
}

// connection checks one connection manager with its filters and routes.
func (c *checker) connection(s *scope, body *node) *connection {
	conn := &connection{body: body, filters: c.httpFilters(s, body.get("http_filters"))}
	for i, f := range conn.filters {
		if f.message == typeExtAuthz {
			conn.authz = append(conn.authz, i)
		}
	}
	c.findRoutes(s, conn)
	conn.targets = c.targets(conn.routes)
	c.upgrades(conn)
	if len(conn.authz) == 0 {
		nested := func(f *httpFilter) bool { return holds(f.body, typeExtAuthz) } // misplaced reports it
		if slices.ContainsFunc(conn.filters, nested) {
			return conn
		}
		if (conn.routes == nil || forwards(conn.routes)) && !c.leadsInside(s, conn) {
			c.find(NoExtAuthz, body.missing("http_filters"), "no ext_authz filter: these requests bypass patgate")
		}
		return conn
	}
	c.checkFields(connectionRules, body, false)
	if conn.routes != nil && !conn.routes.get("ignore_port_in_host_matching").isTrue() {
		c.checkFields([]rule{hostPort}, body, false)
	}
	c.hostDot(conn)
	c.localReplies(body)
	c.customResponses(body.get("http_filters"))
	c.clientAddress(conn)
	c.addressExtensions(conn)
	c.order(conn.filters, conn.authz[0], conn.authz[len(conn.authz)-1])
	c.identity(conn)
	for _, i := range conn.authz {
		c.filter(s, conn.filters[i], conn)
	}
	c.disabled(conn)
	c.checkRoutes(s, conn)
	return conn
}

// targets lists the clusters that routes lead to. Many connection managers may have the
// same routes.
func (c *checker) targets(routes *node) map[string]bool {
	if known := c.led[routes]; known != nil {
		return known
	}
	list := map[string]bool{}
	for _, route := range routes.within("route") {
		for _, key := range []string{"cluster", "name"} {
			for _, cluster := range route.within(key) {
				list[cluster.str()] = true
			}
		}
	}
	c.led[routes] = list
	return list
}

// upgrades checks the separate filters of upgraded requests, which replace the others.
func (c *checker) upgrades(conn *connection) {
	for _, u := range conn.body.get("upgrade_configs").elements() {
		if chain := u.get("filters"); len(chain.elements()) > 0 && !holds(chain, typeExtAuthz) {
			c.find(NoExtAuthz, chain.spot(), "no ext_authz filter: upgraded requests have filters of their own, and bypass patgate")
		}
	}
}

// holds reports whether a message of a type is below a node.
func holds(n *node, message string) (found bool) {
	n.walk(func(inner *node) bool {
		typ, _ := typed(inner)
		found = found || typ == message
		return !found
	})
	return found
}

// findRoutes finds the routes of a connection manager: its own, or those of a name.
func (c *checker) findRoutes(s *scope, conn *connection) {
	conn.routes = conn.body.get("route_config")
	if rds := conn.body.get("rds"); rds != nil {
		name := rds.get("route_config_name").str()
		if conn.routes = c.route(s, name); conn.routes == nil {
			c.find(NotSeen, rds.spot(), "the routes %q are not in these files (RDS): one of them may bypass patgate", name)
		}
	}
	if scoped := conn.body.get("scoped_routes"); scoped != nil {
		c.find(NotSeen, scoped.spot(), "scopes choose the routes: one of them may bypass patgate")
	}
	if vhds := conn.routes.get("vhds"); vhds != nil {
		c.find(NotSeen, vhds.spot(), "virtual hosts are not in these files (VHDS): one of them may bypass patgate")
	}
}

// forwards reports whether a route leads to an upstream: one with a direct_response or a
// redirect does not.
func forwards(routes *node) bool {
	return len(routes.within("route")) > 0 || len(routes.within("non_forwarding_action")) > 0 ||
		len(routes.within("filter_action")) > 0 || len(routes.within("cluster_specifier_plugins")) > 0
}

// hopsUnasked is the message for a number of proxies that no gate is compared with.
const hopsUnasked = "is %d: each gate that counts x-forwarded-for must have the same number (clientIP.trustedHops)"

// clientAddress checks what Envoy uses as the client's address.
func (c *checker) clientAddress(conn *connection) {
	c.internalAddress(conn.body)
	if hops, n, counted := c.hops(conn); counted && n > 0 && c.gates == nil {
		c.find(TrustedHops, hops, hopsUnasked, n)
	}
}

// internalAddress checks which clients count as internal.
func (c *checker) internalAddress(body *node) {
	internal := body.get("internal_address_config")
	if internal == nil {
		return
	}
	ranges := internal.get("cidr_ranges").elements()
	if len(ranges) == 0 && !internal.get("unix_sockets").isTrue() {
		c.find(InternalAddress, internal.spot(), "is empty: loopback counts as internal, and its clients may set x-envoy headers")
	}
	for _, r := range ranges {
		if length, _ := r.get("prefix_len").number(); length < 32 {
			c.find(InternalAddress, r.spot(), "clients of %s/%d count as internal: they may set x-envoy headers", r.get("address_prefix").str(), length)
		}
	}
}

// hops returns how many proxies in front a connection manager trusts, as
// xff_num_trusted_hops counts them. With trusted ranges there is no such number.
func (c *checker) hops(conn *connection) (at spot, n int64, counted bool) {
	for _, e := range conn.body.get("original_ip_detection_extensions").elements() {
		if typ, body := typed(e.get("typed_config")); typ == typeXFF { // counts one fewer
			if body.get("xff_trusted_cidrs") != nil {
				return spot{}, 0, false
			}
			n, _ := body.get("xff_num_trusted_hops").number()
			return body.missing("xff_num_trusted_hops"), n + 1, true
		}
	}
	n, _ = conn.body.get("xff_num_trusted_hops").number()
	return conn.body.missing("xff_num_trusted_hops"), n, true
}

// everybody is the longest prefix of a range that holds far more than proxies.
const everybody = 7

// trustedRanges checks ranges of proxies over which x-forwarded-for is read back.
func (c *checker) trustedRanges(at *node, ranges map[*node]int64) {
	wide := false
	for _, r := range slices.SortedFunc(maps.Keys(ranges), byPlace) {
		if ranges[r] <= everybody {
			wide = true
			c.find(RemoteAddress, r.spot(), "the trusted ranges contain clients: Envoy uses the address that a client writes into x-forwarded-for")
		}
	}
	if wide {
		return
	}
	if c.gates == nil {
		c.find(TrustedHops, at.spot(), "is set: Envoy skips all entries of trusted ranges, and a gate counts a fixed number of them (clientIP.trustedHops)")
		return
	}
	for _, g := range c.gates.rows {
		if g.ClientIP.Source == policy.FromXFF {
			c.find(HopsDiffer, at.spot(), "is set: Envoy skips all entries of trusted ranges, and the Gate %s counts %d (clientIP.trustedHops)", g.Name, g.ClientIP.TrustedHops)
		}
	}
}

func byPlace(a, b *node) int {
	return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column), cmp.Compare(a.path(), b.path()))
}

// addressExtensions checks extensions that choose the client's address. The one that
// counts x-forwarded-for is as good as use_remote_address where it appends the peer.
func (c *checker) addressExtensions(conn *connection) {
	c.detections(conn.body)
	if len(conn.body.get("original_ip_detection_extensions").elements()) == 0 {
		c.checkFields([]rule{remoteAddress}, conn.body, false)
	}
}

func (c *checker) detections(connection *node) {
	for _, e := range children(connection.get("original_ip_detection_extensions")) {
		typ, body := typed(e.get("typed_config"))
		if trusted := body.get("xff_trusted_cidrs"); typ == typeXFF && trusted != nil {
			ranges := map[*node]int64{}
			for _, r := range trusted.get("cidrs").elements() {
				ranges[r], _ = r.get("prefix_len").number() // absent: 0
			}
			c.trustedRanges(trusted, ranges)
		}
		switch skip := body.get("skip_xff_append"); {
		case typ != typeXFF:
			c.find(RemoteAddress, e.spot(), "the client's address comes from a header: clients choose their own x-forwarded-for and x-forwarded-proto")
		case skip == nil || skip.isTrue():
			c.find(XFFAppend, body.missing("skip_xff_append"), "x-forwarded-for lacks the peer, so a gate reads an entry that the client wrote")
		}
	}
}

// misplaced finds ext_authz filters that are not entries of a filter chain: something else
// decides whether they run.
func (c *checker) misplaced(s *scope) {
	for _, listener := range s.listeners {
		listener.walk(func(n *node) bool {
			if n.parent.get("config_discovery") == n {
				return false // a default, checked where it applies
			}
			if typ, body := typed(n); typ == typeExtAuthz && !c.seen(body) {
				c.find(ConditionalCheck, body.spot(), "ext_authz is within another filter, which selects the requests that are checked")
				a := &authz{body: body, scope: s}
				c.authz = append(c.authz, a)
				c.checkAuthz(a)
				return false
			}
			return true
		})
	}
	for _, cluster := range s.clusters {
		cluster.walk(func(n *node) bool {
			if typ, body := typed(n); typ == typeExtAuthz {
				c.find(ConditionalCheck, body.spot(), "ext_authz is among a cluster's filters: only requests to this cluster are checked, after they were routed")
			}
			return true
		})
	}
}

// seen reports whether a filter was checked as part of a chain.
func (c *checker) seen(body *node) bool {
	for _, a := range c.authz {
		if a.body == body {
			return true
		}
	}
	return false
}

// checkEnvoy checks Envoy's admin, its version and its runtime.
func (c *checker) checkEnvoy(s *scope) {
	if s.bootstrap == nil {
		return
	}
	c.admin(s.bootstrap.get("admin"))
	c.runtime(s.bootstrap)
	c.nodeVersion(s.bootstrap.get("node"))
	dynamic := s.bootstrap.get("dynamic_resources")
	if lds := dynamic.get("lds_config"); lds != nil && !s.dump {
		c.judged++
		c.find(NotSeen, lds.spot(), "listeners are not in these files (LDS): one of them may lack ext_authz")
	}
}

// admin checks who can reach Envoy's admin, which changes the runtime and shows everything.
func (c *checker) admin(admin *node) {
	address := admin.get("address", "socket_address", "address")
	if address == nil || loopback(address.str()) || len(admin.get("allow_paths").elements()) > 0 {
		return
	}
	c.judged++
	c.find(AdminOpen, address.spot(), "the admin interface listens on %s: everyone who reaches it can change the runtime, read the configuration and stop Envoy", address.str())
}

// shortName is a message's name without its packages.
func shortName(message string) string { return message[strings.LastIndexByte(message, '.')+1:] }
