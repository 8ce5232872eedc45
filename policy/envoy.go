package policy

import (
	"iter"
	"slices"
)

// What an Envoy in front of the gates must know of them: which headers their answers
// touch, and which of them read bodies.

// IdentityHeaders returns the headers, in lower case, that identify the caller of an allowed
// request to the upstream. Only patgate may set them.
func (g *Gate) IdentityHeaders() []string {
	return []string{g.Upstream.UserHeader, g.Upstream.GroupsHeader, g.Upstream.TokenHeader, HeaderUserAsserted, HeaderID}
}

// PatgateHeaders means every name that begins with x-patgate-.
const PatgateHeaders = patgatePrefix + "*"

// StrayHeaders stand for the names of headers in which clients put tokens, though they do
// not belong there, such as private-token and x-api-key: an allow removes those that hold
// one. Of a header that is called otherwise, Envoy refuses the removal and so the call.
var StrayHeaders = []string{"*auth*", "*key*", "*pass*", "*secret*", "*session*", "*token*"}

// MutatedHeaders returns every header of a request, in lower case, that an allow at the
// gate may set or remove, PatgateHeaders among them. Each spelling with `_` for some `-`
// may be removed too, and of the headers that the gate only reads nothing else is.
func (g *Gate) MutatedHeaders() []string {
	names := append(g.IdentityHeaders(), evaluatedHeaders...)
	return append(append(names, g.headersRead()...), PatgateHeaders)
}

// BodyRule returns a rule that reads bodies, on JSON, on MCP or on the method of an API that merges
// forms, and that may apply to a request at the gate, or nil where there is none: of the
// gate's bounds, its anonymous callers, the tokens that it admits, and their users' groups.
// Rules that only observe count, and so do those of tokens that are suspended, expired or
// not valid yet: the clock and one line bring them back. Those of revoked tokens never do.
func (r *Rows) BodyRule(g *Gate) *Rule {
	for rule := range r.bodyRules(g) {
		return rule
	}
	return nil
}

// BodyTypes returns the media types, sorted and in lower case, of the bodies that rules of
// a gate read (see BodyRule). No rule can decide on a body of another type.
func (r *Rows) BodyTypes(g *Gate) []string {
	var types []string
	for _, list := range r.bodyRules(g) {
		for _, t := range list {
			if i, found := slices.BinarySearch(types, t); !found {
				types = slices.Insert(types, i, t)
			}
		}
	}
	return types
}

// bodyRules yields the rules that BodyRule is about, and the types of the bodies that each
// reads.
func (r *Rows) bodyRules(g *Gate) iter.Seq2[*Rule, []string] {
	return func(yield func(*Rule, []string) bool) {
		if !g.yieldBodyRules(g.Policies, yield) || g.Anonymous != nil && !g.yieldBodyRules(g.Anonymous.Policies, yield) {
			return
		}
		for t := range r.All {
			if t.Revoked || t.Canary || !t.For(g) || !t.AdmittedAt(g) {
				continue
			}
			if !g.yieldBodyRules(t.Grant.Policies, yield) {
				return
			}
			for _, group := range r.Groups {
				if t.admitsThroughGroup(g, group) && !g.yieldBodyRules(group.Policies, yield) {
					return
				}
			}
		}
	}
}

// admitsThroughGroup reports whether a group's bounds may hold for a request with the token: of its
// user, of any user who presents an anyUser token, or of a user that the token may act for.
func (t *Token) admitsThroughGroup(g *Gate, group *Group) bool {
	if t.AnyUser || slices.Contains(t.Groups, group) {
		return true
	}
	if g.ActAsHeader == "" {
		return false
	}
	return slices.ContainsFunc(t.ActAs, func(p *Pattern) bool { return slices.ContainsFunc(group.Members, p.Match) })
}

// yieldBodyRules yields the rules of some policies that read bodies at the gate, and reports
// whether more are wanted.
func (g *Gate) yieldBodyRules(policies []*Policy, yield func(*Rule, []string) bool) bool {
	for _, p := range policies {
		for _, rule := range p.Deny {
			if types := g.readTypes(rule, true); len(types) > 0 && !yield(rule, types) {
				return false
			}
		}
		for _, rule := range p.Allow {
			if types := g.readTypes(rule, false); len(types) > 0 && !yield(rule, types) {
				return false
			}
		}
	}
	return true
}

// formTypes are the usual media types of forms.
var formTypes = []string{"application/x-www-form-urlencoded", "multipart/form-data"}

// readTypes returns the types of the bodies that a rule reads at the gate.
func (g *Gate) readTypes(rule *Rule, deny bool) (types []string) {
	if len(rule.JSON) > 0 {
		types = slices.Clip(rule.BodyTypes())
	}
	if rule.MCP != nil && !slices.Contains(types, defaultTypes[0]) {
		types = append(types, defaultTypes...)
	}
	if deny && len(rule.Methods) > 0 && g.FormBodies == FormsMerged {
		types = append(types, formTypes...)
	}
	return types
}
