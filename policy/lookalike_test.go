package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
)

// TestHeaderLookAlikes checks that every name that maps to the same CGI variable as one
// of the gate's headers is refused, or removed where it differs in `_` alone.
func TestHeaderLookAlikes(t *testing.T) {
	w := newWorld(t)
	w.gate.ActAsHeader = "x-on-behalf-of"
	w.gate.ClientIP = policy.ClientIP{Source: policy.FromHeader, Header: "x-real-client"}
	w.gate.Upstream = policy.NewUpstream("x-team-user", "x-team-groups", "x-team-token", "x-on-behalf-of", false)
	for _, named := range []string{
		"x-team-user", "x-team-groups", "x-team-token", "x-on-behalf-of", "x-real-client",
		"x-patgate-id", "x-patgate-token", "x-patgate-user-asserted", "x-patgate-token-expires", "x-patgate-whatever",
		"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url",
		"x-forwarded-proto", "content-type", "content-encoding",
	} {
		for _, c := range []string{".", "~", "!", "#", "$", "%", "&", "'", "*", "+", "^", "`", "|", " ", "\u2010", "\u00e9", "\xff"} {
			for _, name := range []string{strings.ReplaceAll(named, "-", c), strings.Replace(named, "-", c, 1), strings.ToUpper(strings.ReplaceAll(named, "-", c))} {
				d := w.want(name, request(header(name, "x")), policy.BadTarget)
				if !strings.Contains(d.Detail, "a header's name looks like x-") && !strings.Contains(d.Detail, "looks like content-") {
					t.Errorf("%q: problem %q", name, d.Detail)
				}
			}
		}
		mixed := strings.Replace(strings.ReplaceAll(named, "-", "_"), "_", ".", 1)
		w.want(mixed, request(header(mixed, "x")), policy.BadTarget)
		for _, name := range []string{strings.ReplaceAll(named, "-", "_"), strings.Replace(named, "-", "_", 1)} {
			if d := w.want(name, request(header(name, "x")), policy.OK); !slices.Equal(d.Remove, []string{name}) {
				t.Errorf("%s: removes %q", name, d.Remove)
			}
			upper := strings.ToUpper(name)
			if d := w.want(upper, request(header(upper, "x")), policy.OK); !slices.Equal(d.Remove, []string{name}) {
				t.Errorf("%s: removes %q", upper, d.Remove)
			}
		}
	}
	for _, name := range []string{
		"x-team-user2", "x.team.users", "x.team", "xteamuser", "x--team-user", "x-request-id", "x.request.id", "accept", "x_b3_traceid", "",
		":path", ":authority", "-team-user", "x.patgate", "x-patgated-id", "x.forwarded.user", "x-forwarded-user", "x.forwarded.for", "Content-Type", "content-type",
	} {
		d := w.want("unrelated: "+name, request(header(name, "x")), policy.OK)
		if len(d.Remove) > 0 {
			t.Errorf("unrelated: %q: removes %q", name, d.Remove)
		}
	}
	if d := w.want("patgate's own", request(header("x-patgate-whatever", "x")), policy.OK); !slices.Equal(d.Remove, []string{"x-patgate-whatever"}) {
		t.Errorf("patgate's own: removes %q", d.Remove)
	}
	w.gate.ClientIP = policy.ClientIP{Source: policy.FromXFF}
	w.want("X-Forwarded-For where it is read", request(header("x.forwarded.for", "192.0.2.1")), policy.BadTarget)
	w.gate.Upstream = policy.NewUpstream("x.team.user", "x-team-groups", "x-team-token", "", false)
	w.want("a gate's header that does not fold to itself", request(header("x-team-user", "x")), policy.BadTarget)
	w.want("that header by its own name", request(header("x.team.user", "x")), policy.OK)
	w.gate.Observe = true
	w.want("at an observing gate", request(header("x~team~user", "x")), policy.BadTarget)
}

// TestRemovedSpellingsOfAnyCaller checks that a spelling is removed for every kind of caller.
func TestRemovedSpellingsOfAnyCaller(t *testing.T) {
	w := newWorld(t)
	w.gate.Anonymous = &policy.Grant{Unrestricted: true}
	w.gate.ForwardUnknown = policy.Schemes(0).With(policy.Basic)
	forged := header("x_forwarded_user", "root")
	for name, r := range map[string]*policy.Request{
		"anonymous": request(anonymous(), forged), "forwarded": request(with(basic("bob", "a password")), forged), "token": request(forged),
	} {
		d := w.ask(r)
		if d.Effect != policy.Allow || !slices.Equal(d.Remove, []string{"x_forwarded_user"}) {
			t.Errorf("%s: %v, removes %q", name, d.Reason, d.Remove)
		}
	}
}

func TestMethodsNotInUpperCase(t *testing.T) {
	w := newWorld(t)
	for _, m := range []string{"get", "Get", "GEt", "delete", "Delete", "dELETE", "m-search", "GEſ", "\u212aOPY"} {
		if d := w.want(m, request(method(m)), policy.BadTarget); d.Detail != "the method is not in upper case" {
			t.Errorf("%s: %q", m, d.Detail)
		}
	}
	for _, m := range []string{"GET", "M-SEARCH", "VERSION-CONTROL", "X_Y", "QUERY1"} {
		w.want(m, request(method(m)), policy.OK)
	}
}

// TestForwardedHosts checks that a header that names another host than the evaluated one is
// refused where gates name hosts.
func TestForwardedHosts(t *testing.T) {
	w := newWorld(t)
	w.gates = append(w.gates, &policy.Gate{Name: "wiki", Hosts: []string{"wiki.example.com"}, Prefixes: []string{""}})
	same := []string{"jira.example.com", "JIRA.example.com", "jira.example.com:8443", " jira.example.com ", "jira.example.com, jira.example.com:443", ""}
	other := []string{"wiki.example.com", "jira.example.com.", "evil", "jira.example.com,wiki.example.com", "wiki.example.com, jira.example.com",
		"https://jira.example.com", "jira.example.com@evil", "jira.example.com evil", "jira.example.com/x", "[::1]"}
	for _, name := range []string{"x-forwarded-host", "x-host", "x-original-host", "x-forwarded-server", "x-http-host-override",
		"X-Forwarded-Host", "x_forwarded_host", "x.forwarded.host"} {
		for _, value := range same {
			w.want(name+": "+value, request(header(name, value)), policy.OK)
		}
		for _, value := range other {
			w.want(name+": "+value, request(header(name, value)), policy.MethodOverride)
		}
		w.want("two of "+name, request(header(name, "jira.example.com", "evil")), policy.MethodOverride)
	}
	for _, value := range []string{
		"for=192.0.2.1", "host=jira.example.com", `for=192.0.2.1;host="jira.example.com:8443";proto=https, host=JIRA.example.com`, "for=hostile", "hostname=x", "",
	} {
		w.want("forwarded: "+value, request(header("forwarded", value)), policy.OK)
	}
	for _, value := range []string{
		"host=evil", "Host=evil", "for=192.0.2.1;host=evil;proto=https", `for=1;host="evil"`, "host=jira.example.com, host=evil", "host = evil",
		`for=",host=evil"`, `host="jira.example.com` + `@evil"`, "for=1; HOST=jira.example.com.", "host=",
	} {
		w.want("forwarded: "+value, request(header("forwarded", value)), policy.MethodOverride)
	}
	w.want("where the host is absent", request(host(""), header("x-forwarded-host", "jira.example.com")), policy.MethodOverride)
	w.gates = w.gates[:1]
	w.want("where no gate names hosts", request(header("x-forwarded-host", "evil")), policy.OK)
	w.gate.Hosts = []string{"*.example.com"}
	w.want("a wildcard names hosts", request(header("x-forwarded-host", "evil")), policy.MethodOverride)
}

// FuzzHeaderLookAlikes holds the walk over the headers against the definition: a name
// whose fold is one of the gate's and that is not that name is refused or removed.
func FuzzHeaderLookAlikes(f *testing.F) {
	for _, seed := range []string{"x-forwarded-user", "x.forwarded.user", "x_forwarded_user", "X-Patgate_id", "x\u00adforwarded\u00aduser", ":path", "x.patgate.id"} {
		f.Add(seed)
	}
	w := newWorld(&testing.T{})
	s := w.snapshot()
	names := append(w.gate.MutatedHeaders(), w.gate.IdentityHeaders()...)
	f.Fuzz(func(t *testing.T, name string) {
		if strings.HasPrefix(name, ":") {
			return
		}
		lower := strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, name)
		alike, is := false, slices.Contains(names, lower)
		for _, named := range names {
			begin, all := strings.CutSuffix(named, "*")
			folded := policy.FoldHeader(name)
			alike = alike || folded == named || all && strings.HasPrefix(folded, begin)
		}
		d := policy.Evaluate(s, request(anonymous(), header(name, "GET")), nil)
		switch kept := d.Reason == policy.NoCredential && len(d.Remove) == 0; {
		case d.Reason == policy.MethodOverride:
		case is || !alike:
			if !kept {
				t.Fatalf("%q: %v, removes %q", name, d.Reason, d.Remove)
			}
		case kept:
			t.Fatalf("%q passes", name)
		}
	})
}
