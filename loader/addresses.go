package loader

import (
	"github.com/patgate/patgate/manifest"
)

// clientRanges wants a gate to write out where it takes client addresses from, where
// ranges of them count: in the gate, or in a token or a rule that is asked there. Who
// relies on the default would judge the address of the last proxy.
func (d *documents) clientRanges() {
	var open []*manifest.Document
	for _, g := range d.gates {
		if g.Gate.ClientIP == nil && !g.Bad("spec.clientIP") {
			open = append(open, g)
		}
	}
	if len(open) == 0 {
		return
	}
	byUser := d.groupsByUser()
	for _, g := range open {
		if place := d.rangeAt(g, byUser); place != "" {
			d.problem(g, g.Gate.At, "spec.clientIP", "missing, expected where client addresses come from, as ranges of them count at this gate: %s", place)
		}
	}
}

func (d *documents) groupsByUser() map[manifest.User][]*manifest.Document {
	if d.users != nil {
		return d.users
	}
	byUser := map[manifest.User][]*manifest.Document{}
	for _, g := range d.groups {
		for _, user := range g.UserGroup.Members {
			byUser[user] = append(byUser[user], g)
		}
	}
	d.users = byUser
	return byUser
}

// rangeAt returns the place of a range that counts at a gate, or nothing.
func (d *documents) rangeAt(g *manifest.Document, byUser map[manifest.User][]*manifest.Document) string {
	spec := g.Gate
	if spec.Clients != nil {
		return g.Place(spec.Clients.At)
	}
	if a := spec.Anonymous; a != nil {
		if place := rangeInRules(g, a.Allow, a.Deny); place != "" {
			return place
		}
	}
	if place := d.rangeInPolicies(spec.Policies); place != "" {
		return place
	}
	for _, t := range d.tokens {
		if !d.isFor(t.APIToken, g) {
			continue
		}
		if place := d.rangeInToken(t, spec.ActAs != nil, byUser); place != "" {
			return place
		}
	}
	return ""
}

func (d *documents) isFor(spec *manifest.APIToken, gate *manifest.Document) bool {
	for _, g := range d.gatesOf(spec) {
		if g == gate {
			return true
		}
	}
	return false
}

func (d *documents) rangeInToken(t *manifest.Document, actAs bool, byUser map[manifest.User][]*manifest.Document) string {
	spec := t.APIToken
	if spec.Clients != nil {
		return t.Place(spec.Clients.At)
	}
	if place := rangeInRules(t, spec.Allow, nil); place != "" {
		return place
	}
	if place := d.rangeInPolicies(spec.Policies); place != "" {
		return place
	}
	groups := byUser[spec.User]
	if spec.AnyUser || actAs && len(spec.ActAs) > 0 {
		groups = d.groups // any of them may come to be the user's
	}
	for _, g := range groups {
		if place := d.rangeInPolicies(g.UserGroup.Policies); place != "" {
			return place
		}
	}
	return ""
}

func (d *documents) rangeInPolicies(refs []manifest.Ref) string {
	for _, ref := range refs {
		p := d.names[manifest.KindTokenPolicy+"/"+ref.Text]
		if p == nil || p.TokenPolicy == nil {
			continue
		}
		if place := rangeInRules(p, p.TokenPolicy.Allow, p.TokenPolicy.Deny); place != "" {
			return place
		}
	}
	return ""
}

func rangeInRules(doc *manifest.Document, lists ...[]manifest.Rule) string {
	for _, list := range lists {
		for _, r := range list {
			if len(r.Clients) > 0 {
				return doc.Place(r.At)
			}
		}
	}
	return ""
}
