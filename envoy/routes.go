package envoy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/patgate/patgate/policy"
)

// host is an Envoy virtual host, and route one of its routes. Every request has one:
// patgate refuses what no gate guards, and audits it.
type host struct {
	Name    string
	Domains []string
	Routes  []route
}

type route struct {
	Match      string   // Envoy's RouteMatch
	Why        []string // comments
	Types      []string // of bodies that are buffered for patgate
	Unbuffered bool     // they are not, though the filter says so
}

// wholeHost is the match of every path.
const wholeHost = `{prefix: "/"}`

// ofTypes narrows a match to requests whose body has a type that rules read. No rule can
// decide the others either, such as two types in one header.
func ofTypes(match string, types []string) string {
	return fmt.Sprintf("%s, headers: [{name: content-type, string_match: {safe_regex: {regex: %s}}}]}", strings.TrimSuffix(match, "}"), quote(typesRegex(types)))
}

// typesRegex is the regular expression of values of content-type that name one of some media types.
func typesRegex(types []string) string {
	alternatives := make([]string, len(types))
	for i, t := range types {
		alternatives[i] = regexp.QuoteMeta(t)
	}
	return `(?i)\s*(` + strings.Join(alternatives, "|") + `)\s*(;.*)?`
}

// types lists the media types of bodies that rules of some gates read.
func types(gates ...*Gate) []string {
	var list []string
	for _, g := range gates {
		switch {
		case g.Body == nil:
		case len(g.Types) == 0:
			list = append(list, "application/json")
		default:
			list = append(list, g.Types...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// bodies counts the gates whose rules read bodies.
func (s *Settings) bodies() (n int) {
	for _, g := range s.Gates {
		if g.Body != nil {
			n++
		}
	}
	return n
}

// hosts returns the virtual hosts: one, unless some gates read bodies and others don't.
// Envoy picks the host as patgate does, exact before the longest wildcard before every
// host, and the first route that matches, of which the longest prefix comes first.
func (s *Settings) hosts() []host {
	every := []host{{Name: "api", Domains: []string{policy.AnyHost}, Routes: []route{{Match: wholeHost}}}}
	switch s.bodies() {
	case 0:
		return every
	case len(s.Gates):
		var gates []*Gate
		for i := range s.Gates {
			gates = append(gates, &s.Gates[i])
		}
		every[0].Routes = []route{{Match: ofTypes(wholeHost, types(gates...))}, {Match: wholeHost, Unbuffered: true}}
		return every
	}
	var list []host
	for _, domain := range s.domains() {
		routes := s.routes(domain)
		same := func(h host) bool {
			return slices.EqualFunc(h.Routes, routes, func(a, b route) bool {
				return a.Match == b.Match && slices.Equal(a.Types, b.Types) && slices.Equal(a.Why, b.Why)
			})
		}
		if i := slices.IndexFunc(list, same); i >= 0 {
			list[i].Domains = append(list[i].Domains, domain)
			continue
		}
		list = append(list, host{Name: fmt.Sprintf("api-%d", len(list)+1), Domains: []string{domain}, Routes: routes})
	}
	return list
}

// domains lists the hosts of the gates, exact ones first, every host last.
func (s *Settings) domains() []string {
	list := []string{policy.AnyHost}
	for _, g := range s.Gates {
		list = append(list, g.Hosts...)
	}
	rank := func(domain string) int {
		switch {
		case domain == policy.AnyHost:
			return 2
		case strings.HasPrefix(domain, "*"):
			return 1
		}
		return 0
	}
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	return slices.Compact(list)
}

// guarded is one prefix of a gate at a host.
type guarded struct {
	prefix string
	gate   *Gate
}

// routes returns the routes of a host. A prefix without bodies has a route only if a
// shorter prefix reads bodies.
func (s *Settings) routes(domain string) []route {
	var guards []guarded
	odd := false
	for i := range s.Gates {
		g := &s.Gates[i]
		if slices.Contains(g.Hosts, domain) {
			for _, p := range g.Prefixes {
				guards = append(guards, guarded{p, g})
				odd = odd || !plainPath(p) || g.IgnoreCase
			}
		}
	}
	slices.SortFunc(guards, func(a, b guarded) int {
		return cmp.Or(cmp.Compare(len(b.prefix), len(a.prefix)), cmp.Compare(a.prefix, b.prefix))
	})
	if odd {
		return wholeRoute(guards)
	}
	var list []route
	for _, g := range guards {
		r := route{Match: wholeHost, Types: types(g.gate), Why: g.gate.why()}
		if g.prefix != "" {
			r.Match = fmt.Sprintf("{path_separated_prefix: %s}", quote(g.prefix))
		}
		list = append(list, r)
	}
	return needed(list)
}

// wholeRoute buffers for a whole host with prefixes that requests may spell otherwise:
// unlike patgate, Envoy does not decode paths or ignore case.
func wholeRoute(guards []guarded) []route {
	r := route{Match: wholeHost}
	for _, g := range guards {
		r.Types = append(r.Types, types(g.gate)...)
		for _, why := range g.gate.why() {
			if !slices.Contains(r.Why, why) {
				r.Why = append(r.Why, why)
			}
		}
	}
	slices.Sort(r.Types)
	r.Types = slices.Compact(r.Types)
	return needed([]route{r})
}

// needed narrows the routes that buffer to the types of their bodies, drops the last ones that don't,
// and appends one for all other requests.
func needed(list []route) []route {
	for len(list) > 0 && len(list[len(list)-1].Types) == 0 {
		list = list[:len(list)-1]
	}
	for i := range list {
		if len(list[i].Types) > 0 {
			list[i].Match = ofTypes(list[i].Match, list[i].Types)
		}
	}
	return append(list, route{Match: wholeHost})
}

// plainPath reports whether a prefix reads the same in every request: unreserved
// characters, which Envoy's normalize_path decodes, and slashes.
func plainPath(prefix string) bool {
	return !strings.ContainsFunc(prefix, func(r rune) bool {
		return !strings.ContainsRune("/-._~", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// why is a comment that names the rule for which a gate's bodies are buffered.
func (g *Gate) why() []string {
	if g.Body == nil || g.Body.Source.File == "" {
		return nil
	}
	return []string{fmt.Sprintf("%s: rule %s (%s) reads bodies", g.Name, quote(g.Body.Name), g.Body.Source)}
}
