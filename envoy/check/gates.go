package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/patgate/patgate/policy"
)

// Gates are the requirements of manifests on Envoy. Make them with NewGates.
type Gates struct {
	rows       []*policy.Gate
	identities []string // the headers that patgate alone sets
	bodies     map[string]*policy.Rule
	types      []string // of the bodies that rules read
}

// NewGates collects what matters from the rows of a load, for those of its gates that are
// behind the Envoy.
func NewGates(rows policy.Rows, gates []*policy.Gate) *Gates {
	g := &Gates{rows: gates, bodies: map[string]*policy.Rule{}}
	for _, gate := range gates {
		for _, name := range gate.IdentityHeaders() {
			if !slices.Contains(g.identities, name) {
				g.identities = append(g.identities, name)
			}
		}
		if rule := rows.BodyRule(gate); rule != nil {
			g.bodies[gate.Name] = rule
			g.types = append(g.types, rows.BodyTypes(gate)...)
		}
	}
	return g
}

// readsBodies returns the first gate with a rule that reads bodies, and its description.
func (g *Gates) readsBodies() (gate, why string) {
	if g == nil {
		return "", ""
	}
	for _, gate := range g.rows {
		if rule := g.bodies[gate.Name]; rule != nil {
			return gate.Name, fmt.Sprintf("the rule %s (%s) of the Gate %s reads bodies: without them it can't be decided, and patgate refuses", rule.Name, rule.Source, gate.Name)
		}
	}
	return "", ""
}

// names lists the names of the gates.
func (g *Gates) names() []string {
	var list []string
	for _, gate := range g.rows {
		list = append(list, gate.Name)
	}
	return list
}

// checkGates compares the configuration with what the gates require.
func (c *checker) checkGates() {
	if c.gates == nil {
		return
	}
	for _, a := range c.ours() {
		c.mutations(a)
		if !a.part {
			c.bodies(a)
		}
		if a.conn != nil {
			if hops, n, counted := c.hops(a.conn); counted {
				c.compareHops(hops, n)
			}
		}
	}
}

// ours returns the filters that call patgate: those whose cluster or target has its name,
// or all where none is. A partial filter may be one, so it counts.
func (c *checker) ours() []*authz {
	named := func(a *authz) bool { return strings.Contains(a.asks, "patgate") }
	if !slices.ContainsFunc(c.authz, named) {
		return c.authz
	}
	return slices.DeleteFunc(slices.Clone(c.authz), func(a *authz) bool { return !a.part && !named(a) })
}

// compareHops compares the number of proxies that an Envoy trusts with the gates' number.
func (c *checker) compareHops(at spot, hops int64) {
	for _, g := range c.gates.rows {
		if g.ClientIP.Source == policy.FromXFF && int64(g.ClientIP.TrustedHops) != hops {
			c.find(HopsDiffer, at, "is %d, and the Gate %s counts %d (clientIP.trustedHops): one of them uses an address that the client wrote",
				hops, g.Name, g.ClientIP.TrustedHops)
		}
	}
}

// mutations requires every header that patgate sets or removes to be let through.
func (c *checker) mutations(a *authz) {
	rules := a.body.get("decoder_header_mutation_rules")
	if rules == nil {
		return
	}
	at := rules.spot()
	if e := rules.get("allow_expression", "regex"); e != nil {
		at = e.spot()
	}
	for _, g := range c.gates.rows {
		var refused []string
		for _, name := range changed(g) {
			if !letThrough(rules, name) {
				refused = append(refused, name)
			}
		}
		if len(refused) == 0 {
			continue
		}
		follows := "the client's own goes through in their place"
		if rules.get("disallow_is_error").isTrue() {
			follows = "each call fails with 500"
		}
		more := ""
		if len(refused) > 4 {
			refused, more = refused[:4], fmt.Sprintf(" and %d more", len(refused)-4)
		}
		c.find(HeaderRefused, at, "the Gate %s sets or removes %s%s, which the rules do not allow: %s", g.Name, strings.Join(refused, ", "), more, follows)
	}
}

// changed lists the headers that answers of a gate set or remove, with hyphens and with
// underscores. One is listed for all with the prefix of patgate's own.
func changed(g *policy.Gate) []string {
	var list []string
	for _, i := range []policy.Identity{policy.NoIdentity, policy.UserIdentity, policy.UserGroups, policy.AssertedIdentity} {
		list = append(list, g.Upstream.Remove(i, true)...)
	}
	list = append(list, g.IdentityHeaders()...)
	for _, name := range g.MutatedHeaders() {
		name = strings.Replace(name, "*", "other", 1)
		if underscored := strings.ReplaceAll(name, "-", "_"); underscored != name {
			list = append(list, underscored)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// letThrough evaluates HeaderMutationRules for a header that does not affect routing.
func letThrough(rules *node, name string) bool {
	matches := func(field string) bool {
		pattern := rules.get(field, "regex")
		return pattern != nil && fullMatch(pattern.str(), name)
	}
	switch {
	case matches("disallow_expression"):
		return false
	case matches("allow_expression"):
		return true
	case rules.get("disallow_all").isTrue():
		return false
	}
	return !strings.HasPrefix(name, "x-envoy") || rules.get("allow_envoy").isTrue()
}

// bodies requires bodies to be sent where a rule reads them.
func (c *checker) bodies(a *authz) {
	_, why := c.gates.readsBodies()
	if why == "" {
		return
	}
	var routes *node // unknown for the filter of a patch
	if a.conn != nil {
		routes = a.conn.routes
	}
	if a.body.get("with_request_body") == nil && len(routes.within("with_request_body")) == 0 {
		c.find(BodyMissing, a.body.missing("with_request_body"), "is missing: %s", why)
	}
	c.unbuffered(routes)
}

// unbuffered requires no route to leave out bodies that a rule reads: those of JSON.
func (c *checker) unbuffered(routes *node) {
	_, why := c.gates.readsBodies()
	if why == "" {
		return
	}
	for _, off := range routes.within("disable_request_body_buffering") {
		named := off.parent.get("context_extensions").key("patgate.gate").str()
		if off.isTrue() && (named == "" || c.gates.bodies[named] != nil) && !readApart(off, c.gates.types) {
			c.find(BodyMissing, off.spot(), "this route sends no body: %s", why)
		}
	}
}

// routeGate requires the gate that a route names to exist.
func (c *checker) routeGate(settings *node) {
	c.gateName(settings.get("context_extensions").key("patgate.gate"))
}

func (c *checker) gateName(name *node) {
	if name == nil || c.gates == nil || slices.Contains(c.gates.names(), name.str()) {
		return
	}
	c.find(UnknownGate, name.spot(), "there is no Gate %s, so every request is refused", name.str())
}
