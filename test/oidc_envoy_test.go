//go:build oidc

package test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// pageHost is the host of the page, as people know it.
const pageHost = "tokens.example.com"

// ssoSite is the page on a unix socket behind a proxy that signs people in.
type ssoSite struct {
	t       *testing.T
	id      *identityProvider
	socket  string
	clients string // where the proxy listens, with TLS
	cert    string // files
	key     string
	roots   *x509.CertPool
	value   token.Secret // of a token of alice
}

// startSSO starts an identity provider whose ID tokens have the claims of users, and the page.
func startSSO(t *testing.T, callback, header string, flags ...string) *ssoSite {
	t.Helper()
	s := &ssoSite{t: t, clients: freeAddr(t), value: token.Mint()}
	_, port, _ := net.SplitHostPort(freeAddr(t))
	at := "localhost:" + port
	s.id = &identityProvider{issuer: "http://" + at, secret: "s3cret-of-patgate", user: "test-user2", password: "verysecure"}
	provider := exec.Command(os.Getenv("PATGATE_TEST_OIDC"), at, "patgate", s.url()+callback)
	provider.Env = append(os.Environ(), "SECRET="+s.id.secret, "IDTOKEN=full")
	runs(t, provider)
	awaitProvider(t, s.id.issuer+"/.well-known/openid-configuration", 20*time.Second)

	manifests := t.TempDir()
	write(t, filepath.Join(manifests, "office.yaml"), fmt.Sprintf(oidcOffice, s.id.user+", alice")+"---\n"+
		kind("of-alice", "APIToken", fmt.Sprintf("user: alice\nunrestricted: true\nissued: %s\ndigest: %s", time.Now().UTC().Format(time.RFC3339), token.Sum(s.value))))
	folder, err := os.MkdirTemp("", "sso") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	s.socket = filepath.Join(folder, "manage.sock")
	if err := os.Mkdir(filepath.Join(manifests, "tokens"), 0o755); err != nil {
		t.Fatal(err)
	}
	runs(t, exec.Command(binary, append([]string{"manage", "--manifests", manifests, "--into", filepath.Join(manifests, "tokens"), "--listen", "unix://" + s.socket,
		"--user-header", header}, flags...)...))
	awaitListening(t, s.socket)
	ca := newAuthority(t, "staff")
	s.cert, s.key, s.roots = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"), x509.NewCertPool()
	ca.issue(pageHost, s.cert, s.key)
	s.roots.AppendCertsFromPEM(ca.pem)
	return s
}

// runs runs a program until the test ends.
func runs(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(cmd.Path), &out)
		}
	})
}

// url is where people find the page.
func (s *ssoSite) url() string {
	_, port, _ := net.SplitHostPort(s.clients)
	return "https://" + pageHost + ":" + port
}

// person is a browser that finds the page at the proxy, and sends headers to it.
func (s *ssoSite) person(headers ...string) *person {
	s.t.Helper()
	p := newPerson(s.t)
	p.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, pageHost) {
			address = s.clients
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	if len(headers) > 0 {
		p.Transport = &adding{p.Transport, headers}
	}
	return p
}

// adding adds headers to the requests for the page.
type adding struct {
	http.RoundTripper
	headers []string
}

// RoundTrip implements http.RoundTripper.
func (a *adding) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() == pageHost {
		r = r.Clone(r.Context())
		for i := 0; i+1 < len(a.headers); i += 2 {
			if a.headers[i] == "Cookie" && r.Header.Get("Cookie") != "" {
				continue
			}
			r.Header.Set(a.headers[i], a.headers[i+1])
		}
	}
	return a.RoundTripper.RoundTrip(r)
}

// flows are what each proxy in front must do: people come back to callback, header has its user, and program is what a program with a token gets.
func (s *ssoSite) flows(t *testing.T, callback, signOut, header, program string) {
	me := s.url() + "/api/v1/me"
	known := func(p *person) string {
		p.visit(me)
		found := regexp.MustCompile(`"user": ?"([^"]*)"`).FindStringSubmatch(p.text)
		if p.last != http.StatusOK || found == nil {
			return fmt.Sprint(p.last)
		}
		return found[1]
	}
	good := s.person()
	good.visit(s.url() + "/?q=x")
	good.logIn(s.id)
	if got := known(good); got != s.id.user {
		t.Fatalf("signed in as %s: %s", got, good.text)
	}
	good.visit(s.url() + "/")
	if good.last != http.StatusOK || !strings.Contains(good.text, s.id.user) || strings.Contains(good.text, "Sign out") {
		t.Errorf("the page: %d %s", good.last, good.text)
	}
	bad := "401" // a header Authorization decides alone
	if program == "401" {
		bad = s.id.user // where programs can't sign in, it says nothing
	}
	cookies := ""
	for _, c := range good.Jar.Cookies(good.at) {
		cookies += c.Name + "=" + c.Value + "; "
	}
	lie := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"iss":%q,"aud":["patgate"],"preferred_username":"root","exp":%d}`, s.id.issuer, time.Now().Add(time.Hour).Unix())) + "."
	for name, c := range map[string]struct {
		headers []string
		want    string
	}{
		"a user by header alone":           {[]string{header, "alice"}, "401"},
		"another user, signed in":          {[]string{"Cookie", cookies, header, "alice"}, s.id.user},
		"a made-up ID token":               {[]string{"Cookie", "IdToken=" + lie + "; BearerToken=x; OauthHMAC=x; OauthExpires=9999999999; __Host-oauth2-proxy=" + lie}, "401"},
		"a made-up ID token beside others": {[]string{"Cookie", cookies + "IdToken=" + lie}, ""},
		"a token":                          {[]string{"Authorization", "Bearer " + s.value.Reveal()}, program},
		"a token and another user":         {[]string{"Authorization", "Bearer " + s.value.Reveal(), header, "root"}, program},
		"no good token, signed in":         {[]string{"Cookie", cookies, "Authorization", "Bearer " + token.Mint().Reveal()}, bad},
		"a token and a made-up ID token":   {[]string{"Cookie", "IdToken=" + lie, "Authorization", "Bearer patg_x", header, "root"}, "401"},
	} {
		p := s.person(c.headers...)
		if got := known(p); got != c.want && (c.want != "" || got != "401" && got != s.id.user) {
			t.Errorf("%s: %s, want %s: %s", name, got, c.want, p.text)
		}
	}
	stranger := s.person()
	stranger.visit(s.url() + callback + "?code=made-up&state=made-up")
	if got := known(stranger); stranger.last == http.StatusOK || got != "401" {
		t.Errorf("a made-up way back: %d, %s", stranger.last, got)
	}
	made, err := good.Post(s.url()+"/api/v1/tokens", "application/json", strings.NewReader(`{"displayName": "Mine", "limitTo": ["[get]/x"], "expiresIn": "7d"}`))
	if good.follow(made, err); good.last != http.StatusCreated {
		t.Errorf("a new token: %d", good.last)
	}
	good.visit(s.url() + signOut)
	if got := known(good); got != "401" {
		t.Errorf("signed out, it is %s", got)
	}
}

// edit sets what an example's lines are marked with.
func edit(t *testing.T, file string, marks map[string]string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	used := map[string]bool{}
	for i, line := range lines {
		body, mark, marked := strings.Cut(strings.TrimRight(line, "\n"), "  # ")
		mark, _, _ = strings.Cut(mark, ":")
		if value, is := marks[mark]; marked && is {
			used[mark] = true
			if old, to, ok := strings.Cut(value, " => "); ok && strings.Contains(body, old) {
				lines[i] = strings.Replace(body, old, to, 1) + "\n"
				continue
			}
			t.Fatalf("%s: %s: no %q in %q", file, mark, value, body)
		}
	}
	for mark := range marks {
		if !used[mark] {
			t.Fatalf("%s: no line has the mark %s", file, mark)
		}
	}
	return strings.Join(lines, "")
}

// discovered is what a provider publishes of itself.
func discovered(t *testing.T, issuer string) map[string]string {
	t.Helper()
	answer, err := http.Get(issuer + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var all map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	at := map[string]string{}
	for name, value := range all {
		at[name], _ = value.(string)
	}
	return at
}

// TestOIDCEnvoy runs Envoy's oauth2 filter before the page, in the configuration of the example.
func TestOIDCEnvoy(t *testing.T) {
	s := startSSO(t, "/callback", "x-forwarded-user", "--gate", "tokens")
	folder, admin, at := t.TempDir(), freeAddr(t), discovered(t, s.id.issuer)
	write(t, filepath.Join(folder, "client"), s.id.secret)
	write(t, filepath.Join(folder, "seal"), strings.Repeat("k", 44))
	socket := func(address string) string {
		host, port, _ := net.SplitHostPort(address)
		return "address: " + host + ", port_value: " + port
	}
	config := edit(t, "../docs/examples/sso/envoy.yaml", map[string]string{
		"ADMIN": "address: 127.0.0.1, port_value: 9901 => " + socket(admin), "CLIENTS": "address: 0.0.0.0, port_value: 443 => " + socket(s.clients),
		"SECRET": "/etc/envoy/client-secret => " + filepath.Join(folder, "client"), "SEAL": "/etc/envoy/cookie-secret => " + filepath.Join(folder, "seal"),
		"CERT": "/etc/envoy/tls.crt => " + s.cert, "KEY": "/etc/envoy/tls.key => " + s.key, "PAGE": "/run/patgate/manage.sock => " + s.socket,
		"AUTHORIZE": "https://id.example.com/realms/staff/protocol/openid-connect/auth => " + at["authorization_endpoint"],
		"TOKEN":     "https://id.example.com/realms/staff/protocol/openid-connect/token => " + at["token_endpoint"],
		"KEYS":      "https://id.example.com/realms/staff/protocol/openid-connect/certs => " + at["jwks_uri"],
		"ISSUER":    "https://id.example.com/realms/staff => " + s.id.issuer,
		"PROVIDER":  "address: id.example.com, port_value: 443 => " + socket(strings.Replace(s.id.issuer, "http://localhost", "127.0.0.1", 1)),
	})
	config, _, _ = strings.Cut(config, "    transport_socket:  # TLS\n") // the provider has none here
	startEnvoy(t, config, admin)
	s.flows(t, "/callback", "/signout", "X-Forwarded-User", "alice")
}

// TestOIDCProxy runs oauth2-proxy before the page, in the configuration of the example. A program can't sign in there.
func TestOIDCProxy(t *testing.T) {
	s := startSSO(t, "/oauth2/callback", "x-forwarded-preferred-username")
	folder := t.TempDir()
	write(t, filepath.Join(folder, "client"), s.id.secret)
	write(t, filepath.Join(folder, "seal"), strings.Repeat("k", 32))
	config := filepath.Join(folder, "oauth2-proxy.cfg")
	write(t, config, edit(t, "../docs/examples/sso/oauth2-proxy.cfg", map[string]string{
		"CLIENTS": ":443 => " + s.clients, "CERT": "/etc/oauth2-proxy/tls.crt => " + s.cert, "KEY": "/etc/oauth2-proxy/tls.key => " + s.key,
		"PAGE": "/run/patgate/manage.sock => " + s.socket, "ISSUER": "https://id.example.com/realms/staff => " + s.id.issuer,
		"HOST": "https://tokens.example.com => " + s.url(), "SECRET": "/etc/oauth2-proxy/client-secret => " + filepath.Join(folder, "client"),
		"SEAL": "/etc/oauth2-proxy/cookie-secret => " + filepath.Join(folder, "seal"),
	}))
	program := os.Getenv("PATGATE_TEST_OAUTH2_PROXY")
	if program == "" {
		t.Fatal("PATGATE_TEST_OAUTH2_PROXY must name oauth2-proxy: make test-oidc builds it")
	}
	runs(t, exec.Command(program, "--config", config))
	awaitListening(t, s.clients)
	s.flows(t, "/oauth2/callback", "/oauth2/sign_out", "X-Forwarded-Preferred-Username", "401")
}

// awaitListening waits until an address, or a socket's path, takes connections.
func awaitListening(t *testing.T, address string) {
	t.Helper()
	network := "tcp"
	if filepath.IsAbs(address) {
		network = "unix"
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial(network, address)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
