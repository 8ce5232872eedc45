//go:build kube

package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/envoy"
)

// TestChartManageFlags checks that the command has every flag that the chart may pass.
func TestChartManageFlags(t *testing.T) {
	help, err := exec.Command(binary, "manage", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(chart, "templates/_manage.tpl"))
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^(?:- )?(?:\{\{ printf ")?(--[a-z-]+)`).FindAllStringSubmatch(string(source), -1)
	if len(flags) < 18 {
		t.Fatalf("%d flags in the template", len(flags))
	}
	for _, f := range flags {
		if !strings.Contains(string(help), "      "+f[1]+" ") {
			t.Errorf("patgate manage has no flag %s", f[1])
		}
	}
}

// chartPage is the container of the page, run as a process beside that of the gate.
type chartPage struct {
	t      *testing.T
	client *http.Client // shows the certificate of the proxy in front
	plain  *http.Client // shows none
	url    string
}

// startChartPage runs the page of a chart whose gate runs, over mTLS, on the same folders.
func startChartPage(t *testing.T, p *chartPod, port string) *chartPage {
	t.Helper()
	ca := newAuthority(t)
	key, cert := ca.issue(t, x509.ExtKeyUsageServerAuth, "tokens.example.com")
	p.mount(t, map[string]string{"tls/tls.crt": cert, "tls/tls.key": key, "client-ca/ca.crt": ca.pem})
	key, cert = ca.issue(t, x509.ExtKeyUsageClientAuth, "proxy")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca.pem))
	client := func(pairs ...tls.Certificate) *http.Client {
		config := &tls.Config{RootCAs: roots, ServerName: "tokens.example.com", Certificates: pairs}
		return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: config}}
	}
	page := &chartPage{t: t, client: client(pair), plain: client(), url: "https://127.0.0.1:" + port}
	p.startPage(t, p.arguments("patgate-manage"))
	p.await(t, "the page", func() bool { code, _ := page.ask("GET", "/api/v1/openapi.json", "", ""); return code == http.StatusOK })
	return page
}

// mount writes what Secrets hold into the folders of the pod.
func (p *chartPod) mount(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(p.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// startPage runs the page until the test ends.
func (p *chartPod) startPage(t *testing.T, args []string) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	var logs bytes.Buffer
	cmd.Stderr = &logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
		if t.Failed() {
			t.Logf("the page's log: %s", &logs)
		}
	})
}

// ask sends a request as the proxy in front would, for a user.
func (c *chartPage) ask(method, path, user, body string) (int, string) {
	c.t.Helper()
	r, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if user != "" {
		r.Header.Set("X-Forwarded-User", user)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

// chartFront is a real Envoy before an API, which asks the pod; it returns what sends a request with a token.
func chartFront(t *testing.T, p *chartPod) func(token string) int {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(api.Close)
	a := envoy.Addresses{Admin: freeAddr(), Clients: freeAddr(), Upstream: api.Listener.Addr().String(), Patgate: p.checks}
	config, err := envoy.Render(a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	e, err := envoy.Start(ctx, config, a.Admin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return func(token string) int {
		r, err := http.NewRequest("GET", "http://"+a.Clients+"/rest/api", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "jira.example.com"
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0
		}
		answer.Body.Close()
		return answer.StatusCode
	}
}

// TestChartManages runs the gate and the page of the example on one volume: the page is served to whom the proxy in front names, a
// token that is created there passes a real Envoy, and does not after it is revoked there.
func TestChartManages(t *testing.T) {
	port := freePort()
	p := startChartPod(t, nil, nil, "--values", filepath.Join(chart, "examples/manage.yaml"),
		"--values", values(t, `manage:
  port: `+port+`
  tls: {clientCA: {existingSecret: proxy}}
  oidc: {issuer: "", clientID: "", existingSecret: "", redirectURL: ""}
  sessionKey: {existingSecret: ""}
  userHeader: x-forwarded-user
`))
	page := startChartPage(t, p, port)
	if answer, err := page.plain.Get(page.url + "/"); err == nil {
		answer.Body.Close()
		t.Errorf("without a certificate it is answered: %d", answer.StatusCode)
	}
	if code, text := page.ask("GET", "/", "alice", ""); code != http.StatusOK || !strings.Contains(text, "<html") {
		t.Errorf("the page: %d %s", code, text)
	}
	if code, _ := page.ask("GET", "/api/v1/me", "", ""); code != http.StatusUnauthorized {
		t.Errorf("without a user: %d, want 401", code)
	}
	code, text := page.ask("POST", "/api/v1/tokens", "alice", `{"displayName": "From the page", "limitTo": ["[get]/rest/api"], "expiresIn": "7d"}`)
	var made struct {
		Name, Value string
		InForce     bool
	}
	if err := json.Unmarshal([]byte(text), &made); err != nil || code != http.StatusCreated || made.Value == "" {
		t.Fatalf("a new token: %d, %v", code, err)
	}
	if !made.InForce {
		t.Error("the gate runs the new token within 2 s, the answer says that it does not")
	}
	ask := chartFront(t, p)
	if code := ask(made.Value); code != http.StatusOK {
		t.Errorf("the new token: %d, want 200", code)
	}
	if code, text := page.ask("POST", "/api/v1/tokens/"+made.Name+":revoke", "alice", "{}"); code != http.StatusOK {
		t.Errorf("revoked: %d %s", code, text)
	}
	p.await(t, "the revocation", func() bool { return ask(made.Value) == http.StatusUnauthorized })
}
