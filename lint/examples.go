package lint

import (
	"fmt"
	"slices"
	"time"

	"github.com/patgate/patgate/explain"
	"github.com/patgate/patgate/policy"
)

// Example shows a rule by a request that it decides and a near one that it does not.
// Both were evaluated.
type Example struct {
	Rule  *policy.Rule
	Deny  bool   // a deny rule
	Token string // whose holder asked; empty: no credential
	User  string // who presented a token of any user
	Gate  string
	// Hit is allowed by an allow rule, and refused by a deny rule; Near is the other
	// way round. Either is nil where none was found.
	Hit, Near *Asked
	Note      string // why one was not found
}

// Asked is a request and what became of it.
type Asked struct {
	explain.Request
	Reason policy.Reason
}

// asker is a caller, and the gate that it calls.
type asker struct {
	token  *policy.Token // nil: without a credential
	gate   *policy.Gate
	caller // who presents the token
}

// use is a rule and the callers that it applies to.
type use struct {
	rule   *policy.Rule
	deny   bool
	policy *policy.Policy
	askers []asker
}

// maxAskers is how many kinds of callers are tried for a rule.
const maxAskers = 4

// Examples finds a request and a near one for every rule of the rows.
func Examples(rows policy.Rows, now time.Time) ([]Example, error) {
	uses := usesOf(rows)
	var names []string
	for _, u := range uses {
		for _, a := range u.askers {
			if a.token != nil {
				names = append(names, a.token.Name)
			}
		}
	}
	slices.Sort(names)
	sandbox, err := explain.NewSandbox(rows, now, slices.Compact(names)...)
	if err != nil {
		return nil, err
	}
	var list []Example
	for _, u := range uses {
		list = append(list, exampleOf(sandbox, now, u))
	}
	return list, nil
}

// usesOf lists the rules of policies, of gates' anonymous callers and of tokens, each
// with those who come by it.
func usesOf(rows policy.Rows) []use {
	var uses []use
	add := func(p *policy.Policy, askers []asker) {
		for _, r := range p.Allow {
			uses = append(uses, use{r, false, p, askers})
		}
		for _, r := range p.Deny {
			uses = append(uses, use{r, true, p, askers})
		}
	}
	by := askersByPolicy(rows)
	for _, p := range rows.Policies {
		add(p, by[p])
	}
	for _, g := range rows.Gates {
		if g.Anonymous != nil {
			for _, p := range g.Anonymous.Policies {
				add(p, []asker{{gate: g}})
			}
		}
	}
	for _, t := range rows.Tokens {
		for _, p := range t.Grant.Policies {
			if p.Name == "" {
				add(p, by[p])
			}
		}
	}
	return uses
}

// askersByPolicy finds a few tokens and gates for each policy, active ones first.
func askersByPolicy(rows policy.Rows) map[*policy.Policy][]asker {
	by, callers := map[*policy.Policy][]asker{}, callersOf(rows)
	add := func(policies []*policy.Policy, a asker) {
		for _, p := range policies {
			if len(by[p]) < maxAskers {
				by[p] = append(by[p], a)
			}
		}
	}
	for _, late := range []bool{false, true} {
		for _, t := range rows.Tokens {
			if dead := t.Revoked || t.Suspended; dead != late || t.Canary {
				continue
			}
			for _, g := range rows.Gates {
				if len(t.Gates) > 0 && !slices.Contains(t.Gates, g.Name) {
					continue
				}
				for _, a := range presenters(callers, t, g) {
					add(g.Policies, a)
					add(t.Grant.Policies, a)
					for _, group := range a.groups {
						add(group.Policies, a)
					}
				}
			}
		}
	}
	for _, g := range rows.Gates {
		if g.Anonymous != nil {
			add(g.Policies, asker{gate: g})
		}
	}
	return by
}

// anyUser presents a token of any user where no member of a group has to.
const anyUser = "somebody"

// caller is a user who may present a token of any user, and the groups of the user.
type caller struct {
	user   string
	groups []*policy.Group
}

// callersOf lists a user of no group and a member of each group.
func callersOf(rows policy.Rows) []caller {
	list, at := []caller{{user: anyUser}}, map[string]int{anyUser: 0}
	for _, g := range rows.Groups {
		if len(g.Members) == 0 {
			continue
		}
		if _, known := at[g.Members[0]]; !known {
			at[g.Members[0]] = len(list)
			list = append(list, caller{user: g.Members[0]})
		}
	}
	for _, g := range rows.Groups {
		for _, user := range g.Members {
			if i, known := at[user]; known {
				list[i].groups = append(list[i].groups, g)
			}
		}
	}
	return list
}

// presenters lists who presents a token at a gate: its user, or for a token of any user the callers whom
// the gate admits.
func presenters(callers []caller, t *policy.Token, g *policy.Gate) []asker {
	if !t.AnyUser {
		return []asker{{t, g, caller{t.User, t.Groups}}}
	}
	var list []asker
	for _, c := range callers {
		if len(g.Groups) == 0 || slices.ContainsFunc(c.groups, func(is *policy.Group) bool { return slices.Contains(g.Groups, is) }) {
			list = append(list, asker{t, g, c})
		}
	}
	if len(list) == 0 {
		return []asker{{t, g, callers[0]}}
	}
	return list
}

// exampleOf tries each kind of caller until both requests are found.
func exampleOf(sandbox *explain.Sandbox, now time.Time, u use) Example {
	best := Example{Rule: u.rule, Deny: u.deny}
	switch {
	case u.policy.Observe:
		best.Note = "the policy only observes"
		return best
	case len(u.askers) == 0:
		best.Note = "no gate, group or token is asked by it"
		return best
	}
	for _, a := range u.askers {
		e := (&trial{sandbox: sandbox, now: now, use: u, asker: a}).run()
		if best.Gate == "" || best.Hit == nil && e.Hit != nil || e.Near != nil {
			best = e
		}
		if best.Hit != nil && best.Near != nil {
			break
		}
	}
	return best
}

// trial looks for the two requests of one asker.
type trial struct {
	use
	asker
	sandbox *explain.Sandbox
	now     time.Time
	last    policy.Reason // of the last request that was not what was looked for
	asked   bool
}

func (t *trial) run() Example {
	e := Example{Rule: t.rule, Deny: t.deny, Gate: t.gate.Name}
	if t.token != nil {
		e.Token = t.token.Name
		if t.token.AnyUser {
			e.User = t.user
		}
	}
	for _, rules := range t.together() {
		for _, c := range t.candidates(rules) {
			hit := t.ask(c, t.hits)
			if hit == nil {
				continue
			}
			near := t.near(c)
			if e.Hit == nil || near != nil {
				e.Hit, e.Near = hit, near
			}
			if near != nil {
				return e
			}
		}
	}
	switch {
	case e.Hit != nil:
		e.Note = "no near one"
	case t.asked:
		e.Note = fmt.Sprintf("what it matches ended in %s", t.last)
	default:
		e.Note = "no request was found that it and the other bounds match"
	}
	return e
}

// maxTogether is the maximum number of choices of rules from the other levels that are tried.
const maxTogether = 16

// together returns the rules that must hold at once for the request to be allowed: this
// one and one of each other level. A deny rule is also checked alone.
func (t *trial) together() [][]*policy.Rule {
	choices := [][]*policy.Rule{{t.rule}}
	for _, level := range t.levels() {
		allow := allowRules(level)
		if len(allow) == 0 || !t.deny && slices.Contains(allow, t.rule) {
			continue
		}
		var longer [][]*policy.Rule
		for _, c := range choices {
			for _, r := range allow {
				if len(longer) < maxTogether {
					longer = append(longer, append(slices.Clip(c), r))
				}
			}
		}
		choices = longer
	}
	if t.deny {
		choices = append(choices, []*policy.Rule{t.rule})
	}
	return choices
}

// levels are the policies of the gate, of each group, and of the grant.
func (t *trial) levels() [][]*policy.Policy {
	levels := [][]*policy.Policy{t.gate.Policies}
	grant := t.gate.Anonymous
	if t.token != nil {
		for _, g := range t.groups {
			levels = append(levels, g.Policies)
		}
		grant = &t.token.Grant
	}
	if !grant.Unrestricted {
		levels = append(levels, grant.Policies)
	}
	return levels
}

func allowRules(policies []*policy.Policy) []*policy.Rule {
	var rules []*policy.Rule
	for _, p := range policies {
		if !p.Observe {
			rules = append(rules, p.Allow...)
		}
	}
	return rules
}

// ask evaluates a candidate, and returns it if the decision is the expected one.
func (t *trial) ask(c *candidate, good func(*policy.Decision, bool) bool) *Asked {
	q := c.question(t.now)
	var trace policy.Trace
	d, _ := t.sandbox.Ask(&q, &trace)
	matched := slices.ContainsFunc(trace.Rules, func(told policy.TraceRule) bool {
		return told.Rule == t.rule && told.Deny == t.deny && (told.Matched || told.Unclear && t.deny)
	})
	if d.Gate == t.gate && !d.Shadowed && good(&d, matched) {
		return &Asked{q, d.Reason}
	}
	t.last, t.asked = d.Reason, true
	if d.Shadowed {
		t.last = d.Shadow
	}
	return nil
}

// hits checks that the rule matches, and that the decision follows it.
func (t *trial) hits(d *policy.Decision, matched bool) bool {
	if t.deny {
		return matched && d.Reason == policy.RuleDenied && d.Rule == t.rule
	}
	return matched && d.Effect == policy.Allow
}

// misses checks the opposite: a request that fails by its rules alone, or passes.
func (t *trial) misses(d *policy.Decision, matched bool) bool {
	if t.deny {
		return !matched && d.Effect == policy.Allow
	}
	switch d.Reason {
	case policy.NoRuleMatched, policy.NoCredential, policy.BodyUnavailable, policy.QueryUnreadable:
		return !matched
	}
	return false
}

// near returns a request that differs from a hit in one thing.
func (t *trial) near(hit *candidate) *Asked {
	last, asked := t.last, t.asked
	defer func() { t.last, t.asked = last, asked }()
	for _, c := range hit.mutations(t.rule) {
		if a := t.ask(c, t.misses); a != nil {
			return a
		}
	}
	return nil
}
