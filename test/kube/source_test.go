//go:build kube

package kube

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/patgate/patgate/envoy"
)

// gateway stands between patgate and the API server, and can fail as a network or an API server does.
type gateway struct {
	*httptest.Server
	mu      sync.Mutex
	down    bool          // every request fails, and every watch is cut
	delay   time.Duration // of every piece of an answer
	gone    int           // how many watches are answered with 410
	watches map[io.Closer]bool
}

// newGateway starts one before the API server of the cluster.
func newGateway(t testing.TB, c *cluster) *gateway {
	t.Helper()
	target, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{watches: map[io.Closer]bool{}}
	proxy := httputil.NewSingleHostReverseProxy(target)
	direct := proxy.Director
	proxy.Director = func(r *http.Request) {
		direct(r)
		r.Header.Set("Authorization", "Bearer "+c.token) // a client sends none without TLS
	}
	proxy.Transport, proxy.FlushInterval = c.client(t).Transport, -1
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) }
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Body = &piecewise{g, r.Body}
		return nil
	}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		down := g.down
		gone := g.gone > 0 && r.URL.Query().Get("resourceVersion") != "" && r.URL.Query().Get("watch") != "" && r.URL.Query().Get("sendInitialEvents") == ""
		if gone {
			g.gone--
		}
		g.mu.Unlock()
		switch {
		case down:
			panic(http.ErrAbortHandler)
		case gone:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusGone)
			fmt.Fprintln(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old resource version","reason":"Expired","code":410}`)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

// piecewise is the body of an answer that can be cut and delayed.
type piecewise struct {
	g *gateway
	io.ReadCloser
}

func (p *piecewise) Read(b []byte) (int, error) {
	p.g.mu.Lock()
	p.g.watches[p.ReadCloser] = true
	p.g.mu.Unlock()
	n, err := p.ReadCloser.Read(b)
	p.g.mu.Lock()
	down, delay := p.g.down, p.g.delay
	p.g.mu.Unlock()
	if down {
		return 0, io.ErrUnexpectedEOF
	}
	time.Sleep(delay)
	return n, err
}

// cut ends all watches. Until mend every request fails.
func (g *gateway) cut() {
	g.mu.Lock()
	g.down = true
	for w := range g.watches {
		_ = w.Close()
	}
	clear(g.watches)
	g.mu.Unlock()
	g.CloseClientConnections()
}

func (g *gateway) mend(gone int) {
	g.mu.Lock()
	g.down, g.gone = false, gone
	g.mu.Unlock()
}

func (g *gateway) delayBy(d time.Duration) {
	g.mu.Lock()
	g.delay = d
	g.mu.Unlock()
}

// follower is a patgate that follows the cluster's objects, with an Envoy in front.
type follower struct {
	served
	status string
	events string // the file of its audit events
	logs   string
	cmd    *exec.Cmd
}

// follow starts one that asks the API server at an address.
func follow(ns *namespace, server string, args ...string) *follower {
	ns.t.Helper()
	return followAs(ns, ns.c.token, server, args...)
}

// followAs is follow with a token for the API server.
func followAs(ns *namespace, token, server string, args ...string) *follower {
	t := ns.t
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: u, user: {token: %s}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, server, filepath.Join(ns.c.dir, "certs", "apiserver.crt"), token)
	if strings.HasPrefix(server, "http:") {
		text = regexp.MustCompile(`, certificate-authority: "[^"]*"`).ReplaceAllString(text, "")
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &follower{served: served{t: t, ns: ns}, status: freeAddr(), events: filepath.Join(dir, "events"), logs: filepath.Join(dir, "logs")}
	checks := freeAddr()
	f.cmd = exec.Command(binary, append([]string{"serve", "--kubernetes", "--kubeconfig", config, "--listen", checks, "--status-listen", f.status, "--drain-delay", "0s"}, args...)...)
	events, err := os.Create(f.events)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	logs, err := os.Create(f.logs)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	f.cmd.Stdout, f.cmd.Stderr = events, logs
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	exited, err := start(f.cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.cmd.Process.Signal(syscall.SIGTERM)
		<-exited
		if t.Failed() {
			text, _ := os.ReadFile(f.logs)
			t.Logf("the log of patgate:\n%s", text)
		}
	})
	f.front(func(a envoy.Addresses) (string, error) {
		a.Patgate = checks
		return envoy.Render(a)
	})
	return f
}

// ready waits until the status port says ok.
func (f *follower) ready() *follower {
	f.t.Helper()
	f.until("/readyz answers ok", func() bool { return strings.Contains(f.page("readyz"), "ok") })
	return f
}

func (f *follower) page(name string) string {
	answer, err := http.Get("http://" + f.status + "/" + name)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return string(text)
}

// metric returns a metric's value.
func (f *follower) metric(name string) float64 {
	f.t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(f.page("metrics"))
	if m == nil {
		f.t.Fatalf("no metric %s", name)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

// until waits for a condition.
func (f *follower) until(what string, holds func() bool) time.Duration {
	f.t.Helper()
	return f.within(20*time.Second, what, holds)
}

// within is until with a limit of its own.
func (f *follower) within(limit time.Duration, what string, holds func() bool) time.Duration {
	f.t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > limit {
			text, _ := os.ReadFile(f.logs)
			f.t.Fatalf("it did not come about that %s\n%s", what, text)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(began)
}

// ask presents the value of a number, by Bearer, and returns the status.
func (f *follower) ask(n int, host string) int {
	f.t.Helper()
	r, err := http.NewRequest(http.MethodGet, f.url+"/", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Authorization", "Bearer "+valueOf(n))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	return answer.StatusCode
}

// becomes waits until a request has a status.
func (f *follower) becomes(n int, host string, status int) time.Duration {
	f.t.Helper()
	return f.until(fmt.Sprintf("token %d at %s is answered with %d", n, host, status), func() bool { return f.ask(n, host) == status })
}

// event waits for an audit event that holds texts.
func (f *follower) event(texts ...string) {
	f.t.Helper()
	f.until(fmt.Sprintf("an event holds %q", texts), func() bool {
		text, err := os.ReadFile(f.events)
		if err != nil {
			f.t.Fatal(err)
		}
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			if !slices.ContainsFunc(texts, func(part string) bool { return !strings.Contains(lines.Text(), part) }) {
				return true
			}
		}
		return false
	})
}

func valueOf(n int) string { return fmt.Sprintf("a-value-of-a-token-that-is-long-enough-%d", n) }

// tokenOf is a token whose value is that of a number.
func tokenOf(name string, n int, more string) string {
	return fmt.Sprintf("apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: %s}\nspec: {user: alice, digest: \"sha256:%x\", issued: \"2026-01-01T00:00:00Z\", %s}\n---\n",
		name, sha256.Sum256([]byte(valueOf(n))), more)
}

func gateOf(name, more string) string {
	return fmt.Sprintf("apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: %s}\nspec: {hosts: [%s.example.com], schemes: [bearer]%s}\n---\n", name, name, more)
}

// apply applies objects.
func (ns *namespace) apply(text string) {
	ns.t.Helper()
	ns.pipe(text, "apply", "--server-side", "-f", "-")
}

// revoke revokes a token and returns when the API server had answered.
func (ns *namespace) revoke(name string) time.Time {
	ns.t.Helper()
	status, body := ns.c.do(ns.t, http.MethodPatch, fmt.Sprintf("%s/apis/patgate.dev/v1alpha1/namespaces/%s/apitokens/%s", ns.c.url, ns.name, name),
		"application/merge-patch+json", []byte(`{"spec":{"revoked":"2026-02-01T00:00:00Z"}}`))
	if status != http.StatusOK {
		ns.t.Fatalf("%d: %s", status, body)
	}
	return time.Now()
}

// TestTokensAreObjects applies gates, policies and tokens, and asks through Envoy. A broken object concerns itself alone.
func TestTokensAreObjects(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	ns.apply(gateOf("a", "") + tokenOf("one", 1, "unrestricted: true") + tokenOf("two", 2, "limitTo: \".*\"") + tokenOf("three", 3, "policies: [missing]"))
	f.becomes(1, "a.example.com", 200)
	f.becomes(2, "a.example.com", 200)
	if got := f.ask(3, "a.example.com"); got != 401 {
		t.Errorf("a token that names no policy: %d", got)
	}
	f.event(`"reason":"token_unknown"`, `"detail":"not accepted"`, `"token":"`+ns.name+`/three"`)
	f.event(`"policy.rejected"`, `"source":"APIToken/`+ns.name+`/three"`, "no TokenPolicy is called "+ns.name+"/missing")

	ns.apply("apiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: missing}\nspec: {allow: [{methods: [GET]}]}\n")
	f.becomes(3, "a.example.com", 200)
	ns.kubectl("delete", "tokenpolicy", "missing")
	f.becomes(3, "a.example.com", 401)

	ns.apply(gateOf("a", ", groups: [nobody]")) // its last good version stays
	ns.apply(gateOf("b", ", groups: [nobody]")) // it never had one
	f.becomes(1, "b.example.com", 503)
	f.event(`"reason":"gate_invalid"`)
	if got := f.ask(1, "a.example.com"); got != 200 {
		t.Errorf("a gate with a fault: %d, want its last good version", got)
	}
	f.until("the fault is counted", func() bool { return f.metric(`patgate_objects_not_accepted{kind="Gate"}`) == 2 })

	ns.kubectl("delete", "apitoken", "two")
	f.becomes(2, "a.example.com", 401)
	var times []time.Duration
	for i := range 40 {
		name := fmt.Sprintf("r%d", i)
		ns.apply(tokenOf(name, 100+i, "unrestricted: true"))
		f.becomes(100+i, "a.example.com", 200)
		revoked := ns.revoke(name)
		f.becomes(100+i, "a.example.com", 401)
		times = append(times, time.Since(revoked))
	}
	slices.Sort(times)
	t.Logf("a revocation is refused after: p50 %s, max %s", times[len(times)/2], times[len(times)-1])
	if worst := times[len(times)-1]; worst > time.Second {
		t.Errorf("a revocation was refused after %s", worst)
	}
}

// TestTeamsInACluster lets two namespaces share the gate of a third.
func TestTeamsInACluster(t *testing.T) {
	edge := newNamespace(t)
	installKinds(t, edge)
	team := &namespace{t: t, c: edge.c, name: edge.name + "-team"}
	team.make("create", "-f", "-")
	other := &namespace{t: t, c: edge.c, name: edge.name + "-other"}
	other.make("create", "-f", "-")
	f := follow(edge, edge.c.url, "--namespace", edge.name, "--namespace", team.name, "--namespace", other.name).ready()
	edge.apply(gateOf("open", ", tokensFrom: {namespaces: All}") + gateOf("closed", "") +
		gateOf("chosen", ", tokensFrom: {namespaces: {matchLabels: {kubernetes.io/metadata.name: "+team.name+"}}}"))
	gates := "unrestricted: true, gates: [" + edge.name + "/open, " + edge.name + "/closed, " + edge.name + "/chosen]"
	team.apply(tokenOf("t", 1, gates))
	other.apply(tokenOf("t", 2, gates))
	f.becomes(1, "open.example.com", 200)
	f.becomes(2, "open.example.com", 200)
	for _, c := range []struct {
		token  int
		host   string
		status int
	}{{1, "closed.example.com", 403}, {1, "chosen.example.com", 200}, {2, "chosen.example.com", 403}} {
		if got := f.ask(c.token, c.host); got != c.status {
			t.Errorf("token %d at %s: %d, want %d", c.token, c.host, got, c.status)
		}
	}
}

// TestTheWatchIsCut cuts patgate off from the API server, delays what comes, and lets its history be gone.
func TestTheWatchIsCut(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.apply(gateOf("cut", "") + tokenOf("one", 1, "unrestricted: true") + tokenOf("two", 2, "unrestricted: true") +
		tokenOf("three", 3, "unrestricted: true") + tokenOf("four", 4, "unrestricted: true"))
	g := newGateway(t, ns.c)
	f := follow(ns, g.URL, "--namespace", ns.name).ready()
	for n := 1; n <= 4; n++ {
		f.becomes(n, "cut.example.com", 200)
	}

	g.delayBy(200 * time.Millisecond)
	ns.revoke("one")
	f.becomes(1, "cut.example.com", 401)
	g.delayBy(0)

	g.cut()
	ns.revoke("two")
	f.until("the age grows", func() bool { return f.metric("patgate_source_age_seconds") > 2 })
	if got := f.ask(2, "cut.example.com"); got != 200 {
		t.Errorf("while the watch is cut: %d, want the last state", got)
	}
	logs, err := os.ReadFile(f.logs)
	if err != nil || !strings.Contains(string(logs), "the cluster does not answer") {
		t.Errorf("the cut was not logged: %v\n%s", err, logs)
	}
	g.mend(0)
	if took := f.becomes(2, "cut.example.com", 401); took > 2*time.Second {
		t.Errorf("the revocation counted %s after the cut was mended", took)
	} else {
		t.Logf("healed after %s", took)
	}

	g.cut()
	ns.revoke("three")
	ns.kubectl("delete", "apitoken", "four")
	g.mend(8) // the API server has forgotten what happened meanwhile
	f.becomes(3, "cut.example.com", 401)
	f.becomes(4, "cut.example.com", 401)
}

// TestTheAPIServerRestarts kills the API server: patgate answers on, and follows the new one.
func TestTheAPIServerRestarts(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.apply(gateOf("restart", "") + tokenOf("one", 1, "unrestricted: true"))
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	f.becomes(1, "restart.example.com", 200)
	if err := ns.c.restartAPIServer(); err != nil {
		t.Fatal(err)
	}
	if got := f.ask(1, "restart.example.com"); got != 200 {
		t.Errorf("after the restart: %d", got)
	}
	ns.revoke("one")
	if took := f.becomes(1, "restart.example.com", 401); took > 5*time.Second {
		t.Errorf("the revocation counted after %s", took)
	}
}

// TestNotReadyWithoutACluster starts patgate while nothing answers, and lets the API server come later.
func TestNotReadyWithoutACluster(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.apply(gateOf("late", "") + tokenOf("one", 1, "unrestricted: true"))
	g := newGateway(t, ns.c)
	g.cut()
	f := follow(ns, g.URL, "--namespace", ns.name)
	f.until("it says why it is not ready", func() bool { return strings.Contains(f.page("readyz"), "not listed yet") })
	if got := f.ask(1, "late.example.com"); got == 200 {
		t.Error("it allowed something before it knew the objects")
	}
	g.mend(0)
	f.ready()
	f.becomes(1, "late.example.com", 200)
}
