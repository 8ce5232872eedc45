//go:build fronts

package test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// forgeries are headers of every family, with values that would be worth something.
var forgeries = [][2]string{
	{"X-Original-Method", "GET"}, {"X-Original-URI", "/rest/open"}, {"X-Original-Host", "jira.example.com"}, {"X-Original-Proto", "https"},
	{"X-Original-Body", "body="}, {"X-Original-URL", "http://jira.example.com/rest/open"}, {"X-Rewrite-URL", "/rest/open"},
	{"X-Forwarded-Method", "GET"}, {"X-Forwarded-Uri", "/rest/open"}, {"X-Forwarded-Host", "jira.example.com"}, {"X-Forwarded-Proto", "https"},
	{"X-Forwarded-For", "203.0.113.5"}, {"X-Forwarded-Prefix", "/rest/open"}, {"X-Forwarded-Server", "jira.example.com"}, {"X-Forwarded-Port", "443"},
	{"X-Forwarded-Body", "body="}, {"X-Forwarded-Connection", "close"}, {"X-Forwarded-Scheme", "https"}, {"X-Scheme", "https"},
	{"X-Real-IP", "203.0.113.5"}, {"X-Client-IP", "203.0.113.5"}, {"True-Client-IP", "203.0.113.5"}, {"Forwarded", "for=203.0.113.5;host=jira.example.com;proto=https"},
	{"X-Envoy-External-Address", "203.0.113.5"}, {"X-Envoy-Original-Path", "/rest/open"}, {"X-Envoy-Original-Method", "GET"},
	{"X-Envoy-Auth-Partial-Body", "false"}, {"X-Auth-Request-Redirect", "/rest/open"}, {"X-Http-Method-Override", "GET"},
	{"Connection", "close, X-Forwarded-User"}, {"Connection", "Authorization"},
}

// identities are headers by which a client would be somebody else.
var identities = [][2]string{
	{"X-Forwarded-User", "root"}, {"X-Forwarded-Groups", "admins"}, {"X-Patgate-Token", "other"}, {"X-Patgate-User-Asserted", "true"},
	{"X-Patgate-Id", "AAAAAAAAAAAAAAAAAAAAAAAAAA"}, {"X_Forwarded_User", "root"}, {"X.Forwarded.User", "root"}, {"x-forwarded-user", "root"},
	{"X-Forwarded_Groups", "admins"}, {"X-On-Behalf-Of", "root"}, {"X-Patgate-Other", "root"},
}

// forgedManifests have a path that the token may read, one that only one address may, and one for HTTPS.
func forgedManifests(value string) string {
	issued := time.Now().AddDate(0, 0, -1).UTC().Format(time.RFC3339)
	return kind("jira", "Gate", "hosts: [jira.example.com]\nschemes: [bearer]\npaths: [/rest/]\nclientIP: {source: peer}\nactAs: {header: x-on-behalf-of}\n"+
		"anonymous: {allow: [{path: /rest/public}]}\n") +
		kind("tls", "Gate", "hosts: [jira.example.com]\nschemes: [bearer]\npaths: [/tls/]\nclientIP: {source: peer}\nrequireTLS: true\n") +
		kind("ci", "APIToken", "user: alice\ndigest: "+digestOf(value)+"\nissued: "+issued+"\nallow:\n- {methods: [GET], path: /rest/open}\n"+
			"- {methods: [GET], path: /rest/inside, clients: [203.0.113.5]}\n- {path: /tls/.*}\n")
}

// TestFrontsForged sends forged headers of every family through each front: none opens what is closed, none
// reaches the API as another identity, and a request that is allowed stays what it is.
func TestFrontsForged(t *testing.T) {
	for _, f := range fronts() {
		t.Run(f.name, func(t *testing.T) {
			value := token.Mint().Reveal()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "m.yaml"), forgedManifests(value))
			up := startUpstream(t)
			s := f.stand(t, dir, up.addr, false)
			for target, credential := range map[string]string{"/rest/open": "Bearer " + value, "/rest/public": ""} {
				if r := send1(s.clients, forged("GET", target, credential, [2]string{"X-Ordinary", "1"})); r.reached() != 1 {
					t.Errorf("%s: %s", target, r.raw)
				}
			}
			for _, h := range slices.Concat(forgeries, identities) {
				s.closedStays(t, h, value)
				s.allowedStays(t, h, value)
			}
		})
	}
}

// forged is a request with one more header.
func forged(method, target, authorization string, header [2]string) *message {
	m := &message{method: method, target: target, host: "jira.example.com", headers: [][2]string{header}}
	if authorization != "" {
		m.headers = append(m.headers, [2]string{"Authorization", authorization})
	}
	return m
}

func (s *standing) closedStays(t *testing.T, header [2]string, value string) {
	t.Helper()
	for _, m := range []*message{
		forged("GET", "/rest/closed", "Bearer "+value, header),
		forged("DELETE", "/rest/open", "Bearer "+value, header),
		forged("GET", "/rest/open", "", header),
		forged("GET", "/rest/open", "Bearer "+token.Mint().Reveal(), header),
		forged("GET", "/elsewhere", "Bearer "+value, header),
		forged("GET", "/tls/x", "Bearer "+value, header),
		forged("GET", "/rest/inside", "Bearer "+value, header),
	} {
		if r := send1(s.clients, m); r.reached() > 0 {
			t.Errorf("%s opens %s %s\n%s", header, m.method, m.target, r.raw)
		}
	}
}

// allowedStays sends a request that is allowed: it is refused for the header, or the API sees nothing of it.
func (s *standing) allowedStays(t *testing.T, header [2]string, value string) {
	t.Helper()
	for target, want := range map[string]map[string][]string{
		"/rest/open":   {"x-forwarded-user": {"alice"}, "x-patgate-token": {"ci"}},
		"/rest/public": {},
	} {
		authorization := ""
		if len(want) > 0 {
			authorization = "Bearer " + value
		}
		r := send1(s.clients, forged("GET", target, authorization, header))
		for _, head := range r.heads(t) {
			for _, name := range []string{"x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "x-patgate-user-asserted", "x-on-behalf-of", "authorization"} {
				if got := fieldsOf(head, name); len(got)+len(want[name]) > 0 && !slices.Equal(got, want[name]) && (len(got) != 1 || got[0] != "") {
					t.Errorf("%s: the API saw %s %q, want %q", header, name, got, want[name])
				}
			}
			if forgedSeen(head, header) {
				t.Errorf("%s reached the API:\n%s", header, head)
			}
			if !strings.HasPrefix(head, "GET "+target+" ") {
				t.Errorf("%s: the API saw another target:\n%s", header, head)
			}
		}
	}
}

// harmlessForged are headers that patgate neither reads nor sets, or that say what is true.
var harmlessForged = []string{"X-Client-IP", "True-Client-IP", "X-Scheme", "X-Forwarded-Scheme", "X-Forwarded-Host",
	"X-Forwarded-Server", "Forwarded", "X-Envoy-External-Address", "X-Envoy-Original-Path", "X-Envoy-Original-Method",
	"X-Envoy-Auth-Partial-Body", "X-Auth-Request-Redirect", "X-Forwarded-Connection", "X-Original-Body", "X-Forwarded-Body", "X-Original-Host",
	"X-Forwarded-Port"}

// forgedSeen reports whether the API could act on what a client said.
func forgedSeen(head string, header [2]string) bool {
	return !slices.Contains(harmlessForged, header[0]) && slices.Contains(fieldsOf(head, header[0]), header[1])
}
