package page

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// chromium is the browser that all tests share; each has a window of its own, with its own cookies.
var chromium context.Context

// axe is axe-core.
var axe string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		text, err := os.ReadFile(filepath.Join(axeAt, "node_modules", "axe-core", "axe.min.js"))
		if err != nil || binary == "" || browserAt == "" {
			fmt.Fprintln(os.Stderr, "run `make test-page`:", err)
			return 1
		}
		axe = string(text)
		lib := filepath.Join(browserAt, "root/usr/lib/x86_64-linux-gnu")
		allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(filepath.Join(browserAt, "root/usr/lib/chromium/chromium")), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true),
			chromedp.Flag("hide-scrollbars", true), chromedp.Flag("force-color-profile", "srgb"), chromedp.WSURLReadTimeout(90*time.Second),
			chromedp.Env("LD_LIBRARY_PATH="+lib+":"+lib+"/pulseaudio:"+lib+"/samba", "FONTCONFIG_FILE="+filepath.Join(browserAt, "fonts.conf"), "TZ=UTC"))...)
		defer stop()
		ctx, cancel := chromedp.NewContext(allocator)
		defer cancel()
		chromium = ctx
		if err := chromedp.Do(ctx); err != nil { // the first run owns the browser: it has no deadline
			fmt.Fprintln(os.Stderr, "Chromium does not start:", err)
			return 1
		}
		return m.Run()
	}())
}

// look is how a window looks at the page.
type look struct {
	name     string
	width    int64
	dark     bool
	noScript bool
	axe      bool // its pages are held against axe-core
}

var looks = []look{
	{name: "wide-light", width: 1280, axe: true}, {name: "wide-dark", width: 1280, dark: true},
	{name: "narrow-light", width: 320}, {name: "narrow-dark", width: 320, dark: true, axe: true},
}

// window is a browser that somebody has signed in with.
type window struct {
	t      *testing.T
	ctx    context.Context
	g      *rig
	clicks int
	mu     sync.Mutex
	said   []string // what the page wrote to the console, and what it was refused
	asked  []string // dialogs
}

// stepWithin is how long one step may take.
const stepWithin = 20 * time.Second

// open returns a window of a user; empty: nobody.
func (g *rig) open(t *testing.T, user string, l look) *window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	w := &window{t: t, ctx: ctx, g: g}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	if l.width == 0 {
		l.width = 1280
	}
	w.do(chromedp.EmulateViewport(l.width, 800), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: l.noScript})
		return err
	}))
	w.listen()
	if user != "" {
		c := g.cookie(user)
		if _, err := chromedp.Call(ctx, network.SetCookie, network.SetCookieParams{Name: c.Name, Value: c.Value, URL: g.url, HTTPOnly: new(true), SameSite: network.CookieSameSiteLax}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// listen notes what the page writes, and answers its dialogs with yes.
func (w *window) listen() {
	console := chromedp.Console(w.ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			w.mu.Lock()
			w.said = append(w.said, m.String())
			w.mu.Unlock()
		}
	}()
	dialogs := chromedp.Events(w.ctx, page.JavascriptDialogOpening)
	go func() {
		for e, err := range dialogs {
			if err != nil {
				return
			}
			w.mu.Lock()
			w.asked = append(w.asked, string(e.Type))
			w.mu.Unlock()
			go func() {
				_, _ = chromedp.Call(w.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
			}()
		}
	}()
}

// dialogs returns the dialogs since the last call.
func (w *window) dialogs() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = nil
	return asked
}

// do does steps.
func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, stepWithin)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.t.Fatalf("%v\n%s", err, w.state())
	}
}

// state says where the window is.
func (w *window) state() string {
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
	return text[:min(len(text), 1500)]
}

// visit opens a path, and returns the answer's status.
func (w *window) visit(path string) int64 {
	w.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = w.g.url + path
	}
	return w.follow(chromedp.Navigate(path))
}

// follow does steps that lead to another page, and returns the answer's status.
func (w *window) follow(steps ...chromedp.Action[chromedp.Void]) int64 {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, stepWithin)
	defer cancel()
	answer, err := chromedp.RunResponse(ctx, steps...)
	if err != nil {
		w.t.Fatalf("%v\n%s", err, w.state())
	}
	return int64(answer.Status)
}

// named finds a link or button by its text.
func named(text string) string {
	return fmt.Sprintf(`//main//*[(self::a or self::button) and normalize-space(.)=%q]`, text)
}

// press clicks a link or button that leads to another page.
func (w *window) press(text string) int64 {
	w.t.Helper()
	return w.follow(w.click(named(text)))
}

// click is a counted click.
func (w *window) click(selector string) chromedp.Action[chromedp.Void] {
	w.clicks++
	return chromedp.Click(selector, chromedp.NodeVisible)
}

// pick clicks what stays on the page.
func (w *window) pick(selector string) {
	w.t.Helper()
	w.do(w.click(selector))
}

// write types into a field.
func (w *window) write(id, text string) {
	w.t.Helper()
	get[any](w, fmt.Sprintf("document.getElementById(%q).value = ''", id))
	w.do(chromedp.SendKeys(`//*[@id="`+id+`"]`, text))
}

// get evaluates a script in the page, as the developer tools do.
func get[T any](w *window, script string) T {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, stepWithin)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", script[:min(len(script), 200)], err, w.state())
	}
	return v
}

// text is what people read on the page.
func (w *window) text() string {
	w.t.Helper()
	return get[string](w, "document.body.innerText")
}

// must checks that people read texts, and not those with a ! before them.
func (w *window) must(parts ...string) {
	w.t.Helper()
	text := strings.ToLower(w.text())
	for _, part := range parts {
		without, not := strings.CutPrefix(part, "!")
		if strings.Contains(text, strings.ToLower(without)) == not {
			w.t.Errorf("want %q on the page:\n%s", part, text)
		}
	}
}

// allowClipboard lets pages read and write the clipboard.
func (w *window) allowClipboard() {
	w.t.Helper()
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		_, err := chromedp.CallBrowser(w.ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted, Origin: w.g.url,
			BrowserContextID: chromedp.FromContext(w.ctx).BrowserContextID,
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// shoot takes a picture of the whole page.
func (w *window) shoot(name string) []byte {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, stepWithin)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		w.t.Fatal(err)
	}
	if shotsAt != "" {
		if err := os.WriteFile(filepath.Join(shotsAt, name+".png"), picture, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	return picture
}

// violation is what axe-core found.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct {
		HTML    string
		Target  []string
		Summary string `json:"failureSummary"`
	}
}

// accessible checks the page with axe-core.
func (w *window) accessible(name string) {
	w.t.Helper()
	get[any](w, axe+";0")
	found := get[[]violation](w, `axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations)`)
	for _, v := range found {
		for _, n := range v.Nodes {
			w.t.Errorf("%s: axe: %s (%s): %s\n%s", name, v.ID, v.Impact, n.HTML, n.Summary)
		}
	}
}

// still checks that nothing moved since the page came.
func (w *window) still(name string) {
	w.t.Helper()
	shifts := get[[]string](w, `new Promise((done) => {
		const seen = [];
		const place = (r) => [r.x, r.y, r.width, r.height].map(Math.round).join(" ");
		new PerformanceObserver((list) => {
			for (const e of list.getEntries()) if (!e.hadRecentInput) for (const s of e.sources) seen.push(e.value + " " + (s.node?.outerHTML ?? s.node?.textContent ?? "").slice(0, 80) + " from " + place(s.previousRect) + " to " + place(s.currentRect));
		}).observe({type: "layout-shift", buffered: true});
		setTimeout(() => done(seen), 60);
	})`)
	for _, shift := range shifts {
		w.t.Errorf("%s: the layout shifts: %s", name, shift)
	}
}

// fits checks that the page is no wider than its window, and that the browser complains of nothing.
func (w *window) fits(name string) {
	w.t.Helper()
	if wide := get[[]int](w, "[document.scrollingElement.scrollWidth, innerWidth]"); wide[0] > wide[1] {
		w.t.Errorf("%s: the page is %d pixels wide in a window of %d", name, wide[0], wide[1])
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range w.said {
		if !strings.Contains(text, "the server responded with a status of") { // the browser says so of every page that is a refusal
			w.t.Errorf("%s: the console says %s", name, text)
		}
	}
	w.said = nil
}

// lines opens the part of the form for lines, and fills it in.
func (w *window) lines(text string) {
	w.t.Helper()
	w.do(chromedp.Click(`//summary[normalize-space(.)="Rules as lines"]`, chromedp.NodeVisible))
	w.write("lines", text)
}

// fill types into the field that a selector finds.
func (w *window) fill(selector, text string) {
	w.t.Helper()
	w.do(chromedp.SendKeys(selector, text, chromedp.NodeVisible))
}

// date sets a field of a date.
func (w *window) date(id string, t time.Time) {
	w.t.Helper()
	get[any](w, fmt.Sprintf("document.getElementById(%q).value = %q", id, t.UTC().Format(time.DateOnly)))
}

// until waits until a script returns true.
func (w *window) until(what, script string) {
	w.t.Helper()
	for deadline := time.Now().Add(stepWithin); !get[bool](w, script); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not so after %s: %s\n%s", stepWithin, what, w.state())
		}
	}
}

// awaits waits until people read a text.
func (w *window) awaits(text string) {
	w.t.Helper()
	w.until(text, fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// copies clicks a button that copies, and returns the clipboard.
func (w *window) copies(id string) string {
	w.t.Helper()
	button := fmt.Sprintf(`button[data-copy="%s"]`, id)
	w.pick(`//button[@data-copy="` + id + `"]`)
	w.until("copied", fmt.Sprintf("document.querySelector('%s').textContent == 'Copied'", button))
	return get[string](w, "navigator.clipboard.readText()")
}

// focused names what has the focus.
func (w *window) focused() string {
	w.t.Helper()
	return get[string](w, `(() => { const e = document.activeElement; return (e.matches("input, select, textarea") ? (e.type == "checkbox" || e.type == "radio" ? e.value : e.id) : e.innerText) || e.tagName })()`)
}

// tabTo presses Tab until something has the focus.
func (w *window) tabTo(name string) {
	w.t.Helper()
	var seen []string
	for range 60 {
		w.do(chromedp.KeyEvent(kb.Tab))
		got := w.focused()
		if got == name {
			return
		}
		seen = append(seen, got)
	}
	w.t.Fatalf("Tab does not lead to %q, but to %q", name, seen)
}
