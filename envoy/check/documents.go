package check

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// scope is the content of one configuration: its listeners, clusters and routes by
// their names.
type scope struct {
	bootstrap *node // nil where there is none
	listeners []*node
	clusters  map[string]*node
	routes    map[string]*node
	filters   map[string]*node // those of ECDS, which are separate resources
	dump      bool             // an answer of /config_dump: it is complete
	partial   bool             // but without its clusters
}

func newScope() *scope {
	return &scope{clusters: map[string]*node{}, routes: map[string]*node{}, filters: map[string]*node{}}
}

// cluster finds a cluster by its name, also among those of other files.
func (c *checker) cluster(s *scope, name string) *node {
	if n := s.clusters[name]; n != nil {
		return n
	}
	return c.loose.clusters[name]
}

func (c *checker) route(s *scope, name string) *node {
	if n := s.routes[name]; n != nil {
		return n
	}
	return c.loose.routes[name]
}

// errForeign is the error of a document of an unknown kind.
var errForeign = errors.New("is no configuration of Envoy: expected a bootstrap, an answer of /config_dump, resources of xDS, or objects of Kubernetes")

// document adds one document of a file, by its kind.
func (c *checker) document(t *text, doc *node) error {
	typ := messageName(doc.key("@type").str())
	switch {
	case doc.kind == list: // as istioctl prints resources
		return c.list(t, doc)
	case doc.get("configs") != nil:
		c.dump(doc.get("configs").elements())
	case strings.HasPrefix(typ, "envoy.admin.") || hasOne(doc, dumpFields):
		c.dump([]*node{doc})
	case doc.get("xds") != nil:
		return c.xds(t, doc)
	case doc.key("kind").str() != "" && doc.key("apiVersion").str() != "":
		return c.object(t, doc)
	case hasOne(doc, bootstrapFields):
		c.bootstrap(doc)
	case len(doc.get("resources").elements()) > 0:
		for _, r := range doc.get("resources").elements() {
			c.resource(c.loose, r)
		}
	case doc.key("@type") != nil:
		c.resource(c.loose, doc)
	case c.untyped(c.loose, doc), hasOne(doc, otherFields):
	case doc.get("mesh_config") != nil: // values of istiod's chart
		c.mesh(doc.get("mesh_config"))
	case doc.get("extension_providers") != nil || doc.get("default_config") != nil || doc.get("path_normalization") != nil:
		c.mesh(doc)
	case len(dumpsOf(doc)) > 0: // as `egctl config envoy-proxy` prints them: by namespaces and pods
		for _, d := range dumpsOf(doc) {
			if err := c.document(t, d); err != nil {
				return err
			}
		}
	default:
		return foreign(doc)
	}
	return nil
}

func foreign(doc *node) error {
	return fmt.Errorf("%s:%d:%d: %w", doc.at.file, doc.at.line, doc.at.column, errForeign)
}

// The fields that identify messages without a type.
var (
	dumpFields = []string{"static_listeners", "dynamic_listeners", "static_clusters", "dynamic_active_clusters", "dynamic_warming_clusters", "static_route_configs",
		"dynamic_route_configs", "static_endpoint_configs", "dynamic_endpoint_configs", "static_secrets", "dynamic_active_secrets", "dynamic_warming_secrets",
		"inline_scoped_route_configs", "dynamic_scoped_route_configs", "ecds_filters", "bootstrap"}
	bootstrapFields = []string{"static_resources", "dynamic_resources", "admin", "layered_runtime"}
	listenerFields  = []string{"filter_chains", "default_filter_chain", "listener_filters", "udp_listener_config", "api_listener", "internal_listener"}
	routeFields     = []string{"virtual_hosts", "vhds", "ignore_port_in_host_matching", "validate_clusters", "most_specific_header_mutations_wins"}
	clusterFields   = []string{"load_assignment", "connect_timeout", "lb_policy", "eds_cluster_config"}
	// otherFields are those of endpoints, secrets, scopes and layers of the runtime, which
	// are not checked.
	otherFields = []string{"endpoints", "host_statuses", "tls_certificate", "validation_context", "session_ticket_keys", "generic_secret", "route_configuration_name", "layer"}
)

func hasOne(n *node, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return n.get(name) != nil })
}

// list adds a list of resources. Other elements are ignored if there is at least one resource.
func (c *checker) list(t *text, doc *node) error {
	var first error
	known := len(doc.items) == 0
	for _, item := range doc.items {
		switch err := c.document(t, item); {
		case err == nil:
			known = true
		case !errors.Is(err, errForeign) || item.get("name") == nil:
			return err
		case first == nil:
			first = err
		}
	}
	if !known {
		return first
	}
	return nil
}

// xds adds a document with `xds`: a translation of egctl, which is dumps by names, or
// Kuma's inspection, which is resources by their types and names.
func (c *checker) xds(t *text, doc *node) error {
	s := newScope()
	s.dump, s.partial = true, true
	known := len(doc.get("xds").entries()) == 0
	for _, f := range doc.get("xds").entries() {
		typ := messageName(f.name)
		switch {
		case f.value == nil:
		case f.value.get("configs") != nil:
			c.dump(f.value.get("configs").elements())
		case strings.HasPrefix(typ, "envoy."):
			s.partial = s.partial && typ != typeCluster
			for _, r := range f.value.entries() {
				c.typedResource(s, typ, r.value)
			}
			for _, r := range f.value.elements() {
				c.typedResource(s, typ, r)
			}
		default:
			continue
		}
		known = true
	}
	if !known {
		return foreign(doc.get("xds"))
	}
	c.addScope(s)
	return nil
}

// typedResource adds a resource whose type is known from the field that holds it.
func (c *checker) typedResource(s *scope, typ string, n *node) {
	for _, inner := range []string{"resource", "spec"} { // with its version around it
		if r := n.get(inner); r != nil && n.get("name") == nil {
			n = r
		}
	}
	if n != nil && n.key("@type") == nil {
		c.take(s, typ, n)
	} else if n != nil {
		c.resource(s, n)
	}
}

// untyped adds a listener, route configuration or cluster without a type.
func (c *checker) untyped(s *scope, n *node) bool {
	switch {
	case hasOne(n, listenerFields):
		return c.take(s, typeListener, n)
	case hasOne(n, routeFields):
		return c.take(s, typeRoutes, n)
	case hasOne(n, clusterFields):
		return c.take(s, typeCluster, n)
	}
	return false
}

// dumpsOf returns the dumps of pods, by namespaces and names.
func dumpsOf(doc *node) (dumps []*node) {
	for _, namespace := range doc.entries() {
		for _, pod := range namespace.value.entries() {
			typ := messageName(pod.value.key("@type").str())
			if pod.value.get("configs") == nil && !hasOne(pod.value, dumpFields) && !strings.HasPrefix(typ, "envoy.admin.") {
				return nil
			}
			dumps = append(dumps, pod.value)
		}
	}
	return dumps
}

// bootstrap adds a configuration as `envoy -c` reads it.
func (c *checker) bootstrap(doc *node) {
	s := newScope()
	s.bootstrap = doc
	static := doc.get("static_resources")
	s.listeners = static.get("listeners").elements()
	for _, cluster := range static.get("clusters").elements() {
		s.clusters[cluster.get("name").str()] = cluster
	}
	c.scopes = append(c.scopes, s)
}

// dump adds an answer of /config_dump, where every resource has its type.
func (c *checker) dump(configs []*node) {
	s := newScope()
	s.dump, s.partial = true, true
	for _, config := range configs {
		if messageName(config.key("@type").str()) == "envoy.admin.v3.ClustersConfigDump" || hasOne(config, []string{"static_clusters", "dynamic_active_clusters"}) {
			s.partial = false
		}
		if b := config.get("bootstrap"); b != nil {
			s.bootstrap = b
			continue
		}
		c.resources(s, config)
	}
	if len(s.listeners) == 0 && s.bootstrap != nil {
		s.listeners = s.bootstrap.get("static_resources", "listeners").elements()
	}
	if len(s.clusters) == 0 && s.bootstrap != nil {
		for _, cluster := range s.bootstrap.get("static_resources", "clusters").elements() {
			s.clusters[cluster.get("name").str()] = cluster
		}
		s.partial = s.partial && s.bootstrap.get("dynamic_resources", "cds_config") != nil
	}
	c.addScope(s)
}

// addScope adds the content of a dump. Routes and clusters without a listener belong to
// listeners of another file.
func (c *checker) addScope(s *scope) {
	if len(s.listeners) == 0 && s.bootstrap == nil {
		maps.Copy(c.loose.clusters, s.clusters)
		maps.Copy(c.loose.routes, s.routes)
		maps.Copy(c.loose.filters, s.filters)
		return
	}
	c.scopes = append(c.scopes, s)
}

// resources adds each resource with a type below a node, except those that are draining.
func (c *checker) resources(s *scope, n *node) {
	n.walk(func(inner *node) bool {
		if sameName(inner.step, ".draining_state") || sameName(inner.step, ".error_state") {
			return false
		}
		return !c.resource(s, inner)
	})
}

// resource adds one resource of xDS, and reports whether it is one.
func (c *checker) resource(s *scope, n *node) bool {
	typ, body := typed(n)
	return c.take(s, typ, body)
}

// take adds a resource of a type, and reports whether it is one.
func (c *checker) take(s *scope, typ string, body *node) bool {
	switch typ {
	case typeListener:
		s.listeners = append(s.listeners, body)
	case typeCluster:
		s.clusters[body.get("name").str()] = body
	case typeRoutes:
		s.routes[body.get("name").str()] = body
	case typeExtensionConfig:
		s.filters[body.get("name").str()] = body.get("typed_config")
	default:
		return false
	}
	return true
}

// The types that are looked for.
const (
	typeListener        = "envoy.config.listener.v3.Listener"
	typeCluster         = "envoy.config.cluster.v3.Cluster"
	typeRoutes          = "envoy.config.route.v3.RouteConfiguration"
	typeExtensionConfig = "envoy.config.core.v3.TypedExtensionConfig"
	typeConnection      = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
	typeTCPProxy        = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
	typeExtAuthz        = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
	typePerRoute        = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
	typeNetworkAuthz    = "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz"
	typeHeaderMutation  = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
	typeFilterConfig    = "envoy.config.route.v3.FilterConfig"
	typeHTTP            = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	typeProxyProtocol   = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
	typeXFF             = "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig"
	typeDNSCluster      = "envoy.extensions.clusters.dns.v3.DnsCluster"
	typeUpstreamTLS     = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
)

// typed resolves a typed_config (an Any): its message's full name and its fields. A
// TypedStruct is replaced by the message that it wraps. The name of an extension is ignored, as in Envoy.
func typed(n *node) (name string, body *node) {
	name = messageName(n.key("@type").str())
	if strings.HasSuffix(name, ".TypedStruct") {
		if body = n.get("value"); body == nil {
			body = n // without a field
		}
		return messageName(n.get("type_url").str()), body
	}
	return name, n
}

// messageName removes the host of a type's URL.
func messageName(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }
