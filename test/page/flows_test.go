package page

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestFirstToken goes from a sign-in link to a curl that works, as a newcomer does: in under a minute,
// with six clicks at most.
func TestFirstToken(t *testing.T) {
	g := newRig(t)
	w := g.open(t, "", look{})
	w.allowClipboard()
	began := time.Now()
	w.clicks++ // the link
	w.visit(g.link)
	w.press("Create your first token")
	w.write("name", "My first token")
	w.pick(`//input[@name="policy"][@value="read-issues"]`)
	w.awaits("GET /rest/api/2/issue") // the preview follows the form
	w.press("Create token")
	value := w.copies("value")
	w.must("Copied. Keep it")
	code := get[string](w, `document.getElementById("curl").textContent`)
	out, err := g.curl(code, value)
	took := time.Since(began)
	if err != nil || !strings.Contains(out, `{"path":"/rest/api/2/issue"`) {
		t.Fatalf("curl: %v\n%s\n%s", err, code, out)
	}
	if strings.Contains(code, value) {
		t.Error("the code has the value in it")
	}
	if w.clicks > 6 || took > time.Minute {
		t.Errorf("%d clicks in %s, want 6 in a minute", w.clicks, took)
	}
	t.Logf("from the sign-in link to a working curl: %d clicks, %s", w.clicks, took.Round(100*time.Millisecond))
	w.visit("/tokens/my-first-token")
	w.must("✓ Passed", "just now from 127.0.0.1", "used 1 time, last just now")

	// The link works once.
	again := g.open(t, "", look{})
	if status := again.visit(g.link); status != 401 {
		t.Errorf("a link that was used: %d", status)
	}
}

// TestFlowsWithScript and TestFlowsWithoutScript do everything that people do.
func TestFlowsWithScript(t *testing.T) { flows(t, look{}, "scripted") }

// TestFlowsWithoutScript does the same in a browser that runs no scripts.
func TestFlowsWithoutScript(t *testing.T) { flows(t, look{width: 320, noScript: true}, "scriptless") }

func flows(t *testing.T, l look, user string) {
	t.Parallel()
	g := newRig(t)
	w := g.open(t, user, l)

	// A form with mistakes keeps what was typed, and says what is wrong beside it.
	w.visit("/new")
	w.write("name", "Release bot")
	w.write("description", "Comments on issues")
	if status := w.press("Create token"); status != 400 {
		t.Errorf("a form without rules: %d", status)
	}
	w.must("nothing says what the token may do")
	if got := get[string](w, `document.getElementById("name").value + "|" + document.getElementById("description").value`); got != "Release bot|Comments on issues" {
		t.Errorf("what was typed is %q", got)
	}

	// Rules are added as rows, and previewed; a request is tried.
	w.fill("(//input[@name='rule-path'])[1]", "/rest/api/2/issue")
	w.press("Add a rule")
	w.fill("(//input[@name='rule-path'])[2]", "/rest/api/2/search")
	w.do(chromedp.SetAttributeValue(`(//select[@name="rule-below"])[2]/option[@value="this"]`, "selected", "selected"))
	if l.noScript || l.width == 320 {
		w.press("Show the preview")
	} else {
		w.awaits("/rest/api/2/search")
	}
	w.must("GET, HEAD of /rest/api/2/issue and all below it", "passes", "refused")
	w.write("try-path", "/rest/api/2/issue/JRA-1")
	w.press("Try it")
	w.must("This request passes")
	w.write("try-path", "/rest/api/2/project")
	w.press("Try it")
	w.must("This request is refused (403)", "no_rule_matched")

	// The value is shown once, and works.
	if status := w.press("Create token"); status != 201 {
		t.Fatalf("%d\n%s", status, w.text())
	}
	value := get[string](w, `document.getElementById("value").textContent`)
	if got := g.call("GET", "/rest/api/2/issue/JRA-1", value); got != 200 {
		t.Errorf("the new token: %d", got)
	}
	if got := g.call("GET", "/rest/api/2/project", value); got != 403 {
		t.Errorf("beyond the new token: %d", got)
	}

	// The list finds it, and its page knows its calls.
	w.visit("/?q=release+bot")
	w.must("Release bot", "Active", "30 days left", value[:9]+"…")
	w.follow(w.click(`//main//h2/a`))
	w.must("✓ Passed", "✕ Refused", "no_rule_matched", "used 1 time, last just now", "never used")

	// It is renamed, narrowed and shortened, suspended and lifted, each in force at once.
	w.press("Change")
	w.write("name", "Release robot")
	w.pick(`(//input[@name="line"])[2]`)
	w.date("date", time.Now().Add(9*day))
	w.press("Save")
	w.must("The token is changed", "Release robot", "!/rest/api/2/search")
	w.must("9 days left")
	w.press("Suspend")
	w.must("The token is suspended", "Suspended")
	if got := g.call("GET", "/rest/api/2/issue/JRA-1", value); got != 401 {
		t.Errorf("a suspended token: %d", got)
	}
	w.press("Lift suspension")
	if got := g.call("GET", "/rest/api/2/issue/JRA-1", value); got != 200 {
		t.Errorf("a token that works again: %d", got)
	}

	// It is rotated: both values work for a while.
	w.press("Rotate")
	w.must("The current value works on for")
	if status := w.press("Rotate"); status != 201 {
		t.Fatalf("%d\n%s", status, w.text())
	}
	next := get[string](w, `document.getElementById("value").textContent`)
	for name, v := range map[string]string{"the old value": value, "the new value": next} {
		if got := g.call("GET", "/rest/api/2/issue/JRA-1", v); got != 200 {
			t.Errorf("%s: %d", name, got)
		}
	}

	// It is revoked after a question that says what used it.
	w.visit("/tokens/release-bot")
	w.press("Revoke")
	w.must("The last 24 hours", "from 127.0.0.1 at jira", "refused)")
	w.press("Revoke it forever")
	w.must("The token is revoked", "Revoked")
	if got := g.call("GET", "/rest/api/2/issue/JRA-1", next); got != 401 {
		t.Errorf("a revoked token: %d", got)
	}
	w.visit("/?state=revoked")
	w.must("Release robot")
	w.visit("/?state=active")
	w.must("!Release robot")

	administrate(t, g, l)
	w.follow(w.click(`//button[.="Sign out"]`))
	w.must("Sign in")
	if status := w.visit("/"); status != 401 {
		t.Errorf("after signing out: %d", status)
	}
}

// administrate does what administrators do.
func administrate(t *testing.T, g *rig, l look) {
	root := g.open(t, "root", l)
	root.visit("/all?user=bob")
	root.must("My editor", "Export", "!Nightly report")
	root.visit("/all?group=contractors")
	root.must("Data import", "!Export")
	root.visit("/all?state=suspended&gate=jira&unused=30")
	root.must("Sync to the warehouse", "!Export")
	root.visit("/people")
	root.must("dana", "In no group", "2 live tokens")
	root.press("Revoke all… of dana")
	root.must("Revoke 2 tokens of dana?", "Backup of issues", "Chat notifications")
	root.press("Revoke 2 tokens forever")
	root.must("2 tokens are revoked")
	root.visit("/all?user=bob")
	root.pick(`//input[@name="names"][@value="bob-export"]`)
	root.press("Revoke those ticked…")
	root.must("Revoke 1 token that you ticked?", "Export", "!My editor")
	root.press("Revoke 1 token forever")
	root.must("1 token is revoked")
	root.visit("/groups")
	root.must("developers", "90 days at most", "30 live tokens each", "Administrators")
	other := g.open(t, "bob", l)
	for _, path := range []string{"/all", "/people", "/groups"} {
		if status := other.visit(path); status != 403 {
			t.Errorf("%s as bob: %d", path, status)
		}
	}
	if status := other.visit("/tokens/nightly-report"); status != 404 {
		t.Errorf("another's token: %d", status)
	}
}

// TestLeavingTheValue warns until the value is copied, and leaves it nowhere.
func TestLeavingTheValue(t *testing.T) {
	g := newRig(t)
	for _, copied := range []bool{false, true} {
		w := g.open(t, "alice", look{})
		w.allowClipboard()
		w.visit(fmt.Sprintf("/new?name=Leaving+%v&policy=read-issues", copied))
		w.press("Create token")
		value := get[string](w, `document.getElementById("value").textContent`)
		if copied {
			w.copies("value")
		} else {
			w.pick(`//main/h1`) // browsers ask only where somebody did something
		}
		w.follow(w.click(`//main//p[@class="crumb"]/a`))
		want := []string{"beforeunload"}
		if copied {
			want = nil
		}
		if got := w.dialogs(); !slices.Equal(got, want) {
			t.Errorf("copied %v: asked %v, want %v", copied, got, want)
		}
		for _, path := range []string{"/", "/new", fmt.Sprintf("/tokens/leaving-%v", copied)} {
			w.visit(path)
			if html := get[string](w, "document.documentElement.outerHTML + JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"); strings.Contains(html, value) {
				t.Errorf("%s has the value", path)
			}
		}
		w.backTo(w.valuePage(value), value)
		g.secret(value)
	}
}

// TestLeavingTheValueWithoutScript goes back to the page of a value in a browser that runs no scripts.
func TestLeavingTheValueWithoutScript(t *testing.T) {
	g := newRig(t)
	w := g.open(t, "alice", look{noScript: true})
	w.visit("/new?name=Left&policy=read-issues")
	w.press("Create token")
	value := get[string](w, `document.getElementById("value").textContent`)
	w.press("Done")
	w.backTo(w.valuePage(value), value)
	g.secret(value)
}

// valuePage finds the page of a value in the history, which does not have the value itself.
func (w *window) valuePage(value string) (entry int64) {
	w.t.Helper()
	history, err := chromedp.Run(w.ctx, chromedp.NavigationEntries())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range history.Entries {
		if strings.Contains(e.URL+e.Title+e.UserTypedURL, value) {
			w.t.Errorf("the history has the value: %s %s", e.URL, e.Title)
		}
		if strings.HasPrefix(e.Title, "Your new token") {
			entry = e.ID
		}
	}
	if entry == 0 {
		w.t.Fatalf("the page of the value is not in the history: %v", history.Entries)
	}
	return entry
}

// backTo goes to an entry of the history: the browser has nothing of the value.
func (w *window) backTo(entry int64, value string) {
	w.t.Helper()
	was := get[string](w, "location.href")
	if _, err := chromedp.Call(w.ctx, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: entry}); err != nil {
		w.t.Fatal(err)
	}
	w.until("back", fmt.Sprintf("location.href != %q && document.readyState == 'complete'", was))
	if html := get[string](w, "document.documentElement.outerHTML"); strings.Contains(html, value) {
		w.t.Error("going back shows the value again")
	}
}

// secret checks that what patgate wrote has no value.
func (g *rig) secret(value string) {
	g.t.Helper()
	if strings.Contains(g.out.String(), value) {
		g.t.Error("a log has the value")
	}
	err := filepath.WalkDir(filepath.Join(g.dir, "manifests"), func(path string, _ os.DirEntry, err error) error {
		if text, _ := os.ReadFile(path); strings.Contains(string(text), value) {
			g.t.Errorf("%s has the value", path)
		}
		return err
	})
	if err != nil {
		g.t.Error(err)
	}
}

// TestMarkupIsText has markup in every text that people choose.
func TestMarkupIsText(t *testing.T) {
	g := newRig(t)
	const bad = `<img src=x onerror=alert(1)><script>alert(2)</script>"'</textarea>`
	w := g.open(t, "<b>bold</b>", look{})
	w.visit("/new")
	w.write("name", bad)
	w.write("description", bad+"{{.}}")
	w.lines("/rest/" + "<b>x</b>")
	w.write("try-path", "/rest/<b>x</b>")
	w.press("Try it")
	w.must(`</b>`)
	w.press("Create token")
	w.must(bad)
	root := g.open(t, "root", look{})
	for _, path := range []string{"/all", "/people", "/groups"} {
		root.visit(path)
		root.must("<b>bold</b>")
	}
	for _, v := range []*window{w, root} {
		v.visit("/all?user=%3Cb%3Ebold%3C/b%3E")
		if v == w {
			v.visit("/")
		}
		v.must(bad, bad+"{{.}}", "<b>x</b>")
		v.follow(v.click(`//main//h2/a`))
		v.must(bad, bad+"{{.}}", "<b>x</b>")
		v.visit("/new?name=%3Cscript%3Ealert(3)%3C/script%3E&policy=%3Cb%3Ex%3C/b%3E&expires=%3Ci%3E")
		v.must("<b>x</b>")
		if n := get[int](v, `document.querySelectorAll("main b b, main img[src=x], main script").length`); n != 0 {
			t.Errorf("%d elements of markup", n)
		}
		if asked := v.dialogs(); slices.Contains(asked, "alert") {
			t.Errorf("dialogs: %v", asked)
		}
	}
}

// TestKeyboard creates a token with the keyboard alone.
func TestKeyboard(t *testing.T) {
	g := newRig(t)
	w := g.open(t, "keyboard", look{})
	w.visit("/")
	w.do(chromedp.KeyEvent(kb.Tab))
	if got := w.focused(); !strings.HasPrefix(got, "Skip to the content") {
		t.Errorf("the first stop is %q", got)
	}
	w.tabTo("New token")
	w.follow(chromedp.KeyEvent(kb.Enter))
	w.tabTo("name")
	w.do(chromedp.KeyEvent("Typed alone"))
	w.tabTo("read-issues")
	w.do(chromedp.KeyEvent(" "))
	w.tabTo("Create token")
	if outline := get[string](w, "getComputedStyle(document.activeElement).outlineStyle"); outline == "none" {
		t.Error("what has the focus is not marked")
	}
	w.follow(chromedp.KeyEvent(kb.Enter))
	w.must("Your new token")
	w.tabTo("Copy")
	w.do(chromedp.KeyEvent(kb.Enter))
	w.awaits("Copied")
}

// TestSecureMode hides what is refused, and refuses what is sent all the same.
func TestSecureMode(t *testing.T) {
	g := newRig(t, "--manage-secure-mode")
	w := g.open(t, "alice", look{})
	w.visit("/tokens/nightly-report")
	w.must("Secure mode is on", "Rotate", "Revoke", "and not changed or suspended")
	if n := get[int](w, `[...document.querySelectorAll("main a, main button")].filter((e) => ["Change", "Suspend"].includes(e.textContent.trim())).length`); n != 0 {
		t.Errorf("%d ways to change a token", n)
	}
	w.visit("/tokens/nightly-report/edit")
	w.must("Secure mode is on", "!Save")
	for _, path := range []string{"suspend", "edit"} {
		status := get[int](w, fmt.Sprintf(`fetch("/tokens/nightly-report/%s", {method: "POST", body: new URLSearchParams({name: "x"})}).then((r) => r.status)`, path))
		if status != 409 {
			t.Errorf("%s: %d", path, status)
		}
	}
	w.visit("/new?name=Still+new&policy=read-issues")
	if status := w.press("Create token"); status != 201 {
		t.Error(status)
	}
	w.must("secure mode is on: the code of clients is refused", "!curl")
	w.visit("/tokens/still-new/rotate")
	if status := w.press("Rotate"); status != 201 {
		t.Error(status)
	}
}
