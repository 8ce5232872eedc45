package policy_test

import (
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
)

func TestAllowEncoded(t *testing.T) {
	w := newWorld(t)
	w.gate.AllowEncoded = policy.EncodedSlash | policy.Semicolon
	w.gates = append(w.gates, &policy.Gate{Name: "below", Hosts: []string{policy.AnyHost}, Prefixes: []string{"/below"}, Schemes: w.gate.Schemes, Upstream: w.gate.Upstream})
	w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(rule(t, "r", "path", "/projects/group%2Fname|/below/.*|/below%2Fx|/m;v=1"))}}
	for path, want := range map[string]policy.Reason{
		"/projects/group%2Fname":   policy.OK,
		"/projects/group%2fname":   policy.OK,
		"/%70rojects/group%2fname": policy.OK,
		"/m;v=1":                   policy.OK,
		"/projects/group/name":     policy.NoRuleMatched,
		"/projects/group%252Fname": policy.BadTarget,
		"/projects/group%3Bname":   policy.BadTarget,
		"/projects/group%2F..":     policy.BadTarget,
		"/below/a%2Fb":             policy.BadTarget, // that gate does not open it
		"/below/a":                 policy.OK,
		"/below%2Fx":               policy.OK, // the prefix is compared with what stays encoded
	} {
		w.want(path, request(target(path)), want)
	}
	w.gate.AllowEncoded = 0
	w.want("closed again", request(target("/projects/group%2Fname")), policy.BadTarget)
	d := w.want("closed again", request(target("/m;v=1")), policy.BadTarget)
	if d.Detail != "';' at offset 2" {
		t.Errorf("problem %q", d.Detail)
	}
	w.gates[0].Hosts = []string{"elsewhere"}
	w.gates[1].Prefixes = []string{"/below"}
	w.want("no gate comes before what a gate opens", request(target("/a%2Fb")), policy.NoGate)
	w.want("and after what none opens", request(target("/a%2F..")), policy.BadTarget)
}

// TestDestination checks that COPY and MOVE are evaluated for both of their paths.
func TestDestination(t *testing.T) {
	w := newWorld(t)
	w.gate.AllowEncoded = policy.EncodedHash
	w.gate.Prefixes = []string{"/dav"}
	w.gates = append(w.gates, &policy.Gate{Name: "other", Hosts: []string{policy.AnyHost}, Prefixes: []string{"/other", "/dav/other"}, Schemes: w.gate.Schemes, Upstream: w.gate.Upstream})
	w.token.Grant = policy.Grant{Policies: []*policy.Policy{{
		Allow: []*policy.Rule{rule(t, "own", "path", "/dav/(alice|other|secret)(/.*)?")},
		Deny:  []*policy.Rule{rule(t, "secret", "path", "/dav/secret/.*")},
	}}}
	ask := func(destination string, want policy.Reason, options ...func(*policy.Request)) policy.Decision {
		t.Helper()
		options = append([]func(*policy.Request){method("COPY"), target("/dav/alice/a"), header("destination", destination)}, options...)
		return w.want(destination, request(options...), want)
	}
	for _, good := range []string{
		"/dav/alice/b", "https://jira.example.com/dav/alice/b", "http://JIRA.example.com:8443/dav/alice/b", "HTTPS://jira.example.com/dav/alice/b%20c",
		"/dav/alice/c%23", "/dav/alice/", "/dav/alice/a,b!",
	} {
		ask(good, policy.OK)
	}
	for _, bad := range []string{
		"", "dav/alice/b", "//jira.example.com/dav/alice/b", "https://evil/dav/alice/b", "https://jira.example.com", "https:///dav/alice/b", "ftp://jira.example.com/dav/alice/b",
		"https://user@jira.example.com/dav/alice/b", "https://jira.example.com./dav/alice/b", "https://jira.example.com@evil/dav/alice/b", `https://jira.example.com\@evil/dav/alice/b`,
		"/dav/alice/../bob/b", "/dav/alice/%2e%2e/bob", "/dav/alice//b", "/dav/alice/b%2Fc", "/dav/alice/b;x", "/dav/alice/b#c", "/dav/alice/b?c=d", "/dav/alice/b c",
		"/dav/alice/a, /dav/bob/b", "/other/b", "/dav/other/b", "/elsewhere/b", "https://jira.example.com/", "<https://jira.example.com/dav/alice/b>", " /dav/alice/b",
		"https:/dav/alice/b", "https://jira.example.com%2F.evil/dav/alice/b", "/dav/alice/\xff",
	} {
		if d := ask(bad, policy.BadTarget); !strings.Contains(d.Detail, "Destination") {
			t.Errorf("%q: problem %q", bad, d.Detail)
		}
	}
	if d := ask("/dav/bob/b", policy.NoRuleMatched); !d.AtDestination || d.Where() != `rule "own" (for the Destination)` || d.Failed != policy.PartPath {
		t.Errorf("decided %+v, %s", d, d.Where())
	}
	ask("/dav/secret/b", policy.RuleDenied)
	ask("/dav/bob/b", policy.NoRuleMatched, method("GET"))
	ask("/dav/alice/b", policy.NoRuleMatched, target("/dav/bob/a"))
	ask("/dav/alice/b", policy.RuleDenied, target("/dav/secret/a"))
	ask("/dav/alice/b", policy.BadTarget, header("destination", "/dav/alice/b", "/dav/bob/b"))
	joined := func(r *policy.Request) { r.Joined = true }
	ask("/dav/alice/a,/dav/alice/b", policy.BadTarget, joined)
	ask("/dav/alice/!", policy.BadTarget, joined)
	ask("/dav/alice/b", policy.OK, joined)
	ask("https://jira.example.com/dav/alice/b", policy.BadTarget, host(""))
	w.want("a look-alike", request(method("COPY"), target("/dav/alice/a"), header("destination~", "/dav/bob/b")), policy.OK)

	route := func(r *policy.Request) { r.Route, r.RouteNamed = "jira", true }
	ask("/dav/alice/b", policy.OK, route)
	ask("/dav/other/b", policy.BadTarget, route)
	w.gate.Prefixes = []string{"/unrelated"}
	ask("/dav/alice/b", policy.OK, route)

	w.gate.Prefixes = []string{"/dav"}
	w.gate.Anonymous = &policy.Grant{Policies: []*policy.Policy{allowing(rule(t, "open", "path", "/dav/alice/.*"))}}
	ask("/dav/alice/b", policy.Anonymous, anonymous())
	ask("/dav/bob/b", policy.NoCredential, anonymous())
	w.gate.Policies = []*policy.Policy{{Name: "bound", Deny: []*policy.Rule{rule(t, "no", "path", "/dav/bob/.*")}}}
	ask("/dav/bob/b", policy.RuleDenied, anonymous())
	w.gate.Policies[0].Observe = true
	if d := ask("/dav/bob/b", policy.NoRuleMatched); len(d.Observed) != 1 || d.Observed[0].Reason != policy.RuleDenied {
		t.Errorf("observed %v", d.Observed)
	}
	w.gate.ForwardUnknown = policy.Schemes(0).With(policy.Basic)
	w.gate.Policies[0].Observe = false
	ask("/dav/bob/b", policy.RuleDenied, with(basic("bob", "a password")))
	ask("/dav/alice/b", policy.Forwarded, with(basic("bob", "a password")))
}

// TestAPIThatIgnoresCase checks that guarded prefixes and deny paths match in any case at a
// gate whose API ignores case, and allow paths only as they are written.
func TestAPIThatIgnoresCase(t *testing.T) {
	w := newWorld(t)
	strict := &policy.Gate{Name: "strict", Hosts: []string{policy.AnyHost}, Prefixes: []string{"/rest/Admin", "/straße/\u212a"}, Schemes: w.gate.Schemes, Upstream: w.gate.Upstream, RequireTLS: true}
	w.gates = append(w.gates, strict)
	w.token.Grant = policy.Grant{Policies: []*policy.Policy{{
		Allow: []*policy.Rule{rule(t, "all", "path", "/(rest|REST)/.*")},
		Deny:  []*policy.Rule{rule(t, "no", "path", "/rest/user(-[k-s]|-(?-i:X)|-[^a])?/.*|/rest/exact")},
	}}}
	for _, c := range []struct {
		target      string
		exact, fold policy.Reason
	}{
		{"/rest/user/x", policy.RuleDenied, policy.RuleDenied},
		{"/REST/user/x", policy.OK, policy.RuleDenied},
		{"/rest/USER/x", policy.OK, policy.RuleDenied},
		{"/rest/u%53er/x", policy.OK, policy.RuleDenied},
		{"/rest/u\u017fer/x", policy.OK, policy.RuleDenied},
		{"/rest/user-\u212a/x", policy.RuleDenied, policy.RuleDenied},
		{"/rest/user-x/x", policy.RuleDenied, policy.RuleDenied},
		{"/rest/user-a/x", policy.OK, policy.RuleDenied}, // the pattern matches /rest/user-A/x
		{"/rest/EXACT", policy.OK, policy.RuleDenied},
		{"/rest/users/x", policy.OK, policy.OK},
		{"/Rest/x", policy.NoRuleMatched, policy.NoRuleMatched},
		{"/rest/admin/x", policy.OK, policy.TLSRequired},
		{"/REST/ADMIN", policy.OK, policy.TLSRequired},
		{"/rest/Admin/x", policy.TLSRequired, policy.TLSRequired},
		{"/rest/administrator", policy.OK, policy.OK},
		{"/STRAßE/k/x", policy.NoRuleMatched, policy.TLSRequired},
		{"/STRA\u1e9eE/\u212a", policy.NoRuleMatched, policy.TLSRequired},
	} {
		w.gate.IgnoreCase, strict.IgnoreCase = false, false
		w.want("exact: "+c.target, request(target(c.target)), c.exact)
		w.gate.IgnoreCase, strict.IgnoreCase = true, true
		w.want("in any case: "+c.target, request(target(c.target)), c.fold)
	}
	if policy.FoldPath("/REST/\u212a\u017f") != policy.FoldPath("/rest/ks") || policy.FoldPath("/a") == policy.FoldPath("/b") {
		t.Error("paths are folded wrongly")
	}
}
