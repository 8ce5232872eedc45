package extauthz

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/extauthz/httpfront"
	"github.com/patgate/patgate/policy"
)

// asked is a check's answer.
type asked struct {
	status int
	header http.Header
	body   string
}

// newFrontTest serves checks of a kind.
func newFrontTest(t *testing.T, kind httpfront.Kind) (p *parts, ask func(head, body string) asked) {
	t.Helper()
	s, p := newServer(t)
	return p, serveFront(t, s, FrontOptions{Kind: kind, MaxBody: 64})
}

func serveFront(t *testing.T, s *Server, o FrontOptions) func(head, body string) asked {
	t.Helper()
	f := NewFront(s, o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- f.Serve(l) }()
	t.Cleanup(func() {
		f.Stop(t.Context())
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return func(head, body string) asked {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(c, strings.ReplaceAll(head, "\n", "\r\n")+"\r\n\r\n"+body)
		method, _, _ := strings.Cut(head, " ")
		answer, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return asked{answer.StatusCode, answer.Header, string(text)}
	}
}

// checkOf is the head of a check of each kind.
var checkOf = map[httpfront.Kind]string{
	httpfront.Nginx:        "GET /check HTTP/1.1\nHost: patgate\nX-Original-Method: GET\nX-Original-URI: /rest/\nX-Original-Host: jira.example.com",
	httpfront.IngressNginx: "GET /check HTTP/1.1\nHost: patgate\nX-Original-Method: GET\nX-Original-URL: http://jira.example.com/rest/",
	httpfront.Traefik:      "GET /check HTTP/1.1\nHost: patgate\nX-Forwarded-Method: GET\nX-Forwarded-Uri: /rest/\nX-Forwarded-Host: jira.example.com",
	httpfront.Caddy:        "GET /check?a=b HTTP/1.1\nHost: patgate\nX-Forwarded-Method: GET\nX-Forwarded-Uri: /rest/\nX-Forwarded-Host: jira.example.com",
	httpfront.HAProxy:      "GET /check HTTP/1.1\nHost: patgate\nX-Forwarded-Method: GET\nX-Forwarded-Uri: /rest/\nX-Forwarded-Host: jira.example.com",
	httpfront.Envoy:        "GET /rest/ HTTP/1.1\nHost: jira.example.com",
	httpfront.GatewayAPI:   "GET /rest/ HTTP/1.1\nHost: jira.example.com",
}

// TestFrontAllows holds an allow of each kind to the rules: exactly 200, no body, not cacheable, and every
// identity header there or named for removal.
func TestFrontAllows(t *testing.T) {
	for _, kind := range httpfront.Kinds() {
		p, ask := newFrontTest(t, kind)
		got := ask(checkOf[kind]+"\nAuthorization: Bearer "+secret.Reveal(), "")
		if got.status != 200 || got.body != "" || got.header.Get("content-length") != "0" || got.header.Get("cache-control") != "no-store" {
			t.Errorf("%s: %+v", kind, got)
		}
		if got.header.Get("x-forwarded-user") != "alice" || got.header.Get("x-patgate-token") != "ci" || len(got.header.Get("x-patgate-id")) != 26 {
			t.Errorf("%s: %v", kind, got.header)
		}
		removed := strings.Split(got.header.Get("x-envoy-auth-headers-to-remove"), ",")
		for _, name := range []string{"x-forwarded-groups", "x-patgate-user-asserted", "authorization", "x-original-url"} {
			if named := contains(removed, name); named != kind.Removes() || got.header.Get(name) != "" {
				t.Errorf("%s: %s is in %q, and %q", kind, name, removed, got.header.Get(name))
			}
		}
		if strings.Contains(got.header.Get("authorization"), secret.Reveal()) {
			t.Errorf("%s: the answer holds the token", kind)
		}
		if e := p.events; len(e) != 1 || e[0].Host != "jira.example.com" || e[0].Path != "/rest/" {
			t.Errorf("%s: %+v", kind, e)
		}
	}
}

func contains(list []string, want string) bool {
	for _, have := range list {
		if have == want {
			return true
		}
	}
	return false
}

// TestFrontRefuses holds a refusal of each kind to the contract.
func TestFrontRefuses(t *testing.T) {
	for _, kind := range httpfront.Kinds() {
		_, ask := newFrontTest(t, kind)
		for _, c := range []struct {
			head   string
			status int
			reason string
		}{
			{checkOf[kind], 401, "no_credential"},
			{checkOf[kind] + "\nAuthorization: Bearer wrong", 401, "invalid_token"},
			{checkOf[kind] + "\nAuthorization: Bearer " + secret.Reveal() + "\nAuthorization: Bearer " + secret.Reveal(), 401, "invalid_token"},
			{checkOf[kind] + "\nAuthorization: Bearer " + secret.Reveal() + ",Bearer x", 401, "invalid_token"},
			{checkOf[kind] + "\nX-HTTP-Method-Override: PUT\nAuthorization: Bearer " + secret.Reveal(), 400, "method_override"},
			{checkOf[kind] + "\nx.forwarded.user: root\nAuthorization: Bearer " + secret.Reveal(), 400, "bad_target"},
			{checkOf[kind] + "\nConnection: close, x-forwarded-user\nAuthorization: Bearer " + secret.Reveal(), 400, "bad_target"},
		} {
			got := ask(c.head, "")
			var p struct {
				Status     int
				Reason, ID string
			}
			if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != c.status || p.Status != c.status || p.Reason != c.reason {
				t.Errorf("%s: %v %d %s", kind, err, got.status, got.body)
			}
			if got.header.Get("content-type") != "application/problem+json" || got.header.Get("cache-control") != "no-store" || p.ID != got.header.Get("x-patgate-id") {
				t.Errorf("%s: %v", kind, got.header)
			}
			for _, name := range []string{"x-forwarded-user", "x-patgate-token"} {
				if got.header.Get(name) != "" {
					t.Errorf("%s: a refusal has %s", kind, name)
				}
			}
			challenges := len(got.header.Values("www-authenticate"))
			if want := map[bool]int{true: 2, false: 1}[kind.ShowsBodies()]; c.status == 401 && challenges != want {
				t.Errorf("%s: %d challenges, want %d", kind, challenges, want)
			}
			if text := got.header.Get(headerProblem); kind.ShowsBodies() != (text == "") || text != "" && text != strings.TrimSpace(got.body) {
				t.Errorf("%s: %q beside %q", kind, text, got.body)
			}
		}
		if got := ask(strings.Replace(checkOf[kind], "GET ", "HEAD ", 1), ""); got.status != 401 || got.body != "" {
			t.Errorf("%s: HEAD: %+v", kind, got)
		}
	}
}

// TestFrontLacks takes each header that must be there out of a check: the refusal is an audited one.
func TestFrontLacks(t *testing.T) {
	for _, kind := range httpfront.Kinds() {
		lines := strings.Split(checkOf[kind], "\n")
		for i := 2; i < len(lines); i++ {
			p, ask := newFrontTest(t, kind)
			head := strings.Join(append(append([]string{}, lines[:i]...), lines[i+1:]...), "\n")
			got := ask(head+"\nAuthorization: Bearer "+secret.Reveal(), "")
			if got.status != 400 || !strings.Contains(got.body, "the front sent no ") || len(p.events) != 1 || p.events[0].Reason != "bad_target" {
				t.Errorf("%s without %s: %+v %v", kind, lines[i], got, p.events)
			}
		}
	}
}

// TestFrontFaults holds faults to explicit refusals.
func TestFrontFaults(t *testing.T) {
	for _, place := range []string{"snapshot", "record", "line", "observe"} {
		p, ask := newFrontTest(t, httpfront.Nginx)
		p.panicIn = place
		if got := ask(checkOf[httpfront.Nginx]+"\nAuthorization: Bearer "+secret.Reveal(), ""); got.status != 500 || !strings.Contains(got.body, `"internal"`) {
			t.Errorf("a panic in %s: %+v", place, got)
		}
	}
	p, ask := newFrontTest(t, httpfront.Nginx)
	p.recorded = io.ErrShortWrite
	if got := ask(checkOf[httpfront.Nginx]+"\nAuthorization: Bearer "+secret.Reveal(), ""); got.status != 503 || !strings.Contains(got.body, "audit_unavailable") {
		t.Errorf("an event that is not written: %+v", got)
	}
	s, _ := newServer(t)
	s.MaxInFlight = 1
	s.enter()
	if got := serveFront(t, s, FrontOptions{Kind: httpfront.Nginx})(checkOf[httpfront.Nginx], ""); got.status != 503 || !strings.Contains(got.body, "overloaded") {
		t.Errorf("too many at a time: %+v", got)
	}
}

// TestFrontRemovesHiddenTokens refuses what a front can't remove, and has the others remove it.
func TestFrontRemovesHiddenTokens(t *testing.T) {
	for _, kind := range httpfront.Kinds() {
		for _, stray := range []string{"x-api-key: " + secret.Reveal(), "x-patgate-admin: 1", "x_forwarded_user: root"} {
			_, ask := newFrontTest(t, kind)
			got := ask(checkOf[kind]+"\n"+stray+"\nAuthorization: Bearer "+secret.Reveal(), "")
			name, _, _ := strings.Cut(stray, ":")
			switch removed := strings.Split(got.header.Get("x-envoy-auth-headers-to-remove"), ","); {
			case kind.Removes() && (got.status != 200 || !contains(removed, name)):
				t.Errorf("%s: %s: %d, removes %q", kind, name, got.status, removed)
			case !kind.Removes() && got.status != 400:
				t.Errorf("%s: %s: %+v", kind, name, got)
			}
		}
	}
}

// TestFrontBodies says how much of a body each kind has.
func TestFrontBodies(t *testing.T) {
	long := strings.Repeat("x", 65)
	for _, c := range []struct {
		kind       httpfront.Kind
		head, body string
		want       string
	}{
		{httpfront.Traefik, "Content-Length: 2", "{}", "whole"},
		{httpfront.Traefik, "Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n", "whole"},
		{httpfront.Traefik, "Content-Length: 65", long, "partial"},
		{httpfront.Traefik, "Content-Length: 3", "{}", "partial"}, // it never comes
		{httpfront.Nginx, "Content-Length: 2", "{}", "absent"},
		{httpfront.Caddy, "Content-Length: 2", "{}", "absent"},
		{httpfront.Envoy, "Content-Length: 2\nX-Envoy-Auth-Partial-Body: false", "{}", "whole"},
		{httpfront.Envoy, "Content-Length: 2\nX-Envoy-Auth-Partial-Body: true", "{}", "partial"},
		{httpfront.Envoy, "Content-Length: 2", "{}", "partial"},
		{httpfront.Envoy, "Content-Length: 2\nX-Envoy-Auth-Partial-Body: false\nX-Envoy-Auth-Partial-Body: false", "{}", "partial"},
		{httpfront.Envoy, "Content-Length: 65\nX-Envoy-Auth-Partial-Body: false", long, "partial"},
		{httpfront.GatewayAPI, "Content-Length: 2", "{}", "partial"},
	} {
		p, ask := newFrontTest(t, c.kind)
		ask(checkOf[c.kind]+"\n"+c.head+"\nAuthorization: Bearer "+secret.Reveal(), c.body)
		if len(p.events) != 1 || p.events[0].BodyState != c.want {
			t.Errorf("%s %q: %+v, want %s", c.kind, c.head, p.events, c.want)
		}
	}
}

// TestFrontKeepsAuthorization copies the credential where the API may have it, and the front can't keep it.
func TestFrontKeepsAuthorization(t *testing.T) {
	for _, kind := range httpfront.Kinds() {
		s, p := newServer(t)
		_, err := p.index.Replace(policy.Rows{Gates: []*policy.Gate{{
			Name: "jira", Hosts: []string{policy.AnyHost}, Prefixes: []string{""}, Schemes: policy.Schemes(0).With(policy.Bearer),
			ForwardUnknown: policy.Schemes(0).With(policy.Bearer),
			Upstream:       policy.NewUpstream("x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "", false),
		}}}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		got := serveFront(t, s, FrontOptions{Kind: kind})(checkOf[kind]+"\nAuthorization: Bearer theirs", "")
		want := "Bearer theirs"
		if kind.Removes() {
			want = ""
		}
		if got.status != 200 || got.header.Get("authorization") != want || got.header.Get("x-forwarded-user") != "" || contains(strings.Split(got.header.Get(headerRemove), ","), "authorization") {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}
