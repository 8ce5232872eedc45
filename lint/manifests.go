package lint

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

func (l *linter) gate(d *manifest.Document) {
	g, row := d.Gate, l.gates[d.Key()]
	if len(g.ForwardUnknown) > 0 {
		l.warn(ForwardUnknown, d, spec("forwardUnknown"),
			"credentials that are no tokens go to the upstream untouched (%s): who holds a password needs no token", strings.Join(row.ForwardedSchemes(), ", "))
	}
	if g.Enforcement.Observe {
		l.warn(Observing, d, spec("enforcement"), "the gate only observes: what its rules refuse passes")
	}
	if a := g.Anonymous; a != nil {
		if a.Unrestricted {
			l.warn(Unrestricted, d, spec("anonymous", "unrestricted"), "callers without a credential may do everything that the gate's policies do not forbid")
		}
		asked := []*policy.Gate{row}
		l.rules(d, spec("anonymous", "allow"), a.Allow, false, asked, policy.Ranges{})
		l.rules(d, spec("anonymous", "deny"), a.Deny, true, asked, policy.Ranges{})
	}
	l.clients(d, g.Clients, row.Clients, nil)
	l.weakerThanNamed(d, row)
	l.caseOfNested(d, row)
	l.registry(d, row)
}

// weakerThanNamed compares a gate for every host with those for named ones: a host that
// is spelt otherwise, or absent, falls to it.
func (l *linter) weakerThanNamed(d *manifest.Document, row *policy.Gate) {
	if !slices.Contains(row.Hosts, policy.AnyHost) {
		return
	}
	for _, other := range l.in.Rows.Gates {
		if other == row || slices.Contains(other.Hosts, policy.AnyHost) || !samePaths(row, other) {
			continue
		}
		if ways := weaker(row, other); len(ways) > 0 {
			steps := spec("hosts")
			if len(d.Gate.Hosts) == 0 {
				steps = spec()
			}
			l.warn(WeakEveryHost, d, steps, "the gate guards every other host and is weaker than the Gate %s (%s) in %s",
				other.Name, strings.Join(other.Hosts, ", "), strings.Join(ways, ", "))
			return
		}
	}
}

// samePaths reports whether two gates guard a path in common, their hosts aside.
func samePaths(a, b *policy.Gate) bool {
	for _, p := range a.Prefixes {
		for _, q := range b.Prefixes {
			if strings.HasPrefix(p+"/", q+"/") || strings.HasPrefix(q+"/", p+"/") {
				return true
			}
		}
	}
	return false
}

// weaker lists the ways in which a gate is less strict than another.
func weaker(g, other *policy.Gate) (ways []string) {
	add := func(is bool, way string) {
		if is {
			ways = append(ways, way)
		}
	}
	add(g.Anonymous != nil && other.Anonymous == nil, "anonymous")
	add(len(g.Groups) == 0 && len(other.Groups) > 0, "groups")
	add(!g.RequireTLS && other.RequireTLS, "requireTLS")
	add(g.Clients.Empty() && !other.Clients.Empty(), "clients")
	add(g.ForwardUnknown&^other.ForwardUnknown != 0 || slices.ContainsFunc(g.ForwardOther, func(scheme string) bool {
		return !slices.Contains(other.ForwardOther, scheme)
	}), "forwardUnknown")
	add(slices.ContainsFunc(other.Policies, func(p *policy.Policy) bool { return !slices.Contains(g.Policies, p) }), "policies")
	add(g.Observe && !other.Observe, "enforcement")
	return ways
}

func (l *linter) group(d *manifest.Document) {
	g := d.UserGroup
	if l.named[manifest.KindUserGroup+"/"+d.Key()] {
		return
	}
	if len(g.Policies) > 0 {
		l.warn(UnnamedGroup, d, spec("policies"), "no gate names the group: without its file its limits are gone, and nothing reports it")
	} else if g.Tokens != nil && g.Tokens.MaxLifetime != 0 && time.Duration(g.Tokens.MaxLifetime) != policy.Forever {
		l.warn(UnnamedGroup, d, spec("tokens", "maxLifetime"), "no gate names the group: without its file its cap is gone, and nothing reports it")
	}
}

func (l *linter) policy(d *manifest.Document) {
	p := d.TokenPolicy
	if !l.named[manifest.KindTokenPolicy+"/"+d.Key()] {
		l.warnAt(UnusedPolicy, d, d.Metadata.Name.At, []any{"metadata", "name"}, "no gate, group or token names the policy: it has no effect")
	}
	if p.Enforcement.Observe {
		l.warn(Observing, d, spec("enforcement"), "the policy only observes: it refuses and grants nothing")
	}
	l.rules(d, spec("allow"), p.Allow, false, l.in.Rows.Gates, policy.Ranges{})
	l.rules(d, spec("deny"), p.Deny, true, l.in.Rows.Gates, policy.Ranges{})
}

func (l *linter) token(d *manifest.Document) {
	t, row := d.APIToken, l.tokens[d.Key()]
	if row.Canary || row.Revoked {
		return // refused everywhere, for good
	}
	if t.AnyUser {
		l.warn(AnyUser, d, spec("anyUser"), "any user may present the token: who calls is what they say")
	}
	if t.Unrestricted {
		l.warn(Unrestricted, d, spec("unrestricted"), "the token may do everything that its user may, within the limits of gates and groups")
	}
	if len(t.Gates) == 0 && len(l.in.Gates) > 1 {
		l.warn(EveryGate, d, spec(), "the token is for each of the %d gates, and for those to come", len(l.in.Gates))
	}
	l.end(d, row)
	l.deactivated(d, row)
	for i, p := range t.ActAs {
		if l.pattern(p.String()).anyValue {
			l.warn(MatchesEverything, d, spec("actAs", i), "the pattern %s matches every user: the token may act for all of them", p)
		}
	}
	gates := l.gatesOf(row)
	l.clients(d, t.Clients, row.Clients, gates)
	l.rules(d, spec("allow"), t.Allow, false, gates, row.Clients)
	l.rules(d, spec("limitTo"), t.LimitTo, false, gates, row.Clients)
}

// deactivated warns of a token whose user is in none of the groups that one of its gates requires. A token for
// every gate needs one that admits its user.
func (l *linter) deactivated(d *manifest.Document, row *policy.Token) {
	var closed []*policy.Gate
	for _, g := range l.gatesOf(row) {
		if !row.AdmittedAt(g) {
			closed = append(closed, g)
		}
	}
	if len(closed) == 0 || len(row.Gates) == 0 && len(closed) < len(l.in.Rows.Gates) {
		return
	}
	var groups, gates, members []string
	for _, g := range closed {
		gates = append(gates, g.Name)
		for _, group := range g.Groups {
			groups, members = append(groups, group.Name), append(members, group.Members...)
		}
	}
	slices.Sort(groups)
	hint := ""
	if near := diag.Suggest(row.User, members); strings.HasPrefix(near, "did you mean ") {
		hint = " (" + near + ")"
	}
	l.warn(Deactivated, d, spec("user"), "%s%s is in none of the groups of %s (%s): the token is refused there until they are",
		row.User, hint, strings.Join(gates, ", "), strings.Join(slices.Compact(groups), ", "))
}

func (l *linter) gatesOf(t *policy.Token) []*policy.Gate {
	if len(t.Gates) == 0 {
		return l.in.Rows.Gates
	}
	var gates []*policy.Gate
	for _, name := range t.Gates {
		gates = append(gates, l.gates[name])
	}
	return gates
}

// end warns of a token at or near its end, which the manifest or a group's cap sets.
func (l *linter) end(d *manifest.Document, row *policy.Token) {
	end := row.End()
	if end.IsZero() {
		l.warn(NoEnd, d, spec(), "the token never ends: neither its manifest nor a group of its user sets an end")
	}
	if end.IsZero() || l.now.Before(end.Add(-policy.SoonSpan)) {
		return
	}
	steps, by := spec("expires"), ""
	if !end.Equal(row.Expires) {
		steps = spec("issued")
		if _, g := policy.Cap(row.Groups); g != nil {
			by = ", by the cap of group " + g.Name
		}
	}
	when := end.UTC().Format(time.RFC3339)
	if l.now.Before(end) {
		l.warn(ExpiresSoon, d, steps, "the token ends at %s%s", when, by)
		return
	}
	l.warn(Expired, d, steps, "the token ended at %s%s", when, by)
}

// clients warns of the ranges of a gate, or of a token for some gates.
func (l *linter) clients(d *manifest.Document, written *manifest.Clients, r policy.Ranges, gates []*policy.Gate) {
	if written == nil {
		return
	}
	if text := everyAddress(r.Allow); text != "" {
		l.warn(EveryAddress, d, spec("clients", "allow"), "the ranges hold %s", text)
	}
	if onlyIPv4(r.Deny) && (len(r.Allow) == 0 || covers(r.Allow, allIPv6)) {
		l.warn(IPv4OnlyDeny, d, spec("clients", "deny"), "the ranges are IPv4 only: clients over IPv6 pass")
	}
	if _, ok := address([]policy.Ranges{r}); !ok {
		l.warn(NoAddress, d, spec("clients"), "deny holds every address that allow leaves: no client passes")
		return
	}
	for _, g := range gates {
		if _, ok := address([]policy.Ranges{r, g.Clients}); ok {
			return
		}
	}
	if len(gates) > 0 {
		l.warn(NoAddress, d, spec("clients"), "no address passes both here and at one of the token's gates (%s)", gates[0].Name)
	}
}

// everyAddress describes a list that covers everything, or is empty.
func everyAddress(list []netip.Prefix) string {
	switch v4, v6 := covers(list, allIPv4), covers(list, allIPv6); {
	case v4 && v6:
		return "every address"
	case v4:
		return "every IPv4 address"
	case v6:
		return "every IPv6 address"
	}
	return ""
}
