package test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// spellings returns a header's name in every spelling with `_` for some of its `-`.
func spellings(name string) []string {
	list := []string{""}
	for i, part := range strings.Split(name, "-") {
		var longer []string
		for _, s := range list {
			if i > 0 {
				longer = append(longer, s+"_"+part)
				s += "-"
			}
			longer = append(longer, s+part)
		}
		list = longer
	}
	return list
}

// TestForgedHeaders sends every header that a gate sets or removes, in every spelling,
// through the very configuration that people copy. The upstream must see patgate's or none.
func TestForgedHeaders(t *testing.T) {
	alice, any := token.Mint().Reveal(), token.Mint().Reveal()
	dir := t.TempDir()
	issued := time.Now().AddDate(0, 0, -1).UTC().Format(time.RFC3339)
	gate := func(more string) string {
		return kind("jira", "Gate", "schemes: [basic, bearer]\nforwardUnknown: [basic]\nactAs: {header: x-on-behalf-of}\nanonymous: {unrestricted: true}\n"+more)
	}
	others := kind("alice", "APIToken", "user: alice\ndigest: "+digestOf(alice)+"\nissued: "+issued+"\nunrestricted: true\nactAs: [bob]\n") +
		kind("any", "APIToken", "anyUser: true\ndigest: "+digestOf(any)+"\nissued: "+issued+"\nunrestricted: true\n") +
		kind("staff", "UserGroup", "members: [alice, bob]\n")
	write(t, filepath.Join(dir, "m.yaml"), gate("")+others)
	// Envoy's own refusal of underscores and its header mutation come first in the
	// hardened configuration: without them it is patgate alone that removes.
	alone := func(config string) string {
		config = replacing(t, "            headers_with_underscores_action: REJECT_REQUEST\n", "")(config)
		from, to := strings.Index(config, "          - name: envoy.filters.http.header_mutation"), strings.Index(config, "          - name: envoy.filters.http.ext_authz")
		return config[:from] + config[to:]
	}
	s := startSystem(t, dir, alone)
	set := []string{"x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "x-patgate-user-asserted", "x-patgate-id"}
	for _, c := range []struct {
		name, authorization string
		actAs               string
		want                map[string]string // what the upstream sees, besides the id
		kept                bool              // Authorization reaches the upstream
	}{
		{"a user's token", basicAuth("alice", alice), "", map[string]string{"x-forwarded-user": "alice", "x-forwarded-groups": "staff", "x-patgate-token": "alice"}, false},
		{"speaking for another", "Bearer " + alice, "bob", map[string]string{"x-forwarded-user": "bob", "x-forwarded-groups": "staff", "x-patgate-token": "alice"}, false},
		{"any user's token", basicAuth("alice", any), "", map[string]string{"x-forwarded-user": "alice", "x-patgate-token": "any", "x-patgate-user-asserted": "true"}, false},
		{"anonymous", "", "", nil, false},
		{"forwarded", basicAuth("alice", "a password"), "", nil, true},
	} {
		m := &message{method: "GET", target: "/rest/", host: "jira.example.com"}
		for _, name := range append(slices.Clone(set), "x-http-method-override", "x-original-uri") {
			for _, spelling := range spellings(name) {
				value := "forged"
				if spelling == "x-http-method-override" {
					value = "GET" // another one is refused
				}
				m.headers = append(m.headers, [2]string{spelling, value})
			}
		}
		if c.authorization != "" {
			m.headers = append(m.headers, [2]string{"Authorization", c.authorization})
		}
		if c.actAs != "" {
			m.headers = append(m.headers, [2]string{"x-on-behalf-of", c.actAs})
		}
		r := send1(s.clients, m)
		heads := r.heads(t)
		if len(heads) != 1 {
			t.Errorf("%s: status %d, the upstream got %d requests\n%s", c.name, r.status(), len(heads), r.raw)
			continue
		}
		for _, name := range append(slices.Clone(set), "x-on-behalf-of", "x-http-method-override") {
			for _, spelling := range spellings(name) {
				var want []string
				if v, ok := c.want[spelling]; ok {
					want = []string{v}
				}
				if spelling == "x-patgate-id" {
					want = []string{r.header("x-patgate-id")}
				}
				if got := fieldsOf(heads[0], spelling); !slices.Equal(got, want) {
					t.Errorf("%s: the upstream saw %s %q, want %q", c.name, spelling, got, want)
				}
			}
		}
		if kept := len(fieldsOf(heads[0], "authorization")) > 0; kept != c.kept {
			t.Errorf("%s: authorization at the upstream: %v, want %v", c.name, kept, c.kept)
		}
	}

	// A token in a header where none belongs stays here.
	r := send1(s.clients, &message{method: "GET", target: "/rest/", host: "jira.example.com", headers: [][2]string{
		{"private-token", token.Mint().Reveal()}, {"x-api-key", alice}, {"x-harmless", "no token at all"}}})
	if heads := r.heads(t); len(heads) != 1 || len(fieldsOf(heads[0], "private-token")) > 0 || len(fieldsOf(heads[0], "x-api-key")) > 0 || len(fieldsOf(heads[0], "x-harmless")) != 1 {
		t.Errorf("status %d, the upstream saw %q", r.status(), heads)
	}
	reached := s.upstream.requests.Load()

	// A gate's own header that the mutation rules leave out: no call may pass, as Envoy
	// would let the forged one stand.
	write(t, filepath.Join(dir, "m.yaml"), gate("upstream: {userHeader: x-team-user}\n")+others)
	s.find("the new gate", func(e *event) bool { return e.Kind == "policy.loaded" && e.Revision == 2 })
	for _, authorization := range []string{basicAuth("alice", alice), ""} {
		a := ask{path: "/rest/", authorization: authorization, header: map[string]string{"x-team-user": "forged"}}
		if got := s.http(t, a); got.status < 400 {
			t.Errorf("with a header that Envoy may not set: status %d", got.status)
		}
	}
	if n := s.upstream.requests.Load(); n != reached {
		t.Errorf("the upstream got %d requests more", n-reached)
	}
}

// TestAnswersToClients checks what a client gets: the problem, the challenges, the id.
func TestAnswersToClients(t *testing.T) {
	value := token.Mint().Reveal()
	dir := t.TempDir()
	ends := time.Now().AddDate(1, 0, 0).UTC().Truncate(time.Second).Format(time.RFC3339)
	write(t, filepath.Join(dir, "m.yaml"), kind("jira", "Gate", "schemes: [basic, bearer]\nbasicEnds: "+ends+"\n")+
		kind("ci", "APIToken", "user: alice\ndigest: "+digestOf(value)+"\nissued: 2026-01-01T00:00:00Z\nexpires: "+
			time.Now().AddDate(0, 0, 3).UTC().Format(time.RFC3339)+"\nallow:\n- {name: read issues, methods: [GET], path: /rest/.*, query: {fields: '[a-z]+'}}\n"))
	s := startSystem(t, dir, nil)
	got := s.http(t, ask{path: "/rest/a?fields=x", authorization: basicAuth("alice", value)})
	if got.status != 200 || got.header.Get("x-patgate-basic-ends") != ends || got.header.Get("x-patgate-token-expires") == "" || got.event.BasicEnds != ends {
		t.Errorf("allowed with Basic: %d %v", got.status, got.header)
	}
	got = s.http(t, ask{path: "/rest/a?fields=x", authorization: "Bearer " + value})
	if got.status != 200 || got.header.Get("x-patgate-basic-ends") != "" || got.event.BasicEnds != "" {
		t.Errorf("allowed with Bearer: %d %v", got.status, got.header)
	}
	got = s.http(t, ask{path: "/rest/a?fields=7", authorization: "Bearer " + value})
	want := fmt.Sprintf(`{"type":"about:blank","title":"Forbidden","status":403,"detail":"No rule allows this request. Rule \"read issues\" came nearest; what did not match: query \"fields\".","reason":"no_rule_matched","id":"%s"}`+"\n", got.event.ID)
	if got.status != 403 || got.body != want || got.header.Get("Content-Type") != "application/problem+json" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("refused: %d %v\n%s\nwant\n%s", got.status, got.header, got.body, want)
	}
	got = s.http(t, ask{path: "/rest/a"})
	challenges := []string{`Basic realm="jira", charset="UTF-8"`, `Bearer realm="jira"`}
	if got.status != 401 || !slices.Equal(got.header.Values("Www-Authenticate"), challenges) || !strings.Contains(got.body, `"reason":"no_credential"`) {
		t.Errorf("without a credential: %d %v %s", got.status, got.header, got.body)
	}
	var first answered
	for i, authorization := range []string{basicAuth("alice", "wrong"), "Bearer wrong", basicAuth("bob", value), "Bearer patg_wrong", "Digest x"} {
		got = s.http(t, ask{path: "/rest/a", authorization: authorization})
		if i == 0 {
			first = got
		}
		challenges[1] = `Bearer realm="jira", error="invalid_token"`
		same := strings.ReplaceAll(got.body, got.event.ID, first.event.ID) == first.body
		if got.status != 401 || !same || !slices.Equal(got.header.Values("Www-Authenticate"), challenges) ||
			got.header.Get("x-patgate-basic-ends") != ends || !sameNames(got.header, first.header) {
			t.Errorf("%s: %d %v %s", authorization[:5], got.status, got.header, got.body)
		}
	}
}

func sameNames(a, b http.Header) bool {
	for name := range a {
		if _, ok := b[name]; !ok {
			return false
		}
	}
	return len(a) == len(b)
}
