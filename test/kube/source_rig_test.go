//go:build kube

package kube

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/patgate/patgate/envoy"
)

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
