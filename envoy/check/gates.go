package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/patgate/patgate/policy"
)

// Gates are what manifests want of Envoy. Make them with NewGates.
type Gates struct {
	rows       []*policy.Gate
	identities []string          // the headers that patgate alone sets
	bodies     map[string]string // the gates of which a rule reads bodies, and that rule
}

// NewGates takes what matters from the rows of a load.
func NewGates(rows policy.Rows) *Gates {
	g := &Gates{rows: rows.Gates, identities: []string{policy.HeaderUserAsserted, policy.HeaderID}, bodies: map[string]string{}}
	for _, gate := range rows.Gates {
		up := gate.Upstream
		for _, name := range []string{up.UserHeader, up.GroupsHeader, up.TokenHeader} {
			if !slices.Contains(g.identities, name) {
				g.identities = append(g.identities, name)
			}
		}
		for _, p := range asked(rows, gate) {
			for _, r := range slices.Concat(p.Allow, p.Deny) {
				if len(r.JSON) > 0 && g.bodies[gate.Name] == "" {
					g.bodies[gate.Name] = fmt.Sprintf("%s (%s:%d)", r.Name, r.Source.File, r.Source.Line)
				}
			}
		}
	}
	slices.Sort(g.identities)
	return g
}

// asked lists the policies that may be asked at a gate.
func asked(rows policy.Rows, gate *policy.Gate) []*policy.Policy {
	list := slices.Clone(gate.Policies)
	if gate.Anonymous != nil {
		list = append(list, gate.Anonymous.Policies...)
	}
	for _, t := range rows.Tokens {
		if len(t.Gates) == 0 || slices.Contains(t.Gates, gate.Name) {
			list = append(list, t.Grant.Policies...)
		}
	}
	for _, group := range rows.Groups {
		list = append(list, group.Policies...)
	}
	return list
}

// names lists the names of the gates.
func (g *Gates) names() []string {
	var list []string
	for _, gate := range g.rows {
		list = append(list, gate.Name)
	}
	return list
}

// judgeGates compares what was read with what the gates want.
func (c *checker) judgeGates() {
	if c.gates == nil {
		return
	}
	for _, a := range c.ours() {
		if a.part {
			continue
		}
		c.mutations(a)
		c.bodies(a)
		if a.conn != nil {
			hops, n := c.hops(a.conn)
			c.compareHops(hops, n)
		}
	}
}

// ours returns the filters that ask patgate: those whose cluster or target is called so,
// or all where none is.
func (c *checker) ours() []*authz {
	var list []*authz
	for _, a := range c.authz {
		if strings.Contains(a.asks, "patgate") {
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		return c.authz
	}
	return list
}

// compareHops compares how many proxies an Envoy believes with what gates count.
func (c *checker) compareHops(at spot, hops int64) {
	for _, g := range c.gates.rows {
		if g.ClientIP.Source == policy.FromXFF && int64(g.ClientIP.TrustedHops) != hops {
			c.find(HopsDiffer, at, "is %d, and the Gate %s counts %d (clientIP.trustedHops): one of the two takes a client's own word for its address",
				hops, g.Name, g.ClientIP.TrustedHops)
		}
	}
}

// mutations wants every header that patgate sets or removes to be let through.
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
		c.find(HeaderRefused, at, "the Gate %s sets or removes %s%s, which the rules leave out: %s", g.Name, strings.Join(refused, ", "), more, follows)
	}
}

// changed lists the headers that answers of a gate set or remove.
func changed(g *policy.Gate) []string {
	up := g.Upstream
	list := []string{policy.HeaderID, policy.HeaderUserAsserted, up.UserHeader, up.GroupsHeader, up.TokenHeader}
	for _, i := range []policy.Identity{policy.NoIdentity, policy.UserIdentity, policy.UserGroups, policy.AssertedIdentity} {
		list = append(list, up.Remove(i, !up.KeepAuthorization)...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// letThrough evaluates HeaderMutationRules for a header that is none of routing.
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

// bodies wants bodies to be sent where a rule reads them.
func (c *checker) bodies(a *authz) {
	if len(c.gates.bodies) == 0 {
		return
	}
	var gate string
	for _, name := range c.gates.names() {
		if gate == "" && c.gates.bodies[name] != "" {
			gate = name
		}
	}
	why := fmt.Sprintf("the rule %s of the Gate %s reads bodies, can't be decided without, and refuses", c.gates.bodies[gate], gate)
	var routes *node
	if a.conn != nil {
		routes = a.conn.routes
	}
	if a.body.get("with_request_body") == nil && len(routes.within("with_request_body")) == 0 {
		c.find(BodyMissing, a.body.missing("with_request_body"), "is missing: %s", why)
	}
	for _, off := range routes.within("disable_request_body_buffering") {
		if off.isTrue() {
			c.find(BodyMissing, off.spot(), "no body is sent from this route: %s", why)
		}
	}
}

// routeGate wants the gate that a route names to be there.
func (c *checker) routeGate(settings *node) {
	c.gateName(settings.get("context_extensions").key("patgate.gate"))
}

func (c *checker) gateName(name *node) {
	if name == nil || c.gates == nil || slices.Contains(c.gates.names(), name.str()) {
		return
	}
	c.find(UnknownGate, name.spot(), "there is no Gate %s, so that every request is refused", name.str())
}
