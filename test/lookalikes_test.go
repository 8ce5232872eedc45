package test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// TestLookAlikes sends what lenient upstreams read differently than rules do, through an
// Envoy that leaves it all to patgate: no header is removed or refused before the check.
func TestLookAlikes(t *testing.T) {
	value := token.Mint().Reveal()
	dir := t.TempDir()
	issued := time.Now().AddDate(0, 0, -1).UTC().Format(time.RFC3339)
	write(t, filepath.Join(dir, "m.yaml"),
		kind("jira", "Gate", "hosts: [jira.example.com]\nschemes: [basic, bearer]\nallowEncoded: [\"%2F\", \"%23\"]\nupstream: {routing: caseInsensitive, encoding: percent}\nanonymous: {allow: [{path: /open/.*}]}\n")+
			kind("wiki", "Gate", "hosts: [\"*.example.com\"]\nschemes: [bearer]\n")+
			kind("zoe", "APIToken", "user: zoë\ndigest: "+digestOf(value)+"\nissued: "+issued+"\ngates: [jira]\npolicies: [p]\n")+
			kind("p", "TokenPolicy", "allow:\n- path: /(rest|REST|projects)/.*\n- path: /dav/alice/.*\n- path: /api/queues/%2F/q\ndeny:\n- path: /rest/admin(/.*)?\n- methods: [DELETE]\n"))
	alone := func(config string) string {
		config = replacing(t, "            headers_with_underscores_action: REJECT_REQUEST\n", "", "          strip_trailing_host_dot: true\n", "")(config)
		from, to := strings.Index(config, "          - name: envoy.filters.http.header_mutation"), strings.Index(config, "          - name: envoy.filters.http.ext_authz")
		return config[:from] + config[to:]
	}
	s := startSystem(t, dir, alone)
	type h = [][2]string
	one := func(name, value string) h { return h{{name, value}} }
	for _, c := range []struct {
		what, method, target, host string
		headers                    h
		anonymous                  bool
		want                       string
	}{
		{"an ordinary request", "GET", "/rest/a", "", nil, false, "ok"},
		{"an identity by a CGI variable's other name", "GET", "/open/a", "", one("x.forwarded.user", "root"), true, "bad_target"},
		{"groups by one", "GET", "/rest/a", "", one("x~forwarded~groups", "admins"), false, "bad_target"},
		{"a method by one", "GET", "/rest/a", "", one("x!http!method!override", "DELETE"), false, "bad_target"},
		{"patgate's own by one", "GET", "/rest/a", "", one("x.patgate.user.asserted", "true"), false, "bad_target"},
		{"a name with underscores", "GET", "/rest/a", "", one("x_forwarded_groups", "admins"), false, "ok"},
		{"a host with a trailing dot", "GET", "/rest/a", "jira.example.com.", nil, false, "bad_target"},
		{"a method in lower case", "delete", "/rest/a", "", nil, false, "bad_target"},
		{"one in both", "Delete", "/rest/a", "", nil, false, "bad_target"},
		{"a denied path in another case", "GET", "/rest/ADMIN/x", "", nil, false, "rule_denied"},
		{"one that an allow rule has in another case", "GET", "/REST/admin", "", nil, false, "rule_denied"},
		{"an allowed path in another case", "GET", "/Rest/a", "", nil, false, "no_rule_matched"},
		{"another host by a header", "GET", "/rest/a", "", one("x-forwarded-host", "wiki.example.com"), false, "method_override"},
		{"another host by Forwarded", "GET", "/rest/a", "", one("forwarded", `for=1.2.3.4;host="evil.example.org"`), false, "method_override"},
		{"the same host by a header", "GET", "/rest/a", "", one("x-forwarded-host", "jira.example.com"), false, "ok"},
		{"a copy within the limit", "COPY", "/dav/alice/a", "", one("destination", "https://jira.example.com/dav/alice/b"), false, "ok"},
		{"a copy out of it", "COPY", "/dav/alice/a", "", one("destination", "https://jira.example.com/dav/bob/b"), false, "no_rule_matched"},
		{"a copy to another host", "MOVE", "/dav/alice/a", "", one("destination", "https://wiki.example.com/dav/alice/b"), false, "bad_target"},
		{"two destinations", "COPY", "/dav/alice/a", "", h{{"destination", "/dav/alice/b"}, {"destination", "/dav/bob/b"}}, false, "bad_target"},
		{"an encoded slash that the gate opens", "GET", "/projects/group%2fname", "", nil, false, "ok"},
		{"RabbitMQ's first virtual host", "GET", "/api/queues/%2F/q", "", nil, false, "ok"},
		{"an encoded number sign", "GET", "/rest/c%23.md", "", nil, false, "ok"},
		{"an encoded percent sign, which it does not open", "GET", "/rest/100%25", "", nil, false, "bad_target"},
		{"dots behind an encoded slash", "GET", "/rest/a%2F..%2Fadmin", "", nil, false, "bad_target"},
		{"a semicolon", "GET", "/rest/a;b", "", nil, false, "bad_target"},
	} {
		m := &message{method: c.method, target: c.target, host: c.host, headers: c.headers}
		if m.host == "" {
			m.host = "jira.example.com"
		}
		if !c.anonymous {
			m.headers = append(m.headers, [2]string{"authorization", "Bearer " + value})
		}
		r := send2(s.clients, m)
		id := r.header("x-patgate-id")
		if id == "" {
			t.Errorf("%s: no answer of patgate: %d\n%s", c.what, r.status(), r.raw)
			continue
		}
		e := s.byID(id)
		if e.Reason != c.want || (r.reached() > 0) != (c.want == "ok") {
			t.Errorf("%s: %s, %d reached the upstream, want %s\n%s", c.what, e.Reason, r.reached(), c.want, r.raw)
		}
		if c.want != "ok" {
			continue
		}
		head := r.heads(t)[0]
		if !strings.HasPrefix(head, c.method+" "+c.target+" ") {
			t.Errorf("%s: the upstream got another target:\n%s", c.what, head)
		}
		if got := fieldsOf(head, "x-forwarded-user"); len(got) != 1 || got[0] != "zo%C3%AB" {
			t.Errorf("%s: the upstream saw the user %q", c.what, got)
		}
		if got := append(fieldsOf(head, "x_forwarded_groups"), fieldsOf(head, "x-forwarded-groups")...); len(got) > 0 {
			t.Errorf("%s: the upstream saw the groups %q", c.what, got)
		}
	}
}
