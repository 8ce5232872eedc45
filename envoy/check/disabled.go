package check

// disabled checks filters that are off unless a route turns them on, as Envoy Gateway has
// them: where all of a chain are off, each route that leads anywhere must turn one on.
func (c *checker) disabled(conn *connection) {
	var off []*httpFilter
	for _, i := range conn.authz {
		f := conn.filters[i]
		if !f.node.get("disabled").isTrue() {
			return
		}
		off = append(off, f)
	}
	unasked, routes := uncheckedRoutes(conn.routes, off)
	if routes == 0 || len(unasked) == routes || len(conn.routes.within("matcher")) > 0 {
		for _, f := range off {
			c.find(FilterDisabled, f.node.get("disabled").spot(), "the filter is off, and no route that is seen turns it on")
		}
		return
	}
	for _, route := range unasked {
		c.find(RouteUnchecked, route.spot(), "ext_authz is off unless a route turns it on, and this one does not: its requests bypass patgate")
	}
}

// uncheckedRoutes counts the routes that lead anywhere, and lists those that turn none of
// some filters on.
func uncheckedRoutes(config *node, filters []*httpFilter) (unasked []*node, count int) {
	for _, host := range config.get("virtual_hosts").elements() {
		for _, route := range host.get("routes").elements() {
			if route.get("direct_response") != nil || route.get("redirect") != nil {
				continue
			}
			count++
			on := false
			for _, f := range filters {
				on = on || turnedOn(f.name(), route, host, config)
			}
			if !on {
				unasked = append(unasked, route)
			}
		}
	}
	return unasked, count
}

// turnedOn reports whether the most specific of some settings turns a filter on. Any
// setting does but one that says disabled.
func turnedOn(name string, levels ...*node) bool {
	for _, level := range levels {
		setting := level.get("typed_per_filter_config").key(name)
		if setting == nil {
			continue
		}
		_, body := typed(setting)
		return !body.get("disabled").isTrue()
	}
	return false
}
