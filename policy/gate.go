package policy

import (
	"slices"
	"strings"
	"time"
)

// Fingerprint detects whether a manifest's text or place changed between two loads.
// The zero value equals no manifest's.
type Fingerprint [32]byte

// Gate describes a protected API and the credentials that it takes. Rows are immutable once
// they are in an Index.
type Gate struct {
	Name        string // with its namespace in front, where it has one: edge/jira
	Namespace   string
	Source      Source
	Fingerprint Fingerprint
	Invalid     bool // it is not accepted, and every request that it guards is refused
	TokensFrom  TokensFrom

	Hosts        []string // exact, `*.` wildcards, or AnyHost; lower case
	Prefixes     []string // guarded path prefixes by whole segments, without a trailing slash
	AllowEncoded Encoded  // encoded bytes that paths may hold
	IgnoreCase   bool     // the API does, in paths: prefixes and deny rules match so

	Schemes        Schemes
	BearerFirst    bool      // its manifest names Bearer before Basic
	BasicEnds      time.Time // zero: never
	ForwardUnknown Schemes   // whose credentials go to the API, where they are no tokens
	ForwardOther   []string  // further such schemes, by their names in lower case
	Challenge      Schemes   // that a 401 advertises; empty: those that the gate takes
	Contact        string    // whom a refusal names; empty: the owner of the gate
	ErrorMessages  bool      // refusals carry their text as errorMessages too
	Groups         []*Group  // whose members may use tokens; empty: any user
	Anonymous      *Grant    // nil: a credential is required
	RequireTLS     bool
	Clients        Ranges
	ClientIP       ClientIP
	Policies       []*Policy // bounds on every caller
	ActAsHeader    string    // empty: no header means anything
	Upstream       *Upstream
	FormBodies     FormBodies
	MCPValidated   bool // the MCP server behind it refuses headers that disagree with the body
	Observe        bool // refusals from the credential step on become allows without identity headers
}

// TokensFrom says whose tokens a gate admits. The zero value admits those of the gate's own namespace.
type TokensFrom struct {
	All        bool
	Selected   bool     // Namespaces alone, the gate's own too only if it is among them
	Namespaces []string // sorted
}

// admitsTokensOf reports whether a gate admits tokens of a namespace.
func (g *Gate) admitsTokensOf(namespace string) bool {
	if g.TokensFrom.Selected {
		_, found := slices.BinarySearch(g.TokensFrom.Namespaces, namespace)
		return found
	}
	return g.TokensFrom.All || g.Namespace == namespace
}

// AnyHost among a gate's hosts guards every host.
const AnyHost = "*"

// Grant holds the rules for what a caller may do. The zero value grants nothing.
type Grant struct {
	Unrestricted bool
	Policies     []*Policy // one allow rule of all of them must match
}

// takes reports whether tokens may be presented in this way now.
func (g *Gate) takes(s Scheme, now time.Time) bool {
	return g.Schemes.Has(s) && !g.ended(s, now)
}

// Accepted returns the schemes in which tokens may be presented now.
func (g *Gate) Accepted(now time.Time) Schemes {
	var s Schemes
	for _, scheme := range []Scheme{Basic, Bearer} {
		if g.takes(scheme, now) {
			s = s.With(scheme)
		}
	}
	return s
}

// Challenges returns the schemes that a 401 advertises: those that the gate takes now and
// that its challenge lists. A 401 needs one at least, so that where there is none it is all
// schemes of the gate.
func (g *Gate) Challenges(now time.Time) Schemes {
	s := g.Accepted(now)
	if g.Challenge != 0 {
		s &= g.Challenge
	}
	if s == 0 {
		return g.Schemes
	}
	return s
}

func (g *Gate) ended(s Scheme, now time.Time) bool {
	return s == Basic && !g.BasicEnds.IsZero() && !now.Before(g.BasicEnds)
}

// Forwards reports whether the gate sends credentials of any scheme to the API.
func (g *Gate) Forwards() bool { return g.ForwardUnknown != 0 || len(g.ForwardOther) > 0 }

// ForwardedSchemes lists the schemes whose credentials go to the API where they are no tokens.
func (g *Gate) ForwardedSchemes() []string {
	var names []string
	for _, scheme := range []Scheme{Basic, Bearer} {
		if g.ForwardUnknown.Has(scheme) {
			names = append(names, scheme.String())
		}
	}
	return append(names, g.ForwardOther...)
}

// forwards reports whether an unknown credential of this scheme goes to the API
// untouched.
func (g *Gate) forwards(c *Credential, now time.Time) bool {
	if c.Scheme == NoScheme {
		return slices.Contains(g.ForwardOther, c.Name)
	}
	return g.ForwardUnknown.Has(c.Scheme) && !g.ended(c.Scheme, now)
}

// foreignProblem returns why the gate does not accept a foreign credential; empty: it does.
func (g *Gate) foreignProblem(c *Credential, now time.Time) string {
	switch {
	case !g.forwards(c, now) && c.Scheme != NoScheme:
		return detailTooLong
	case !g.forwards(c, now):
		return detailScheme
	case c.Scheme == NoScheme && g.joined(c.Secret.Reveal()):
		return detailComma
	}
	return ""
}

// joined reports whether the text of a credential holds a second one: Envoy joins two
// headers with a comma, followed by the second one's scheme.
func (g *Gate) joined(text string) bool {
	for {
		_, rest, found := strings.Cut(text, ",")
		if !found {
			return false
		}
		text = strings.TrimLeft(rest, " \t")
		if i := strings.IndexAny(text, " \t"); i > 0 {
			name := lowerASCII(text[:i])
			if name == "basic" || name == "bearer" || slices.Contains(g.ForwardOther, name) {
				return true
			}
		}
	}
}

// admits reports whether one of the groups is named by the gate, or the gate names none.
func (g *Gate) admits(groups []*Group) bool {
	if len(g.Groups) == 0 {
		return true
	}
	for _, group := range groups {
		if slices.Contains(g.Groups, group) {
			return true
		}
	}
	return false
}

// mayAdmit reports whether a gate admits groups of a namespace, or names groups of another one, whose members
// are not known here.
func (g *Gate) mayAdmit(groups []*Group, namespace string) bool {
	return g.admits(groups) || slices.ContainsFunc(g.Groups, func(other *Group) bool { return other.Namespace != namespace })
}

// CanonicalPrefix returns a path prefix as gates keep it: `/rest/` and `/rest` guard
// the same, `/` guards everything.
func CanonicalPrefix(prefix string) string { return strings.TrimSuffix(prefix, "/") }

// guard is one prefix of one gate.
type guard struct {
	prefix string
	gate   *Gate
}

// gateTable finds the gate of a request. It is derived from the gates of a revision.
type gateTable struct {
	byName   map[string]*Gate
	exact    map[string][]guard // by host
	wildcard map[string][]guard // by the host's tail, with its leading dot
	every    []guard
}

func newGateTable(gates []*Gate) gateTable {
	t := gateTable{byName: map[string]*Gate{}, exact: map[string][]guard{}, wildcard: map[string][]guard{}}
	for _, g := range gates {
		t.byName[g.Name] = g
		for _, host := range g.Hosts {
			for _, p := range g.Prefixes {
				switch tail, wild := strings.CutPrefix(host, "*"); {
				case host == AnyHost:
					t.every = longestFirst(t.every, guard{p, g})
				case wild:
					t.wildcard[tail] = longestFirst(t.wildcard[tail], guard{p, g})
				default:
					t.exact[host] = longestFirst(t.exact[host], guard{p, g})
				}
			}
		}
	}
	return t
}

// namesHosts reports whether some gate names hosts, so that the host decides which gate
// a request has.
func (t *gateTable) namesHosts() bool { return len(t.exact) > 0 || len(t.wildcard) > 0 }

// forwards reports whether some gate forwards unknown credentials.
func (t *gateTable) forwards() bool {
	for _, g := range t.byName {
		if g.Forwards() {
			return true
		}
	}
	return false
}

// longestFirst inserts a guard before the first with a shorter prefix. Of gates that guard the same, one
// that is invalid comes last: another one's fault takes no request from a gate.
func longestFirst(guards []guard, g guard) []guard {
	at := slices.IndexFunc(guards, func(have guard) bool {
		return len(have.prefix) < len(g.prefix) || have.prefix == g.prefix && have.gate.Invalid && !g.gate.Invalid
	})
	if at < 0 {
		at = len(guards)
	}
	return slices.Insert(guards, at, g)
}

// find returns the gate that guards a host and a decoded path. The strongest host
// decides alone: where none of its prefixes guards the path, no weaker host is tried.
func (t *gateTable) find(host, path string) *Gate {
	for _, g := range t.guards(host) {
		if _, ok := cutPrefix(path, g.prefix, g.gate.IgnoreCase); ok {
			return g.gate
		}
	}
	return nil
}

// guards returns those of the strongest host: exact, then the longest wildcard, then
// those for every host.
func (t *gateTable) guards(host string) []guard {
	if guards, ok := t.exact[host]; ok { // mutant: less-specific-host
		return guards
	}
	for i := 1; i < len(host) && len(t.wildcard) > 0; i++ {
		if host[i] != '.' {
			continue
		}
		if guards, ok := t.wildcard[host[i:]]; ok {
			return guards
		}
	}
	return t.every
}
