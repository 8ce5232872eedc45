package main

import (
	"fmt"
	"slices"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/usage"
)

// unusedRule is a rule of a token that allowed no call.
type unusedRule struct {
	Policy string `json:"policy,omitempty"` // empty: a rule of the token itself
	Rule   string `json:"rule"`
	Text   string `json:"text"`
}

// addRules adds the token's rules that allowed no call, or takes out what is known of rules where it is not wanted.
func (t *usedToken) addRules(wanted bool, snapshot *policy.Snapshot) {
	if !wanted {
		t.Rules, t.OtherRules = nil, 0
		return
	}
	if snapshot == nil || t.byRules() < t.Count {
		return // a rule of which nothing is known may have allowed the rest
	}
	row := snapshot.TokenByName(t.Token.Token)
	if row == nil {
		return
	}
	for _, p := range row.Grant.Policies {
		if p.Observe {
			continue
		}
		for _, r := range p.Allow {
			if !t.usedRule(r) {
				t.UnusedRules = append(t.UnusedRules, unusedRule{r.Policy, r.Name, r.Text()})
			}
		}
	}
}

// byRules returns the number of calls whose rules are known.
func (t *usedToken) byRules() (n int64) {
	for i := range t.Rules {
		n += t.Rules[i].Count
	}
	return n
}

func (t *usedToken) usedRule(r *policy.Rule) bool {
	return slices.ContainsFunc(t.Rules, func(u usage.RuleUse) bool {
		return u.Policy == r.Policy && (u.Text == r.Text() || u.Text == "" && u.Rule == r.Name)
	})
}

// printRuleUses prints a line for each rule.
func printRuleUses(s streams, tokens []usedToken) error {
	for i := range tokens {
		t := &tokens[i]
		for j := range t.Rules {
			r := &t.Rules[j]
			if _, err := fmt.Fprintf(s.out, "%s: %s by the rule %s, last %s\n", diag.Escape(t.Token.Token), count(int(r.Count), "call"), diag.Escape(usedRuleName(r.Policy, r.Rule, r.Text)), stamp(r.Last)); err != nil {
				return err
			}
		}
		for _, r := range t.UnusedRules {
			if _, err := fmt.Fprintf(s.out, "%s: no call by the rule %s\n", diag.Escape(t.Token.Token), diag.Escape(usedRuleName(r.Policy, r.Rule, r.Text))); err != nil {
				return err
			}
		}
	}
	return nil
}

// usedRuleName names a rule for people.
func usedRuleName(policyName, rule, text string) string {
	name := fmt.Sprintf("%q", rule)
	if policyName != "" {
		name += " of the policy " + policyName
	}
	if text != "" {
		name += " (" + text + ")"
	}
	return diag.Escape(name)
}
