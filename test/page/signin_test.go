package page

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/patgate/patgate/admin"
)

// Whom zitadel's identity provider knows.
const (
	member   = "test-user2"
	password = "verysecure"
)

// newSignInRig is the office with an identity provider, which is another site to browsers.
func newSignInRig(t *testing.T, flags ...string) *rig {
	t.Helper()
	if provider == "" {
		t.Fatal("PATGATE_TEST_OIDC must name the provider: make test-page builds it")
	}
	_, port, _ := strings.Cut(freeAddr(t), ":")
	at, page := "localhost:"+port, freeAddr(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret+of/patgate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(provider, at, "patgate", "http://"+page+"/callback")
	cmd.Env = append(os.Environ(), "SECRET=s3cret+of/patgate")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(stepWithin); ; time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get("http://" + at + "/.well-known/openid-configuration")
		if err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the identity provider does not answer: %v", err)
		}
	}
	return newRigAt(t, page, append([]string{"--manage-oidc-issuer", "http://" + at, "--manage-oidc-client-id", "patgate", "--manage-oidc-client-secret-file", secret}, flags...)...)
}

// visited follows the addresses that a window is sent to.
type visited struct {
	mu   sync.Mutex
	urls []string
}

// follows notes each address of the window from now on.
func (w *window) follows() *visited {
	v := &visited{}
	requests := chromedp.Events(w.ctx, network.RequestWillBeSent)
	go func() {
		for e, err := range requests {
			if err != nil {
				return
			}
			v.mu.Lock()
			v.urls = append(v.urls, e.Request.URL)
			v.mu.Unlock()
		}
	}()
	return v
}

// last is the last address with a part, which may still be on its way from the browser.
func (v *visited) last(part string) string {
	for deadline := time.Now().Add(stepWithin); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		v.mu.Lock()
		urls := slices.Clone(v.urls)
		v.mu.Unlock()
		for _, address := range slices.Backward(urls) {
			if strings.Contains(address, part) {
				return address
			}
		}
	}
	return ""
}

// signIn presses the button of a page that offers it, and fills in the form of the identity provider.
func (w *window) signIn() {
	w.t.Helper()
	w.follow(w.click(`//main//a[starts-with(normalize-space(.), "Sign in with")]`))
	w.fill(`//*[@id="username"]`, member)
	w.fill(`//*[@id="password"]`, password)
	w.follow(w.click(`//button[@type="submit"]`))
}

// session is the cookie of the window's session, or nil.
func (w *window) session() *network.Cookie {
	w.t.Helper()
	got, err := chromedp.Call(w.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{w.g.url}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range got.Cookies {
		if c.Name == "patgate" {
			return c
		}
	}
	return nil
}

// keep puts a cookie of a session into the window.
func (w *window) keep(value string) {
	w.t.Helper()
	if _, err := chromedp.Call(w.ctx, network.SetCookie, network.SetCookieParams{Name: "patgate", Value: value, URL: w.g.url, HTTPOnly: new(true), SameSite: network.CookieSameSiteLax}); err != nil {
		w.t.Fatal(err)
	}
}

// TestSignInWithAnIdentityProvider signs in, creates a token, signs out, and puts the cookie back that was taken away.
func TestSignInWithAnIdentityProvider(t *testing.T) {
	g := newSignInRig(t)
	for _, l := range []look{{name: "signin-light", axe: true}, {name: "signin-narrow-dark", width: 320, dark: true, noScript: true}} {
		t.Run(l.name, func(t *testing.T) {
			w := g.open(t, "", l)
			seen := w.follows()
			if code := w.visit("/new?name=From+a+link+" + l.name); code != http.StatusUnauthorized {
				t.Errorf("without a session: %d", code)
			}
			w.must("Sign in with localhost", "!"+member)
			w.fits(l.name)
			if l.axe {
				w.accessible(l.name)
			}
			w.shoot(l.name)
			w.signIn()
			w.must(member)
			if at := get[string](w, "location.pathname + location.search"); at != "/new?name=From+a+link+"+l.name {
				t.Errorf("signed in, it is at %s, expected where it was before", at)
			}
			cookie := w.session()
			if cookie == nil || !cookie.HTTPOnly || cookie.SameSite != network.CookieSameSiteLax || cookie.Expires > float64(time.Now().Add(admin.SessionSpan).Unix())+1 {
				t.Fatalf("the cookie of the session: %+v", cookie)
			}
			if left := get[int](w, "localStorage.length + sessionStorage.length + document.cookie.length"); left != 0 {
				t.Errorf("the page keeps %d in the browser that scripts can read", left)
			}
			w.pick(`//input[@name="policy"][@value="read-issues"]`)
			w.press("Create token")
			w.must("From a link " + l.name)
			if value := get[string](w, `document.getElementById("value").textContent`); g.call("GET", "/rest/api/2/issue", value) != http.StatusOK {
				t.Error("the new token does not work")
			}
			callback := seen.last("/callback?")
			if code := w.visit(callback); code != http.StatusUnauthorized {
				t.Errorf("the way back, again: %d", code)
			}
			w.must("You are not signed in", "sign in again", "Sign in with")
			w.visit("/")
			w.must(member, "From a link "+l.name) // the session is as it was

			w.follow(w.click(`//header//button[normalize-space(.)="Sign out"]`))
			w.must("Sign in with", "!From a link")
			if w.session() != nil {
				t.Error("the cookie is left after signing out")
			}
			w.keep(cookie.Value)
			w.visit("/")
			w.must("Sign in with", "!From a link")
		})
	}
}

// TestAStateIsOfOneBrowser sends a browser back with the state and the code of another one, with its own state and another code, and
// with a state that never was.
func TestAStateIsOfOneBrowser(t *testing.T) {
	g := newSignInRig(t)
	attacker := g.open(t, "", look{})
	seen := attacker.follows()
	attacker.visit("/")
	attacker.signIn()
	attacker.must(member)
	planted := seen.last("/callback?")

	victim := g.open(t, "alice", look{})
	victim.visit("/")
	victim.must("alice")
	other, err := url.Parse(planted)
	if err != nil {
		t.Fatal(err)
	}
	made := other.Query()
	made.Set("state", strings.Repeat("A", 26))
	for name, back := range map[string]string{"of another browser": planted, "made up": g.url + "/callback?" + made.Encode(), "none": g.url + "/callback?code=" + made.Get("code")} {
		if code := victim.visit(back); code != http.StatusUnauthorized {
			t.Errorf("a state %s: %d", name, code)
		}
		victim.must("You are not signed in", "!"+member)
	}
	victim.visit("/")
	victim.must("alice", "!"+member) // nobody is signed in as another

	// Its own state, with a code that was used.
	fresh := g.open(t, "", look{})
	begun := fresh.follows()
	fresh.visit("/login/oidc")
	authorize, err := url.Parse(begun.last("state="))
	if err != nil || authorize.Query().Get("state") == "" {
		t.Fatalf("it was not sent to the identity provider: %v, but to %q", err, begun.urls)
	}
	made.Set("state", authorize.Query().Get("state"))
	if code := fresh.visit(g.url + "/callback?" + made.Encode()); code != http.StatusUnauthorized || fresh.session() != nil {
		t.Errorf("its own state and a used code: %d", code)
	}
	fresh.must("You are not signed in", "invalid_grant")
}

// TestASessionEnds has a session of eight hours ago: reading and writing ask for another sign-in, which leads back.
func TestASessionEnds(t *testing.T) {
	g := newSignInRig(t)
	past, err := admin.NewSessions([]byte("a key of the sessions of these tests"), false, func() time.Time { return time.Now().Add(-admin.SessionSpan - time.Minute) })
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	if err := past.Start(rec, member, "oidc"); err != nil {
		t.Fatal(err)
	}
	ended := rec.Result().Cookies()[0].Value
	w := g.open(t, "", look{})
	w.keep(ended)
	if code := w.visit("/?q=something"); code != http.StatusUnauthorized {
		t.Errorf("a session of eight hours ago: %d", code)
	}
	w.must("Sign in with", "!"+member)
	w.signIn()
	w.must(member)
	if at := get[string](w, "location.pathname + location.search"); at != "/?q=something" {
		t.Errorf("signed in again, it is at %s", at)
	}

	// It ends while a form is filled in: nothing is created.
	w.visit("/new?name=Too+late&policy=read-issues")
	w.keep(ended)
	if code := w.press("Create token"); code != http.StatusUnauthorized {
		t.Errorf("a form after the session: %d", code)
	}
	w.must("Sign in with")
	w.signIn()
	w.visit("/?q=Too+late")
	w.must(member, "!Too late · ")
	if found := get[int](w, `document.querySelectorAll("main h2 a").length`); found != 0 {
		t.Errorf("%d tokens were created without a session", found)
	}
}
