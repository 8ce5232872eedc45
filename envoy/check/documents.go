package check

import (
	"fmt"
	"strings"
)

// scope is what one configuration holds: an Envoy knows its listeners, clusters and routes
// by names.
type scope struct {
	bootstrap *node // nil where there is none
	listeners []*node
	clusters  map[string]*node
	routes    map[string]*node
	filters   map[string]*node // those that come by themselves (ECDS)
	dump      bool             // an answer of /config_dump: what is not here is not there
}

func newScope() *scope {
	return &scope{clusters: map[string]*node{}, routes: map[string]*node{}, filters: map[string]*node{}}
}

// cluster finds a cluster by its name, also among what came in files of its own.
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

// document takes one document of a file in: as what it is.
func (c *checker) document(t *text, doc *node) error {
	switch {
	case doc.kind == list && len(doc.items) > 0: // as istioctl prints resources
		for _, item := range doc.items {
			if err := c.document(t, item); err != nil {
				return err
			}
		}
	case doc.get("configs") != nil:
		c.dump(doc)
	case doc.get("xds") != nil: // as egctl prints a translation
		for _, f := range doc.get("xds").entries() {
			c.dump(f.value)
		}
	case doc.key("kind").str() != "" && doc.key("apiVersion").str() != "":
		return c.object(t, doc)
	case doc.get("static_resources") != nil || doc.get("dynamic_resources") != nil || doc.get("admin") != nil || doc.get("layered_runtime") != nil:
		c.bootstrap(doc)
	case len(doc.get("resources").elements()) > 0:
		for _, r := range doc.get("resources").elements() {
			c.resource(c.loose, r)
		}
	case doc.key("@type") != nil:
		c.resource(c.loose, doc)
	case doc.get("filter_chains") != nil || doc.get("default_filter_chain") != nil:
		c.loose.listeners = append(c.loose.listeners, doc)
	case doc.get("virtual_hosts") != nil:
		c.loose.routes[doc.get("name").str()] = doc
	case doc.get("load_assignment") != nil || doc.get("connect_timeout") != nil:
		c.loose.clusters[doc.get("name").str()] = doc
	case doc.get("mesh_config") != nil: // values of istiod's chart
		c.mesh(doc.get("mesh_config"))
	case doc.get("extension_providers") != nil || doc.get("default_config") != nil || doc.get("path_normalization") != nil:
		c.mesh(doc)
	default:
		return fmt.Errorf("%s:%d:%d: is no configuration of Envoy: expected a bootstrap, an answer of /config_dump, resources of xDS, or objects of Kubernetes",
			doc.at.file, doc.at.line, doc.at.column)
	}
	return nil
}

// bootstrap takes in a configuration as `envoy -c` reads it.
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

// dump takes in an answer of /config_dump, of which every resource carries its type.
func (c *checker) dump(doc *node) {
	s := newScope()
	s.dump = true
	for _, config := range doc.get("configs").elements() {
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
	}
	c.scopes = append(c.scopes, s)
}

// resources takes in what has a type below a node; what is on its way out is left out.
func (c *checker) resources(s *scope, n *node) {
	n.walk(func(inner *node) bool {
		if sameName(inner.step, ".draining_state") || sameName(inner.step, ".error_state") {
			return false
		}
		return !c.resource(s, inner)
	})
}

// resource takes in one resource of xDS, and reports whether it is one.
func (c *checker) resource(s *scope, n *node) bool {
	switch typ, body := typed(n); typ {
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
// TypedStruct is what it stands for. The name of an extension plays no part, in Envoy too.
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

// messageName takes the host off a type's URL.
func messageName(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }
