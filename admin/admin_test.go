package admin_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/admin/admintest"
	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/tokens"
)

// now is when the tests are.
var now = admintest.Now

// office is what the tests manage: a gate, a gate for the management, groups, policies and tokens.
const office = `apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: jira}
spec: {hosts: [jira.example.com], schemes: [basic, bearer], clientIP: {source: peer}}
---
apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: tokens}
spec: {hosts: [tokens.example.com], schemes: [bearer, basic], clientIP: {source: peer}, groups: [users, admins, readers]}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: users}
spec: {members: [alice, bob], tokens: {create: true, maxLifetime: 90d, max: 5}}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: readers}
spec: {members: [leaver], tokens: {create: false, maxLifetime: 90d}}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: admins}
spec: {members: [root], admin: true}
---
apiVersion: patgate.dev/v1alpha1
kind: TokenPolicy
metadata: {name: read}
spec: {allow: [{name: read all, methods: [GET, HEAD], path: /rest/.*}]}
`

// rig is a management over a store in memory.
type rig struct {
	*admintest.Setup
	t       *testing.T
	values  map[string]token.Secret // of tokens
	expired string                  // the cookie of a session that has ended
}

func newRig(t *testing.T, change func(*admin.Options)) *rig {
	t.Helper()
	ended := admintest.Cookie(t, admintest.Sessions(t, now.Add(-admin.SessionSpan)), "alice")
	g := &rig{t: t, values: map[string]token.Secret{}, expired: ended.Name + "=" + ended.Value}
	g.Setup = admintest.New(t, office, func(o *admin.Options) {
		o.Gate, o.Header = "tokens", "x-forwarded-user"
		if change != nil {
			change(o)
		}
	})
	return g
}

// put stores a token with a new value.
func (g *rig) put(name, spec string) {
	value := token.Mint()
	g.values[name] = value
	g.Store.Put(name+".yaml", fmt.Sprintf("apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: %s}\nspec:\n  digest: %s\n  issued: 2026-05-01T00:00:00Z\n%s",
		name, token.Sum(value), spec))
}

// as are the ways in which a request says who it is from.
type as struct {
	header  string // of the proxy in front
	token   string // the name of one
	basic   string // the user, with a token
	session string // a user's
	raw     http.Header
}

// do sends a request, with a JSON body where there is one.
func (g *rig) do(who as, method, path, body string) *http.Response {
	g.t.Helper()
	r := httptest.NewRequestWithContext(g.t.Context(), method, "https://tokens.example.com"+path, strings.NewReader(body))
	r.RequestURI = path
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range who.raw {
		r.Header[name] = values
	}
	if who.header != "" {
		r.Header.Set("X-Forwarded-User", who.header)
	}
	switch value := g.values[who.token].Reveal(); {
	case who.basic != "":
		r.SetBasicAuth(who.basic, value)
	case who.token != "":
		r.Header.Set("Authorization", "Bearer "+value)
	}
	answer := g.Send(who.session, r)
	holdsTo(g.t, method, path, answer)
	return answer
}

func textOf(t *testing.T, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// read returns an answer's body as JSON.
func read(t *testing.T, r *http.Response) map[string]any {
	t.Helper()
	text := textOf(t, r)
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// TestIdentify has each way to sign in, good and bad.
func TestIdentify(t *testing.T) {
	g := newRig(t, nil)
	g.put("mine", "  user: alice\n  unrestricted: true\n")
	g.put("narrow", "  user: alice\n  limitTo: |\n    [get]/api/v1/me\n")
	g.put("elsewhere", "  user: alice\n  unrestricted: true\n  gates: [jira]\n")
	g.put("revoked", "  user: alice\n  unrestricted: true\n  revoked: 2026-05-02T00:00:00Z\n")
	g.put("anybody", "  anyUser: true\n  unrestricted: true\n  schemes: [basic]\n")
	g.put("honey", "  canary: true\n")
	g.put("stranger", "  user: mallory\n  unrestricted: true\n")
	g.put("deputy", "  user: alice\n  unrestricted: true\n  actAs: [\".*\"]\n")
	for name, c := range map[string]struct {
		who  as
		want string // the user, or the status
	}{
		"nobody":                          {as{}, "401"},
		"a token":                         {as{token: "mine"}, "alice"},
		"a token with Basic":              {as{token: "mine", basic: "alice"}, "alice"},
		"a token of another":              {as{token: "mine", basic: "bob"}, "401"},
		"a limited token":                 {as{token: "narrow"}, "alice"},
		"a token of another gate":         {as{token: "elsewhere"}, "403"},
		"a revoked token":                 {as{token: "revoked"}, "401"},
		"a token of any user":             {as{token: "anybody", basic: "root"}, "401"},
		"a canary":                        {as{token: "honey"}, "401"},
		"a user whom the gate won't have": {as{token: "stranger"}, "401"},
		"no token":                        {as{raw: http.Header{"Authorization": {"Bearer x"}}}, "401"},
		"two tokens":                      {as{token: "mine", raw: http.Header{"authorization": {"Bearer x"}}}, "401"},
		"the proxy's header":              {as{header: "bob"}, "bob"},
		"a token behind the proxy":        {behind("alice", "mine"), "alice"},
		"behind it, another's token":      {behind("bob", "mine"), "401"},
		"behind it, a token of any user":  {behind("root", "anybody"), "401"},
		"behind it, an unknown token":     {behind("alice", "gone"), "401"},
		"behind it, no token":             {behind("alice", ""), "401"},
		"behind it, two tokens":           {behind("alice", "mine", "narrow"), "401"},
		"behind it, an asserted user":     {as{header: "root", raw: http.Header{"X-Patgate-User-Asserted": {"true"}}}, "401"},
		"an empty header":                 {as{raw: http.Header{"X-Forwarded-User": {""}}}, "401"},
		"two headers":                     {as{raw: http.Header{"X-Forwarded-User": {"bob", "alice"}}}, "401"},
		"a header with a line":            {as{raw: http.Header{"X-Forwarded-User": {"bob\n"}}}, "401"},
		"a session":                       {as{session: "root"}, "root"},
		"a token decides alone":           {as{token: "revoked", session: "root", header: "bob"}, "401"},
		"a header before a session":       {as{header: "bob", session: "root"}, "bob"},
		"a forged session":                {as{raw: http.Header{"Cookie": {"__Host-patgate=AAAA"}}}, "401"},
		"two sessions":                    {as{session: "root", raw: http.Header{"Cookie": {"__Host-patgate=AAAA"}}}, "401"},
	} {
		answer := g.do(c.who, "GET", "/api/v1/me", "")
		got := read(t, answer)
		is := fmt.Sprint(answer.StatusCode)
		if answer.StatusCode == http.StatusOK {
			is = fmt.Sprint(got["user"])
		}
		if is != c.want {
			t.Errorf("%s: %s, want %s: %v", name, is, c.want, got)
		}
		if answer.StatusCode != 200 && (answer.Header.Get("Content-Type") != "application/problem+json" || got["reason"] == nil) {
			t.Errorf("%s: no problem: %v %v", name, answer.Header, got)
		}
		if answer.StatusCode == 401 && len(answer.Header.Values("Www-Authenticate")) != 2 {
			t.Errorf("%s: challenges %v", name, answer.Header.Values("Www-Authenticate"))
		}
		if answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: headers %v", name, answer.Header)
		}
	}
}

// TestRightsAreOfNow has a session outlive the rights of its user.
func TestRightsAreOfNow(t *testing.T) {
	g := newRig(t, nil)
	who := as{session: "root"}
	if got := read(t, g.do(who, "GET", "/api/v1/me", "")); got["rights"].(map[string]any)["admin"] != true {
		t.Fatalf("%v", got)
	}
	g.Store.Put("office.yaml", strings.Replace(office, "members: [root]", "members: []", 1))
	if got := read(t, g.do(who, "GET", "/api/v1/me", "")); got["rights"].(map[string]any)["admin"] != false {
		t.Fatalf("%v", got)
	}
}

// TestNothingIsAllowedUnaudited refuses a token whose event can't be written.
func TestNothingIsAllowedUnaudited(t *testing.T) {
	g := newRig(t, nil)
	g.put("mine", "  user: alice\n  unrestricted: true\n")
	g.Log.Fill()
	if answer := g.do(as{token: "mine"}, "GET", "/api/v1/me", ""); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%d", answer.StatusCode)
	}
}

// TestSigningOutEndsTheSession has a cookie that was kept.
func TestSigningOutEndsTheSession(t *testing.T) {
	at := now
	s, err := admin.NewSessions([]byte(strings.Repeat("k", 32)), false, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	start := func() *http.Request {
		w := httptest.NewRecorder()
		if err := s.Start(w, "alice", "test"); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		c := w.Result().Cookies()[0]
		if c.Name != "patgate" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("%v", c)
		}
		r.AddCookie(c)
		return r
	}
	first, second := start(), start()
	s.Stop(httptest.NewRecorder(), first)
	if s.Of(first) != nil || s.Of(second) == nil {
		t.Error("signing out ends one session")
	}
	at = at.Add(admin.SessionSpan)
	if s.Of(second) != nil {
		t.Error("a session after its end")
	}
	if _, err := admin.NewSessions([]byte("short"), false, nil); err == nil {
		t.Error("a short key")
	}
}

// TestLoginLinks has a link work once.
func TestLoginLinks(t *testing.T) {
	at := now
	links := &admin.Links{Now: func() time.Time { return at }}
	g := newRig(t, func(o *admin.Options) { o.Links = links })
	path, late := links.New("alice"), links.New("alice")
	if answer := g.do(as{}, "HEAD", path, ""); answer.StatusCode != http.StatusNoContent || len(answer.Cookies()) != 0 {
		t.Errorf("a program that looks at the link: %d %v", answer.StatusCode, answer.Header)
	}
	if answer := g.do(as{}, "GET", path, ""); answer.StatusCode != http.StatusSeeOther || len(answer.Cookies()) != 1 {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
	if answer := g.do(as{}, "GET", path, ""); answer.StatusCode != http.StatusUnauthorized || len(answer.Cookies()) != 0 {
		t.Errorf("a second time: %d", answer.StatusCode)
	}
	at = at.Add(admin.LinkSpan)
	if answer := g.do(as{}, "GET", late, ""); answer.StatusCode != http.StatusUnauthorized || len(answer.Cookies()) != 0 {
		t.Errorf("too late: %d", answer.StatusCode)
	}
}

// TestRoutes has paths and methods that there are not, and other sites' requests.
func TestRoutes(t *testing.T) {
	g := newRig(t, nil)
	for name, c := range map[string]struct {
		method, path string
		header       http.Header
		want         int
	}{
		"no path":      {"GET", "/api/v2", nil, 404},
		"no method":    {"DELETE", "/api/v1/me", nil, 405},
		"no action":    {"PUT", "/api/v1/tokens/x:frob", nil, 404},
		"another site": {"POST", "/api/v1/me", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		"cross origin": {"POST", "/api/v1/me", http.Header{"Origin": {"https://evil.example"}}, 403},
	} {
		answer := g.do(as{raw: c.header}, c.method, c.path, "")
		if got := read(t, answer); answer.StatusCode != c.want || got["status"] != float64(c.want) {
			t.Errorf("%s: %d %v", name, answer.StatusCode, got)
		}
		if c.want == 405 && answer.Header.Get("Allow") == "" {
			t.Errorf("%s: %v", name, answer.Header)
		}
	}
}

// TestNewRequiresAWayToSignIn refuses a management without a way in.
func TestNewRequiresAWayToSignIn(t *testing.T) {
	if _, err := admin.New(admin.Options{Service: new(tokens.Service)}); err == nil {
		t.Error("there is no way to sign in")
	}
}
