package policy

import "slices"

// What an Envoy in front of the gates must know of them: which headers their answers
// touch, and which of them read bodies.

// IdentityHeaders returns the headers, in lower case, by which an allowed request tells
// its upstream who calls. Only patgate may set them.
func (g *Gate) IdentityHeaders() []string {
	return []string{g.Upstream.UserHeader, g.Upstream.GroupsHeader, g.Upstream.TokenHeader, HeaderUserAsserted, HeaderID}
}

// PatgateHeaders stands for every name that begins with x-patgate-.
const PatgateHeaders = patgatePrefix + "*"

// MutatedHeaders returns every header of a request, in lower case, that an allow at the
// gate may set or remove, PatgateHeaders among them. Each spelling with `_` for some `-`
// may be removed too, and of the headers that the gate only reads nothing else is.
func (g *Gate) MutatedHeaders() []string {
	names := append(g.IdentityHeaders(), evaluatedHeaders...)
	return append(append(names, g.headersRead()...), PatgateHeaders)
}

// BodyRule returns a rule on a JSON body that a request at the gate may be asked about,
// or nil where none reads one: of the gate's bounds, its anonymous callers, the tokens
// that it admits, and their users' groups. Rules that only observe count, and so do
// those of tokens that are suspended, expired or not valid yet: the clock and one line
// bring them back. Those of revoked tokens never do.
func (r *Rows) BodyRule(g *Gate) *Rule {
	if rule := bodyRule(g.Policies); rule != nil {
		return rule
	}
	if g.Anonymous != nil {
		if rule := bodyRule(g.Anonymous.Policies); rule != nil {
			return rule
		}
	}
	for _, t := range r.Tokens {
		if t.Revoked || t.Canary || !t.For(g) || !t.AdmittedAt(g) {
			continue
		}
		if rule := bodyRule(t.Grant.Policies); rule != nil {
			return rule
		}
		for _, group := range r.Groups {
			if rule := bodyRule(group.Policies); rule != nil && t.bringsIn(g, group) {
				return rule
			}
		}
	}
	return nil
}

// bringsIn reports whether a group's bounds may hold for a request with the token: of its
// user, of whoever presents a token of any user, or of whom it may speak for.
func (t *Token) bringsIn(g *Gate, group *Group) bool {
	if t.AnyUser || slices.Contains(t.Groups, group) {
		return true
	}
	if g.ActAsHeader == "" {
		return false
	}
	return slices.ContainsFunc(t.ActAs, func(p *Pattern) bool { return slices.ContainsFunc(group.Members, p.Match) })
}

// bodyRule returns the first rule of some policies that reads a body, or nil.
func bodyRule(policies []*Policy) *Rule {
	for _, p := range policies {
		for _, rules := range [][]*Rule{p.Deny, p.Allow} {
			if i := slices.IndexFunc(rules, func(r *Rule) bool { return len(r.JSON) > 0 }); i >= 0 {
				return rules[i]
			}
		}
	}
	return nil
}
