package test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// guardedPage is manifests with a Gate for the host of the page, and tokens of each kind.
func guardedPage(t *testing.T) (at string, values map[string]token.Secret) {
	t.Helper()
	at, values = t.TempDir(), map[string]token.Secret{}
	text := kind("page", "Gate", "hosts: [tokens.example.com]\nschemes: [basic, bearer]\nclientIP: {source: peer}\nactAs: {header: x-on-behalf-of}") +
		kind("admins", "UserGroup", "members: [root]\nadmin: true") +
		kind("users", "UserGroup", "members: [alice, root]\ntokens: {create: true, maxLifetime: 90d}")
	for name, spec := range map[string]string{
		"mine":    "user: alice\nunrestricted: true",
		"narrow":  "user: alice\nlimitTo: |\n  [get,post]/api/v1/tokens",
		"anybody": "anyUser: true\nunrestricted: true\nschemes: [basic]",
		"deputy":  "user: alice\nunrestricted: true\nactAs: [root]",
	} {
		values[name] = token.Mint()
		text += kind(name, "APIToken", fmt.Sprintf("%s\nissued: %s\ndigest: %s", spec, time.Now().UTC().Format(time.RFC3339), token.Sum(values[name])))
	}
	write(t, filepath.Join(at, "page.yaml"), text)
	if err := os.Mkdir(filepath.Join(at, "tokens"), 0o755); err != nil {
		t.Fatal(err)
	}
	return at, values
}

// visitor sends requests to the page through Envoy.
type visitor struct {
	t       *testing.T
	clients string
}

// ask returns the status and the text of the answer to a request with headers.
func (v *visitor) ask(method, path, body string, headers ...string) (int, string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+v.clients+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Host = "tokens.example.com"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestThePageBehindItsOwnGate runs one patgate that answers Envoy's checks and serves the page on a unix socket behind that Envoy, in the
// configuration that envoy-config prints: Envoy hands on who asks.
func TestThePageBehindItsOwnGate(t *testing.T) {
	at, values := guardedPage(t)
	folder, err := os.MkdirTemp("", "page") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	socket := filepath.Join(folder, "manage.sock")
	p := startPatgate(t, at, "--manage-listen", "unix://"+socket, "--manage-into", filepath.Join(at, "tokens"), "--manage-user-header", "x-forwarded-user")
	s := behindEnvoy(t, p, func(config string) string {
		lines := strings.SplitAfter(config, "\n")
		for i, line := range lines {
			if strings.Contains(line, "# UPSTREAM") {
				lines[i] = "        - endpoint: {address: {pipe: {path: " + socket + "}}}\n"
			}
		}
		return strings.Join(lines, "")
	})
	v := &visitor{t, s.clients}
	bearer := func(name string) string { return "Bearer " + values[name].Reveal() }
	basic := func(user, name string) string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(user, values[name].Reveal())
		return r.Header.Get("Authorization")
	}
	const wide = `{"displayName": "Wide", "unrestricted": true, "expiresIn": "7d"}`
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		want                     string
	}{
		{"nobody", "GET", "/", "", nil, 401, ""},
		{"a user by header alone", "GET", "/", "", []string{"X-Forwarded-User", "root"}, 401, ""},
		{"a token", "GET", "/", "", []string{"Authorization", bearer("mine")}, 200, "<html"},
		{"a token with Basic", "GET", "/api/v1/me", "", []string{"Authorization", basic("alice", "mine")}, 200, `"alice"`},
		{"a token and another's name", "GET", "/api/v1/me", "", []string{"Authorization", bearer("mine"), "X-Forwarded-User", "root"}, 200, `"alice"`},
		{"a token and another token's name", "GET", "/api/v1/me", "", []string{"Authorization", bearer("mine"), "X-Patgate-Token", "deputy"}, 200, `"alice"`},
		{"a limited token beyond its rules", "GET", "/api/v1/me", "", []string{"Authorization", bearer("narrow")}, 403, "no_rule_matched"},
		{"a limited token within them", "GET", "/api/v1/tokens", "", []string{"Authorization", bearer("narrow")}, 200, "narrow"},
		{"a limited token that grants more", "POST", "/api/v1/tokens", wide, []string{"Authorization", bearer("narrow")}, 403, "beyond_grant"},
		{"a token of any user", "GET", "/api/v1/me", "", []string{"Authorization", basic("root", "anybody")}, 401, "unauthorized"},
		{"a token that acts for another", "GET", "/api/v1/me", "", []string{"Authorization", bearer("deputy"), "X-On-Behalf-Of", "root"}, 401, "unauthorized"},
		{"another site's form", "POST", "/tokens/mine/revoke", "", []string{"Authorization", basic("alice", "mine"), "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403, "cross"},
	} {
		if status, text := v.ask(c.method, c.path, c.body, c.headers...); status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s: %d, want %d and %q: %s", c.name, status, c.status, c.want, text)
		}
	}

	// A token that is created there signs in at once, and does not once it is revoked.
	status, text := v.ask("POST", "/api/v1/tokens", wide, "Authorization", bearer("mine"))
	var made struct {
		Name, Value string
		InForce     bool
	}
	if err := json.Unmarshal([]byte(text), &made); err != nil || status != http.StatusCreated || !made.InForce {
		t.Fatalf("a new token: %d, in force %v", status, made.InForce)
	}
	if status, _ := v.ask("GET", "/api/v1/me", "", "Authorization", "Bearer "+made.Value); status != http.StatusOK {
		t.Errorf("the new token: %d", status)
	}
	if status, text := v.ask("POST", "/api/v1/tokens/"+url.PathEscape(made.Name)+":revoke", "{}", "Authorization", bearer("mine")); status != http.StatusOK {
		t.Errorf("revoking it: %d %s", status, text)
	}
	if status, _ := v.ask("GET", "/api/v1/me", "", "Authorization", "Bearer "+made.Value); status != http.StatusUnauthorized {
		t.Errorf("the revoked token: %d", status)
	}
}
