package tokens

import (
	"net/netip"
	"slices"
	"time"

	"github.com/patgate/patgate/policy"
)

// mayGrant refuses what the token that asks does not grant itself: an actor that is a limited token
// creates only tokens of which every policy and rule is literally one of its own, and that live no
// longer than itself.
func (a *Actor) mayGrant(rows *policy.Rows, t *policy.Token) error {
	if a.Token == "" {
		return nil
	}
	own := rowOf(rows, a.Token)
	switch {
	case own == nil:
		return Refuse(BeyondGrant, "", "the token %s that asks is gone", a.Token)
	case own.Grant.Unrestricted && len(own.Grant.Policies) == 0:
		return nil
	case t.Grant.Unrestricted && !own.Grant.Unrestricted:
		return Refuse(BeyondGrant, "unrestricted", "the token %s is limited and can't create an unrestricted one, expected policies or rules of its own", a.Token)
	}
	if what := grantsBeyond(&t.Grant, &own.Grant); what != "" {
		return Refuse(BeyondGrant, "", "the token %s does not have %s itself, expected policies and rules of its own alone", a.Token, what)
	}
	if later(t.End(), own.End()) {
		return Refuse(BeyondGrant, "expires", "the token %s ends before that, expected an end that is not after its own", a.Token)
	}
	return nil
}

// grantsBeyond names a policy or rule of a grant that another does not have literally, or nothing.
// A policy that denies must stay.
func grantsBeyond(after, before *policy.Grant) string {
	policies, rules := contents(before)
	afterPolicies, afterRules := contents(after)
	for name := range afterPolicies {
		if !policies[name] && !before.Unrestricted {
			return "the policy " + name
		}
	}
	for text := range afterRules {
		if !rules[text] && !before.Unrestricted {
			return "the rule " + text
		}
	}
	for _, p := range before.Policies {
		if len(p.Deny) > 0 && !afterPolicies[p.Name] {
			return "the policy " + p.Name + " that denies"
		}
	}
	return ""
}

// contents lists the policies of a grant by name, and its own rules by their text.
func contents(g *policy.Grant) (policies, rules map[string]bool) {
	policies, rules = map[string]bool{}, map[string]bool{}
	for _, p := range g.Policies {
		if p.Name != "" {
			policies[p.Name] = true
			continue
		}
		for _, r := range p.Allow {
			rules[RuleText(r)] = true
		}
	}
	return policies, rules
}

// widened names the field by which a token can do more after a change than before, or nothing.
// Whatever is not known to narrow widens: fields that are removed, ends that come earlier and
// suspensions narrow.
func widened(before, after *policy.Token) (field string) {
	for _, f := range []struct {
		name string
		more bool
	}{
		{"user", before.User != after.User || before.AnyUser != after.AnyUser},
		{"logins", !within(after.Logins, before.Logins)},
		{"actAs", !within(texts(after.ActAs), texts(before.ActAs))},
		{"canary", before.Canary != after.Canary},
		{"revoked", before.Revoked && !after.Revoked},
		{"suspended", before.Suspended && !after.Suspended},
		{"expires", later(after.Expires, before.Expires)},
		{"issued", !before.Issued.Equal(after.Issued)},
		{"unrestricted", after.Grant.Unrestricted && !before.Grant.Unrestricted},
		{"limits", grantsBeyond(&after.Grant, &before.Grant) != ""},
		{"gates", len(before.Gates) > 0 && (len(after.Gates) == 0 || !within(after.Gates, before.Gates))},
		{"schemes", before.Schemes != 0 && (after.Schemes == 0 || after.Schemes&^before.Schemes != 0)},
		{"clients", len(before.Clients.Allow) > 0 && (len(after.Clients.Allow) == 0 || !within(ranges(after.Clients.Allow), ranges(before.Clients.Allow)))},
		{"clients", !within(ranges(before.Clients.Deny), ranges(after.Clients.Deny))},
	} {
		if f.more {
			return f.name
		}
	}
	return ""
}

// later reports whether an end comes after another; a zero one never comes.
func later(a, b time.Time) bool { return !b.IsZero() && (a.IsZero() || a.After(b)) }

// within reports whether each text is one of the others.
func within(list, of []string) bool {
	return !slices.ContainsFunc(list, func(text string) bool { return !slices.Contains(of, text) })
}

func texts(patterns []*policy.Pattern) (list []string) {
	for _, p := range patterns {
		list = append(list, p.String())
	}
	return list
}

func ranges(prefixes []netip.Prefix) (list []string) {
	for _, p := range prefixes {
		list = append(list, p.String())
	}
	return list
}
