package suggest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/patgate/patgate/lint"
	"github.com/patgate/patgate/policy"
)

// Rule is a rule that is proposed, with the fields of a manifest.
type Rule struct {
	Methods      []string          `json:"methods,omitempty"`
	Path         string            `json:"path,omitempty"`
	Query        map[string]string `json:"query,omitempty"`
	JSON         map[string]string `json:"json,omitempty"`
	Clients      []string          `json:"clients,omitempty"`
	ContentTypes []string          `json:"contentTypes,omitempty"`

	MCP map[string][]string `json:"mcp,omitempty"`
}

// Condition is a condition on one parameter.
type Condition struct{ Name, Pattern string }

// Line returns the rule in the one-line form, and false where it has none.
func (r *Rule) Line() (string, bool) {
	if len(r.Clients)+len(r.ContentTypes)+len(r.MCP) > 0 || r.Path == "" {
		return "", false
	}
	var b strings.Builder
	if len(r.Methods) > 0 {
		fmt.Fprintf(&b, "[%s]", strings.ToLower(strings.Join(r.Methods, ",")))
	} else if strings.HasPrefix(r.Path, "[") {
		return "", false
	}
	b.WriteString(r.Path)
	for _, group := range []struct {
		word  string
		pairs map[string]string
	}{{"QueryParam", r.Query}, {"JsonData", r.JSON}} {
		for _, name := range slices.Sorted(maps.Keys(group.pairs)) {
			fmt.Fprintf(&b, "[%s::%s==%s]", group.word, name, group.pairs[name])
		}
	}
	line := b.String()
	odd := strings.ContainsAny(line, "\r\n") || line != strings.TrimSpace(line) || strings.Contains(r.Path, `\?`) || strings.Contains(r.Path, "#")
	for _, m := range r.Methods {
		odd = odd || strings.Trim(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != ""
	}
	for name, pattern := range r.Query {
		odd = odd || strings.ContainsAny(name, "[]=:") || strings.Contains(pattern, "::")
	}
	odd = odd || strings.Contains(r.Path, "::")
	return line, !odd
}

// proposal makes the rules for one token.
type proposal struct {
	token *policy.Token
	days  int
	out   *Token
	rules []Rule

	leftOut int64 // calls that the present rules refuse
}

// present is an allow rule that the token has, with the needs that it allows.
type present struct {
	rule  *policy.Rule // nil: the token is unrestricted
	kinds map[kindKey]*kind
}

// make fills the proposal. It returns false where none can be made; the warnings say why.
func (p *proposal) make(c *calls) bool {
	list, ok := p.attribute(c)
	if !ok {
		return false
	}
	for i := range list {
		p.narrow(&list[i])
	}
	p.dropCovered()
	if !p.keepDenying() || !p.fits() {
		return false
	}
	p.write()
	return true
}

// attribute says which present rule allowed which calls.
func (p *proposal) attribute(c *calls) ([]present, bool) {
	if c.unclear > 0 {
		p.out.warn("%d calls have %s: no rules can be proposed that are sure to allow them", c.unclear, c.why)
	}
	if c.lost > 0 {
		p.out.warn("more than %d kinds of requests: no rules can be proposed", maxKinds)
	}
	if c.unclear+c.lost > 0 {
		return nil, false
	}
	if p.token.Grant.Unrestricted {
		return []present{{kinds: c.kinds}}, true
	}
	var list []present
	for _, policy := range p.token.Grant.Policies {
		if !policy.Observe {
			for _, r := range policy.Allow {
				if r.MCP != nil && r.MCP.Also != nil { // no rule with fields means the same
					p.out.warn("%s gives a list of [Mcp:: twice: no rules can be proposed", ruleText(r))
					return nil, false
				}
				list = append(list, present{rule: r, kinds: map[kindKey]*kind{}})
			}
		}
	}
	for _, key := range sortedKeys(c.kinds) {
		k := c.kinds[key]
		at, several := ruleOf(list, key, k)
		switch {
		case at >= 0:
			list[at].kinds[key] = k
		case several:
			p.out.warn("which rule allowed %s %s can't be told: no rules can be proposed", key.method, k.example())
			return nil, false
		default: // the present rules refuse them, whatever is proposed
			p.out.warn("%d calls such as %s %s are not allowed by the present rules any more, and are left out", k.count, key.method, k.example())
			p.leftOut += k.count
		}
	}
	return list, true
}

// ruleOf finds the present rule that allowed the calls of a kind: the one that the log names, or the first that needs
// no more than the method and the path. several reports whether another one may have.
func ruleOf(list []present, key kindKey, k *kind) (at int, several bool) {
	path := k.example()
	fits := func(r *policy.Rule) bool {
		return (len(r.Methods) == 0 || slices.Contains(r.Methods, key.method)) && (r.Path == nil || r.Path.Match(path))
	}
	at = slices.IndexFunc(list, func(p present) bool { return p.rule.Name == key.rule && p.rule.Policy == key.policy && fits(p.rule) })
	if at < 0 {
		at = slices.IndexFunc(list, func(p present) bool {
			return fits(p.rule) && len(p.rule.Query)+len(p.rule.JSON)+len(p.rule.Clients) == 0 && p.rule.MCP == nil
		})
	}
	return at, slices.ContainsFunc(list, func(p present) bool { return fits(p.rule) })
}

// example is a path of the kind.
func (k *kind) example() string {
	parts := make([]string, len(k.segments))
	for i := range k.segments {
		parts[i] = k.segments[i].first
	}
	return strings.Join(parts, "/")
}

// narrow proposes rules in the place of a present one.
func (p *proposal) narrow(at *present) {
	if at.rule == nil {
		for _, n := range needsOf(at.kinds) {
			p.add(n, Rule{Path: n.path()}, nil)
		}
		p.out.Removes = append(p.out.Removes, "what no call needed: the token is unrestricted")
		return
	}
	if len(at.kinds) == 0 {
		p.out.Removes = append(p.out.Removes, fmt.Sprintf("%s: unused for %s", ruleText(at.rule), DaysText(p.days)))
		return
	}
	var paths []string
	methods := map[string]bool{}
	for _, n := range needsOf(at.kinds) {
		rule := Rule{Path: n.path()}
		if of := at.rule.Path; of != nil && (len(rule.Path) > maxPattern || !lint.Included(rule.Path, of.String())) {
			p.out.warn("%s is too long, or not proven to be within %s, which stays", rule.Path, of)
			rule.Path = of.String()
		}
		rule.conditionsOf(at.rule)
		paths = append(paths, rule.Path)
		for _, m := range n.methods {
			methods[m] = true
		}
		p.add(n, rule, at.rule)
	}
	p.removes(at.rule, paths, methods)
}

// removes says what the present rule allows and the proposal does not.
func (p *proposal) removes(r *policy.Rule, paths []string, methods map[string]bool) {
	unused := slices.DeleteFunc(slices.Clone(r.Methods), func(m string) bool { return methods[m] })
	switch {
	case len(r.Methods) == 0:
		p.out.Removes = append(p.out.Removes, fmt.Sprintf("%s: methods other than %s, unused for %s", ruleText(r), strings.Join(slices.Sorted(maps.Keys(methods)), ", "), DaysText(p.days)))
	case len(unused) > 0:
		p.out.Removes = append(p.out.Removes, fmt.Sprintf("%s: %s, unused for %s", ruleText(r), strings.Join(unused, ", "), DaysText(p.days)))
	}
	if r.Path != nil && !lint.Included(r.Path.String(), paths...) {
		p.out.Removes = append(p.out.Removes, fmt.Sprintf("%s: other paths of %s, unused for %s", ruleText(r), r.Path, DaysText(p.days)))
	}
}

// dropCovered drops rules that another one covers: numbers of one digit have a shape of their own. Each is compared
// with each: where there are far more than may be proposed, that takes half a minute, and there is no proposal anyway.
func (p *proposal) dropCovered() {
	if len(p.rules) > 2*maxRules {
		return
	}
	for i := len(p.rules) - 1; i >= 0; i-- {
		if slices.ContainsFunc(p.rules, func(other Rule) bool { return other.Path != p.rules[i].Path && other.covers(&p.rules[i]) }) {
			p.rules = slices.Delete(p.rules, i, i+1)
		}
	}
}

// covers reports whether the rule is proven to allow all that another with the same conditions does.
func (r *Rule) covers(o *Rule) bool {
	same := slices.Equal(r.Methods, o.Methods) && maps.Equal(r.Query, o.Query) && maps.Equal(r.JSON, o.JSON) &&
		slices.Equal(r.Clients, o.Clients) && slices.Equal(r.ContentTypes, o.ContentTypes) && len(r.MCP)+len(o.MCP) == 0
	return same && r.Path != "" && o.Path != "" && lint.Included(o.Path, r.Path)
}

func ruleText(r *policy.Rule) string {
	if r.Policy != "" {
		return r.Policy + " " + r.Name
	}
	return r.Name
}

// conditionsOf takes over the conditions that a path does not replace.
func (r *Rule) conditionsOf(of *policy.Rule) {
	for _, q := range of.Query {
		r.setQuery(q.Name, q.Pattern.String())
	}
	for _, n := range of.JSON {
		if r.JSON == nil {
			r.JSON = map[string]string{}
		}
		r.JSON[n.Text] = n.Pattern.String()
	}
	for _, c := range of.Clients {
		r.Clients = append(r.Clients, c.String())
	}
	r.ContentTypes = of.ContentTypes
	of.MCP.Each(func(list string, p *policy.Pattern) {
		if r.MCP == nil {
			r.MCP = map[string][]string{}
		}
		r.MCP[list] = append(r.MCP[list], p.String())
	})
}

func (r *Rule) setQuery(name, pattern string) {
	if r.Query == nil {
		r.Query = map[string]string{}
	}
	r.Query[name] = pattern
}

// maxConditions is the maximum number of parameters in a rule.
const maxConditions = 8

// add adds a rule for a need, with the conditions on parameters that all its calls met.
func (p *proposal) add(n need, rule Rule, of *policy.Rule) {
	rule.Methods = n.methods
	if n.override { // a rule on methods can't be decided for such a call
		p.out.warn("calls of %s name another method in a parameter: the methods stay", rule.Path)
		if rule.Methods = nil; of != nil {
			rule.Methods = of.Methods
		}
	}
	for _, c := range n.query() {
		if _, has := rule.Query[c.Name]; !has && len(rule.Query) < maxConditions {
			rule.setQuery(c.Name, c.Pattern)
		}
	}
	if n.note != "" {
		p.out.warn("%s looks like an identifier, and is kept as it is: no call had another", n.note)
	}
	p.rules = append(p.rules, rule)
}

// keepDenying names the policies that stay as they deny or only observe. One that allows too can't stay: its deny
// rules must not concern what is proposed.
func (p *proposal) keepDenying() bool {
	for _, of := range p.token.Grant.Policies {
		switch {
		case of.Name == "" || len(of.Deny) == 0 && !of.Observe:
		case len(of.Allow) == 0 || of.Observe:
			p.out.Policies = append(p.out.Policies, of.Name)
		case !p.apartFrom(of.Deny):
			p.out.warn("the policy %s allows and denies: expected its deny rules in a policy of their own, so that they can stay", of.Name)
			return false
		}
	}
	return true
}

// apartFrom reports whether no request matches a deny rule and a proposed one.
func (p *proposal) apartFrom(deny []*policy.Rule) bool {
	for _, d := range deny {
		for i := range p.rules {
			r := &p.rules[i]
			methods := len(d.Methods) == 0 || len(r.Methods) == 0 || slices.ContainsFunc(d.Methods, func(m string) bool { return slices.Contains(r.Methods, m) })
			if methods && (d.Path == nil || r.Path == "" || !lint.Disjoint(d.Path.String(), r.Path)) {
				return false
			}
		}
	}
	return true
}

// The limits on rules.
const (
	maxRules        = 64
	maxPattern      = 1 << 10
	maxInstructions = 10_000 // of all patterns together
)

// fits reports whether the rules keep the limits on a list.
func (p *proposal) fits() bool {
	size := 0
	for i := range p.rules {
		for _, text := range append(slices.Collect(maps.Values(p.rules[i].Query)), p.rules[i].Path) {
			pattern, err := policy.CompilePattern(text)
			if err != nil || len(text) > maxPattern {
				p.out.warn("the pattern %s is too long: no rules can be proposed", text)
				return false
			}
			size += pattern.Instructions()
		}
	}
	if len(p.rules) > maxRules || size > maxInstructions {
		p.out.warn("%d rules with patterns of %d instructions, and a list takes %d and %d: no rules can be proposed", len(p.rules), size, maxRules, maxInstructions)
		return false
	}
	return true
}

// write puts the rules into the form in which they are shortest.
func (p *proposal) write() {
	for i := range p.rules {
		if line, ok := p.rules[i].Line(); ok {
			p.out.LimitTo = append(p.out.LimitTo, line)
		} else {
			p.out.Allow = append(p.out.Allow, p.rules[i])
		}
	}
}
