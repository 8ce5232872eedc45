package page_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/admin/admintest"
	"github.com/patgate/patgate/admin/page"
	"github.com/patgate/patgate/usage"
)

// now is when the tests are.
var now = admintest.Now

// office is what the tests manage.
const office = `apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: jira}
spec: {hosts: [jira.example.com], schemes: [basic, bearer], clientIP: {source: peer}}
---
apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: builds}
spec: {hosts: [builds.example.com], schemes: [bearer], clientIP: {source: peer}}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: developers}
spec: {members: [alice, bob], tokens: {create: true, maxLifetime: 45d, max: 5}}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: readers}
spec: {members: [reader], tokens: {create: false}}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: admins}
spec: {members: [root], admin: true}
---
apiVersion: patgate.dev/v1alpha1
kind: TokenPolicy
metadata: {name: read-issues}
spec: {allow: [{name: read issues, methods: [GET, HEAD], path: "/rest/api/2/issue(/.*)?"}]}
`

// rig is the page over a store in memory.
type rig struct {
	*admintest.Setup
	t     *testing.T
	calls []admin.Call
	rules usage.Token
}

func newRig(t *testing.T, change func(*admin.Options)) *rig {
	t.Helper()
	g := &rig{t: t}
	g.Setup = admintest.New(t, office, func(o *admin.Options) {
		o.Others = true
		o.Usage, o.Recent = func(string) *admin.Used { return nil }, func(string) []admin.Call { return g.calls }
		o.Rules = func(string) usage.Token { return g.rules }
		if change != nil {
			change(o)
		}
	})
	if err := page.Add(g.Handler); err != nil {
		t.Fatal(err)
	}
	return g
}

// as sends a request of a user; empty: without one. A form makes it a POST.
func (g *rig) as(user, path string, form url.Values) (*http.Response, string) {
	g.t.Helper()
	method, body := http.MethodGet, ""
	if form != nil {
		method, body = http.MethodPost, form.Encode()
	}
	r := httptest.NewRequestWithContext(g.t.Context(), method, path, strings.NewReader(body))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer := g.Send(user, r)
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer, string(text)
}

// get returns a page, which must be there.
func (g *rig) get(user, path string) string {
	g.t.Helper()
	answer, text := g.as(user, path, nil)
	if answer.StatusCode != http.StatusOK {
		g.t.Fatalf("GET %s: %d\n%s", path, answer.StatusCode, text)
	}
	return text
}

// create creates a token by the form, and returns its page with the value.
func (g *rig) create(user string, change func(url.Values)) (*http.Response, string) {
	g.t.Helper()
	form := url.Values{"name": {"CI"}, "ends": {"7d"}, "scope": {"limited"}, "policy": {"read-issues"}, "do": {"create"}, "form": {user + g.t.Name()}}
	if change != nil {
		change(form)
	}
	return g.as(user, "/new", form)
}

// must checks that a page has texts, and lacks those with a ! before them.
func must(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		without, not := strings.CutPrefix(part, "!")
		if strings.Contains(text, without) == not {
			t.Errorf("want %q in\n%s", part, text)
		}
	}
}

var valuePattern = regexp.MustCompile(`patg_[0-9A-Za-z]{20,}`)

// TestATokenIsCreated goes from the empty list to a value, which is shown once.
func TestATokenIsCreated(t *testing.T) {
	g := newRig(t, nil)
	must(t, g.get("alice", "/"), "You have no tokens yet", `href="/new"`, "at most 5 live tokens")
	must(t, g.get("alice", "/new"), "The group developers lets your tokens live 45 days at most", "45 days", "2026-07-16", "beyond the cap", "!>Never<", "read-issues")
	answer, text := g.create("alice", nil)
	value := valuePattern.FindString(text)
	if answer.StatusCode != http.StatusCreated || value == "" {
		t.Fatalf("%d\n%s", answer.StatusCode, text)
	}
	must(t, text, "curl --globoff", "Python", "PowerShell")
	for _, path := range []string{"/", "/tokens/ci", "/tokens/ci/edit", "/tokens/ci/rotate", "/tokens/ci/revoke", "/new"} {
		must(t, g.get("alice", path), "!"+value)
	}
	must(t, g.get("alice", "/"), ">CI</a>", "Active", "7 days left", "2026-06-08", value[:9]+"…", "policy read-issues")
	again, text := g.create("alice", nil)
	if must(t, text, "This form was sent already", "!patg_"); again.StatusCode != http.StatusConflict {
		t.Error(again.StatusCode)
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"X-Frame-Options": "DENY", "Cache-Control": "no-store",
	} {
		if got := answer.Header.Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestPagesRequireSignIn asks for every page without a session.
func TestPagesRequireSignIn(t *testing.T) {
	g := newRig(t, nil)
	g.create("alice", nil)
	for _, path := range []string{"/", "/new", "/tokens/ci", "/tokens/ci/edit", "/tokens/ci/rotate", "/tokens/ci/revoke", "/all", "/people", "/groups"} {
		answer, text := g.as("", path, nil)
		if must(t, text, "Sign in", "!>CI"); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
}
