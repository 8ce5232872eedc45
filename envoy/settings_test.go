package envoy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/test/golden"
)

// exampleGate is the gate of the configurations to copy: what a gate sets by default,
// act-as, and rules on bodies.
func exampleGate() envoy.Gate {
	return envoy.Gate{Gate: gate("api", func(*policy.Gate) {}), Body: &policy.Rule{}}
}

func gate(name string, set func(*policy.Gate)) *policy.Gate {
	g := &policy.Gate{
		Name: name, Source: policy.Source{File: "m.yaml", Line: len(name)}, Hosts: []string{policy.AnyHost}, Prefixes: []string{""},
		ActAsHeader: "x-on-behalf-of", Upstream: policy.NewUpstream("x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "x-on-behalf-of", false),
	}
	set(g)
	return g
}

// TestFilesToCopy compares the configurations that people copy with those that `patgate
// envoy-config` prints for a default gate.
func TestFilesToCopy(t *testing.T) {
	for _, kind := range envoy.Kinds() {
		text, notes, err := envoy.Settings{Kind: kind, Gates: []envoy.Gate{exampleGate()}}.YAML()
		if err != nil || len(notes) > 0 {
			t.Errorf("%s: %v, %v", kind, notes, err)
			continue
		}
		golden.File(t, kind+".yaml", text)
	}
}

// TestBodiesByHostAndPath checks which routes buffer bodies for patgate.
func TestBodiesByHostAndPath(t *testing.T) {
	reads := &policy.Rule{Name: "by project", Source: policy.Source{File: "m.yaml", Line: 7}}
	at := func(name string, body *policy.Rule, hosts []string, prefixes ...string) envoy.Gate {
		return envoy.Gate{Body: body, Gate: gate(name, func(g *policy.Gate) { g.Hosts, g.Prefixes = hosts, prefixes })}
	}
	every, jira, wild := []string{"*"}, []string{"jira.example.com"}, []string{"*.example.com", "*.jira.example.com"}
	for _, c := range []struct {
		name  string
		gates []envoy.Gate
		want  string
	}{
		{"no gate reads them", []envoy.Gate{at("a", nil, jira, "/rest"), at("b", nil, every, "")}, `
"*"
  {prefix: "/"}
`},
		{"every gate does: the filter says so", []envoy.Gate{at("a", reads, jira, "/rest")}, `
"*"
  {prefix: "/", JSON}
  {prefix: "/"} none
`},
		{"one of two at a host", []envoy.Gate{at("a", reads, jira, "/rest/api"), at("b", nil, jira, "/rest"), at("c", nil, jira, "/rest/api/open")}, `
"jira.example.com"
  {path_separated_prefix: "/rest/api/open"}
  {path_separated_prefix: "/rest/api", JSON} body
  {prefix: "/"}
"*"
  {prefix: "/"}
`},
		{"a gate for all within one", []envoy.Gate{at("a", reads, jira, ""), at("b", nil, jira, "/open", "/free")}, `
"jira.example.com"
  {path_separated_prefix: "/free"}
  {path_separated_prefix: "/open"}
  {prefix: "/", JSON} body
  {prefix: "/"}
"*"
  {prefix: "/"}
`},
		{"hosts that are alike stand together", []envoy.Gate{at("a", reads, wild, ""), at("b", nil, jira, ""), at("c", nil, every, "/x")}, `
"jira.example.com", "*"
  {prefix: "/"}
"*.example.com", "*.jira.example.com"
  {prefix: "/", JSON} body
  {prefix: "/"}
`},
		{"a prefix that has more than one spelling", []envoy.Gate{at("a", reads, jira, "/r\u00e9st"), at("b", nil, jira, "/rest")}, `
"jira.example.com"
  {prefix: "/", JSON} body
  {prefix: "/"}
"*"
  {prefix: "/"}
`},
	} {
		text, _, err := envoy.Settings{Kind: envoy.KindStandalone, Gates: c.gates}.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if got := routesOf(text); got != c.want {
			t.Errorf("%s:%swant%s", c.name, got, c.want)
		}
		filter := strings.Contains(text, "\n              with_request_body:\n")
		if every := c.gates[0].Body != nil && len(c.gates) == 1; filter != every {
			t.Errorf("%s: the filter buffers: %v", c.name, filter)
		}
	}
}

// TestBodiesByType buffers the types that rules read, and no others.
func TestBodiesByType(t *testing.T) {
	one, other := exampleGate(), exampleGate()
	one.Types, other.Types = []string{"application/vnd.x+json"}, []string{"application/json", "text/json"}
	none := envoy.Gate{Gate: gate("none", func(g *policy.Gate) { g.Prefixes = []string{"/none"} })}
	for _, c := range []struct {
		gates []envoy.Gate
		want  []string // expressions, as YAML has them
	}{
		{[]envoy.Gate{one}, []string{`application/vnd\\.x\\+json`}},
		{[]envoy.Gate{one, other}, []string{`application/json|application/vnd\\.x\\+json|text/json`}},
		{[]envoy.Gate{one, none}, []string{`application/vnd\\.x\\+json`}},
		{[]envoy.Gate{exampleGate(), none}, []string{`application/json`}},
		{[]envoy.Gate{none}, nil},
	} {
		text, _, err := envoy.Settings{Kind: envoy.KindStandalone, Gates: c.gates}.YAML()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, part := range strings.Split(text, `{regex: "(?i)\\s*(`)[1:] {
			expression, _, _ := strings.Cut(part, `)\\s*(;.*)?"}`)
			got = append(got, expression)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q are buffered, want %q", got, c.want)
		}
	}
}

// routesOf returns the domains and matches of a configuration, and which routes have a
// body of their own.
func routesOf(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "domains: ["):
			b.WriteString("\n" + strings.TrimSuffix(strings.TrimPrefix(line, "domains: ["), "]"))
		case strings.HasPrefix(line, "- match: "):
			match, typ, ok := strings.Cut(strings.TrimPrefix(line, "- match: "), ", headers: [{name: content-type,")
			b.WriteString("\n  " + match)
			if ok && strings.Contains(typ, "json") {
				b.WriteString(", JSON}")
			}
		case line == "check_settings:":
			b.WriteString(" body")
		case line == "check_settings: {disable_request_body_buffering: true}":
			b.WriteString(" none")
		}
	}
	return b.String() + "\n"
}

// TestGatesThatDisagree checks that an error reports what one Envoy can't do for two gates.
func TestGatesThatDisagree(t *testing.T) {
	hops := func(n int) func(*policy.Gate) {
		return func(g *policy.Gate) { g.ClientIP = policy.ClientIP{Source: policy.FromXFF, TrustedHops: n} }
	}
	for _, c := range []struct {
		name  string
		gates []*policy.Gate
		err   string // or the note
	}{
		{"as many hops", []*policy.Gate{gate("a", hops(1)), gate("bb", hops(1)), gate("c", func(*policy.Gate) {})}, ""},
		{"other hops", []*policy.Gate{gate("a", hops(1)), gate("bb", hops(2))},
			"m.yaml:2: trustedHops: bb counts 2, a (m.yaml:1) counts 1, and one Envoy has one number: expected the same, or --gate for those of each Envoy"},
		{"act-as by a header that another sets", []*policy.Gate{gate("a", func(g *policy.Gate) { g.ActAsHeader = "x-team-user" }),
			gate("bb", func(g *policy.Gate) {
				g.Upstream = policy.NewUpstream("x-team-user", "x-g", "x-t", "", false)
			})}, "m.yaml:1: actAs.header: a reads x-team-user, which bb (m.yaml:2) sets for its upstream"},
		{"an address by a header that another sets", []*policy.Gate{gate("a", func(g *policy.Gate) {
			g.ClientIP = policy.ClientIP{Source: policy.FromHeader, Header: "x-forwarded-user"}
		})}, "m.yaml:1: clientIP.header: a reads x-forwarded-user, which a (m.yaml:1) sets"},
		{"TLS that no hop has", []*policy.Gate{gate("a", func(g *policy.Gate) { g.RequireTLS = true })}, "m.yaml:1: a requires TLS"},
		{"TLS in front", []*policy.Gate{gate("a", func(g *policy.Gate) { hops(1)(g); g.RequireTLS = true })}, ""},
		{"an address by a header", []*policy.Gate{gate("a", func(g *policy.Gate) {
			g.ClientIP = policy.ClientIP{Source: policy.FromHeader, Header: "x-real-client"}
		})}, "m.yaml:1: a takes the client's address from x-real-client: the proxies in front must overwrite it"},
		{"the address of a client on loopback", []*policy.Gate{gate("a", hops(0))}, "m.yaml:1: a takes the last entry of x-forwarded-for, and Envoy listens on 127.0.0.1:8080"},
	} {
		s := envoy.Settings{Kind: envoy.KindStandalone}
		for _, g := range c.gates {
			s.Gates = append(s.Gates, envoy.Gate{Gate: g})
		}
		_, notes, err := s.YAML()
		told := strings.Join(notes, "\n")
		if err != nil {
			told = err.Error()
		}
		if told != c.err && (c.err == "" || !strings.HasPrefix(told, c.err)) {
			t.Errorf("%s: %q, want %q", c.name, told, c.err)
		}
	}
}

// TestBadSettings checks that settings of a wrong form are refused.
func TestBadSettings(t *testing.T) {
	for _, c := range []struct {
		set  func(*envoy.Settings)
		want string
	}{
		{func(s *envoy.Settings) { s.Kind = "edgy" }, `no kind of configuration "edgy", expected one of standalone, sidecar, edge`},
		{func(s *envoy.Settings) { s.Gates = nil }, "no gate"},
		{func(s *envoy.Settings) { s.Listen = "8080" }, "8080: expected HOST:PORT"},
		{func(s *envoy.Settings) { s.Listen = "example.com:8080" }, "expected an IP address to listen on"},
		{func(s *envoy.Settings) { s.Upstream = "a b:80" }, "a b:80: expected HOST:PORT"},
		{func(s *envoy.Settings) { s.Upstream = "api:0" }, "api:0: expected HOST:PORT"},
		{func(s *envoy.Settings) { s.Patgate = []string{"unix://run/p"} }, "expected unix:// and an absolute path"},
		{func(s *envoy.Settings) { s.Patgate = []string{"unix:///run/p", "127.0.0.1:1"} }, "expected it alone"},
		{func(s *envoy.Settings) { s.Patgate, s.PatgateTLS = []string{"unix:///run/p"}, "/tls" }, "TLS on a unix socket"},
		{func(s *envoy.Settings) { s.PatgateTLS = "tls" }, "tls: expected an absolute directory"},
		{func(s *envoy.Settings) { s.MaxRequestBytes = -1 }, "a body of -1 bytes"},
	} {
		s := envoy.Settings{Kind: envoy.KindStandalone, Gates: []envoy.Gate{exampleGate()}}
		c.set(&s)
		if _, _, err := s.YAML(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
