package suggest

import (
	"slices"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// useRules notes which allow rules an event's request matches by method and path. It is enough that one may
// have decided.
func (e *evidence) useRules(l *audit.Logged, path string) {
	use := func(policies []*policy.Policy) {
		for _, p := range policies {
			for _, r := range p.Allow {
				e.use(r, l, path)
			}
		}
	}
	if g := e.gates[l.Gate]; g != nil {
		use(g.Policies)
		if g.Anonymous != nil {
			use(g.Anonymous.Policies)
		}
	}
	t := e.tokens[l.Token]
	if t == nil {
		return
	}
	use(t.Grant.Policies)
	if t.AnyUser || l.Actor != "" { // whose groups are not known here
		for _, g := range e.rows.Groups {
			use(g.Policies)
		}
	}
	for _, g := range t.Groups {
		use(g.Policies)
	}
}

func (e *evidence) use(r *policy.Rule, l *audit.Logged, path string) {
	used := e.used[r]
	if used == nil || used.Load() {
		return
	}
	if (len(r.Methods) == 0 || slices.Contains(r.Methods, l.Method)) && (r.Path == nil || r.Path.Match(path)) {
		used.Store(true)
	}
}

// ownRules lists the unused rules of tokens and of gates' anonymous callers, where anything used the token or gate.
func (d *Dead) ownRules(e *evidence, all *seen) {
	unused := func(owner string, policies []*policy.Policy) {
		for _, r := range ownRules(policies) {
			if !e.used[r].Load() {
				d.Rules = append(d.Rules, owner+" "+r.Name+" ("+r.Source.String()+")")
			}
		}
	}
	for _, t := range e.rows.Tokens {
		if all.tokens[t.Name] != nil {
			unused(t.Name, t.Grant.Policies)
		}
	}
	for _, g := range e.rows.Gates {
		if g.Anonymous != nil && all.gates[g.Name] {
			unused(g.Name+" anonymous", g.Anonymous.Policies)
		}
	}
}

// ownRules are the allow rules that a token or a gate has itself.
func ownRules(policies []*policy.Policy) (list []*policy.Rule) {
	for _, p := range policies {
		if p.Name == "" {
			list = append(list, p.Allow...)
		}
	}
	return list
}

// dead lists what was not used. Deny rules are no part of it: one that never refused anything still guards.
func (e *evidence) dead(all *seen) *Dead {
	d := &Dead{Rules: []string{}, Policies: []string{}, Groups: []string{}, Gates: []string{}, Tokens: []string{}}
	for _, p := range e.rows.Policies {
		unused := 0
		for _, r := range p.Allow {
			if !e.used[r].Load() {
				unused++
				d.Rules = append(d.Rules, ruleText(r)+" ("+r.Source.String()+")")
			}
		}
		if unused == len(p.Allow) && len(p.Deny) == 0 {
			d.Policies = append(d.Policies, p.Name)
		}
	}
	d.ownRules(e, all)
	live := map[*policy.Group]bool{}
	anyUser := false
	for _, t := range e.rows.Tokens {
		if all.tokens[t.Name] == nil {
			if !t.Canary && !t.Revoked {
				d.Tokens = append(d.Tokens, t.Name)
			}
			continue
		}
		anyUser = anyUser || t.AnyUser
		for _, g := range t.Groups {
			live[g] = true
		}
	}
	for _, g := range e.rows.Groups {
		if !live[g] && !anyUser { // a token of any user may have been used by a member
			d.Groups = append(d.Groups, g.Name)
		}
	}
	for _, g := range e.rows.Gates {
		if !all.gates[g.Name] {
			d.Gates = append(d.Gates, g.Name)
		}
	}
	for _, list := range [][]string{d.Rules, d.Policies, d.Groups, d.Gates, d.Tokens} {
		slices.Sort(list)
	}
	return d
}
