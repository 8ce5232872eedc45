package check

import (
	"net"
	"slices"
	"strings"

	"github.com/patgate/patgate/policy"
)

// sidecarsWay reports whether a listener is the way out of a sidecar, which no client of
// the API uses. Gateways call their listeners OUTBOUND too (Istio's do): what is not seen
// to be a sidecar's is checked, and so is what holds ext_authz.
func (c *checker) sidecarsWay(s *scope, listener *node) bool {
	if !listener.get("traffic_direction").is("OUTBOUND", 2) || holds(listener, typeExtAuthz) || discovers(listener, typeExtAuthz) {
		return false
	}
	switch id := s.bootstrap.get("node", "id").str(); {
	case strings.HasPrefix(id, "sidecar~"):
		return true
	case strings.Contains(id, "~"): // router~, waypoint~
		return false
	}
	if bind := listener.get("bind_to_port"); bind != nil && !bind.isTrue() {
		return true
	}
	if bind := listener.get("deprecated_v1", "bind_to_port"); bind != nil && !bind.isTrue() {
		return true
	}
	port, _ := listener.get("address", "socket_address", "port_value").number()
	return listener.get("use_original_dst").isTrue() || port == 15001 || slices.ContainsFunc(s.listeners, func(other *node) bool {
		return other.at.file == listener.at.file && other.get("traffic_direction").is("INBOUND", 1) && !c.isOpen(other)
	})
}

// discovers reports whether a message of a type comes to a place below a node by itself (ECDS).
func discovers(n *node, message string) bool {
	for _, urls := range n.within("type_urls") {
		for _, url := range urls.elements() {
			if messageName(url.str()) == message {
				return true
			}
		}
	}
	return false
}

// isOpen reports whether a listener is open on purpose: by its name, or by all of its
// addresses. It notes both.
func (c *checker) isOpen(listener *node) bool {
	addresses := []string{address(listener.get("address"))}
	for _, more := range listener.get("additional_addresses").elements() {
		addresses = append(addresses, address(more.get("address")))
	}
	open := !slices.ContainsFunc(addresses, func(a string) bool { return a == "" || !slices.Contains(c.open, a) })
	for _, name := range append(addresses, listener.get("name").str()) {
		if name != "" {
			c.listeners[name] = true
		}
	}
	name := listener.get("name").str()
	return open || name != "" && slices.Contains(c.open, name)
}

// address returns an Address as ADDRESS:PORT, or the path of a pipe.
func address(n *node) string {
	socket := n.get("socket_address")
	if socket == nil {
		return n.get("pipe", "path").str()
	}
	port := socket.get("port_value")
	if port == nil {
		port = socket.get("named_port")
	}
	return net.JoinHostPort(socket.get("address").str(), port.str())
}

// leadsInside reports whether all routes of a connection manager lead to internal
// listeners that are seen, and checked: such as those of Istio's waypoints.
func (c *checker) leadsInside(s *scope, conn *connection) bool {
	if conn.routes == nil || len(conn.targets) == 0 || len(conn.routes.within("cluster_header")) > 0 ||
		len(conn.routes.within("cluster_specifier_plugin")) > 0 || len(conn.routes.within("inline_cluster_specifier_plugin")) > 0 {
		return false
	}
	for cluster := range conn.targets {
		names := []string{cluster} // where the cluster is not seen
		if n := c.cluster(s, cluster); n != nil {
			names = internalListeners(n)
		}
		if len(names) == 0 || slices.ContainsFunc(names, func(name string) bool { return !c.isInternal(s, name) }) {
			return false
		}
	}
	return true
}

// internalListeners returns the internal listeners that a cluster's endpoints are, or
// nothing where one of them is something else.
func internalListeners(cluster *node) (names []string) {
	for _, e := range cluster.get("load_assignment").within("endpoint") {
		name := e.get("address", "envoy_internal_address", "server_listener_name").str()
		if name == "" {
			return nil
		}
		names = append(names, name)
	}
	return names
}

func (c *checker) isInternal(s *scope, name string) bool {
	return slices.ContainsFunc(slices.Concat(s.listeners, c.loose.listeners), func(l *node) bool {
		return l.get("internal_listener") != nil && holds(l, typeConnection) && l.get("name").str() == name && !slices.Contains(c.open, name) && !c.sidecarsWay(s, l)
	})
}

// loopbackPeer checks a listener on loopback where a gate takes the last entry of
// x-forwarded-for: for such a peer Envoy appends the machine's own address.
func (c *checker) loopbackPeer(listener *node, conn *connection) {
	at := listener.get("address", "socket_address", "address")
	if c.gates == nil || len(conn.authz) == 0 || !loopback(at.str()) {
		return
	}
	for _, g := range c.gates.rows {
		if g.ClientIP.Source == policy.FromXFF && g.ClientIP.TrustedHops == 0 {
			c.find(LoopbackPeer, at.spot(), "is on loopback, and the Gate %s takes the last entry of x-forwarded-for (clientIP): for a peer on loopback Envoy appends this machine's own address", g.Name)
			return
		}
	}
}
