package test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/token"
)

// The configurations that `patgate envoy-config` prints, each run by a real Envoy in
// front of a real patgate with the gates that it was printed for.

// twoGates are a gate whose token has a rule on bodies, and one without any.
func twoGates(value string) string {
	return kind("jira", "Gate", "hosts: [jira.example.com]\nschemes: [bearer]\nactAs: {header: x-on-behalf-of}\n") +
		kind("wiki", "Gate", "hosts: [wiki.example.com]\npaths: [/rest/]\nschemes: [bearer]\nupstream: {userHeader: x-team-user}\nanonymous: {allow: [{methods: [GET], path: /rest/open}]}\n") +
		kind("ci", "APIToken", "user: alice\ndigest: "+digestOf(value)+"\nissued: 2026-01-01T00:00:00Z\ngates: [jira]\nallow:\n"+
			"- {methods: [GET], path: /rest/.*}\n- {methods: [POST], path: /rest/issue, json: {project: KANBAN}}\n"+
			"- {methods: [POST], path: /rest/vnd, json: {project: KANBAN}, contentTypes: [application/vnd.x+json]}\n") +
		kind("upload", "APIToken", "user: alice\ndigest: "+digestOf("u"+value)+"\nissued: 2026-01-01T00:00:00Z\ngates: [jira]\nunrestricted: true\n") +
		kind("bot", "APIToken", "user: bob\ndigest: "+digestOf("b"+value)+"\nissued: 2026-01-01T00:00:00Z\ngates: [wiki]\nallow:\n"+
			"- {methods: [POST, GET], path: /rest/page}\n")
}

// envoyConfig runs `patgate envoy-config` as a user would.
func envoyConfig(t *testing.T, flags ...string) string {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"envoy-config"}, flags...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil || errs.Len() > 0 {
		t.Fatalf("envoy-config %s: %v\n%s", strings.Join(flags, " "), err, errs.String())
	}
	return out.String()
}

// validate runs `envoy --mode validate`, and returns what it warns of.
func validate(t *testing.T, config string) string {
	t.Helper()
	binary, err := envoy.Binary()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	write(t, file, config)
	out, err := exec.Command(binary, "--mode", "validate", "-c", file, "--log-level", "warn").CombinedOutput()
	if err != nil {
		t.Fatalf("envoy --mode validate: %v\n%s", err, out)
	}
	return strings.TrimSpace(strings.Replace(string(out), "configuration '"+file+"' OK", "", 1))
}

// gatesCase is a request to the two gates, and its expected result.
type gatesCase struct {
	name   string
	ask    ask
	status int
	reason string            // of the audit; empty: Envoy refuses by itself
	seen   map[string]string // headers at the upstream; empty: absent
}

// gatesCases are sent to every kind of configuration: an allow, each way to be refused,
// bodies, and headers that clients forge.
func gatesCases(value string) []gatesCase {
	good, other, upload := "Bearer "+value, "Bearer b"+value, "Bearer u"+value
	jira, wiki := "jira.example.com", "wiki.example.com"
	large := `{"project":"KANBAN","text":"` + strings.Repeat("x", 70_000) + `"}`
	forged := map[string]string{"X-Forwarded-User": "root", "X-Forwarded-Groups": "admins", "X-Patgate-Token": "root", "X-Team-User": "root", "X-Patgate-User-Asserted": "true"}
	return []gatesCase{
		{"allowed", ask{path: "/rest/issue/1", host: jira, authorization: good}, 200, "ok",
			map[string]string{"x-forwarded-user": "alice", "x-patgate-token": "ci", "authorization": ""}},
		{"forged identity", ask{path: "/rest/issue/1", host: jira, authorization: good, header: forged}, 200, "ok",
			map[string]string{"x-forwarded-user": "alice", "x-forwarded-groups": "", "x-patgate-token": "ci", "x-team-user": "", "x-patgate-user-asserted": ""}},
		{"forged identity of the anonymous", ask{path: "/rest/open", host: wiki, header: forged}, 200, "anonymous",
			map[string]string{"x-forwarded-user": "", "x-team-user": "", "x-patgate-token": ""}},
		{"a gate's own header", ask{method: "POST", path: "/rest/page", host: wiki, authorization: other, body: `{}`}, 200, "ok",
			map[string]string{"x-team-user": "bob", "x-patgate-token": "bot"}},
		{"no credential", ask{path: "/rest/issue/1", host: jira}, 401, "no_credential", nil},
		{"unknown token", ask{path: "/rest/issue/1", host: jira, authorization: "Bearer stranger"}, 401, "token_unknown", nil},
		{"no rule", ask{method: "DELETE", path: "/rest/issue/1", host: jira, authorization: good}, 403, "no_rule_matched", nil},
		{"another gate's token", ask{path: "/rest/page", host: wiki, authorization: good}, 403, "gate_denied", nil},
		{"act-as without the right", ask{path: "/rest/issue/1", host: jira, authorization: good, header: map[string]string{"X-On-Behalf-Of": "bob"}}, 403, "act_as_denied", nil},
		{"another method in a header", ask{path: "/rest/issue/1", host: jira, authorization: good, header: map[string]string{"X-HTTP-Method-Override": "DELETE"}}, 400, "method_override", nil},
		{"no gate at this host", ask{path: "/", host: "other.example.com", authorization: good}, 403, "no_gate", nil},
		{"no gate at this path", ask{path: "/admin", host: wiki, authorization: other}, 403, "no_gate", nil},
		{"an ambiguous path", ask{path: "/rest/a;b", host: jira, authorization: good}, 400, "bad_target", nil},
		{"an escaped slash", ask{path: "/rest%2fissue", host: jira, authorization: good}, 400, "bad_target", nil},
		{"a host with a trailing dot and a port", ask{path: "/rest/issue/1", host: jira + ".:8443", authorization: good}, 200, "ok",
			map[string]string{"host": jira + ":8443"}},
		{"another host in a header", ask{path: "/rest/issue/1", host: jira, authorization: good, header: map[string]string{
			"X-Forwarded-Host": "evil.example.org", "Forwarded": "host=evil.example.org", "X-Forwarded-Prefix": "/x", "X-Forwarded-Server": "evil.example.org",
			"X-Host": "evil.example.org", "X-Original-Host": "evil.example.org", "X-HTTP-Host-Override": "evil.example.org"}}, 200, "ok",
			map[string]string{"host": jira, "x-forwarded-host": "", "forwarded": "", "x-forwarded-prefix": "", "x-forwarded-server": "",
				"x-host": "", "x-original-host": "", "x-http-host-override": ""}},
		{"a good body", ask{method: "POST", path: "/rest/issue", host: jira, authorization: good, body: `{"project":"KANBAN"}`}, 200, "ok", nil},
		{"another body", ask{method: "POST", path: "/rest/issue", host: jira, authorization: good, body: `{"project":"SECRET"}`}, 403, "no_rule_matched", nil},
		{"a body that is too large to be buffered", ask{method: "POST", path: "/rest/issue", host: jira, authorization: good, body: large}, 413, "", nil},
		{"as large an upload", ask{method: "POST", path: "/rest/attachment", host: jira, authorization: upload, body: large, header: map[string]string{"Content-Type": "application/octet-stream"}}, 200, "ok", nil},
		{"as large an upload, where a rule reads a body", ask{method: "POST", path: "/rest/issue", host: jira, authorization: good, body: large, header: map[string]string{"Content-Type": "multipart/form-data; boundary=x"}}, 403, "body_unavailable", nil},
		{"two types in one", ask{method: "POST", path: "/rest/issue", host: jira, authorization: good, body: `{"project":"KANBAN"}`, header: map[string]string{"Content-Type": "application/json, text/plain"}}, 403, "body_unavailable", nil},
		{"a type in other letters", ask{method: "POST", path: "/rest/issue", host: jira, authorization: good, body: `{"project":"KANBAN"}`, header: map[string]string{"Content-Type": "Application/JSON; charset=UTF-8"}}, 200, "ok", nil},
		{"a type of a rule's own", ask{method: "POST", path: "/rest/vnd", host: jira, authorization: good, body: `{"project":"KANBAN"}`, header: map[string]string{"Content-Type": "application/vnd.x+json; charset=utf-8"}}, 200, "ok", nil},
		{"a type of a rule's own, another body", ask{method: "POST", path: "/rest/vnd", host: jira, authorization: good, body: `{"project":"SECRET"}`, header: map[string]string{"Content-Type": "application/vnd.x+json"}}, 403, "no_rule_matched", nil},
		{"as large a body where no rule reads one", ask{method: "POST", path: "/rest/page", host: wiki, authorization: other, body: large}, 200, "ok", nil},
	}
}

// runGates sends the cases to an Envoy and checks the results.
func runGates(t *testing.T, client *http.Client, url string, api *upstream, cases []gatesCase, replicas ...*patgate) {
	t.Helper()
	for _, c := range cases {
		before := api.requests.Load()
		got := send(t, client, url, c.ask)
		if c.status == 413 && got.status == 403 {
			// Where the end of a body comes with what is too much of it, Envoy cuts it and asks.
			c.status, c.reason = 403, "body_unavailable"
		}
		if got.status != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.name, got.status, c.status, got.body)
			continue
		}
		reason := ""
		if id := got.header.Get("x-patgate-id"); id != "" {
			e := eventOf(t, id, replicas...)
			if reason = e.Reason; strings.Contains(e.Host, ":") {
				t.Errorf("%s: the event has the host %s, with its port", c.name, e.Host)
			}
		}
		if reason != c.reason {
			t.Errorf("%s: reason %q, want %q", c.name, reason, c.reason)
		}
		if reached := api.requests.Load() - before; (reached == 1) != (c.status == 200) {
			t.Errorf("%s: the upstream got %d requests", c.name, reached)
		}
		for name, want := range c.seen {
			if values := fieldsOf(strings.ReplaceAll(got.body, `\r\n`, "\n"), name); strings.Join(values, ",") != want {
				t.Errorf("%s: the upstream saw %s %q, want %q", c.name, name, values, want)
			}
		}
	}
}

// eventOf waits for the event of a decision, whichever replica made it.
func eventOf(t *testing.T, id string, replicas ...*patgate) event {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		for _, p := range replicas {
			for _, e := range p.decisions() {
				if e.ID == id {
					return e
				}
			}
		}
	}
	t.Fatalf("no event of decision %s", id)
	return event{}
}

// wantClosed checks that every request is refused with 503, now that patgate is gone.
func wantClosed(t *testing.T, client *http.Client, url string, api *upstream, value string) {
	t.Helper()
	before := api.requests.Load()
	for _, host := range []string{"jira.example.com", "wiki.example.com", "other.example.com"} {
		if got := send(t, client, url, ask{path: "/rest/open", host: host, authorization: "Bearer " + value}); got.status != http.StatusServiceUnavailable {
			t.Errorf("%s, with patgate gone: status %d", host, got.status)
		}
	}
	if n := api.requests.Load(); n != before {
		t.Errorf("with patgate gone the upstream got %d requests", n-before)
	}
}

func manifestsOf(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), text)
	return dir
}

// TestEnvoyConfigStandalone boots what is printed for one Envoy in front of an API.
func TestEnvoyConfigStandalone(t *testing.T) {
	value := token.Mint().Reveal()
	dir := manifestsOf(t, twoGates(value))
	p, api, clients, admin := startPatgate(t, dir), startUpstream(t), freeAddr(t), freeAddr(t)
	config := envoyConfig(t, "--for", "standalone", "--manifests", dir, "--listen", clients, "--admin", admin, "--upstream", api.addr, "--patgate", p.addr)
	validate(t, config)
	startEnvoy(t, config, admin)
	runGates(t, plainClient, "http://"+clients, api, gatesCases(value), p)
	p.holdsNo(map[string]string{"ci": value})
	p.stop(syscall.SIGTERM)
	wantClosed(t, plainClient, "http://"+clients, api, value)
}

// TestEnvoyConfigSidecar boots what is printed for a pod: patgate on a unix socket in a
// shared folder, and the API on loopback.
func TestEnvoyConfigSidecar(t *testing.T) {
	value := token.Mint().Reveal()
	dir := manifestsOf(t, twoGates(value))
	socket := "unix://" + filepath.Join(shortDir(t), "patgate.sock")
	p, api, clients, admin := startPatgate(t, dir, "--listen", socket), startUpstream(t), freeAddr(t), freeAddr(t)
	config := envoyConfig(t, "--for", "sidecar", "--manifests", dir, "--listen", clients, "--admin", admin, "--upstream", api.addr, "--patgate", socket)
	validate(t, config)
	startEnvoy(t, config, admin)
	runGates(t, plainClient, "http://"+clients, api, gatesCases(value), p)
	p.stop(syscall.SIGTERM)
	wantClosed(t, plainClient, "http://"+clients, api, value)
}

// shortDir is a folder with a path short enough for a unix socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestEnvoyConfigEdge boots what is printed for the place where clients come in: TLS and
// HTTP/2 from them, two replicas of patgate by their name over mTLS.
func TestEnvoyConfigEdge(t *testing.T) {
	value := token.Mint().Reveal()
	dir := manifestsOf(t, strings.Replace(twoGates(value), "  hosts: [jira.example.com]\n", "  hosts: [jira.example.com]\n  requireTLS: true\n", 1))
	files := t.TempDir()
	file := func(name string) string { return filepath.Join(files, name) }
	ours := newAuthority(t, "ours")
	write(t, file("patgate/ca.crt"), string(ours.pem))
	ours.issue("envoy", file("patgate/tls.crt"), file("patgate/tls.key"))
	ours.issue("localhost", file("server/tls.crt"), file("server/tls.key"))
	ours.issue("jira.example.com", file("clients/tls.crt"), file("clients/tls.key"))
	serve := []string{"--tls-cert", file("server/tls.crt"), "--tls-key", file("server/tls.key"), "--tls-client-ca", file("patgate/ca.crt")}
	first, second := startPatgate(t, dir, serve...), startPatgate(t, dir, serve...)
	api, clients, admin := startUpstream(t), freeAddr(t), freeAddr(t)
	byName := func(p *patgate) string { return strings.Replace(p.addr, "127.0.0.1", "localhost", 1) }
	config := envoyConfig(t, "--for", "edge", "--manifests", dir, "--listen", clients, "--admin", admin, "--upstream", api.addr,
		"--patgate", byName(first), "--patgate", byName(second), "--tls", file("clients"), "--patgate-tls", file("patgate"))
	validate(t, config)
	startEnvoy(t, config, admin)

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ours.pem)
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "jira.example.com"}, ForceAttemptHTTP2: protocol == "HTTP/2.0",
		}}
		answer, err := client.Get("https://" + clients + "/")
		if err != nil {
			t.Fatal(err)
		}
		if answer.Body.Close(); answer.Proto != protocol {
			t.Errorf("the connection uses %s, want %s", answer.Proto, protocol)
		}
		runGates(t, client, "https://"+clients, api, gatesCases(value), first, second)
	}
	if len(first.decisions()) == 0 || len(second.decisions()) == 0 {
		t.Errorf("one replica was asked %d times, the other %d times", len(first.decisions()), len(second.decisions()))
	}
	first.stop(syscall.SIGTERM)
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "jira.example.com"}}}
	runGates(t, client, "https://"+clients, api, gatesCases(value)[:4], second)
	second.stop(syscall.SIGTERM)
	wantClosed(t, client, "https://"+clients, api, value)
}
