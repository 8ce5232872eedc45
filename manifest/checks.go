package manifest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/policy"
)

// checkSpec checks what one document must hold beyond the forms of its fields. It checks
// whether keys are present, not their decoded values, so that an invalid value
// causes no second problem.
func (s *scope) checkSpec(doc *Document, spec *yaml.Node) {
	switch {
	case doc.Gate != nil:
		s.checkGate(doc.Gate, spec)
	case doc.APIToken != nil:
		s.checkToken(doc.APIToken, spec)
	case doc.TokenPolicy != nil:
		if !has(spec, "allow") && !has(spec, "deny") {
			s.problem(spec, "spec", "no rules, expected allow or deny")
		}
		s.checkRules(doc.TokenPolicy.Allow, doc.TokenPolicy.Deny, spec, "spec")
	}
}

// maxPairs is the maximum number of pairs of a host and a path of a gate.
const maxPairs = 10_000

func (s *scope) checkGate(g *Gate, spec *yaml.Node) {
	if pairs := max(len(g.Hosts), 1) * max(len(g.Paths), 1); pairs > maxPairs {
		s.problem(spec, "spec.hosts", "%d hosts and %d paths, expected at most %s pairs of them: use wildcards, or shorter paths", len(g.Hosts), len(g.Paths), thousands(maxPairs))
	}
	if g.Anonymous != nil {
		n := find(spec, "anonymous")
		switch {
		case g.Anonymous.Unrestricted && has(n, "allow"):
			s.problem(find(n, "unrestricted"), "spec.anonymous.unrestricted", "given together with allow rules, expected one of the two")
		case !g.Anonymous.Unrestricted && n.Kind == yaml.MappingNode && len(n.Content) > 0 && !has(n, "allow"):
			s.problem(n, "spec.anonymous", "nothing is allowed, expected allow rules, `unrestricted: true` or no key at all")
		}
		s.checkRules(g.Anonymous.Allow, g.Anonymous.Deny, n, "spec.anonymous")
	}
	if n := find(spec, "clientIP"); g.ClientIP != nil && n.Kind == yaml.MappingNode && len(n.Content) > 0 {
		c := g.ClientIP
		switch source := policy.AddressSource(c.Source); {
		case !has(n, "source"):
			s.problem(n, "spec.clientIP.source", "missing, expected peer, xff or header")
		case source == policy.FromHeader && !has(n, "header"):
			s.problem(n, "spec.clientIP.header", "missing, expected the name of the header that holds the address")
		case source != policy.FromHeader && c.Header != "":
			s.problem(find(n, "header"), "spec.clientIP.header", "given together with `source: %s`, expected it with `source: header` alone", source)
		case source != policy.FromXFF && has(n, "trustedHops"):
			s.problem(find(n, "trustedHops"), "spec.clientIP.trustedHops", "given together with `source: %s`, expected it with `source: xff` alone", source)
		}
	}
	s.checkHeaders(g, spec)
}

// checkHeaders reports headers of a gate that have two meanings.
func (s *scope) checkHeaders(g *Gate, spec *yaml.Node) {
	upstream := g.UpstreamOrDefault()
	up, act := find(spec, "upstream"), find(spec, "actAs")
	used := map[string]string{} // by the name's fold
	for _, h := range []struct {
		name  HeaderName
		field string
		node  *yaml.Node
	}{
		{upstream.UserHeader, "spec.upstream.userHeader", find(up, "userHeader")},
		{upstream.GroupsHeader, "spec.upstream.groupsHeader", find(up, "groupsHeader")},
		{upstream.TokenHeader, "spec.upstream.tokenHeader", find(up, "tokenHeader")},
		{g.ActAsHeader(), "spec.actAs.header", find(act, "header")},
	} {
		folded := policy.FoldHeader(string(h.name))
		if other, twice := used[folded]; twice && h.name != "" {
			s.problem(h.node, h.field, "%s is %s already, expected a header of its own", h.name, other)
		}
		used[folded] = h.field
	}
}

// UpstreamOrDefault returns the gate's upstream headers, those it leaves out at their
// defaults.
func (g *Gate) UpstreamOrDefault() Upstream {
	var u Upstream
	if g.Upstream != nil {
		u = *g.Upstream
	}
	for name, otherwise := range map[*HeaderName]HeaderName{
		&u.UserHeader: "x-forwarded-user", &u.GroupsHeader: "x-forwarded-groups", &u.TokenHeader: "x-patgate-token",
	} {
		if *name == "" {
			*name = otherwise
		}
	}
	return u
}

// ActAsHeader returns the name of the act-as header; empty: no header means anything.
func (g *Gate) ActAsHeader() HeaderName {
	if g.ActAs == nil {
		return ""
	}
	return g.ActAs.Header
}

func (s *scope) checkToken(t *APIToken, spec *yaml.Node) {
	t.Ends = Ends{Revoked: meant(spec, "revoked"), Suspended: meant(spec, "suspended")}
	if meant(spec, "canary") {
		s.pairs(spec, "spec", func(key string, keyNode, _ *yaml.Node) {
			if key != "canary" && key != "digest" && key != "issued" && key != "displayName" && key != "description" {
				s.problem(keyNode, "spec."+key, "given together with `canary: true`, expected nothing but digest, issued, displayName and description: a canary is always refused")
			}
		})
		return
	}
	switch {
	case !has(spec, "user") && !meant(spec, "anyUser"):
		s.problem(spec, "spec.user", "missing, expected user, or `anyUser: true` for a token of any user")
	case has(spec, "user") && t.AnyUser:
		s.problem(find(spec, "anyUser"), "spec.anyUser", "given together with user, expected one of the two")
	}
	if t.AnyUser {
		s.checkAnyUser(t, spec)
	}
	if t.Secret != nil {
		s.checkSecret(t, spec)
	}
	if t.Unrestricted && (has(spec, "allow") || has(spec, "limitTo")) {
		s.problem(find(spec, "unrestricted"), "spec.unrestricted", "given together with rules that allow, expected one of the two")
	}
	if !meant(spec, "unrestricted") && !has(spec, "allow") && !has(spec, "limitTo") && !filled(spec, "policies") {
		s.problem(spec, "spec.allow", "missing, expected allow, limitTo, policies or `unrestricted: true`: the token may do nothing")
	}
	s.checkTimes(t, spec)
	s.checkRules(t.Allow, nil, spec, "spec")
}

// meant reports whether a key is there with something that is not false.
func meant(mapping *yaml.Node, key string) bool {
	n := find(mapping, key)
	return n != mapping && n.ShortTag() != "!!null" && (n.ShortTag() != "!!bool" || strings.EqualFold(n.Value, "true"))
}

func (s *scope) checkAnyUser(t *APIToken, spec *yaml.Node) {
	if len(t.Schemes) > 0 && !Schemes(t.Schemes).Has(policy.Basic) {
		s.problem(find(spec, "schemes"), "spec.schemes", "without basic, expected it: a token of any user works with Basic alone")
	}
	if len(t.ActAs) > 0 {
		s.problem(find(spec, "actAs"), "spec.actAs", "on a token of any user, expected it on a token of one user alone")
	}
	if len(t.Logins) > 0 {
		s.problem(find(spec, "logins"), "spec.logins", "on a token of any user, expected it on a token of one user alone")
	}
}

// checkSecret checks a token whose values a controller makes.
func (s *scope) checkSecret(t *APIToken, spec *yaml.Node) {
	for _, key := range []string{"digest", "issued", "previous"} {
		if has(spec, key) {
			s.problem(find(spec, key), "spec."+key, "given together with secret, expected one of the two: the controller makes the value")
		}
	}
	if t.AnyUser {
		s.problem(find(spec, "secret"), "spec.secret", "on a token of any user, expected it on a token of one user alone")
	}
	if n := find(find(spec, "secret"), "overlap"); time.Duration(t.Secret.Overlap) >= t.Secret.Every() {
		s.problem(n, "spec.secret.overlap", "not shorter than rotateEvery, expected less: a token has one earlier value at most")
	}
}

func (s *scope) checkTimes(t *APIToken, spec *yaml.Node) {
	if !t.Expires.IsZero() && !t.Issued.IsZero() && !t.Expires.After(t.Issued.Time) {
		s.problem(find(spec, "expires"), "spec.expires", "not after issued, expected a later time")
	}
	for i, p := range t.Previous {
		if !p.Until.IsZero() && !p.Issued.IsZero() && !p.Until.After(p.Issued.Time) {
			n := find(find(spec, "previous").Content[i], "until")
			s.problem(n, fmt.Sprintf("spec.previous[%d].until", i), "not after issued, expected a later time")
		}
	}
}

// Schemes returns a list of schemes as a set.
func Schemes(list []Scheme) policy.Schemes {
	var set policy.Schemes
	for _, scheme := range list {
		set = set.With(scheme.Is)
	}
	return set
}

// ForwardedSchemes splits a list of schemes into those in which tokens can be presented
// and all others.
func ForwardedSchemes(list []Forwarded) (schemes policy.Schemes, others []string) {
	for _, name := range list {
		switch name := string(name); {
		case name == policy.Basic.String():
			schemes = schemes.With(policy.Basic)
		case name == policy.Bearer.String():
			schemes = schemes.With(policy.Bearer)
		case name != "" && !slices.Contains(others, name):
			others = append(others, name)
		}
	}
	return schemes, others
}

// checkRules reports lists with too many rules, and deny rules on JSON without methods.
func (s *scope) checkRules(allow, deny []Rule, n *yaml.Node, field string) {
	for _, list := range []struct {
		key   string
		rules []Rule
	}{{"allow", allow}, {"deny", deny}} {
		if len(list.rules) > policy.MaxRules {
			s.problem(find(n, list.key), child(field, list.key), "%d rules, expected at most %d in a list", len(list.rules), policy.MaxRules)
		}
	}
	for i, r := range deny {
		for key, given := range map[string]bool{"json": len(r.JSON) > 0, "mcp": len(r.JSON) == 0 && r.MCP != nil} {
			if given && len(r.Methods) == 0 {
				s.problemAt(r.At, fmt.Sprintf("%s.deny[%d]", field, i),
					"%s without methods, expected the methods that have a body: the rule would deny every request without one", key)
			}
		}
	}
}

// check is called for every rule when its fields are decoded.
func (r *Rule) check(s *scope, n *yaml.Node, field string) {
	s.checkCount(n, field, "query", len(r.Query), policy.MaxKeys, "parameters")
	s.checkCount(n, field, "json", len(r.JSON), policy.MaxKeys, "nodes")
	s.checkCount(n, field, "clients", len(r.Clients), policy.MaxRanges, "ranges")
	if has(n, "contentTypes") && !has(n, "json") {
		s.problem(find(n, "contentTypes"), child(field, "contentTypes"), "without json, expected it with json alone: it limits which bodies json reads")
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		if key := n.Content[i].Value; key != "name" && key != "contentTypes" {
			return // a condition, or an unknown field that was reported
		}
	}
	s.problem(n, field, "a rule without a condition, expected at least one of methods, path, query, json, clients, mcp")
}

// check is called for the ranges of a gate or token when they are decoded.
func (c *Clients) check(s *scope, n *yaml.Node, field string) {
	s.checkCount(n, field, "allow", len(c.Allow), policy.MaxRanges, "ranges")
	s.checkCount(n, field, "deny", len(c.Deny), policy.MaxRanges, "ranges")
}

// checkCount reports a key with too many entries.
func (s *scope) checkCount(n *yaml.Node, field, key string, count, most int, what string) {
	if count > most {
		s.problem(find(n, key), child(field, key), "%d %s, expected at most %d", count, what, most)
	}
}
