package tokens

import (
	"net/netip"
	"slices"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// state is a token at one moment: its row, and its own rules as they are written. What its rules
// mean is not compared: rules that are not literally the same are not known to narrow.
type state struct {
	*policy.Token
	rules map[string]bool
}

// stateOf finds a token in a set. The row is nil where there is none.
func stateOf(set *ruleset.Set, name string) (state, error) {
	row, doc := rowOf(&set.Rows, name), set.Find(manifest.KindAPIToken, name)
	if row == nil || doc == nil {
		return state{}, nil
	}
	data, _ := set.File(doc.File)
	if rules, err := edit.Rules(doc.File, data, name); err == nil {
		return state{row, rules}, nil
	}
	return state{}, Refuse(NotEditable, "", "%s: the rules of the token %s can't be compared", doc.Place(doc.Pos), name)
}

// mayGrant refuses what the actor's own token does not grant: an actor that is a limited token
// creates only tokens of which every policy and rule is literally one of its own, and that live no
// longer than itself.
func (a *Actor) mayGrant(set *ruleset.Set, name string) error {
	if a.Token == "" {
		return nil
	}
	own, err := stateOf(set, a.Token)
	if err != nil {
		return err
	}
	t, err := stateOf(set, name)
	switch {
	case err != nil:
		return err
	case own.Token == nil || t.Token == nil:
		return Refuse(BeyondGrant, "", "the token %s that asks is gone", a.Token)
	case own.Grant.Unrestricted && len(own.Grant.Policies) == 0:
		return nil
	case t.Grant.Unrestricted && !own.Grant.Unrestricted:
		return Refuse(BeyondGrant, "unrestricted", "the token %s is limited and can't create an unrestricted one, expected policies or rules of its own", a.Token)
	}
	if what := grantsBeyond(&t, &own); what != "" {
		return Refuse(BeyondGrant, "", "the token %s does not have %s itself, expected policies and rules of its own alone", a.Token, what)
	}
	if later(t.End(), own.End()) {
		return Refuse(BeyondGrant, "expires", "the token %s ends before that, expected an end that is not after its own", a.Token)
	}
	return nil
}

// grantsBeyond names a policy or rule that a token has and another does not have literally, or
// nothing. A policy that denies must stay.
func grantsBeyond(after, before *state) string {
	policies, still := after.policies(), before.policies()
	for name := range policies {
		if !still[name] && !before.Grant.Unrestricted {
			return "the policy " + name
		}
	}
	for text := range after.rules {
		if !before.rules[text] && !before.Grant.Unrestricted {
			return "the rule " + text
		}
	}
	for _, p := range before.Grant.Policies {
		if len(p.Deny) > 0 && !policies[p.Name] {
			return "the policy " + p.Name + ", which denies,"
		}
	}
	return ""
}

// policies lists the policies that a token names.
func (s *state) policies() map[string]bool {
	names := map[string]bool{}
	for _, p := range s.Grant.Policies {
		if p.Name != "" {
			names[p.Name] = true
		}
	}
	return names
}

// widened names the field by which a token can do more after a change than before, or nothing.
// Any change that is not known to narrow counts as widening. Removed fields, earlier ends and
// suspensions narrow.
func widened(before, after *state) (field string) {
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
		{"limits", grantsBeyond(after, before) != ""},
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
