package check

import "strings"

// refusals are the statuses by which patgate, and Envoy in its place, refuse a request.
var refusals = []int64{400, 401, 403, 413, 429, 500, 503}

// localReplies checks mappers of a connection manager's local_reply_config that give
// refusals another status.
func (c *checker) localReplies(body *node) {
	for _, list := range body.get("local_reply_config").within("mappers") {
		for _, m := range append(children(list), list) {
			if code := m.get("status_code"); code != nil {
				c.mapped(code, func(status int64) bool { return mayMatch(m.get("filter"), status) })
			}
		}
	}
}

// children returns a list's items, or a mapping's values: a patch names one item by its number.
func children(n *node) []*node {
	list := append([]*node(nil), n.elements()...)
	for _, f := range n.entries() {
		list = append(list, f.value)
	}
	return list
}

// mapped checks a status that replaces others, those for which matches is true.
func (c *checker) mapped(code *node, matches func(int64) bool) {
	to, ok := code.number()
	if !ok {
		return
	}
	for _, from := range refusals {
		if !matches(from) || from == to {
			continue
		}
		follows := ""
		switch {
		case to < 400:
			follows = "clients take a refusal for a success"
		case to == 429 && from != 429:
			follows = "patgate never refuses with 429, and clients wait and try again"
		case to/100 == 4 && from == 503:
			follows = asRefusal
		case to/100 == 5 && (from == 401 || from == 403):
			follows = "clients take a refusal for an outage, and try again"
		default:
			continue
		}
		c.find(StatusMapped, code.spot(), "%d replaces %d: %s", to, from, follows)
		return
	}
}

// mayMatch reports whether an access log filter may match an answer with a status. What
// can't be decided may.
func mayMatch(filter *node, status int64) bool {
	if f := filter.get("status_code_filter", "comparison"); f != nil {
		value, _ := f.get("value", "default_value").number()
		switch op := f.get("op"); {
		case op.is("GE", 1):
			return status >= value
		case op.is("LE", 2):
			return status <= value
		case op.is("NE", 3):
			return status != value
		}
		return status == value
	}
	if all := filter.get("and_filter", "filters"); all != nil {
		for _, f := range all.elements() {
			if !mayMatch(f, status) {
				return false
			}
		}
	}
	if some := filter.get("or_filter", "filters"); some != nil {
		for _, f := range some.elements() {
			if mayMatch(f, status) {
				return true
			}
		}
		return false
	}
	return true
}

// customResponses checks custom_response filters that give refusals another status: those
// of a chain, and what routes say to them.
func (c *checker) customResponses(n *node) {
	n.walk(func(inner *node) bool {
		typ, body := typed(inner)
		if !strings.HasPrefix(typ, "envoy.extensions.http.custom_response.") {
			return true
		}
		switch code := body.get("status_code"); {
		case code != nil:
			c.mapped(code, func(int64) bool { return true })
		case strings.HasSuffix(typ, ".RedirectPolicy"):
			c.find(StatusMapped, body.spot(), "the answer of another address replaces a refusal: clients may take it for a success")
		}
		return false
	})
}

// responseOverride checks the responseOverride of an Envoy Gateway BackendTrafficPolicy,
// which holds for patgate's refusals too.
func (c *checker) responseOverride(spec *node) {
	for _, o := range spec.get("response_override").elements() {
		matches := func(status int64) bool { return overrides(o.get("match"), status) }
		if code := o.get("response", "status_code"); code != nil {
			c.judgedBy(func() { c.mapped(code, matches) })
		}
		if redirect := o.get("redirect"); redirect != nil && (matches(401) || matches(403) || matches(503)) {
			c.judgedBy(func() {
				c.find(StatusMapped, redirect.spot(), "a redirect replaces a refusal: clients do not learn of it")
			})
		}
	}
}

func overrides(match *node, status int64) bool {
	codes := match.get("status_codes").elements()
	for _, s := range codes {
		if n, ok := s.get("value").number(); ok && n == status {
			return true
		}
		if r := s.get("range"); r != nil {
			start, _ := r.get("start").number()
			end, _ := r.get("end").number()
			if start <= status && status <= end {
				return true
			}
		}
	}
	return len(codes) == 0
}

// judgedBy counts a thing as checked if judge reports a finding.
func (c *checker) judgedBy(judge func()) {
	before := len(c.findings)
	judge()
	if len(c.findings) > before {
		c.judged++
	}
}
