package policy_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/patgate/patgate/policy"
)

func TestTheStrongestHostDecides(t *testing.T) {
	w := newWorld(t)
	w.gates = nil
	for _, g := range []struct {
		name     string
		hosts    []string
		prefixes []string
	}{
		{"every", []string{policy.AnyHost}, []string{""}},
		{"wild", []string{"*.example.com"}, []string{""}},
		{"longer", []string{"*.jira.example.com"}, []string{""}},
		{"exact", []string{"jira.example.com", "[::1]"}, []string{"/rest", "/rest/api"}},
		{"deeper", []string{"jira.example.com"}, []string{"/rest/api/2"}},
	} {
		w.gates = append(w.gates, &policy.Gate{Name: g.name, Hosts: g.hosts, Prefixes: g.prefixes})
	}
	s := w.snapshot()
	for _, c := range []struct{ host, target, want string }{
		{"jira.example.com", "/rest/x", "exact"},
		{"jira.example.com", "/rest", "exact"},
		{"jira.example.com", "/rest/", "exact"},
		{"jira.example.com", "/rest/api/2", "deeper"},
		{"jira.example.com", "/rest/api/2/x", "deeper"},
		{"jira.example.com", "/rest/api/22", "exact"},
		{"jira.example.com", "/%72est/api/2", "deeper"},
		{"jira.example.com", "/restful", ""}, // no weaker host is tried
		{"jira.example.com", "/", ""},
		{"jira.example.com", "/Rest", ""},
		{"JIRA.example.COM:8443", "/rest", "exact"},
		{"[::1]:8080", "/rest", "exact"},
		{"wiki.example.com", "/", "wild"},
		{"a.b.example.com", "/", "wild"},
		{"a.jira.example.com", "/", "longer"},
		{"a.b.jira.example.com", "/", "longer"},
		{"example.com", "/", "every"},
		{"other", "/", "every"},
		{"", "/", "every"},
	} {
		d := policy.Evaluate(s, request(host(c.host), target(c.target), anonymous()), nil)
		got := ""
		if d.Gate != nil {
			got = d.Gate.Name
		}
		if got != c.want || (got == "") != (d.Reason == policy.NoGate) {
			t.Errorf("%s%s: gate %q (%v), want %q", c.host, c.target, got, d.Reason, c.want)
		}
	}
	for _, bad := range []string{"a@b", "a,b", "a b", "a\tb", "jira.example.com:x", "a/b", "a?b", "a#b", `a\b`, "a:1:2", "[::1", "[::1]x", "é", "a%2fb", "a;b", "*", ":80", ".", "a!b", "a+b", "[]", "[::1", "[x]", "a\xe9b",
		".jira.example.com", "jira.example.com.", "jira.example.com.:443", "JIRA.example.com.", "other.", "[::1].", "jira.example.com..", "a..b", ".."} {
		if d := policy.Evaluate(s, request(host(bad)), nil); d.Reason != policy.BadTarget {
			t.Errorf("host %q: %v", bad, d.Reason)
		}
	}
}

func TestTheRouteNamesTheGate(t *testing.T) {
	w := newWorld(t)
	w.gate.Hosts, w.gate.Prefixes = []string{"elsewhere.example.com"}, []string{"/only"}
	route := func(name string) func(*policy.Request) {
		return func(r *policy.Request) { r.Route, r.RouteNamed = name, true }
	}
	w.want("hosts and paths don't count then", request(route("jira")), policy.OK)
	w.want("an unknown name", request(route("wiki")), policy.NoGate)
	w.want("an empty name", request(route("")), policy.NoGate)
	w.want("no name", request(), policy.NoGate)
	w.want("a target is still checked", request(route("jira"), host("a@b")), policy.BadTarget)
}

func TestTLS(t *testing.T) {
	w := newWorld(t)
	w.gate.RequireTLS = true
	w.want("plain", request(), policy.TLSRequired)
	w.want("a session", request(func(r *policy.Request) { r.TLS = true }), policy.OK)
	w.want("https", request(header("x-forwarded-proto", "https")), policy.OK)
	w.want("http", request(header("x-forwarded-proto", "http")), policy.TLSRequired)
	w.want("two", request(header("x-forwarded-proto", "https", "https")), policy.TLSRequired)
	w.want("two in one", request(header("x-forwarded-proto", "https,https")), policy.TLSRequired)
}

func TestOverrideHeaders(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"x-http-method-override", "x-http-method", "x-method-override"} {
		w.want("another method in "+name, request(header(name, "DELETE")), policy.MethodOverride)
		w.want("another case in "+name, request(header(name, "get")), policy.MethodOverride)
		w.want("an empty "+name, request(header(name, "")), policy.MethodOverride)
		w.want("two of "+name, request(header(name, "GET", "GET")), policy.MethodOverride)
		w.want("the same method in "+name, request(header(name, "GET")), policy.OK)
	}
	for _, name := range []string{"x-original-url", "x-rewrite-url"} {
		w.want(name, request(header(name, "/rest/api/2/issue/JRA-1")), policy.MethodOverride)
	}
	w.want("CONNECT", request(method("CONNECT")), policy.BadTarget)
	w.want("no method", request(method("")), policy.BadTarget)
}

func TestClientAddress(t *testing.T) {
	w := newWorld(t)
	xff := func(hops int) policy.ClientIP { return policy.ClientIP{Source: policy.FromXFF, TrustedHops: hops} }
	for _, c := range []struct {
		name string
		rule policy.ClientIP
		set  func(*policy.Request)
		want string
	}{
		{"the peer", policy.ClientIP{}, from("192.0.2.7"), "192.0.2.7"},
		{"the peer, IPv4 in IPv6", policy.ClientIP{}, from("::ffff:192.0.2.7"), "192.0.2.7"},
		{"the peer with a zone", policy.ClientIP{}, from("fe80::1%eth0"), ""},
		{"no peer", policy.ClientIP{}, func(r *policy.Request) { r.Peer = netip.Addr{} }, ""},
		{"the peer, whatever XFF says", policy.ClientIP{}, header("x-forwarded-for", "10.0.0.1"), "192.0.2.7"},
		{"xff, no hops", xff(0), header("x-forwarded-for", "10.0.0.1,10.0.0.2"), "10.0.0.2"},
		{"xff, one hop", xff(1), header("x-forwarded-for", "10.0.0.1, 10.0.0.2"), "10.0.0.1"},
		{"xff, spoofed on the left", xff(1), header("x-forwarded-for", "1.1.1.1, 10.0.0.1,10.0.0.2"), "10.0.0.1"},
		{"xff, two lines", xff(1), header("x-forwarded-for", "1.1.1.1, 10.0.0.1", "10.0.0.2"), "10.0.0.1"},
		{"xff, too short", xff(2), header("x-forwarded-for", "10.0.0.1,10.0.0.2"), ""},
		{"xff, empty entry", xff(1), header("x-forwarded-for", ",10.0.0.2"), ""},
		{"xff, garbage is not skipped", xff(1), header("x-forwarded-for", "10.0.0.1,unknown,10.0.0.2"), ""},
		{"xff, with a port", xff(0), header("x-forwarded-for", "10.0.0.1:80"), ""},
		{"xff, in brackets", xff(0), header("x-forwarded-for", "[::1]"), ""},
		{"xff, with a zone", xff(0), header("x-forwarded-for", "fe80::1%25"), ""},
		{"xff, IPv4 in IPv6", xff(0), header("x-forwarded-for", "::ffff:10.0.0.1"), "10.0.0.1"},
		{"xff, leading zeros", xff(0), header("x-forwarded-for", "010.0.0.1"), ""},
		{"xff, absent", xff(0), header("x-other", "x"), ""},
		{"a header", policy.ClientIP{Source: policy.FromHeader, Header: "x-real-client"}, header("x-real-client", "10.0.0.1"), "10.0.0.1"},
		{"a header with two values", policy.ClientIP{Source: policy.FromHeader, Header: "x-real-client"}, header("x-real-client", "10.0.0.1, 10.0.0.2"), ""},
		{"two headers", policy.ClientIP{Source: policy.FromHeader, Header: "x-real-client"}, header("x-real-client", "10.0.0.1", "10.0.0.1"), ""},
		{"no header", policy.ClientIP{Source: policy.FromHeader, Header: "x-real-client"}, header("x-other", "x"), ""},
	} {
		w.gate.ClientIP = c.rule
		d := w.want(c.name, request(c.set), policy.OK)
		got := ""
		if d.Client.IsValid() {
			got = d.Client.String()
		}
		if got != c.want || d.ClientBy != c.rule.Source {
			t.Errorf("%s: %q by %v, want %q", c.name, got, d.ClientBy, c.want)
		}
	}
}

func TestRanges(t *testing.T) {
	w := newWorld(t)
	unknown := func(r *policy.Request) { r.Peer = netip.Addr{} }
	for _, c := range []struct {
		name        string
		allow, deny []string
		set         func(*policy.Request)
		want        policy.Reason
	}{
		{"none", nil, nil, unknown, policy.OK},
		{"allowed", []string{"192.0.2.0/24"}, nil, from("192.0.2.7"), policy.OK},
		{"not allowed", []string{"192.0.2.0/24"}, nil, from("198.51.100.1"), policy.ClientDenied},
		{"deny wins", []string{"192.0.2.0/24"}, []string{"192.0.2.7/32"}, from("192.0.2.7"), policy.ClientDenied},
		{"denied in its other form", nil, []string{"192.0.2.7/32"}, from("::ffff:192.0.2.7"), policy.ClientDenied},
		{"not denied", nil, []string{"192.0.2.7/32"}, from("192.0.2.8"), policy.OK},
		{"IPv6 is not in 0.0.0.0/0", []string{"0.0.0.0/0"}, nil, from("2001:db8::1"), policy.ClientDenied},
		{"unknown and a deny list", nil, []string{"192.0.2.7/32"}, unknown, policy.ClientDenied},
		{"unknown and an allow list", []string{"0.0.0.0/0", "::/0"}, nil, unknown, policy.ClientDenied},
	} {
		r := policy.Ranges{Allow: prefixes(c.allow...), Deny: prefixes(c.deny...)}
		w.gate.Clients, w.token.Clients = r, policy.Ranges{}
		w.want("gate: "+c.name, request(c.set), c.want)
		w.gate.Clients, w.token.Clients = policy.Ranges{}, r
		w.want("token: "+c.name, request(c.set), c.want)
	}
}

func TestHeadersToRemove(t *testing.T) {
	u := policy.NewUpstream("x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "x-on-behalf-of", false)
	always := []string{"x-on-behalf-of", "x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"}
	for _, c := range []struct {
		identity   policy.Identity
		has, hasnt []string
	}{
		{policy.NoIdentity, []string{"x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "x-patgate-user-asserted"}, []string{"x-patgate-id", "authorization"}},
		{policy.UserIdentity, []string{"x-forwarded-groups", "x-patgate-user-asserted"}, []string{"x-forwarded-user", "x-patgate-token", "x-patgate-id"}},
		{policy.UserGroups, []string{"x-patgate-user-asserted"}, []string{"x-forwarded-user", "x-forwarded-groups", "x-patgate-token"}},
		{policy.AssertedIdentity, []string{"x-forwarded-groups"}, []string{"x-forwarded-user", "x-patgate-user-asserted", "x-patgate-token"}},
	} {
		list := u.Remove(c.identity, false)
		for _, name := range append(c.has, always...) {
			if !slices.Contains(list, name) {
				t.Errorf("identity %d: %s is left", c.identity, name)
			}
		}
		for _, name := range append(c.hasnt, "authorization") {
			if slices.Contains(list, name) {
				t.Errorf("identity %d: %s is removed", c.identity, name)
			}
		}
		if !slices.Contains(u.Remove(c.identity, true), "authorization") {
			t.Errorf("identity %d: authorization is left", c.identity)
		}
	}
}
