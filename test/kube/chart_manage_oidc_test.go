//go:build kube

package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// startProvider runs zitadel's identity provider with a client called patgate, until the test ends, and returns its URL.
func startProvider(t *testing.T, secret, redirect string) string {
	t.Helper()
	program := os.Getenv("PATGATE_TEST_OIDC")
	if program == "" {
		t.Fatal("PATGATE_TEST_OIDC must name the identity provider: make test-kube builds it")
	}
	at := "localhost:" + freePort()
	cmd := exec.Command(program, at, "patgate", redirect)
	cmd.Env = append(os.Environ(), "SECRET="+secret)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		answer, err := http.Get("http://" + at + "/.well-known/openid-configuration")
		if err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK {
			return "http://" + at
		}
		if time.Now().After(deadline) {
			t.Fatalf("the identity provider does not answer: %v", err)
		}
	}
}

// chartPerson is a browser without JavaScript. The page's host is each replica in turn.
type chartPerson struct {
	*http.Client
	t       *testing.T
	replica string // host:port
}

func newChartPerson(t *testing.T, roots *x509.CertPool, replica string) *chartPerson {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &chartPerson{t: t, replica: replica}
	p.Client = &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "tokens.example.com:") {
				address = p.replica
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	return p
}

// read sends a request, and returns where it led to, with the text there.
func (p *chartPerson) read(answer *http.Response, err error) (*http.Response, string) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer, string(text)
}

// user is whom the page knows; empty: nobody.
func (p *chartPerson) user() string {
	p.t.Helper()
	_, text := p.read(p.Get("https://tokens.example.com/api/v1/me"))
	var me struct{ User string }
	if err := json.Unmarshal([]byte(text), &me); err != nil {
		p.t.Fatal(err)
	}
	return me.User
}

var loginID = regexp.MustCompile(`name="id" value="([^"]+)"`)

// TestChartSignsIn runs two replicas of the page of a chart with an identity provider: somebody signs in at one, comes back to the
// other, creates a token there, and is known at both.
func TestChartSignsIn(t *testing.T) {
	const secret, redirect = "s3cret+of/patgate", "https://tokens.example.com/callback"
	issuer := startProvider(t, secret, redirect)
	port := freePort()
	told := make(chan *http.Request, 8)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r }))
	t.Cleanup(hook.Close)
	p := startChartPod(t, map[string]string{"members.yaml": `apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: members}
spec: {members: [test-user2], tokens: {create: true, maxLifetime: 30d}}
`}, nil, "--values", filepath.Join(chart, "examples/manage.yaml"), "--values", values(t, `manage:
  port: `+port+`
  replicas: 2
  oidc: {issuer: "`+issuer+`"}
  notify: {url: "`+hook.URL+`", existingSecret: hook}
`))
	ca := newAuthority(t)
	key, cert := ca.issue(t, x509.ExtKeyUsageServerAuth, "tokens.example.com")
	p.mount(t, map[string]string{"tls/tls.crt": cert, "tls/tls.key": key, "oidc/client-secret": secret + "\n", "session/session-key": strings.Repeat("k", 44) + "\n",
		"notify/notify-secret": "whsec_" + strings.Repeat("a2V5", 8) + "\n",
		"manifests/managed/soon.yaml": fmt.Sprintf("apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: soon}\nspec: {user: test-user2, unrestricted: true, issued: %s, expires: %s, digest: 'sha256:%064d'}\n",
			time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), time.Now().Add(12*time.Hour).UTC().Format(time.RFC3339), 1)})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca.pem))
	args := p.arguments("patgate-manage")
	first, second := "127.0.0.1:"+port, freeAddr()
	p.startPage(t, args)
	p.startPage(t, append(args, "--listen="+second))
	person := newChartPerson(t, roots, first)
	for _, replica := range []string{first, second} {
		person.replica = replica
		p.await(t, "the page", func() bool {
			answer, err := person.Get("https://tokens.example.com/api/v1/openapi.json")
			return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
		})
	}
	person.replica = first
	form, text := person.read(person.Get("https://tokens.example.com/login/oidc?to=/api/v1/me"))
	id := loginID.FindStringSubmatch(text)
	if id == nil || !strings.HasPrefix(form.Request.URL.String(), issuer) {
		t.Fatalf("no form of the identity provider at %s: %d %s", form.Request.URL, form.StatusCode, text)
	}
	person.replica = second // where the browser comes back to
	back, text := person.read(person.PostForm(issuer+"/login/username", url.Values{"id": {id[1]}, "username": {"test-user2"}, "password": {"verysecure"}}))
	if back.StatusCode != http.StatusOK || back.Request.URL.String() != "https://tokens.example.com/api/v1/me" {
		t.Fatalf("signed in, at %s: %d %s", back.Request.URL, back.StatusCode, text)
	}
	for _, replica := range []string{first, second} {
		person.replica = replica
		if got := person.user(); got != "test-user2" {
			t.Errorf("at %s: %q", replica, got)
		}
	}
	made, text := person.read(person.Post("https://tokens.example.com/api/v1/tokens", "application/json", strings.NewReader(`{"displayName": "Mine", "limitTo": ["[get]/rest/api"], "expiresIn": "7d"}`)))
	var created struct {
		Value   string
		InForce bool
	}
	if err := json.Unmarshal([]byte(text), &created); err != nil || made.StatusCode != http.StatusCreated || created.Value == "" || !created.InForce {
		t.Fatalf("a new token: %d, in force %v, %v", made.StatusCode, created.InForce, err)
	}
	page := &url.URL{Scheme: "https", Host: "tokens.example.com", Path: "/"}
	copied := person.Jar.Cookies(page)
	person.read(person.PostForm("https://tokens.example.com/logout", nil))
	if got := person.user(); got != "" {
		t.Errorf("signed out, still %s", got)
	}
	for _, replica := range []string{first, second} {
		thief := newChartPerson(t, roots, replica)
		thief.Jar.SetCookies(page, copied)
		if got := thief.user(); got != "" {
			t.Errorf("a copy of the cookie at %s after signing out: %s", replica, got)
		}
	}
	select { // one of the replicas gives notice of the token
	case r := <-told:
		if r.Header.Get("Webhook-Signature") == "" {
			t.Errorf("a message without a signature: %v", r.Header)
		}
	case <-time.After(time.Minute):
		t.Error("no notice of a token that ends soon")
	}
}
