package check

import (
	"fmt"
	"slices"
	"strings"
)

// checkRoutes checks what routes override: the check, and the headers of the request
// after it.
func (c *checker) checkRoutes(s *scope, conn *connection) {
	chain := conn.names()
	key := fmt.Sprintf("%p %q", conn.routes, chain)
	if c.asked[key] {
		return
	}
	c.asked[key] = true
	c.perRoute(s, conn.routes, chain)
	c.routeHeaders(conn.routes)
	c.routing(conn.routes)
	c.customResponses(conn.routes)
	for _, n := range append(conn.routes.within("upgrade_configs"), conn.routes.within("connect_matcher")...) {
		c.find(Upgrade, n.spot(), "is set: patgate checks a tunnel once, when it opens")
	}
}

// perRoute checks the settings of ext_authz at routes, virtual hosts and weighted
// clusters, at any depth below a node. chain names the filters; empty: any with a name of
// ext_authz.
func (c *checker) perRoute(s *scope, routes *node, chain []string) {
	for _, settings := range routes.within("typed_per_filter_config") {
		for _, f := range settings.entries() {
			if f.value != nil {
				c.routeSetting(s, f.name, f.value, chain)
			}
		}
	}
}

// routeSetting checks one entry of typed_per_filter_config.
func (c *checker) routeSetting(s *scope, name string, n *node, chain []string) {
	ours := strings.Contains(name, "ext_authz")
	for _, f := range chain {
		ours = ours || f == name
	}
	if !c.isRead(name, n, ours, chain) {
		return
	}
	typ, body := typed(n)
	if typ == typeFilterConfig {
		if !ours {
			if inner, _ := typed(body.get("config")); inner != typePerRoute {
				return
			}
		}
		if d := body.get("disabled"); d.isTrue() {
			c.find(RouteUnchecked, d.spot(), "requests of this route bypass patgate; under a prefix, `/public/../admin` is one of them")
		}
		if o := body.get("is_optional"); o.isTrue() {
			c.find(FilterOptional, o.spot(), "an Envoy that does not know the setting ignores it")
		}
		if typ, body = typed(body.get("config")); typ == "" {
			return // it only turns the filter on, as Envoy Gateway does
		}
	}
	switch {
	case typ == typePerRoute:
		c.routeCheck(s, body)
	case ours:
		c.find(NotSeen, n.spot(), "%s is not a known setting of ext_authz", shortName(typ))
	}
}

// routeCheck checks an ExtAuthzPerRoute.
func (c *checker) routeCheck(s *scope, body *node) {
	if d := body.get("disabled"); d.isTrue() {
		c.find(RouteUnchecked, d.spot(), "requests of this route bypass patgate; under a prefix, `/public/../admin` is one of them")
	}
	settings := body.get("check_settings")
	if b := settings.get("with_request_body"); b != nil {
		c.checkFields(bodyRules, b, false)
	}
	if h := settings.get("http_service"); h != nil {
		c.find(HTTPService, h.spot(), "is set: patgate serves gRPC only, so every request of this route is refused, or checked by another server")
	}
	if g := settings.get("grpc_service"); g != nil {
		c.find(OtherService, g.spot(), "this route calls another authorization server")
		c.service(&authz{scope: s}, g)
	}
	c.routeGate(settings)
}

// routeHeaders checks the headers that routes set after the check.
func (c *checker) routeHeaders(routes *node) {
	for _, list := range routes.within("request_headers_to_add") {
		for _, option := range list.elements() {
			key := option.get("header", "key")
			c.copiedHeader(key, key.str(), option.get("header", "value").str())
			if name := strings.ToLower(key.str()); c.isIdentity(name) {
				c.find(IdentityForged, key.spot(), "the route sets %s after the check: the upstream takes it for patgate's", name)
			}
		}
	}
}

// names lists the names of the filters by which routes may set something for ext_authz:
// of those that are one, that hold one, or that are not seen.
func (conn *connection) names() (list []string) {
	filters := conn.body.get("http_filters").elements()
	for i, f := range conn.filters {
		if slices.Contains(conn.authz, i) || f.body == nil || holds(f.body, typeExtAuthz) {
			list = append(list, f.name())
		}
	}
	for _, u := range conn.body.get("upgrade_configs").elements() {
		filters = append(filters, u.get("filters").elements()...)
	}
	for _, f := range filters {
		if holds(f, typeExtAuthz) && !slices.Contains(list, f.get("name").str()) {
			list = append(list, f.get("name").str())
		}
	}
	return list
}

// isRead reports whether a filter of a chain reads a setting of a route. Of one for
// ext_authz it is noted: no connection manager may read it. Without a chain that can't be decided.
func (c *checker) isRead(name string, n *node, ours bool, chain []string) bool {
	if len(chain) == 0 || slices.Contains(chain, name) {
		if ours {
			c.readBy[n] = true
		}
		return true
	}
	typ, body := typed(n)
	if inner, _ := typed(body.get("config")); !ours && typ != typePerRoute && inner != typePerRoute {
		return true // of another filter
	}
	if _, known := c.readBy[n]; !known {
		c.readBy[n] = false
		c.settings = append(c.settings, setting{name, n})
	}
	return false
}

// unread checks settings of ext_authz that no connection manager reads.
func (c *checker) unread() {
	for _, s := range c.settings {
		if !c.readBy[s.value] {
			c.find(SettingUnread, s.value.spot(), "no filter of the connection manager is called %s: Envoy does not read this setting", s.key)
		}
	}
}
