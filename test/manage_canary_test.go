package test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// traced is a management whose store is a Git repository, with an Envoy before an API, and all that was ever answered.
type traced struct {
	t *testing.T
	*system
	at       string
	page     string
	own      string // the value of the administrator's token
	browser  *http.Client
	values   map[string]string // by what made them
	answered map[string]string // the answers but those that show a new value, by the request
}

// mintedValue is a value in a text.
var mintedValue = regexp.MustCompile(`patg_[0-9A-Za-z]{36}`)

func newTraced(t *testing.T) *traced {
	t.Helper()
	at, tokens := managedOffice(t, 1)
	text := managedText(t, at)
	write(t, filepath.Join(at, "office.yaml"), strings.Replace(text, "---\n", "---\n"+kind("api", "Gate", "hosts: [api.example.com]\nschemes: [basic, bearer]"), 1))
	page := freeAddr(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &traced{t: t, at: at, page: "http://" + page, own: tokens["root"].Reveal(), browser: &http.Client{Jar: jar}, values: map[string]string{}, answered: map[string]string{}}
	c.values["the administrator's"] = c.own
	c.system = startSystem(t, at, nil, "--manage-listen", page, "--manage-into", filepath.Join(at, "tokens"), "--manage-gate", "tokens", "--manage-login-link", "root", "--log-level", "debug")
	link := regexp.MustCompile(`http://\S+/login/link/\S+`)
	for deadline := time.Now().Add(20 * time.Second); link.FindString(c.log()) == ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no link:\n%s", c.log())
		}
	}
	answer, err := c.browser.Get(strings.Trim(link.FindString(c.log()), `"`))
	if err != nil || answer.Body.Close() != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("signing in: %v %v", answer, err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"config", "user.email", "a@example.com"}, {"config", "user.name", "a"}} {
		c.git(args...)
	}
	c.commit()
	return c
}

// managedText is the text of the manifests of managedOffice.
func managedText(t *testing.T, at string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(at, "office.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// git runs Git in the store.
func (c *traced) git(args ...string) string {
	c.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", c.at}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// commit keeps the store as it is.
func (c *traced) commit() {
	c.t.Helper()
	c.git("add", "-A")
	c.git("commit", "-q", "--allow-empty", "-m", "as it is")
}

// send sends a request: of a browser with a form, else of a program with a body. made names what gives a new value.
func (c *traced) send(made, method, path, body string, form url.Values) string {
	c.t.Helper()
	client, kind := http.DefaultClient, "application/json"
	if form != nil || method == "" {
		client, kind, body = c.browser, "application/x-www-form-urlencoded", form.Encode()
	}
	to := method
	if to == "" {
		to = http.MethodGet
	}
	r, err := http.NewRequest(to, c.page+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if client == http.DefaultClient {
		r.Header.Set("Authorization", "Bearer "+c.own)
	}
	r.Header.Set("Content-Type", kind)
	answer, err := client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 500 || made != "" && answer.StatusCode >= 400 {
		c.t.Fatalf("%s %s: %d %v\n%s", method, path, answer.StatusCode, err, text)
	}
	head := fmt.Sprint(answer.Header, answer.Request.URL)
	if made == "" {
		c.answered[fmt.Sprint(method, " ", path, " ", len(c.answered))] = head + string(text)
		return string(text)
	}
	c.answered["the headers of "+made] = head
	c.keep(made, string(text))
	c.commit()
	return string(text)
}

// keep takes the one new value out of a text.
func (c *traced) keep(made, text string) {
	c.t.Helper()
	found := mintedValue.FindAllString(text, -1)
	if len(found) != 1 {
		c.t.Fatalf("%s: %d values in the answer, want 1", made, len(found))
	}
	for by, value := range c.values {
		if value == found[0] {
			c.t.Fatalf("%s shows the value of %s again", made, by)
		}
	}
	c.values[made] = found[0]
}

// run runs the command line. made names what gives a new value.
func (c *traced) run(made string, args ...string) {
	c.t.Helper()
	out, err := exec.Command(binary, args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("patgate %v: %v\n%s", args, err, out)
	}
	if made != "" {
		c.keep(made, string(out))
	} else {
		c.answered[fmt.Sprint("patgate ", args, len(c.answered))] = string(out)
	}
	c.commit()
}

// call calls the API through Envoy with a value where it belongs, and where it does not. It returns the id of the last decision.
func (c *traced) call(value string) (id string) {
	c.t.Helper()
	for _, path := range []string{"/rest/x", "/rest/x/" + value, "/rest/x?token=" + value, "/other"} {
		r, err := http.NewRequest(http.MethodGet, "http://"+c.clients+path, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		r.Host = "api.example.com"
		r.Header.Set("Authorization", "Bearer "+value)
		r.Header.Set("User-Agent", "agent "+value)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			c.t.Fatal(err)
		}
		_ = answer.Body.Close()
		id = answer.Header.Get("X-Patgate-Id")
	}
	return id
}

// secrets are the texts that give a value away, and those that are digests of it.
func secrets(value string) (of, digests []string) {
	random := strings.TrimPrefix(value, token.Prefix)
	for i := 5; i+12 <= len(random); i++ { // the hint is the first four
		of = append(of, random[i:i+12])
	}
	for _, lead := range []string{"", ":", "u:", "root:"} {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(lead + value))
		of = append(of, encoded[12:36])
	}
	of = append(of, hex.EncodeToString([]byte(random[5:])))
	sum := sha256.Sum256([]byte(value))
	return of, []string{hex.EncodeToString(sum[:]), base64.RawStdEncoding.EncodeToString(sum[:])[:40], base64.RawURLEncoding.EncodeToString(sum[:])[:40]}
}

// TestNoValueIsLeftAnywhere creates, rotates and revokes tokens over both APIs, the page and the command line, with a store in Git, and calls with
// them. No value is in any later answer, log, audit event, page, metric, file or object of Git; digests are in manifests alone.
func TestNoValueIsLeftAnywhere(t *testing.T) {
	c := newTraced(t)
	into := filepath.Join(c.at, "tokens")
	c.send("API", "POST", "/api/v1/tokens", `{"displayName": "By API", "limitTo": ["[get]/rest/x"], "expiresIn": "7d"}`, nil)
	c.send("API, rotated", "POST", "/api/v1/tokens/by-api:rotate", `{"overlap": "1h"}`, nil)
	c.send("Atlassian's API", "POST", "/rest/pat/latest/tokens", `{"name": "By Atlassian", "expirationDuration": 5}`, nil)
	form := url.Values{"name": {"By page"}, "ends": {"7d"}, "scope": {"limited"}, "lines": {"GET /rest/x"}, "do": {"create"}, "form": {"one"}}
	c.send("page", "POST", "/new", "", form)
	c.send("", "POST", "/new", "", form) // sent again
	c.send("page, rotated", "POST", "/tokens/by-page/rotate", "", url.Values{"overlap": {"1h"}, "form": {"two"}})
	c.send("", "POST", "/tokens/by-page/rotate", "", url.Values{"overlap": {"1h"}, "form": {"two"}})
	c.run("command line", "token", "create", "by-cli", "--into", into, "--manifests", c.at, "--user", "root", "--limit-to", "[get]/rest/x", "--expires-in", "7d")
	c.run("command line, rotated", "token", "rotate", "by-cli", c.at, "--overlap", "1h")
	for _, value := range c.values {
		c.call(value)
	}
	names := []string{"by-api", "by-atlassian", "by-page", "by-cli", "of-root"}
	look := func() {
		for _, path := range []string{"/", "/?q=by", "/all", "/people", "/groups", "/new", "/nothing", "/assets/page.js"} {
			c.send("", "", path, "", nil)
		}
		for _, path := range []string{"/api/v1/me", "/api/v1/tokens", "/api/v1/openapi.json", "/rest/pat/latest/tokens"} {
			c.send("", "GET", path, "", nil)
		}
		c.send("", "POST", "/rest/pat/latest/tokens/search", "{}", nil)
		for _, name := range names {
			for _, page := range []string{"", "/edit", "/rotate", "/revoke"} {
				c.send("", "", "/tokens/"+name+page, "", nil)
			}
			for _, part := range []string{"", "/events", "/snippets"} {
				c.send("", "GET", "/api/v1/tokens/"+name+part, "", nil)
			}
			c.run("", "token", "show", name, c.at, "-o", "json")
			c.run("", "token", "show", name, c.at)
		}
		c.run("", "token", "list", c.at, "-o", "json")
	}
	look()
	c.send("", "POST", "/api/v1/tokens/by-api:revoke", "{}", nil)
	c.send("", "POST", "/tokens/by-page/revoke", "", url.Values{})
	c.run("", "token", "revoke", "by-cli", c.at, "--yes")
	for _, value := range c.values {
		c.call(value)
	}
	// What people paste where it does not belong.
	for _, value := range c.values {
		for _, path := range []string{"/tokens/" + value, "/api/v1/tokens/" + value, "/login/link/" + value} {
			answer, err := http.Get(c.page + path)
			if err != nil || answer.Body.Close() != nil {
				t.Fatal(err)
			}
		}
		sendTo(t.Context(), "POST", c.page+"/api/v1/tokens", token.NewSecret(c.own), fmt.Sprintf(`{"displayName": "x", "policies": [%q], "expiresIn": "7d"}`, value))
	}
	look()
	c.commit()
	c.search(into)
}

// search looks for each value, and for its digest outside the manifests.
func (c *traced) search(into string) {
	t := c.t
	t.Helper()
	for _, path := range []string{"/metrics", "/usage", "/revision", "/"} {
		answer, err := http.Get("http://" + c.status + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.Body.Close() != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", path, answer.StatusCode, err)
		}
		c.answered["the status port's "+path] = string(text)
	}
	c.byID(c.call(token.Mint().Reveal())) // the events before it are written too
	c.mu.Lock()
	c.answered["the audit"] = strings.Join(c.lines, "\n")
	c.mu.Unlock()
	c.answered["the log"] = c.log()
	c.answered["Envoy's log"] = c.envoy.Log()
	store := map[string]string{"all objects of Git": c.git("cat-file", "--batch-all-objects", "--batch", "--unordered")}
	err := filepath.WalkDir(c.at, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "/.git/") {
			return err
		}
		text, err := os.ReadFile(path)
		store[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for by, value := range c.values {
		of, digests := secrets(value)
		if !strings.Contains(store["all objects of Git"], digests[0]) {
			t.Errorf("the digest of %s is not in Git: the search finds nothing", by)
		}
		for where, text := range store {
			missing(t, by, where, text, of)
		}
		for where, text := range c.answered {
			missing(t, by, where, text, append(of, digests...))
		}
	}
	if events := c.answered["the audit"]; strings.Count(events, "token.rotated") < 2 || strings.Count(events, "token.revoked") < 2 || !strings.Contains(events, `"kind":"decision"`) {
		t.Errorf("the audit lacks events: %d bytes", len(events))
	}
}

// missing checks that a text has none of some texts.
func missing(t *testing.T, by, where, text string, secrets []string) {
	t.Helper()
	for _, s := range secrets {
		if at := strings.Index(text, s); at >= 0 {
			masked, _ := json.Marshal(text[max(0, at-200):at])
			t.Errorf("%s is in %s, after %s", by, where, masked)
			return
		}
	}
}
