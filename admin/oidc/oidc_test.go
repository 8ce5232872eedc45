package oidc_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/admin/oidc"
	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
	"github.com/patgate/patgate/tokens/storetest"
)

// noAudit drops events.
type noAudit struct{}

func (noAudit) Record(context.Context, *audit.Event) error { return nil }

// site is a management with an identity provider.
type site struct {
	*httptest.Server
	t   *testing.T
	idp *idp
}

func newSite(t *testing.T, p *idp, change func(*oidc.Options)) *site {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("the+secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sessions, err := admin.NewSessions(nil, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := oidc.Options{Issuer: p.URL, ClientID: "patgate", SecretFile: secret, Sessions: sessions}
	if change != nil {
		change(&o)
	}
	s, err := oidc.New(o)
	if err != nil {
		t.Fatal(err)
	}
	store := new(storetest.Map)
	store.Put("office.yaml", "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: tokens}\nspec: {hosts: [\"*\"], schemes: [bearer]}\n")
	h, err := admin.New(admin.Options{
		Service: &tokens.Service{Store: store, Documents: store}, Snapshot: policy.NewIndex().Snapshot, Audit: noAudit{}, Sessions: sessions, Others: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Register(h)
	w := &site{httptest.NewServer(h), t, p}
	t.Cleanup(w.Close)
	return w
}

// browser follows redirects between the site and the provider, and stops at any other path of the site.
func (w *site) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), w.URL) && r.URL.Path != oidc.CallbackPath {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

func (w *site) get(c *http.Client, url string) (status int, text, location string) {
	w.t.Helper()
	answer, err := c.Get(url)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer.StatusCode, string(body), answer.Header.Get("Location")
}

// who returns the user of a browser; empty: no user.
func (w *site) who(c *http.Client) string {
	_, text, _ := w.get(c, w.URL+"/api/v1/me")
	var me struct{ User string }
	if err := json.Unmarshal([]byte(text), &me); err != nil {
		w.t.Fatal(err, text)
	}
	return me.User
}

// TestSignIn signs in by the ID token and by UserInfo, and comes back to where the browser was.
func TestSignIn(t *testing.T) {
	p := newIDP(t)
	w := newSite(t, p, nil)
	c := w.browser()
	if got := w.who(c); got != "" {
		t.Fatalf("before: %s", got)
	}
	if status, text, location := w.get(c, w.URL+oidc.BeginPath+"?to=/new?name=x"); status != 303 || location != "/new?name=x" {
		t.Fatalf("%d %s %s", status, location, text)
	}
	if got := w.who(c); got != "alice" {
		t.Errorf("signed in as %q", got)
	}
	answer, err := c.Post(w.URL+"/logout", "", nil)
	if err != nil || answer.Body.Close() != nil || w.who(c) != "" {
		t.Errorf("signed out: %v", err)
	}
	p.posted, p.config = true, func(c map[string]any) { c["token_endpoint_auth_methods_supported"] = []string{"client_secret_post"} }
	p.claims = func(c map[string]any) { c["preferred_username"] = nil }
	p.info = map[string]any{"sub": "1", "preferred_username": "bob"}
	if status, text, location := w.get(c, w.URL+oidc.BeginPath+"?to=//evil.example"); status != 303 || location != "/" || w.who(c) != "bob" {
		t.Errorf("by UserInfo: %d %s %s", status, location, text)
	}
}

// TestRefusedSignIns has answers of a provider with which sign-in must fail.
func TestRefusedSignIns(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, value any) func(*idp) {
		return func(p *idp) { p.claims = func(c map[string]any) { c[name] = value } }
	}
	for name, c := range map[string]struct {
		lie   func(*idp)
		says  string
		claim string
	}{
		"another nonce":         {claim("nonce", "x"), "another nonce", ""},
		"no nonce":              {claim("nonce", nil), "another nonce", ""},
		"another audience":      {claim("aud", "x"), "audience", ""},
		"no audience":           {claim("aud", nil), "audience", ""},
		"audiences":             {claim("aud", []string{"patgate", "x"}), "other clients too", ""},
		"another party":         {claim("azp", "x"), "another client", ""},
		"a party that is none":  {claim("azp", 5), "no text", ""},
		"another issuer":        {claim("iss", "https://evil.example"), "different provider", ""},
		"expired":               {claim("exp", time.Now().Add(-time.Second).Unix()), "expired", ""},
		"no expiry":             {claim("exp", nil), "expired", ""},
		"no subject":            {claim("sub", nil), "no subject", ""},
		"another access token":  {claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), "access token", ""},
		"no claim anywhere":     {claim("preferred_username", nil), "nothing says which user", ""},
		"an empty claim":        {claim("preferred_username", ""), "is no text", ""},
		"a claim of numbers":    {claim("preferred_username", 5), "is no text", ""},
		"a null claim":          {claim("preferred_username", json.RawMessage("null")), "is no text", ""},
		"no name":               {claim("preferred_username", " x"), "nothing says which user", ""},
		"two lines":             {claim("preferred_username", "x\ny"), "nothing says which user", ""},
		"an unverified address": {claim("email", "a@example.com"), "not verified", "email"},
		"a text for a truth":    {func(p *idp) { p.claims = func(c map[string]any) { c["email"], c["email_verified"] = "a@b", "true" } }, "not verified", "email"},
		"UserInfo of another": {func(p *idp) {
			claim("preferred_username", nil)(p)
			p.info = map[string]any{"sub": "2", "preferred_username": "root"}
		}, "another subject", ""},
		"UserInfo of nobody": {func(p *idp) {
			claim("preferred_username", nil)(p)
			p.info = map[string]any{"preferred_username": "root"}
		}, "another subject", ""},
		"another key": {func(p *idp) { p.sign = func(h, b string) string { return signed(other, h, b) } }, "not accepted", ""},
		"an unknown key": {func(p *idp) {
			p.sign = func(_, b string) string { return signed(other, `{"alg":"RS256","kid":"2"}`, b) }
		}, "not accepted", ""},
		"no signature": {func(p *idp) {
			p.sign = func(_, b string) string { return b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(b)) + "." }
		}, "not accepted", ""},
		"the secret as the key":  {func(p *idp) { p.sign = hs256 }, "not accepted", ""},
		"no ID token":            {func(p *idp) { p.answer = func(a map[string]any) { delete(a, "id_token") } }, "no ID token", ""},
		"the provider refuses":   {func(p *idp) { p.back = func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") } }, "access_denied", ""},
		"a refusal and a code":   {func(p *idp) { p.back = func(q url.Values) { q.Set("error", "access_denied") } }, "access_denied", ""},
		"no code":                {func(p *idp) { p.back = func(q url.Values) { q.Del("code") } }, "no code", ""},
		"two codes":              {func(p *idp) { p.back = func(q url.Values) { q.Add("code", "x") } }, "no code", ""},
		"another code":           {func(p *idp) { p.back = func(q url.Values) { q.Set("code", "x") } }, "invalid_grant", ""},
		"another state":          {func(p *idp) { p.back = func(q url.Values) { q.Set("state", strings.Repeat("A", 26)) } }, "sign in again", ""},
		"a state's beginning":    {func(p *idp) { p.back = func(q url.Values) { q.Set("state", q.Get("state")[:8]) } }, "sign in again", ""},
		"no state":               {func(p *idp) { p.back = func(q url.Values) { q.Del("state") } }, "sign in again", ""},
		"two states":             {func(p *idp) { p.back = func(q url.Values) { q.Add("state", q.Get("state")) } }, "sign in again", ""},
		"another provider":       {func(p *idp) { p.back = func(q url.Values) { q.Set("iss", "https://evil.example") } }, "another identity provider", ""},
		"an expired code":        {func(p *idp) { p.back = func(q url.Values) { delete(p.codes, q.Get("code")) } }, "invalid_grant", ""},
		"a body with the secret": {func(p *idp) { p.paths["/token"] = repeatBody }, "does not take the code", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newIDP(t)
			c.lie(p)
			w := newSite(t, p, func(o *oidc.Options) { o.UserClaim = c.claim })
			b := w.browser()
			status, text, _ := w.get(b, w.URL+oidc.BeginPath)
			if status != http.StatusUnauthorized && status != http.StatusForbidden || !strings.Contains(text, c.says) {
				t.Errorf("%d, want a refusal that says %q: %s", status, c.says, text)
			}
			if got := w.who(b); got != "" {
				t.Errorf("signed in as %s", got)
			}
			if strings.Contains(text, "secret") || strings.Contains(text, "verifier") {
				t.Errorf("the answer repeats what is secret: %s", text)
			}
		})
	}
}

func hs256(_, body string) string {
	text := b64([]byte(`{"alg":"HS256","kid":"1"}`)) + "." + b64([]byte(body))
	mac := hmac.New(sha256.New, []byte("the+secret"))
	mac.Write([]byte(text))
	return text + "." + b64(mac.Sum(nil))
}

// repeatBody refuses a code and repeats the request, as some providers do.
func repeatBody(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, secret, _ := r.BasicAuth()
	http.Error(w, string(body)+secret, http.StatusBadRequest)
}

// TestReplayedCallback sends a callback again, as another browser, and after the cookie was copied.
func TestReplayedCallback(t *testing.T) {
	p := newIDP(t)
	w := newSite(t, p, nil)
	c := w.browser()
	var callback *http.Request
	c.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == oidc.CallbackPath {
			callback = r
			return http.ErrUseLastResponse
		}
		return nil
	}
	w.get(c, w.URL+oidc.BeginPath)
	cookies := c.Jar.Cookies(callback.URL)
	victim := w.browser()
	if status, _, _ := w.get(victim, callback.URL.String()); status != 401 || w.who(victim) != "" {
		t.Errorf("in a browser that did not begin it: %d", status)
	}
	c.CheckRedirect = w.browser().CheckRedirect
	if status, text, _ := w.get(c, callback.URL.String()); status != 303 || w.who(c) != "alice" {
		t.Fatalf("%d %s", status, text)
	}
	for name, jar := range map[string][]*http.Cookie{"again": nil, "with a copy of its cookie": cookies} {
		thief := w.browser()
		thief.Jar.SetCookies(callback.URL, jar)
		if status, text, _ := w.get(thief, callback.URL.String()); status != 401 || !strings.Contains(text, "sign in again") || w.who(thief) != "" {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}

// TestKeysAreFetchedRarely has a provider whose tokens have unknown keys.
func TestKeysAreFetchedRarely(t *testing.T) {
	p := newIDP(t)
	clock := time.Now()
	w := newSite(t, p, func(o *oidc.Options) { o.Now = func() time.Time { return clock } })
	good := p.sign
	p.sign = func(_, body string) string {
		return signed(p.key, `{"alg":"RS256","kid":"unknown"}`, body+" ")[:500] + "AAAA"
	}
	for range 20 {
		w.get(w.browser(), w.URL+oidc.BeginPath)
	}
	if n := p.fetch.Load(); n > 4 {
		t.Errorf("20 bad tokens: %d fetches of keys", n)
	}
	p.sign = good
	if status, text, _ := w.get(w.browser(), w.URL+oidc.BeginPath); status != 303 {
		t.Errorf("a good token, whose key is known: %d %s", status, text)
	}
	clock = clock.Add(61 * time.Second)
	p.key, _ = rsa.GenerateKey(rand.Reader, 2048) // another key under the same name
	p.sign = p.rs256
	if status, text, _ := w.get(w.browser(), w.URL+oidc.BeginPath); status != 303 {
		t.Errorf("another key: %d %s", status, text)
	}
}

// TestProvidersThatDoNotAnswer let sign-in fail until they do.
func TestProvidersThatDoNotAnswer(t *testing.T) {
	fail := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusBadGateway) }
	for name, lie := range map[string]func(*idp){
		"no configuration":              func(p *idp) { p.paths["/.well-known/openid-configuration"] = fail },
		"the configuration of another":  func(p *idp) { p.config = func(c map[string]any) { c["issuer"] = "https://evil.example" } },
		"a token endpoint without TLS":  func(p *idp) { p.config = func(c map[string]any) { c["token_endpoint"] = "http://192.0.2.1/token" } },
		"keys without TLS":              func(p *idp) { p.config = func(c map[string]any) { c["jwks_uri"] = "http://192.0.2.1/keys" } },
		"no token endpoint":             func(p *idp) { p.config = func(c map[string]any) { delete(c, "token_endpoint") } },
		"a token endpoint that is down": func(p *idp) { p.paths["/token"] = fail },
		"UserInfo is down": func(p *idp) {
			p.paths["/userinfo"] = fail
			p.claims = func(c map[string]any) { c["preferred_username"] = nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newIDP(t)
			lie(p)
			clock := time.Now()
			w := newSite(t, p, func(o *oidc.Options) { o.Now = func() time.Time { return clock } })
			c := w.browser()
			if status, text, _ := w.get(c, w.URL+oidc.BeginPath); status != 503 || !strings.Contains(text, "provider_unavailable") || w.who(c) != "" {
				t.Errorf("%d %s", status, text)
			}
			p.paths, p.config, p.claims = map[string]http.HandlerFunc{}, nil, nil
			clock = clock.Add(3 * time.Second)
			if status, text, _ := w.get(c, w.URL+oidc.BeginPath); status != 303 {
				t.Errorf("when it answers: %d %s", status, text)
			}
		})
	}
}

// TestOptions are refused where there is no way to sign in, or any person could.
func TestOptions(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	empty := filepath.Join(t.TempDir(), "empty")
	if os.WriteFile(secret, []byte("x"), 0o600) != nil || os.WriteFile(empty, []byte(" \n"), 0o600) != nil {
		t.Fatal()
	}
	good := oidc.Options{Issuer: "https://id.example.com/realms/x", ClientID: "patgate", SecretFile: secret}
	if _, err := oidc.New(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*oidc.Options){
		"issuer: http://id.example.com: everyone on the network path could sign in as any user, expected https":                    func(o *oidc.Options) { o.Issuer = "http://id.example.com" },
		`issuer: "id.example.com" is no URL, expected one such as https://id.example.com`:                                          func(o *oidc.Options) { o.Issuer = "id.example.com" },
		"issuer: https://id.example.com?x=1: expected no query":                                                                    func(o *oidc.Options) { o.Issuer = "https://id.example.com?x=1" },
		"client-id: missing, expected the name of the client at the identity provider":                                             func(o *oidc.Options) { o.ClientID = "" },
		"client-secret-file: missing, expected a file with the secret of the client":                                               func(o *oidc.Options) { o.SecretFile = "" },
		"client-secret-file: " + empty + " is empty, expected the secret of the client":                                            func(o *oidc.Options) { o.SecretFile = empty },
		"client-secret-file: /nothing/here: no such file or directory":                                                             func(o *oidc.Options) { o.SecretFile = "/nothing/here" },
		"redirect-url: https://tokens.example.com/: expected the path /callback":                                                   func(o *oidc.Options) { o.Redirect = "https://tokens.example.com/" },
		"redirect-url: http://tokens.example.com/callback: everyone on the network path could sign in as any user, expected https": func(o *oidc.Options) { o.Redirect = "http://tokens.example.com/callback" },
	} {
		o := good
		change(&o)
		_, err := oidc.New(o)
		var bad *oidc.OptionError
		if !errors.As(err, &bad) || fmt.Sprint(bad.Option, ": ", bad) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
