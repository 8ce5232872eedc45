package check

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// envoyPatch checks the patches of an EnvoyPatchPolicy.
func (c *checker) envoyPatch(spec *node) {
	for _, p := range spec.get("json_patches").elements() {
		operation := p.get("operation")
		c.judged++
		op := operation.get("op")
		names := pathNames(operation.get("json_path").str(), operation.get("path").str())
		switch {
		case op.is("remove", -1):
			c.removedAt(op, names)
		case op.is("move", -1):
			c.removedAt(op, pathNames("", operation.get("from").str()))
		}
		if value := operation.get("value"); value != nil {
			c.replacedAt(op, names, value)
			c.fragment(value, true)
			c.patchedField(names, value)
		}
	}
}

// pathStep is one step of a JSON path: an expression, an index or a name in brackets, or a name.
var pathStep = regexp.MustCompile(`\[\?\((.*?)\)\]|\[['"]?(.*?)['"]?\]|([^.\[\]]+)`)

// pathNames lists the steps of a JSON path with a JSON pointer behind it.
func pathNames(path, pointer string) (names []string) {
	for _, m := range pathStep.FindAllStringSubmatch(strings.TrimPrefix(path, "$"), -1) {
		names = append(names, m[1]+m[2]+m[3])
	}
	for _, name := range strings.Split(pointer, "/") {
		if name != "" {
			names = append(names, strings.NewReplacer("~1", "/", "~0", "~").Replace(name))
		}
	}
	return names
}

// below returns the steps behind one of a name, and whether there is one.
func below(names []string, name string) ([]string, bool) {
	for i := len(names) - 1; i >= 0; i-- {
		if sameName(names[i], name) {
			return names[i+1:], true
		}
	}
	return nil, false
}

func namesAuthz(names []string) bool {
	return slices.ContainsFunc(names, func(s string) bool { return strings.Contains(s, "ext_authz") })
}

// byNumber reports whether a step selects an element by its index, as `0`, `-` and `*` do.
func byNumber(step string) bool {
	_, err := strconv.Atoi(step)
	return err == nil || step == "-" || step == "*"
}

// removedAt checks what a patch removes.
func (c *checker) removedAt(op *node, names []string) {
	filter, inChain := below(names, "http_filters")
	setting, ofRoute := below(names, "typed_per_filter_config")
	switch {
	case namesAuthz(names):
		c.find(FilterRemoved, op.spot(), "the patch removes ext_authz or a part of it")
	case ofRoute && len(setting) == 0:
		c.find(FilterRemoved, op.spot(), "the patch removes the settings of a route: if one of them turns ext_authz on, requests bypass patgate")
	case inChain && len(filter) == 0:
		c.find(FilterRemoved, op.spot(), "the patch removes all filters, ext_authz too: requests bypass patgate")
	case inChain && len(filter) == 1 && byNumber(filter[0]):
		c.find(FilterRemoved, op.spot(), "the patch removes the filter %s of the chain, which may be ext_authz", filter[0])
	default:
		c.removedField(op, names)
	}
}

// removedField checks a field that a patch removes from a filter or connection manager.
func (c *checker) removedField(op *node, names []string) {
	if inner, ok := below(names, "typed_config"); ok {
		names = inner
	}
	path := strings.Join(names, ".")
	for _, r := range slices.Concat(connectionRules, partRules, authzRules) {
		if path != "" && (r.field == path || strings.HasPrefix(r.field, path+".")) && r.is(nil) != "" {
			c.find(r.code, op.spot(), "the patch removes %s: %s", r.field, r.follows)
		}
	}
}

// replacedAt checks whole filters, settings of routes and routes that a patch adds or
// replaces.
func (c *checker) replacedAt(op *node, names []string, value *node) {
	if filter, ok := below(names, "http_filters"); ok {
		c.patchedChain(op, filter, value)
	}
	_, ofRoute := below(names, "routes")
	if setting, ok := below(names, "typed_per_filter_config"); ok && ofRoute && len(setting) == 0 && !setsAuthz(value) {
		c.find(FilterRemoved, op.spot(), "the patch replaces a route's settings: if one of them turns ext_authz on, requests bypass patgate")
	}
	for _, route := range routesWithin(value) {
		if route.get("route") != nil && !setsAuthz(route.get("typed_per_filter_config")) {
			c.find(RouteUnchecked, route.spot(), "in Envoy Gateway ext_authz is off unless a route turns it on, and this one does not: its requests bypass patgate")
		}
	}
}

// patchedChain checks a filter, or all of them, that a patch writes.
func (c *checker) patchedChain(op *node, filter []string, value *node) {
	switch {
	case len(filter) == 0 && !holds(value, typeExtAuthz):
		c.find(FilterRemoved, op.spot(), "the patch replaces the filters by ones without ext_authz: requests bypass patgate")
	case len(filter) == 0:
		filters := c.httpFilters(c.loose, value)
		first := slices.IndexFunc(filters, func(f *httpFilter) bool { return f.message == typeExtAuthz })
		if first >= 0 {
			c.order(filters, first, first)
		}
	case len(filter) == 2 && sameName(filter[1], "typed_config") && (byNumber(filter[0]) || namesAuthz(filter)) && !holds(value, typeExtAuthz):
		c.find(FilterRemoved, op.spot(), "the patch replaces the configuration of %s, which is or may be ext_authz, by another filter's", filter[0])
	case len(filter) > 1:
	case op.is("add", -1) && filter[0] == "0":
		c.added(value, beforeAuthz)
	case op.is("add", -1) && filter[0] == "-":
		c.added(value, behindAuthz)
	case op.is("add", -1):
		c.added(value, somewhere)
	case !holds(value, typeExtAuthz) && (byNumber(filter[0]) || namesAuthz(filter)):
		c.find(FilterRemoved, op.spot(), "the patch replaces %s, which is or may be ext_authz, by another filter", filter[0])
		c.added(value, somewhere)
	default:
		c.added(value, somewhere)
	}
}

// setsAuthz reports whether settings of a route hold one of ext_authz.
func setsAuthz(settings *node) bool {
	return slices.ContainsFunc(settings.entries(), func(f field) bool {
		return strings.Contains(f.name, "ext_authz") || holds(f.value, typePerRoute)
	})
}

// routesWithin lists the routes that a value is or holds.
func routesWithin(value *node) (routes []*node) {
	value.walk(func(n *node) bool {
		if n.kind == mapping && n.get("match") != nil && hasOne(n, []string{"route", "redirect", "direct_response"}) {
			routes = append(routes, n)
			return false
		}
		return true
	})
	return routes
}

// patchedField checks a patch of a field within a filter or connection manager, as a
// message with only this field.
func (c *checker) patchedField(names []string, value *node) {
	if inner, ok := below(names, "typed_config"); ok {
		names = inner
	}
	if len(names) == 0 {
		return
	}
	if names[len(names)-1] == "disabled" && value.isTrue() {
		c.find(RouteUnchecked, value.spot(), "requests of the patched route or host bypass patgate")
	}
	before, message := len(c.findings), value
	for i := len(names) - 1; i >= 0; i-- {
		message = &node{kind: mapping, at: value.at, fields: []field{{names[i], message}}}
	}
	c.patchedConnection(message)
	c.routing(message)
	a := &authz{body: message, part: true}
	c.authz = append(c.authz, a)
	c.checkAuthz(a)
	for i := range c.findings[before:] { // the value's own path does not say which field it is
		if f := &c.findings[before+i]; f.Field == value.path() {
			f.Field += " (" + strings.Join(names, ".") + ")"
		}
	}
}

// partRules are the rules that also apply to a part of a connection manager.
var partRules = []rule{
	remoteAddress,
	{"strip_trailing_host_dot", isOn, HostDot, "a host with a dot at its end finds other routes"},
}

// patchedConnection checks a part of a connection manager.
func (c *checker) patchedConnection(body *node) {
	c.checkFields(connectionRules, body, true)
	c.checkFields(partRules, body, true)
	c.localReplies(body)
	c.internalAddress(body)
	c.detections(body)
	if hops := body.get("xff_num_trusted_hops"); hops != nil {
		switch n, _ := hops.number(); {
		case c.gates != nil:
			c.compareHops(hops.spot(), n)
		case n > 0:
			c.find(TrustedHops, hops.spot(), hopsUnasked, n)
		}
	}
	for _, e := range children(body.get("early_header_mutation_extensions")) {
		_, mutations := typed(e.get("typed_config"))
		c.callers(mutations.get("mutations").elements())
	}
}

// spotInChain is the position of an added filter relative to ext_authz.
type spotInChain uint8

const (
	somewhere spotInChain = iota // unknown
	beforeAuthz
	behindAuthz
)

// added checks a filter that a patch adds to a chain that is not known.
func (c *checker) added(f *node, where spotInChain) {
	filter := &httpFilter{node: f}
	if filter.message, filter.body = typed(f.get("typed_config")); filter.body == nil {
		if f.get("config_discovery") != nil {
			c.find(NotSeen, f.get("config_discovery").spot(), "the filter's configuration is not in these files (ECDS)")
		}
		return
	}
	if holds(filter.body, typeExtAuthz) {
		return // checked separately
	}
	c.customResponses(f)
	mutations := filter.body.get("mutations", "request_mutations").elements()
	if filter.message == typeHeaderMutation && where == beforeAuthz {
		c.callers(mutations)
	} else if filter.message == typeHeaderMutation {
		c.mutatedAfter(mutations)
	}
	t, short, known := traitOf(filter.message)
	switch {
	case !known || where == beforeAuthz:
		c.order([]*httpFilter{filter}, 1, 1)
	case where == behindAuthz:
		c.behind(filter, t, short)
	case t&(content|gives|answers|changes) != 0 || filter.reroutes(t, short):
		c.find(NotSeen, f.spot(), "the patch adds %s at an unknown place: before ext_authz it may answer requests itself, after ext_authz it may change them", short)
	}
}
