//go:build oidc || keycloak

package test

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// identityProvider is a real one, with a user and a client called patgate.
type identityProvider struct {
	issuer, secret string
	user, password string
}

// signInSite is the management, with an identity provider.
type signInSite struct {
	*manager
	t  *testing.T
	id *identityProvider
}

const oidcOffice = `apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: tokens}
spec: {hosts: ["*"], schemes: [bearer]}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: users}
spec: {members: [%s], tokens: {create: true, maxLifetime: 90d}}
`

// startSignIn starts the management at an address that the provider knows.
func startSignIn(t *testing.T, id *identityProvider, at, address, key string, flags ...string) *signInSite {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, id.secret+"\n")
	m := &manager{t: t, url: "http://" + address, args: append([]string{
		"manage", "--manifests", at, "--listen", address, "--into", filepath.Join(at, "tokens"), "--session-key-file", key,
		"--oidc-issuer", id.issuer, "--oidc-client-id", "patgate", "--oidc-client-secret-file", secret,
	}, flags...)}
	m.start()
	t.Cleanup(m.kill)
	return &signInSite{m, t, id}
}

// person is a browser without JavaScript, and what it was sent last.
type person struct {
	*http.Client
	t     *testing.T
	at    *url.URL // where it is, or is sent
	text  string
	last  int
	stop  func(*url.URL) bool // where it stops following redirects
	alter func(*url.URL)      // changes the addresses that it is sent to
}

func newPerson(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t}
	p.Client = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if p.alter != nil {
			p.alter(r.URL)
		}
		if p.stop != nil && p.stop(r.URL) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return p
}

func (p *person) follow(answer *http.Response, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	p.at, p.text, p.last = answer.Request.URL, string(text), answer.StatusCode
	if to, err := answer.Location(); err == nil {
		p.at = to // where it stopped
	}
}

func (p *person) visit(address string) { p.t.Helper(); p.follow(p.Get(address)) }

var (
	formAction = regexp.MustCompile(`<form[^>]*\saction="([^"]*)"`)
	formHidden = regexp.MustCompile(`<input[^>]*type="hidden"[^>]*>`)
	inputName  = regexp.MustCompile(`\sname="([^"]*)"`)
	inputValue = regexp.MustCompile(`\svalue="([^"]*)"`)
)

// logIn fills in the form of the identity provider.
func (p *person) logIn(id *identityProvider) {
	p.t.Helper()
	action := formAction.FindStringSubmatch(p.text)
	if action == nil {
		p.t.Fatalf("no form to log in at %s: %d %s", p.at, p.last, p.text)
	}
	form := url.Values{"username": {id.user}, "password": {id.password}}
	for _, input := range formHidden.FindAllString(p.text, -1) {
		if name, value := inputName.FindStringSubmatch(input), inputValue.FindStringSubmatch(input); name != nil && value != nil {
			form.Set(name[1], html.UnescapeString(value[1]))
		}
	}
	to, err := p.at.Parse(html.UnescapeString(action[1]))
	if err != nil {
		p.t.Fatal(err)
	}
	p.follow(p.PostForm(to.String(), form))
}

// signIn goes from the management to the provider and back.
func (p *person) signIn(s *signInSite) {
	p.t.Helper()
	p.visit(s.url + "/login/oidc?to=/api/v1/me")
	p.logIn(s.id)
}

// who returns the user of a browser; empty: no user.
func (s *signInSite) who(p *person) string {
	s.t.Helper()
	answer, err := p.Client.Get(s.url + "/api/v1/me")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var me struct {
		User   string
		Rights struct{ Create bool }
	}
	if err := json.NewDecoder(answer.Body).Decode(&me); err != nil {
		s.t.Fatal(err)
	}
	if me.User != "" && !me.Rights.Create {
		s.t.Errorf("%s has no rights of their group", me.User)
	}
	return me.User
}

// signsIn runs every flow with an identity provider, whose client comes back to address.
func signsIn(t *testing.T, id *identityProvider, address string) {
	at := t.TempDir()
	write(t, filepath.Join(at, "office.yaml"), fmt.Sprintf(oidcOffice, id.user))
	key := filepath.Join(t.TempDir(), "key")
	write(t, key, strings.Repeat("k", 32))
	if err := os.Mkdir(filepath.Join(at, "tokens"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := startSignIn(t, id, at, address, key)
	good := newPerson(t)
	good.signIn(s)
	if got := s.who(good); got != id.user || good.last != 200 || good.at.Path != "/api/v1/me" {
		t.Fatalf("signed in as %q at %s: %d %s", got, good.at, good.last, good.text)
	}
	t.Run("a replica", func(t *testing.T) {
		other := startSignIn(t, id, at, freeAddr(t), key)
		if got := other.who(good); got != id.user {
			t.Errorf("there it is %q", got)
		}
	})
	t.Run("replays", func(t *testing.T) { replays(t, s) })
	t.Run("lies", func(t *testing.T) { lies(t, s) })
	t.Run("signing out", func(t *testing.T) {
		good.follow(good.PostForm(s.url+"/logout", nil))
		if got := s.who(good); got != "" {
			t.Errorf("still %s", got)
		}
	})
	s.kill()
	t.Run("no such claim", func(t *testing.T) {
		s := startSignIn(t, id, at, address, key, "--oidc-user-claim", "nothing_like_it")
		p := newPerson(t)
		p.signIn(s)
		if p.last != 401 || !strings.Contains(p.text, "nothing_like_it") || s.who(p) != "" {
			t.Errorf("%d %s", p.last, p.text)
		}
		s.kill()
	})
	t.Run("another secret", func(t *testing.T) {
		wrong := *id
		wrong.secret = "wrong"
		s := startSignIn(t, &wrong, at, address, key)
		p := newPerson(t)
		if p.signIn(s); p.last != 401 || s.who(p) != "" {
			t.Errorf("%d %s", p.last, p.text)
		}
		s.kill()
	})
	t.Run("another issuer", func(t *testing.T) {
		wrong := *id
		wrong.issuer = elsewhere(t, id.issuer)
		s := startSignIn(t, &wrong, at, address, key)
		p := newPerson(t)
		if p.visit(s.url + "/login/oidc"); p.last != 503 {
			t.Errorf("%d %s", p.last, p.text)
		}
		s.kill()
	})
	if strings.Contains(s.out.String(), id.secret) || strings.Contains(s.out.String(), "code=") {
		t.Errorf("the log has secrets:\n%s", s.out.String())
	}
}

// replays sends the way back again, in another browser, and with a code that was used.
func replays(t *testing.T, s *signInSite) {
	p := newPerson(t)
	p.stop = func(u *url.URL) bool { return u.Path == "/callback" }
	var back *url.URL
	p.visit(s.url + "/login/oidc")
	p.logIn(s.id)
	if back = p.at; back.Query().Get("code") == "" {
		t.Fatalf("no code: %s", back)
	}
	victim := newPerson(t)
	if victim.visit(back.String()); victim.last != 401 || s.who(victim) != "" {
		t.Errorf("in another browser: %d %s", victim.last, victim.text)
	}
	p.stop = nil
	if p.visit(back.String()); s.who(p) != s.id.user {
		t.Errorf("%d %s", p.last, p.text)
	}
	thief := newPerson(t)
	thief.Jar.SetCookies(back, p.Jar.Cookies(back))
	if thief.visit(back.String()); thief.last != 401 {
		t.Errorf("a state again: %d %s", thief.last, thief.text)
	}
	p = newPerson(t)
	p.stop = func(u *url.URL) bool { return u.Path == "/callback" }
	p.visit(s.url + "/login/oidc")
	p.logIn(s.id)
	again := p.at
	p.stop = nil
	query := again.Query()
	query.Set("code", back.Query().Get("code"))
	again.RawQuery = query.Encode()
	if p.visit(again.String()); p.last != 401 || !strings.Contains(p.text, "invalid_grant") || s.who(p) != "" {
		t.Errorf("a code again: %d %s", p.last, p.text)
	}
}

// lies changes what goes to the identity provider and comes back.
func lies(t *testing.T, s *signInSite) {
	for name, alter := range map[string]func(url.Values){
		"another nonce":     func(q url.Values) { change(q, "nonce", "x") },
		"another challenge": func(q url.Values) { change(q, "code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM") },
		"another state":     func(q url.Values) { change(q, "state", strings.Repeat("A", 26)) },
		"another issuer":    func(q url.Values) { q["iss"] = append([]string(nil), "https://evil.example") },
		"a made-up code":    func(q url.Values) { change(q, "code", "made-up") },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t)
			p.alter = func(u *url.URL) {
				q := u.Query()
				if (q.Has("nonce") || u.Path == "/callback") && q.Get("iss") != "https://evil.example" {
					alter(q)
					u.RawQuery = q.Encode()
				}
			}
			p.signIn(s)
			if p.last != 401 || s.who(p) != "" {
				t.Errorf("%d at %s: %s", p.last, p.at, p.text)
			}
		})
	}
}

// change sets a parameter that is there.
func change(q url.Values, name, value string) {
	if q.Has(name) {
		q.Set(name, value)
	}
}

// elsewhere returns another address for a provider, which says its own.
func elsewhere(t *testing.T, issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		t.Fatal(err)
	}
	path := u.Path
	u.Path = ""
	s := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }})
	t.Cleanup(s.Close)
	return s.URL + path
}

// awaitProvider waits until a provider answers.
func awaitProvider(t *testing.T, url string, within time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		answer, err := http.Get(url)
		if err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v", url, err)
		}
	}
}
