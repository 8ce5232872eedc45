package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/token"
)

// What `patgate envoy-config` prints besides decisions: Envoy's own refusals,
// browsers, and traffic that takes its time.

// printed is a running Envoy of what envoy-config prints, with patgate and an API.
type printed struct {
	*patgate
	url, clients, value string
}

// startPrinted runs the configuration of one Envoy for a gate, with its flags, in front of
// an API. Besides ci, another token has a rule on JSON bodies, so that these are buffered.
func startPrinted(t *testing.T, api, gate, rules string, flags ...string) *printed {
	t.Helper()
	value := token.Mint().Reveal()
	dir := manifestsOf(t, kind("api", "Gate", gate)+kind("ci", "APIToken", "user: alice\ndigest: "+digestOf(value)+"\nissued: 2026-01-01T00:00:00Z\n"+rules)+
		kind("filter", "APIToken", "user: bob\ndigest: "+digestOf("f"+value)+"\nissued: 2026-01-01T00:00:00Z\nlimitTo: '[post]/filter[JsonData::editable==false]'\n"))
	p, clients, admin := startPatgate(t, dir), freeAddr(t), freeAddr(t)
	config := envoyConfig(t, append([]string{"--for", "standalone", "--manifests", dir, "--listen", clients, "--admin", admin, "--upstream", api, "--patgate", p.addr}, flags...)...)
	wantNoneDeprecated(t, startEnvoy(t, config, admin))
	return &printed{p, "http://" + clients, clients, value}
}

// wantNoneDeprecated checks that Envoy has not warned of a deprecated field.
func wantNoneDeprecated(t *testing.T, e *envoy.Process) {
	t.Helper()
	for line := range strings.Lines(e.Log()) {
		if strings.Contains(strings.ToLower(line), "deprecated") {
			t.Errorf("Envoy says: %s", line)
		}
	}
}

// TestNothingDeprecated has Envoy read every configuration, with names and addresses,
// and checks that it uses nothing deprecated.
func TestNothingDeprecated(t *testing.T) {
	dir := manifestsOf(t, twoGates("x"))
	files := t.TempDir()
	ours := newAuthority(t, "ours")
	write(t, filepath.Join(files, "ca.crt"), string(ours.pem))
	ours.issue("localhost", filepath.Join(files, "tls.crt"), filepath.Join(files, "tls.key"))
	for _, flags := range [][]string{
		{"--for", "standalone"},
		{"--for", "standalone", "--patgate", "localhost:9191", "--upstream", "localhost:80", "--upstream-http2"},
		{"--for", "standalone", "--gate", "jira", "--cors-origin", "https://app.example.com", "--upgrade", "websocket", "--route-timeout", "90s", "--request-timeout", "1500ms"},
		{"--for", "sidecar"},
		{"--for", "edge", "--tls", files, "--patgate-tls", files},
		{"--for", "edge", "--tls", files, "--patgate-tls", "none", "--patgate", "10.0.0.1:9191", "--patgate", "10.0.0.2:9191"},
	} {
		text := envoyConfig(t, append(flags, "--manifests", dir)...)
		wantValid(t, strings.Join(flags, " "), text)
	}
	for _, name := range []string{"standalone", "sidecar", "edge"} {
		text, err := os.ReadFile("../envoy/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		wantValid(t, name, strings.NewReplacer("/etc/envoy/tls", files, "/etc/envoy/patgate", files).Replace(string(text)))
	}
	example, err := os.ReadFile("../docs/examples/sidecar/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	wantValid(t, "docs/examples/sidecar", string(example))
}

// wantValid checks that Envoy accepts a configuration without a warning.
func wantValid(t *testing.T, name, text string) {
	t.Helper()
	if warned := validate(t, text); warned != "" {
		t.Errorf("%s: Envoy warns: %s", name, warned)
	}
}

// TestOwnRefusals checks that Envoy's own refusals are problems with a reason, and that
// patgate's keep their words.
func TestOwnRefusals(t *testing.T) {
	api := startUpstream(t)
	p := startPrinted(t, api.addr, "schemes: [bearer]\nanonymous: {allow: [{path: /open}]}\n", "limitTo: '[post]/x[JsonData::a==1]'\n")
	good := map[string]string{"authorization": "Bearer " + p.value, "host": "example.com"}
	for _, c := range []struct {
		name, head string
		status     int
		reason     string
	}{
		{"patgate's 401", "GET /x HTTP/1.1\r\n", 401, "no_credential"},
		{"patgate's 403", "DELETE /x HTTP/1.1\r\nauthorization: GOOD\r\n", 403, "no_rule_matched"},
		{"patgate's 400", "GET /a%2Fb HTTP/1.1\r\nauthorization: GOOD\r\n", 400, "bad_target"},
		{"a name with _", "GET /x HTTP/1.1\r\nx_y: 1\r\n", 400, "envoy_bad_request"},
		{"a tunnel", "GET /open HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n", 403, "envoy_forbidden"},
		{"a large JSON", "POST /x HTTP/1.1\r\nauthorization: GOOD\r\ncontent-type: application/json\r\ncontent-length: 70000\r\n", 413, "envoy_request_too_large"},
		{"HTTP/1.0", "GET /x HTTP/1.0\r\n", 426, "envoy_upgrade_required"},
		{"large headers", "GET /x HTTP/1.1\r\nx-large: " + strings.Repeat("x", 70_000) + "\r\n", 431, "envoy_headers_too_large"},
	} {
		head := strings.Replace(c.head, "GOOD", good["authorization"], 1) + "host: example.com\r\n\r\n"
		if strings.Contains(head, "content-length: 70000") {
			head += strings.Repeat(" ", 70_000)
		}
		status, header, body := raw(t, p.clients, head)
		wantProblem(t, c.name, status, c.status, header, body, c.reason)
	}
	p.stop(os.Interrupt)
	status, header, body := raw(t, p.clients, "GET /open HTTP/1.1\r\nhost: example.com\r\n\r\n")
	wantProblem(t, "patgate gone", status, 503, header, body, "envoy_no_decision")
}

// TestOwnRefusalOfUpstream distinguishes an API that is down from a patgate that is.
func TestOwnRefusalOfUpstream(t *testing.T) {
	p := startPrinted(t, freeAddr(t), "schemes: [bearer]\nanonymous: {allow: [{path: /open}]}\n", "unrestricted: true\n")
	status, header, body := raw(t, p.clients, "GET /open HTTP/1.1\r\nhost: example.com\r\n\r\n")
	wantProblem(t, "the API gone", status, 503, header, body, "envoy_upstream_unavailable")
}

// wantProblem requires a status and a problem with this reason.
func wantProblem(t *testing.T, name string, status, want int, header http.Header, body, reason string) {
	t.Helper()
	var problem struct {
		Type, Title, Detail, Reason string
		Status                      int
	}
	err := json.Unmarshal([]byte(body), &problem)
	if status != want || header.Get("Content-Type") != "application/problem+json" || err != nil || problem.Reason != reason ||
		problem.Status != want || problem.Title == "" || problem.Detail == "" {
		t.Errorf("%s: status %d, %s, %v: %s; want %d and the reason %s", name, status, header.Get("Content-Type"), err, body, want, reason)
	}
}

// raw sends a text and reads one answer.
func raw(t *testing.T, address, text string) (int, http.Header, string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Logf("writing: %v", err) // Envoy may have answered by then
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, readAll(t, answer)
}

// TestCORS checks that a browser's preflights are answered before patgate is called, and
// that only the allowed origin can read refusals.
func TestCORS(t *testing.T) {
	api := startUpstream(t)
	p := startPrinted(t, api.addr, "schemes: [bearer]\nactAs: {header: x-on-behalf-of}\n", "unrestricted: true\n", "--cors-origin", "https://app.example.com")
	preflight := func(origin string) answered {
		return send(t, plainClient, p.url, ask{method: "OPTIONS", path: "/x", header: map[string]string{"Origin": origin,
			"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}})
	}
	got := preflight("https://app.example.com")
	if got.status != 200 || got.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" ||
		!strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "x-on-behalf-of") || !strings.Contains(got.header.Get("Access-Control-Allow-Methods"), "PUT") {
		t.Errorf("preflight: %d %v", got.status, got.header)
	}
	if n := len(p.decisions()); n != 0 {
		t.Errorf("patgate was asked %d times about a preflight", n)
	}
	if got := preflight("https://evil.example.org"); got.status != 401 || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight of another origin: %d %v", got.status, got.header)
	}
	for authorization, want := range map[string]int{"": 401, "Bearer " + p.value: 200} {
		got := send(t, plainClient, p.url, ask{path: "/x", authorization: authorization, header: map[string]string{"Origin": "https://app.example.com"}})
		if got.status != want || got.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" ||
			!strings.Contains(got.header.Get("Access-Control-Expose-Headers"), "x-patgate-id") {
			t.Errorf("a page's call: %d %v, want %d, readable", got.status, got.header, want)
		}
	}
}

// TestUpgrade opens a tunnel on request, after patgate has decided about the request.
func TestUpgrade(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(echoUpgraded))
	defer api.Close()
	p := startPrinted(t, api.Listener.Addr().String(), "schemes: [bearer]\n", "unrestricted: true\n", "--upgrade", "websocket")
	if status, _, _ := raw(t, p.clients, upgrading("")); status != 401 {
		t.Errorf("without a token: status %d", status)
	}
	c, err := net.Dial("tcp", p.clients)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, upgrading("authorization: Bearer "+p.value+"\r\n")); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	answer, err := http.ReadResponse(r, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("no tunnel: %v %v", answer, err)
	}
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "alice: hello\n" {
		t.Errorf("through the tunnel: %q, %v", line, err)
	}
}

func upgrading(more string) string {
	return "GET /socket HTTP/1.1\r\nhost: example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + more + "\r\n"
}

// echoUpgraded accepts an upgrade and sends each line back, with the user's name.
func echoUpgraded(w http.ResponseWriter, r *http.Request) {
	user := r.Header.Get("x-forwarded-user")
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	for {
		line, err := rw.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(c, "%s: %s", user, line); err != nil {
			return
		}
	}
}

// TestTimes checks that the times of the flags apply, and that traffic that flows is not cut.
func TestTimes(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := range 8 { // longer than each of the times below
			if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-time.After(250 * time.Millisecond):
			}
		}
	}))
	defer api.Close()
	for _, c := range []struct {
		name  string
		flags []string
		want  string // how it ends
	}{
		{"as long as it flows", []string{"--idle-timeout", "1s"}, "whole"},
		{"a limit for the answer", []string{"--route-timeout", "1s"}, "cut"},
		{"a limit for silence", []string{"--idle-timeout", "100ms"}, "cut"},
	} {
		p := startPrinted(t, api.Listener.Addr().String(), "schemes: [bearer]\nanonymous: {unrestricted: true}\n", "unrestricted: true\n", c.flags...)
		answer, err := plainClient.Get(p.url + "/events")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		how := "cut"
		if err == nil && strings.Contains(string(body), "data: 7") {
			how = "whole"
		}
		if how != c.want {
			t.Errorf("%s: %s, want %s: %d %v %s", c.name, how, c.want, answer.StatusCode, err, body)
		}
	}
}
