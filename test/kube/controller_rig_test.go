//go:build kube

package kube

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// controlling is a process of patgate controller.
type controlling struct {
	t      testing.TB
	status string
	events string // the file of its audit events
	logs   string
	cmd    *exec.Cmd
	exited chan struct{}
}

// control starts one for the objects of a namespace, whose Lease is there too.
func control(ns *namespace, kubeconfig string, gates []*follower, args ...string) *controlling {
	t := ns.t
	t.Helper()
	dir := t.TempDir()
	c := &controlling{t: t, status: freeAddr(), events: filepath.Join(dir, "events"), logs: filepath.Join(dir, "logs")}
	args = append([]string{"controller", "--kubeconfig", kubeconfig, "--lease-namespace", ns.name, "--status-listen", c.status, "--log-level", "debug"}, args...)
	for _, f := range gates {
		args = append(args, "--gate-status", "http://"+f.status)
	}
	c.cmd = exec.Command(binary, args...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	events, err := os.Create(c.events)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	logs, err := os.Create(c.logs)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	c.cmd.Stdout, c.cmd.Stderr = events, logs
	if c.exited, err = start(c.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
		<-c.exited
		if t.Failed() {
			t.Logf("the log of a controller:\n%s%s", textOf(t, c.logs), textOf(t, c.events))
		}
	})
	return c
}

// writes reports whether this controller is the one that writes.
func (c *controlling) writes() bool {
	answer, err := http.Get("http://" + c.status + "/readyz")
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode == http.StatusOK && strings.Contains(string(text), "this controller writes")
}

func textOf(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// until waits for a condition of the cluster.
func (ns *namespace) until(limit time.Duration, what string, holds func() bool) time.Duration {
	ns.t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > limit {
			ns.t.Fatalf("it did not come about within %s that %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(began)
}

// read gets an object by the API, and nil where there is none.
func (ns *namespace) fetch(resource, name string) object {
	ns.t.Helper()
	group := "/apis/patgate.dev/v1alpha1"
	if resource == "secrets" {
		group = "/api/v1"
	}
	status, body := ns.c.do(ns.t, http.MethodGet, fmt.Sprintf("%s%s/namespaces/%s/%s/%s", ns.c.url, group, ns.name, resource, name), "application/json", nil)
	if status == http.StatusNotFound {
		return nil
	}
	var o object
	if err := json.Unmarshal(body, &o); err != nil || status != http.StatusOK {
		ns.t.Fatalf("%d %v: %s", status, err, body)
	}
	return o
}

// secretKey returns what a Secret holds under a key; empty: there is none.
func (ns *namespace) secretKey(name, key string) string {
	ns.t.Helper()
	s := ns.fetch("secrets", name)
	if s == nil {
		return ""
	}
	text, err := base64.StdEncoding.DecodeString(s.text("data", key))
	if err != nil {
		ns.t.Fatal(err)
	}
	return string(text)
}

// condition returns a condition of an object as "status reason: message", and nothing while it is about an older generation.
func (ns *namespace) condition(resource, name, kind string) string {
	ns.t.Helper()
	o := ns.fetch(resource, name)
	for _, c := range objects(o.at("status", "conditions")) {
		if c.text("type") == kind && fmt.Sprint(c.at("observedGeneration")) == fmt.Sprint(o.at("metadata", "generation")) {
			return c.text("status") + " " + c.text("reason") + ": " + c.text("message")
		}
	}
	return ""
}

// becomes waits until a condition begins with a text and holds the others.
func (ns *namespace) becomes(resource, name, kind, begin string, texts ...string) {
	ns.t.Helper()
	got := ""
	defer func() {
		if ns.t.Failed() {
			ns.t.Logf("%s of %s %s: %s", kind, resource, name, got)
		}
	}()
	ns.until(30*time.Second, fmt.Sprintf("%s of %s %s is %s %q", kind, resource, name, begin, texts), func() bool {
		if got = ns.condition(resource, name, kind); !strings.HasPrefix(got, begin) {
			return false
		}
		for _, text := range texts {
			if !strings.Contains(got, text) {
				return false
			}
		}
		return true
	})
}

// secretToken is a token whose value a controller makes.
func secretToken(name, secret, more string) string {
	return fmt.Sprintf("apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: %s}\nspec: {user: ci, unrestricted: true, secret: {name: %s%s}}\n---\n", name, secret, more)
}

// call presents an authorization at a host, and returns the status.
func (f *follower) call(host, authorization string) int {
	f.t.Helper()
	r, err := http.NewRequest(http.MethodGet, f.url+"/", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Authorization", authorization)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	return answer.StatusCode
}
