// Package page drives the page with a real Chromium. It is a module of its own, so that the driver is
// no dependency of patgate.
package page

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/test/output"
	"github.com/patgate/patgate/token"
)

// What `make test-page` names: where Chromium, axe-core, the binary and an identity provider are, and where screenshots go.
var (
	browserAt = os.Getenv("PATGATE_TEST_PAGE_BROWSER")
	axeAt     = os.Getenv("PATGATE_TEST_PAGE_AXE")
	binary    = os.Getenv("PATGATE_TEST_PAGE_BINARY")
	shotsAt   = os.Getenv("PATGATE_TEST_PAGE_SHOTS")
	provider  = os.Getenv("PATGATE_TEST_OIDC")
	pictures  = flag.String("pictures", "", "write the pictures of docs/manage.md into this folder")
)

// host is the API's, as people know it.
const host = "jira.example.com"

// office is what people manage.
const office = `apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: jira}
spec:
  hosts: [jira.example.com]
  schemes: [basic, bearer]
  clientIP: {source: peer}
  groups: [developers, admins, contractors]
  policies: [no-user-admin]
---
apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: builds}
spec: {hosts: [builds.example.com], schemes: [bearer], clientIP: {source: peer}}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: developers}
spec: {members: [alice, bob, keyboard, scriptless, scripted, markup, leaver, fast, test-user2, "<b>bold</b>"], tokens: {create: true, maxLifetime: 90d, max: 30}}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: contractors}
spec: {members: [reader], tokens: {create: false, maxLifetime: 30d}}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: admins}
spec: {members: [root], admin: true, tokens: {create: true}}
---
apiVersion: patgate.dev/v1alpha1
kind: TokenPolicy
metadata: {name: read-issues}
spec: {allow: [{name: read issues, methods: [GET, HEAD], path: "/rest/api/2/(issue|search)(/.*)?"}]}
---
apiVersion: patgate.dev/v1alpha1
kind: TokenPolicy
metadata: {name: comment}
spec: {allow: [{name: comment on issues, methods: [GET, POST], path: "/rest/api/2/issue/[^/]+/comment"}]}
---
apiVersion: patgate.dev/v1alpha1
kind: TokenPolicy
metadata: {name: no-user-admin}
spec: {deny: [{name: user administration, path: "/rest/api/2/user(/.*)?"}]}
`

// tokenText is a manifest of a token that was there before.
func tokenText(name, display, purpose, user, spec string, age time.Duration) string {
	if purpose != "" {
		spec = fmt.Sprintf("description: %q\n  ", purpose) + spec
	}
	return fmt.Sprintf("apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: %s, annotations: {patgate.dev/hint: patg_%s, patgate.dev/created-by: %s}}\nspec:\n  user: %s\n  displayName: %q\n  issued: %s\n  digest: %s\n  %s\n",
		name, (name + "0000")[:4], user, user, display, time.Now().Add(-age).UTC().Format(time.RFC3339), token.Sum(token.Mint()), spec)
}

const day = 24 * time.Hour

// earlier are tokens that were there before, in every state.
func earlier() map[string]string {
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	return map[string]string{
		"nightly-report": tokenText("nightly-report", "Nightly report", "Reads issues for the dashboard of team Falcon", "alice", "policies: [read-issues]\n  expires: "+at(62*day), 28*day),
		"release-notes":  tokenText("release-notes", "Release notes", "Collects what was done for each release", "alice", "policies: [read-issues, comment]\n  expires: "+at(3*day+5*time.Hour), 86*day),
		"old-laptop":     tokenText("old-laptop", "Old laptop", "", "alice", "policies: [read-issues]\n  expires: "+at(-9*day), 60*day),
		"leaked":         tokenText("leaked", "Deploy bot", "Was pasted into a chat", "alice", "policies: [comment]\n  expires: "+at(50*day)+"\n  revoked: "+at(-2*day), 40*day),
		"paused":         tokenText("paused", "Sync to the warehouse", "Stopped while the warehouse moves", "alice", "policies: [read-issues]\n  suspended: true\n  clients: {allow: [10.20.0.0/16, 192.0.2.7/32]}\n  expires: "+at(44*day), 20*day),
		"everything":     tokenText("everything", "My editor", "Plugin for issues", "bob", "unrestricted: true\n  expires: "+at(80*day), 5*day),
		"bob-export":     tokenText("bob-export", "Export", "", "bob", "policies: [read-issues]\n  schemes: [bearer]\n  expires: "+at(20*day), 5*day),
		"contractor":     tokenText("contractor", "Data import", "", "reader", "policies: [read-issues]\n  expires: "+at(12*day), 10*day),
		"gone":           tokenText("gone", "Backup of issues", "Of somebody who left", "dana", "policies: [read-issues]\n  expires: "+at(200*day), 100*day),
		"gone-too":       tokenText("gone-too", "Chat notifications", "", "dana", "policies: [comment]\n  expires: "+at(100*day), 90*day),
	}
}

// office that runs: patgate with its page, an Envoy and an API.
type rig struct {
	t        *testing.T
	dir      string
	url      string // of the page
	api      string // host:port of the API, with TLS
	ca       string // file of its authority
	link     string // that signs alice in, once
	sessions *admin.Sessions
	out      *output.Buffer
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func newRig(t *testing.T, flags ...string) *rig {
	t.Helper()
	return newRigAt(t, freeAddr(t), flags...)
}

// newRigAt runs the page at an address that others know.
func newRigAt(t *testing.T, page string, flags ...string) *rig {
	t.Helper()
	g := &rig{t: t, dir: t.TempDir(), out: &output.Buffer{}}
	key := []byte("a key of the sessions of these tests")
	files := map[string]string{"office.yaml": office}
	for name, text := range earlier() {
		files["tokens/"+name+".yaml"] = text
	}
	manifests, keyFile := filepath.Join(g.dir, "manifests"), filepath.Join(g.dir, "key")
	err := errors.Join(os.MkdirAll(filepath.Join(manifests, "tokens"), 0o755), os.WriteFile(keyFile, key, 0o600))
	for name, text := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(manifests, name), []byte(text), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	if g.sessions, err = admin.NewSessions(key, false, nil); err != nil {
		t.Fatal(err)
	}
	grpc := freeAddr(t)
	g.url = "http://" + page
	g.start(append([]string{
		"serve", "--manifests", manifests, "--listen", grpc, "--status-listen", freeAddr(t), "--drain-delay", "0s", "--manage-listen", page,
		"--manage-into", filepath.Join(manifests, "tokens"), "--manage-session-key-file", keyFile, "--manage-login-link", "fast",
	}, flags...))
	g.startEnvoy(grpc)
	return g
}

var linkPattern = regexp.MustCompile(`http://\S+/login/link/\S+`)

// start runs patgate until the test ends.
func (g *rig) start(args []string) {
	g.t.Helper()
	cmd := exec.Command(binary, args...)
	for _, one := range os.Environ() {
		if !strings.HasPrefix(one, "PATGATE_") {
			cmd.Env = append(cmd.Env, one)
		}
	}
	cmd.Stdout = g.out
	errs, err := cmd.StderrPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	links := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(errs); lines.Scan(); {
			_, _ = g.out.Write(append(lines.Bytes(), '\n'))
			if link := linkPattern.FindString(lines.Text()); link != "" {
				links <- link
			}
		}
	}()
	g.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-read
		_ = cmd.Wait()
	})
	select {
	case g.link = <-links:
	case <-read:
		g.t.Fatalf("patgate ended:\n%s", g.out)
	case <-time.After(30 * time.Second):
		g.t.Fatalf("no link is printed:\n%s", g.out)
	}
}

// startEnvoy runs an Envoy that asks patgate, an API behind it, and TLS in front, as people have it.
func (g *rig) startEnvoy(grpc string) {
	t := g.t
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"path": r.URL.Path, "user": r.Header.Get("x-patgate-user")})
	}))
	t.Cleanup(api.Close)
	clients, adminAt := freeAddr(t), freeAddr(t)
	config, err := envoy.Render(envoy.Addresses{Admin: adminAt, Clients: clients, Upstream: api.Listener.Addr().String(), Patgate: grpc})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := envoy.Start(ctx, config, adminAt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Stop() })
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: clients})
		r.Out.Host = r.In.Host
	}})
	cert, pemText := certificate(t)
	front.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	front.StartTLS()
	t.Cleanup(front.Close)
	g.api, g.ca = front.Listener.Addr().String(), filepath.Join(g.dir, "ca.pem")
	curlrc := fmt.Sprintf("connect-to = \"%s:443:%s\"\ncacert = %q\n", host, g.api, g.ca)
	if err := errors.Join(os.WriteFile(g.ca, pemText, 0o644), os.WriteFile(filepath.Join(g.dir, ".curlrc"), []byte(curlrc), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// certificate is one of the API's host, signed by itself.
func certificate(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// curl runs a snippet of the page in a shell, as people do.
func (g *rig) curl(code, value string) (string, error) {
	cmd := exec.Command("sh", "-c", code)
	cmd.Env = append(os.Environ(), "PATGATE_TOKEN="+value, "CURL_HOME="+g.dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// cookie is that of a session of a user.
func (g *rig) cookie(user string) *http.Cookie {
	g.t.Helper()
	w := httptest.NewRecorder()
	if err := g.sessions.Start(w, user, "test"); err != nil {
		g.t.Fatal(err)
	}
	return w.Result().Cookies()[0]
}

// post sends a form as a user, without a browser, and returns the page that comes.
func (g *rig) post(user, path string, form url.Values) string {
	g.t.Helper()
	r, err := http.NewRequest(http.MethodPost, g.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.AddCookie(g.cookie(user))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 400 {
		g.t.Fatalf("%s: %d %v\n%s", path, answer.StatusCode, err, text)
	}
	return string(text)
}

var valuePattern = regexp.MustCompile(`patg_[0-9A-Za-z]{20,}`)

// create creates a token, and returns its value.
func (g *rig) create(user, name string) string {
	g.t.Helper()
	page := g.post(user, "/new", url.Values{"name": {name}, "ends": {"30d"}, "scope": {"limited"}, "policy": {"read-issues"}, "gate": {"jira"}, "do": {"create"}, "form": {name}})
	value := valuePattern.FindString(page)
	if value == "" {
		g.t.Fatalf("no value:\n%s", page)
	}
	return value
}

// call sends a request to the API through Envoy, and returns its status.
func (g *rig) call(method, path, value string) int {
	g.t.Helper()
	pool := x509.NewCertPool()
	text, err := os.ReadFile(g.ca)
	if err != nil {
		g.t.Fatal(err)
	}
	pool.AppendCertsFromPEM(text)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: host},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", g.api)
		},
	}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequest(method, "https://"+host+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+value)
	answer, err := client.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}
