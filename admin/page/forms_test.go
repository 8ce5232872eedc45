package page_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/tokens"
	"github.com/patgate/patgate/usage"
)

// TestMistakesAreShownBesideTheirField sends forms that are refused: what was typed stays, and what is
// wrong is beside the field.
func TestMistakesAreShownBesideTheirField(t *testing.T) {
	g := newRig(t, nil)
	for name, c := range map[string]struct {
		change func(url.Values)
		status int
		want   []string
	}{
		"no name":            {func(v url.Values) { v.Set("name", " ") }, 400, []string{`id="name-error"`, "The display name is missing"}},
		"nothing chosen":     {func(v url.Values) { v.Del("policy") }, 400, []string{`id="scope-error"`, "Nothing says what the token may do"}},
		"a bad rule":         {func(v url.Values) { v.Set("lines", "/ok\n/bad[") }, 400, []string{`id="scope-error"`, "Rule 2: ", "!spec.", "/bad["}},
		"unknown methods":    {func(v url.Values) { v["rule-path"], v["rule-methods"] = []string{"/x"}, []string{"GET,HEAD"} }, 400, []string{`id="scope-error"`, "/x are not offered", "read, write, any"}},
		"no methods":         {func(v url.Values) { v.Set("rule-path", "/x") }, 400, []string{`id="scope-error"`, "/x are not offered"}},
		"too few methods":    {func(v url.Values) { v["rule-path"], v["rule-methods"] = []string{"/x", "/y"}, []string{"read"} }, 400, []string{`id="scope-error"`, "/y are not offered"}},
		"an unknown policy":  {func(v url.Values) { v.Set("policy", "none") }, 400, []string{`id="scope-error"`, "!office.yaml"}},
		"beyond the cap":     {func(v url.Values) { v.Set("ends", "90d") }, 400, []string{`id="ends-error"`, "beyond the cap", "developers"}},
		"forever":            {func(v url.Values) { v.Set("ends", "forever") }, 400, []string{`id="ends-error"`}},
		"a lifetime of none": {func(v url.Values) { v.Set("ends", "soon") }, 400, []string{`id="ends-error"`}},
		"a date of none":     {func(v url.Values) { v.Set("ends", "date"); v.Set("date", "then") }, 400, []string{`id="ends-error"`}},
		"a date of the past": {func(v url.Values) { v.Set("ends", "date"); v.Set("date", "2026-05-01") }, 400, []string{`id="ends-error"`, "in the past"}},
		"an unknown gate":    {func(v url.Values) { v.Set("gate", "none") }, 400, []string{`id="gates-error"`}},
		"a bad address":      {func(v url.Values) { v.Set("allow-from", "10.0.0.0/99") }, 400, []string{`id="clients-error"`, "10.0.0.0/99"}},
		"an unknown scheme":  {func(v url.Values) { v.Set("scheme", "digest") }, 400, []string{`id="schemes-error"`}},
		"another's":          {func(v url.Values) { v.Set("user", "bob") }, 403, []string{`id="user-error"`, "for themselves alone"}},
	} {
		t.Run(name, func(t *testing.T) {
			answer, text := g.create("alice", func(v url.Values) {
				v.Set("description", "What was typed")
				c.change(v)
			})
			if answer.StatusCode != c.status {
				t.Errorf("%d, want %d", answer.StatusCode, c.status)
			}
			must(t, text, append(c.want, `value="What was typed"`, "!patg_")...)
		})
	}
	must(t, g.get("alice", "/"), "You have no tokens yet")
}

// TestMalformedForms refuses what no form of the page sends.
func TestMalformedForms(t *testing.T) {
	g := newRig(t, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/new", strings.NewReader(`{"do": "create"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if answer := g.Send("alice", r); answer.StatusCode != http.StatusUnsupportedMediaType {
		t.Error(answer.StatusCode)
	}
	foreign, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/new", strings.NewReader("do=create&name=x&scope=everything&ends=7d"))
	if err != nil {
		t.Fatal(err)
	}
	foreign.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	if answer := g.Send("alice", foreign); answer.StatusCode != http.StatusForbidden {
		t.Error(answer.StatusCode)
	}
}

// TestThePreviewIsWhatTheAPISays previews a form, whole and as a part, and tries requests.
func TestThePreviewIsWhatTheAPISays(t *testing.T) {
	g := newRig(t, nil)
	form := url.Values{
		"name": {"CI"}, "ends": {"30d"}, "scope": {"limited"}, "do": {"preview"}, "rule-methods": {"read", "post"}, "rule-path": {"/rest/a.b", "/rest/c"}, "rule-below": {"below", "this"},
		"try-method": {"GET"}, "try-path": {"/rest/a.b/1"},
	}
	_, text := g.as("alice", "/new", form)
	must(t, text, "POST of /rest/c", "2026-07-01", "Group developers", "This request passes", "2 gates")
	form.Set("try-path", "/rest/axb/1") // the dot is a dot
	_, text = g.as("alice", "/new", form)
	must(t, text, "This request is refused (403)", "no rule allows it")
	form.Set("try-client", "nowhere")
	answer, text := g.as("alice", "/new", form)
	if must(t, text, `id="try-error"`, "o address"); answer.StatusCode != http.StatusUnprocessableEntity {
		t.Error(answer.StatusCode)
	}
	if got := len(g.Log.Events()); got != 0 {
		t.Errorf("%d events of previews", got)
	}
	must(t, g.get("alice", "/"), "You have no tokens yet")
}

// TestALinkFillsInTheForm has a link with everything, and one with what there is not.
func TestALinkFillsInTheForm(t *testing.T) {
	g := newRig(t, nil)
	text := g.get("alice", "/new?name=CI&description=Builds&policy=read-issues&expires=2026-06-20&gate=jira&scheme=bearer&limit=/rest/x&from=10.0.0.0/8")
	must(t, text, "A link filled in parts of this form", "the name, the purpose, the policies, the Gates, how it is presented, the rules, the addresses, the end",
		`value="CI"`, `value="2026-06-20"`, ">/rest/x</textarea>", "The token may")
	must(t, g.get("alice", "/new?policy=none&expires=400d"), "there is no such policy", `value="400d" checked`)
	must(t, g.get("alice", "/new"), "!A link filled in")
}

// TestAListHasPages goes through the pages of a long list, and filters and sorts it.
func TestAListHasPages(t *testing.T) {
	g := newRig(t, nil)
	for i := range 60 {
		g.Store.Put(fmt.Sprintf("t%02d.yaml", i), fmt.Sprintf("apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: t%02d}\nspec: {user: bob, displayName: Token %02d, policies: [read-issues], issued: 2026-05-%02dT00:00:00Z, digest: %s}\n",
			i, i, 1+i%28, token.Sum(token.Mint())))
	}
	seen := map[string]int{}
	path := "/?sort=displayName"
	for pages := 0; path != ""; pages++ {
		if pages > 3 {
			t.Fatal("more than 3 pages")
		}
		text := g.get("bob", path)
		for i := range 60 {
			if strings.Contains(text, fmt.Sprintf(">Token %02d</a>", i)) {
				seen[fmt.Sprint(i)]++
			}
		}
		_, rest, more := strings.Cut(text, `" rel="next"`)
		path = ""
		if more {
			head := strings.TrimSuffix(text, `" rel="next"`+rest)
			path = strings.ReplaceAll(head[strings.LastIndex(head, `href="`)+len(`href="`):], "&amp;", "&")
		}
	}
	if len(seen) != 60 {
		t.Errorf("%d tokens on the pages, want 60", len(seen))
	}
	must(t, g.get("bob", "/?q=Token+07"), "1 token match", ">Token 07</a>", "!Token 08")
	must(t, g.get("bob", "/?state=revoked"), "No token matches")
	for _, path := range []string{"/?state=none", "/?sort=none", "/?cursor=none"} {
		if answer, text := g.as("bob", path, nil); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d\n%s", path, answer.StatusCode, text)
		}
	}
}

// TestAChangeNarrows changes a token as far as its user may.
func TestAChangeNarrows(t *testing.T) {
	g := newRig(t, nil)
	g.create("alice", func(v url.Values) {
		v.Set("lines", "/rest/a\n/rest/b")
		v["gate"] = []string{"jira", "builds"}
		v.Set("allow-from", "10.0.0.0/8 192.0.2.0/24")
	})
	all := func() url.Values {
		return url.Values{
			"name": {"CI"}, "policy": {"read-issues"}, "line": {"/rest/a", "/rest/b"}, "gate": {"jira", "builds"}, "scheme": {"basic", "bearer"},
			"allow-from": {"10.0.0.0/8", "192.0.2.0/24"},
		}
	}
	for name, c := range map[string]struct {
		change func(url.Values)
		status int
		want   string
	}{
		"nothing":       {func(url.Values) {}, 303, "done=unchanged"},
		"no name":       {func(v url.Values) { v.Set("name", "") }, 400, `id="name-error"`},
		"more":          {func(v url.Values) { v.Set("more", "/rest/c") }, 403, `id="scope-error"`},
		"later":         {func(v url.Values) { v.Set("date", "2026-07-10") }, 403, `id="ends-error"`}, // within the cap
		"earlier":       {func(v url.Values) { v.Set("date", "2026-06-05") }, 303, "done=changed"},
		"beyond":        {func(v url.Values) { v.Set("date", "2026-08-01") }, 400, `id="ends-error"`},
		"no gate":       {func(v url.Values) { v.Del("gate") }, 400, `id="gates-error"`},
		"o address":     {func(v url.Values) { v.Del("allow-from") }, 400, `id="clients-error"`},
		"an old form":   {func(v url.Values) { v.Set("name", "X"); v.Set("revision", "00") }, 409, "omebody else changed it"},
		"another's way": {func(v url.Values) { v["gate"] = []string{"jira", "none"} }, 303, "done=changed"}, // what it never had is not added
	} {
		form := all()
		c.change(form)
		answer, text := g.as("alice", "/tokens/ci/edit", form)
		if got := text + answer.Header.Get("Location"); answer.StatusCode != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d, want %d and %q in\n%s", name, answer.StatusCode, c.status, c.want, got)
		}
	}
	form := all()
	form.Set("name", "Renamed")
	form.Set("date", "2026-06-04")
	form["line"], form["gate"], form["scheme"], form["allow-from"] = []string{"/rest/b"}, []string{"jira"}, []string{"bearer"}, []string{"192.0.2.0/24"}
	g.as("alice", "/tokens/ci/edit", form)
	must(t, g.get("alice", "/tokens/ci"), "Renamed", "/rest/b", "!/rest/a<", "3 days left", "Bearer", "!Basic (user", "only 192.0.2.0/24", "!10.0.0.0/8", "Expires soon")
	if answer, _ := g.as("bob", "/tokens/ci/edit", form); answer.StatusCode != http.StatusNotFound {
		t.Errorf("another's token: %d", answer.StatusCode)
	}
}

// TestEveryRuleCanBeRemoved takes away rules in their long form, and limits a token that had none.
func TestEveryRuleCanBeRemoved(t *testing.T) {
	g := newRig(t, nil)
	put := func(name, spec string) {
		g.Store.Put(name+".yaml", fmt.Sprintf("apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: %s}\nspec: {user: bob, issued: 2026-05-30T00:00:00Z, digest: %s, %s}\n", name, token.Sum(token.Mint()), spec))
	}
	put("long", `allow: [{methods: [GET], path: /rest/a}, {path: /rest/b}]`)
	put("free", "unrestricted: true")
	must(t, g.get("bob", "/tokens/long/edit"), "/rest/a", "/rest/b")
	at := url.Values{"gate": {"builds", "jira"}, "scheme": {"basic", "bearer"}}
	for name, form := range map[string]url.Values{"long": {"name": {"long"}, "allow": {"1"}}, "free": {"name": {"free"}, "more": {"/rest/c"}}} {
		for field, values := range at {
			form[field] = values
		}
		if answer, text := g.as("bob", "/tokens/"+name+"/edit", form); answer.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %d\n%s", name, answer.StatusCode, text)
		}
	}
	must(t, g.get("bob", "/tokens/long"), "!<code>GET /rest/a", "/rest/b")
	must(t, g.get("bob", "/tokens/free"), "!Everything that its user may do", "/rest/c")
}

// TestRecentCallsAreShown shows calls, and sums up those of the last day.
func TestRecentCallsAreShown(t *testing.T) {
	g := newRig(t, nil)
	g.create("alice", nil)
	g.calls = []admin.Call{
		{Time: now.Add(-time.Hour), Decision: "allow", Reason: "ok", Gate: "jira", Method: "GET", Path: "/rest/api/2/issue/1", Client: "10.0.0.1", Rule: "read issues"},
		{Time: now.Add(-2 * time.Hour), Decision: "deny", Reason: "no_rule_matched", Status: 403, Gate: "jira", Method: "GET", Path: "/<b>", Client: "10.0.0.1", Detail: "path"},
		{Time: now.Add(-48 * time.Hour), Decision: "allow", Reason: "ok", Gate: "jira", Method: "GET", Path: "/old", Client: "10.0.0.9"},
	}
	must(t, g.get("alice", "/tokens/ci"), "1 hour ago</time> from 10.0.0.1 at jira", "no rule allows it", "/&lt;b&gt;", "!/<b>")
	must(t, g.get("alice", "/tokens/ci/revoke"), "<b>2 calls</b> presented it", "(1 refused)", "!10.0.0.9")
}

// TestAFormSentToTwoProcesses sends a form twice, to one process and to another: it makes one token, and rotates once.
func TestAFormSentToTwoProcesses(t *testing.T) {
	g := newRig(t, nil)
	other := newRig(t, func(o *admin.Options) {
		o.Service = &tokens.Service{Store: g.Store, Documents: g.Store, Now: g.Handler.Now}
	})
	create := func(g *rig, id string) (int, string) {
		answer, text := g.create("alice", func(v url.Values) { v.Set("form", id) })
		return answer.StatusCode, text
	}
	if status, text := create(g, "the form"); status != http.StatusCreated || !valuePattern.MatchString(text) {
		t.Fatalf("%d\n%s", status, text)
	}
	for range 2 {
		if status, text := create(other, "the form"); status != http.StatusConflict || valuePattern.MatchString(text) || !strings.Contains(text, `href="/tokens/ci"`) {
			t.Errorf("the same form at another process: %d\n%s", status, text)
		}
	}
	if status, text := create(other, "another form"); status != http.StatusCreated || !valuePattern.MatchString(text) {
		t.Errorf("another form: %d\n%s", status, text)
	}
	if answer, text := other.as("bob", "/new", url.Values{"name": {"Bob's"}, "ends": {"7d"}, "scope": {"limited"}, "policy": {"read-issues"}, "do": {"create"}, "form": {"the form"}}); answer.StatusCode != http.StatusCreated {
		t.Errorf("the form of another: %d\n%s", answer.StatusCode, text)
	}

	found := regexp.MustCompile(`name="revision" value="([^"]+)"`).FindStringSubmatch(g.get("alice", "/tokens/ci/rotate"))
	if found == nil {
		t.Fatal("the form has no revision")
	}
	form := url.Values{"overlap": {"1d"}, "form": {"rotate"}, "revision": {found[1]}}
	if answer, text := g.as("alice", "/tokens/ci/rotate", form); answer.StatusCode != http.StatusCreated || !valuePattern.MatchString(text) {
		t.Fatalf("%d\n%s", answer.StatusCode, text)
	}
	if answer, text := other.as("alice", "/tokens/ci/rotate", form); answer.StatusCode != http.StatusConflict || valuePattern.MatchString(text) {
		t.Errorf("the same form at another process: %d\n%s", answer.StatusCode, text)
	}
}

// TestUnusedRulesAreReported has a rule that was used, one that was not, one that denies, and more rules than are counted.
func TestUnusedRulesAreReported(t *testing.T) {
	g := newRig(t, nil)
	g.create("alice", func(v url.Values) { v.Set("lines", "POST /rest/never") })
	must(t, g.get("alice", "/tokens/ci"), "!used 1", "since the server started")
	read := usage.RuleUse{Policy: "read-issues", Rule: "read issues", Text: "GET,HEAD  /rest/api/2/issue(/.*)?", Count: 1234, Last: now.Add(-2 * time.Hour)}
	g.rules = usage.Token{Rules: []usage.RuleUse{read}}
	text := g.get("alice", "/tokens/ci")
	must(t, text, "used 1234 times, last 2 hours ago", "never used")
	if strings.Count(text, "never used") != 1 {
		t.Errorf("expected one unused rule of two:\n%s", text)
	}
	g.rules.OtherRules = 1
	must(t, g.get("alice", "/tokens/ci"), "used 1234 times", "!never used")
}

// TestUsageWithoutCounters says so, and not that tokens are unused.
func TestUsageWithoutCounters(t *testing.T) {
	g := newRig(t, func(o *admin.Options) { o.Usage, o.Recent, o.Rules = nil, nil, nil })
	g.create("alice", nil)
	must(t, g.get("alice", "/"), "Uses are not known here", "!No use seen")
	must(t, g.get("alice", "/tokens/ci"), "Not known here", "and not here", "!never used")
	must(t, g.get("alice", "/tokens/ci/revoke"), "and not here", "!No call presented it")
	counted := newRig(t, func(o *admin.Options) {
		o.Recent = nil
		o.Usage = func(string) *admin.Used { return &admin.Used{Time: now.Add(-time.Hour), Client: "10.0.0.1"} }
	})
	counted.create("alice", nil)
	must(t, counted.get("alice", "/"), "1 hour ago</time> from 10.0.0.1")
	must(t, counted.get("alice", "/tokens/ci/revoke"), "last used 1 hour ago from 10.0.0.1")
}

// TestManyTokensAreRevokedAfterAQuestion revokes those of a user, and refuses where they are others
// meanwhile.
func TestManyTokensAreRevokedAfterAQuestion(t *testing.T) {
	g := newRig(t, nil)
	for i := range 2 {
		g.create("alice", func(v url.Values) { v.Set("form", fmt.Sprint(i)) })
	}
	_, text := g.as("root", "/all/revoke", url.Values{"user": {"alice"}})
	must(t, text, "Revoke 2 tokens of alice?", `name="expect" value="2"`)
	answer, _ := g.as("root", "/all/revoke", url.Values{"user": {"alice"}, "sure": {"yes"}, "expect": {"1"}})
	if answer.StatusCode != http.StatusConflict {
		t.Errorf("another number: %d", answer.StatusCode)
	}
	if answer, _ := g.as("root", "/all/revoke", url.Values{"sure": {"yes"}, "expect": {"0"}}); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("none: %d", answer.StatusCode)
	}
	for _, user := range []string{"alice", "reader"} {
		if answer, _ := g.as(user, "/all/revoke", url.Values{"user": {"alice"}, "sure": {"yes"}, "expect": {"2"}}); answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", user, answer.StatusCode)
		}
	}
	must(t, g.get("alice", "/"), "!Revoked</strong>")
	_, text = g.as("root", "/all/revoke", url.Values{"user": {"alice"}, "sure": {"yes"}, "expect": {"2"}})
	must(t, text, "2 tokens are revoked")
	must(t, g.get("alice", "/?state=revoked"), "2 tokens match")
}

// TestWhoMayNotCreate sees why, and keeps their tokens.
func TestWhoMayNotCreate(t *testing.T) {
	g := newRig(t, nil)
	must(t, g.get("reader", "/"), "do not let you create tokens", `!href="/new"`)
	must(t, g.get("reader", "/new"), "You can’t create tokens", "!<form class")
	if answer, _ := g.create("reader", nil); answer.StatusCode != http.StatusForbidden {
		t.Error(answer.StatusCode)
	}
}

// TestSecureModeIsExplained hides what secure mode refuses, and explains it.
func TestSecureModeIsExplained(t *testing.T) {
	g := newRig(t, func(o *admin.Options) { o.Secure = true })
	answer, text := g.create("alice", nil)
	if must(t, text, "Secure mode is on", "!curl"); answer.StatusCode != http.StatusCreated {
		t.Error(answer.StatusCode)
	}
	must(t, g.get("alice", "/tokens/ci"), "Secure mode is on", ">Rotate<", ">Revoke<", "!>Change<", "!>Suspend<")
	must(t, g.get("alice", "/tokens/ci/edit"), "Secure mode is on", "!>Save<")
	for path, form := range map[string]url.Values{"/tokens/ci/edit": {"name": {"x"}}, "/tokens/ci/suspend": {}} {
		if answer, _ := g.as("alice", path, form); answer.StatusCode != http.StatusConflict {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
}

// TestSigningIn offers the ways that there are, and comes back to where somebody was.
func TestSigningIn(t *testing.T) {
	g := newRig(t, nil)
	_, text := g.as("", "/", nil)
	must(t, text, "Open the sign-in link")
	g.Handler.AddSignIn(admin.SignIn{Name: "login.example.com", Path: "/login"})
	_, text = g.as("", "/new?name=a%20b&policy=c", nil)
	must(t, text, "Sign in with login.example.com", `href="/login?to=%2fnew%3fname%3da%2520b%26policy%3dc"`)
}

// TestUnknownPaths answers a browser with a page, and programs with a problem.
func TestUnknownPaths(t *testing.T) {
	g := newRig(t, nil)
	for path, want := range map[string]string{"/none": "text/html", "/tokens/none": "text/html", "/api/v1/none": "application/problem+json", "/assets/none.css": "text/plain"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/html")
		answer := g.Send("alice", r)
		if got := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusNotFound || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %d %s", path, answer.StatusCode, got)
		}
	}
}
