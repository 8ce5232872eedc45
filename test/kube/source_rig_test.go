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
	swap    int           // how many pairs of a watch's events change places
	tear    int           // how many pieces of watches come with their halves swapped
	expired int           // how often the API server itself has said that it has forgotten a version
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
		body := &piecewise{g: g, ReadCloser: r.Body}
		if r.Body = body; r.Request.URL.Query().Get("watch") != "" {
			r.Body = &disorder{piecewise: body}
		}
		if r.StatusCode == http.StatusGone {
			g.note410()
		}
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

// disorder is the body of a watch whose events can come in another order, and its bytes too.
type disorder struct {
	*piecewise
	ready []byte // to be read
	line  []byte // the beginning of an event
	held  []byte // an event that changes places with the next one
}

func (d *disorder) Read(b []byte) (int, error) {
	for len(d.ready) == 0 {
		piece := make([]byte, len(b))
		n, err := d.piecewise.Read(piece)
		d.take(piece[:n])
		if err != nil && len(d.ready) == 0 {
			return 0, err
		}
	}
	n := copy(b, d.ready)
	d.ready = d.ready[n:]
	return n, nil
}

// take decides in which order a piece is read.
func (d *disorder) take(piece []byte) {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	if bytes.Contains(piece, []byte(`"code":410`)) {
		d.g.expired++
	}
	if d.g.tear > 0 && len(piece) > 1 {
		d.g.tear--
		d.ready = slices.Concat(piece[len(piece)/2:], piece[:len(piece)/2])
		return
	}
	if d.g.swap == 0 && len(d.line)+len(d.held) == 0 {
		d.ready = piece
		return
	}
	d.line = append(d.line, piece...)
	for {
		event, rest, whole := bytes.Cut(d.line, []byte("\n"))
		if !whole {
			return
		}
		event = append(bytes.Clone(event), '\n')
		switch d.line = rest; {
		case d.held != nil:
			d.ready, d.held = append(append(d.ready, event...), d.held...), nil
			d.g.swap--
		case d.g.swap > 0:
			d.held = event
		default:
			d.ready = append(d.ready, event...)
		}
	}
}

func (g *gateway) note410() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expired++
}

// disturb lets pairs of events change places, and pieces be torn.
func (g *gateway) disturb(swap, tear int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.swap, g.tear = swap, tear
}

// left returns how much of that has not happened yet, and how often a version was forgotten.
func (g *gateway) left() (swap, tear, expired int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.swap, g.tear, g.expired
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
	config := kubeconfigOf(ns, token, server, dir)
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

// kubeconfigOf writes the file by which patgate finds an API server.
func kubeconfigOf(ns *namespace, token, server, dir string) string {
	ns.t.Helper()
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
		ns.t.Fatal(err)
	}
	return config
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
	status := f.try(n, host)
	if status == 0 {
		f.t.Fatal("Envoy does not answer")
	}
	return status
}

// try is ask for any goroutine. It returns 0 where there is no answer.
func (f *follower) try(n int, host string) int {
	r, err := http.NewRequest(http.MethodGet, f.url+"/", nil)
	if err != nil {
		return 0
	}
	r.Host = host
	r.Header.Set("Authorization", "Bearer "+valueOf(n))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
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

// digestOf is the digest of the value of a number.
func digestOf(n int) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(valueOf(n)))) }

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
