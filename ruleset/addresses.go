package ruleset

import (
	"github.com/patgate/patgate/manifest"
)

// checkClientIP reports gates without clientIP at which ranges of addresses apply: in the gate, or in a token or rule. With
// the default, the ranges would be compared with the address of the last proxy.
func (s *Set) checkClientIP() {
	var open []*manifest.Document
	for _, g := range s.Gates {
		if g.Gate.ClientIP == nil && !g.Bad("spec.clientIP") {
			open = append(open, g)
		}
	}
	if len(open) == 0 {
		return
	}
	byUser := s.groupsByUser()
	for _, g := range open {
		if place := s.rangeAt(g, byUser); place != "" {
			s.problem(g, g.Gate.At, "spec.clientIP", "missing, expected where client addresses come from, as ranges of them count at this gate: %s", place)
		}
	}
}

// memberOf is a user in a namespace.
type memberOf struct {
	namespace manifest.Namespace
	user      manifest.User
}

// groupsByUser returns each user's groups whose policies have ranges: few groups have any.
func (s *Set) groupsByUser() map[memberOf][]*manifest.Document {
	if s.users != nil {
		return s.users
	}
	byUser := map[memberOf][]*manifest.Document{}
	for _, g := range s.Groups {
		if s.rangeInPolicies(g, g.UserGroup.Policies) == "" {
			continue
		}
		for _, user := range g.UserGroup.Members {
			key := memberOf{g.Metadata.Namespace, user}
			byUser[key] = append(byUser[key], g)
		}
	}
	s.users = byUser
	return byUser
}

// rangeAt returns the place of a range that counts at a gate, or nothing.
func (s *Set) rangeAt(g *manifest.Document, byUser map[memberOf][]*manifest.Document) string {
	if place := s.ownRangeAt(g); place != "" {
		return place
	}
	return s.rangesOfTokens(g.Gate.ActAs != nil, byUser).at(g)
}

// ownRangeAt returns the place of a range of the gate itself or of its policies, or nothing.
func (s *Set) ownRangeAt(g *manifest.Document) string {
	spec := g.Gate
	if spec.Clients != nil {
		return g.Place(spec.Clients.At)
	}
	if a := spec.Anonymous; a != nil {
		if place := rangeInRules(g, a.Allow, a.Deny); place != "" {
			return place
		}
	}
	return s.rangeInPolicies(g, spec.Policies)
}

// tokenRanges are the first tokens that have a range, for each gate that tokens name and for those
// that are for every gate.
type tokenRanges struct {
	every  map[manifest.Namespace]rangePlace // of those for every gate of their namespace
	byGate map[string]rangePlace
}

func newTokenRanges() *tokenRanges {
	return &tokenRanges{every: map[manifest.Namespace]rangePlace{}, byGate: map[string]rangePlace{}}
}

// note records a token, by its index, and the place of a range that applies to it; empty: none does.
func (r *tokenRanges) note(index int, t *manifest.Document, place string) {
	if place == "" {
		return
	}
	if _, known := r.every[t.Metadata.Namespace]; len(t.APIToken.Gates) == 0 && !known {
		r.every[t.Metadata.Namespace] = rangePlace{index, place}
	}
	for _, g := range t.APIToken.Gates {
		if _, known := r.byGate[t.Resolve(g)]; !known {
			r.byGate[t.Resolve(g)] = rangePlace{index, place}
		}
	}
}

// rangePlace is a place, and the index of its token.
type rangePlace struct {
	index int
	place string // empty: none
}

// at returns the place of the first token's range that counts at a gate, or nothing.
func (r *tokenRanges) at(gate *manifest.Document) string {
	own, named := r.byGate[gate.Key()]
	every := r.every[gate.Metadata.Namespace]
	if named && (every.place == "" || own.index < every.index) {
		return own.place
	}
	return every.place
}

// rangesOfTokens looks through the tokens once, for gates at which tokens may act for others
// and for the rest.
func (s *Set) rangesOfTokens(actAs bool, byUser map[memberOf][]*manifest.Document) *tokenRanges {
	if r := s.ranges[actAs]; r != nil {
		return r
	}
	r := newTokenRanges()
	for i, t := range s.Tokens {
		r.note(i, t, s.rangeInToken(t, actAs, byUser))
	}
	if s.ranges == nil {
		s.ranges = map[bool]*tokenRanges{}
	}
	s.ranges[actAs] = r
	return r
}

func (s *Set) rangeInToken(t *manifest.Document, actAs bool, byUser map[memberOf][]*manifest.Document) string {
	spec := t.APIToken
	if spec.Clients != nil {
		return t.Place(spec.Clients.At)
	}
	if place := rangeInRules(t, spec.Allow, nil); place != "" {
		return place
	}
	if place := s.rangeInPolicies(t, spec.Policies); place != "" {
		return place
	}
	groups := byUser[memberOf{t.Metadata.Namespace, spec.User}]
	if spec.AnyUser || actAs && len(spec.ActAs) > 0 {
		groups = s.Groups // the user may be in any of them
	}
	for _, g := range groups {
		if place := s.rangeInPolicies(g, g.UserGroup.Policies); place != "" {
			return place
		}
	}
	return ""
}

func (s *Set) rangeInPolicies(doc *manifest.Document, refs []manifest.Ref) string {
	for _, ref := range refs {
		p := s.names[manifest.KindTokenPolicy+"/"+doc.Resolve(ref)]
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
