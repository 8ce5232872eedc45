//go:build kube

package kube

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patgate/patgate/envoy"
)

// patgate runs the command line, which must succeed, and returns its stdout.
func patgate(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("patgate %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSuffix(string(out), "\n")
}

// readFiles returns the files of a folder by their names.
func readFiles(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

// freePorts are values that give the pods other ports: they are bound at every address,
// and the cluster's nodes are all this machine.
func freePorts(t testing.TB) string {
	t.Helper()
	_, checks, _ := net.SplitHostPort(freeAddr())
	_, status, _ := net.SplitHostPort(freeAddr())
	return values(t, "ports: {grpc: "+checks+", status: "+status+"}\n")
}

// served is a pod of the release whose container runs, an Envoy that calls it, and an API
// behind Envoy.
type served struct {
	t        testing.TB
	ns       *namespace
	pod      *pod
	spec     object // of the container
	patgate  *container
	url      string // where Envoy listens
	requests atomic.Int64
	mu       sync.Mutex
	last     http.Header // of the last request that came to the API
}

// serve runs the pod of an installed release and puts the standalone Envoy in front.
// change edits its configuration.
func serve(ns *namespace, change func(string) string) *served {
	ns.t.Helper()
	s := runPod(ns, podTemplate(ns.get("deployment", release)))
	s.front(func(a envoy.Addresses) (string, error) {
		a.Patgate = s.address()
		config, err := envoy.Render(a)
		if change != nil && err == nil {
			config = change(config)
		}
		return config, err
	})
	return s
}

// runPod runs the container patgate of a pod and waits for its probes.
func runPod(ns *namespace, template object) *served {
	ns.t.Helper()
	s := &served{t: ns.t, ns: ns, pod: newPod(ns, template)}
	s.spec = named(s.t, s.pod.containers(), "patgate")
	if s.spec.at("securityContext", "readOnlyRootFilesystem") != true {
		s.t.Error("the container may write to its root: it needs none, and an intruder would like one")
	}
	s.patgate = s.pod.start(s.spec)
	s.awaitProbe("startupProbe", true)
	for _, probe := range []string{"livenessProbe", "readinessProbe"} {
		if s.spec[probe] == nil {
			continue // a sidecar that has started is ready
		}
		if ok, why := s.pod.probe(s.spec, probe); !ok {
			s.t.Errorf("%s: %s", probe, why)
		}
	}
	return s
}

// front starts an API, and an Envoy before it with the configuration that render makes.
func (s *served) front(render func(envoy.Addresses) (string, error)) {
	s.t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.last = r.Header
	}))
	s.t.Cleanup(api.Close)
	a := envoy.Addresses{Admin: freeAddr(), Clients: freeAddr(), Upstream: api.Listener.Addr().String()}
	config, err := render(a)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	e, err := envoy.Start(ctx, config, a.Admin)
	if err != nil {
		s.t.Fatal(err)
	}
	s.url = "http://" + a.Clients
	s.t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			s.t.Error(err)
		}
	})
}

// address is the Service's endpoint: its port's target, at the pod's address.
func (s *served) address() string {
	s.t.Helper()
	service := s.ns.get("service", release)
	for key, value := range service.at("spec", "selector").(map[string]any) {
		if got := s.pod.object.text("metadata", "labels", key); got != value {
			s.t.Fatalf("the Service selects pods with %s=%v, these have %q", key, value, got)
		}
	}
	port := named(s.t, objects(service.at("spec", "ports")), "grpc")
	return net.JoinHostPort(s.pod.ip, strconv.Itoa(s.pod.port(s.spec, port["targetPort"])))
}

func (s *served) awaitProbe(probe string, want bool) {
	s.t.Helper()
	s.patgate.await(fmt.Sprintf("%s to be %t", probe, want), func() bool {
		ok, _ := s.pod.probe(s.spec, probe)
		return ok == want
	})
}

// ask sends a request through Envoy and returns the status and the body.
func (s *served) ask(method, path, authorization string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	r.Host = "jira.example.com"
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// want sends a request, and requires a status.
func (s *served) want(what string, status int, method, path, authorization string) {
	s.t.Helper()
	if got, body := s.ask(method, path, authorization); got != status {
		s.t.Errorf("%s: %d, expected %d: %s", what, got, status, body)
	}
}

// event waits for an event of the audit.
func (s *served) event(what string, fits func(object) bool) object {
	s.t.Helper()
	var found object
	s.patgate.await("an event: "+what, func() bool {
		for _, e := range s.patgate.events() {
			if fits(e) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// decides drives the gate: who may come in does, no one else, and the API gets the name of whom
// it serves.
func (s *served) decides(value string) {
	s.t.Helper()
	before := s.requests.Load()
	s.want("no credential", 401, "GET", "/rest/api/2/issue/JRA-9", "")
	s.want("an unknown token", 401, "GET", "/rest/api/2/issue/JRA-9", "Bearer "+value[:len(value)-1])
	s.want("another path", 403, "GET", "/rest/api/2/user/bob", "Bearer "+value)
	if got := s.requests.Load(); got != before {
		s.t.Errorf("%d refused requests came to the API", got-before)
	}
	s.want("what the token may", 200, "GET", "/rest/api/2/issue/JRA-9", "Bearer "+value)
	if got := s.requests.Load(); got != before+1 {
		s.t.Errorf("%d requests came to the API, expected 1", got-before)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.Get("X-Forwarded-User") != "alice" || s.last.Get("Authorization") != "" {
		s.t.Errorf("the API was told %v", s.last)
	}
	e := s.event("the allow", func(e object) bool { return e.text("decision") == "allow" })
	if e.text("token") != "ci-bot" || e.text("gate") != "jira" {
		s.t.Errorf("the event: %v", e)
	}
	if strings.Contains(s.patgate.out.String()+s.patgate.log.String(), value) {
		s.t.Error("the token's value is in the audit or in the log")
	}
}

// ends has the kubelet end the pod: it reports not ready, keeps answering, and ends before
// it would be killed.
func (s *served) ends() {
	s.t.Helper()
	if s.spec["lifecycle"] != nil {
		s.t.Errorf("the container has a lifecycle hook that the rig does not run: %v", s.spec["lifecycle"])
	}
	began := time.Now()
	s.patgate.terminate()
	if s.spec["readinessProbe"] != nil {
		s.awaitProbe("readinessProbe", false)
	}
	// Patgate's own refusal, or Envoy's where it has seen that the only replica is going.
	if status, body := s.ask("GET", "/rest/api/2/issue/JRA-9", ""); status != 401 && status != 503 {
		s.t.Errorf("while it drains: %d: %s", status, body)
	}
	if code := s.patgate.wait(s.pod.grace() - time.Since(began)); code != 0 {
		s.t.Errorf("exit code %d", code)
	}
	s.t.Logf("ended in %s of %s", time.Since(began).Round(time.Millisecond), s.pod.grace())
}

// newToken makes the token of the tests, and returns its value.
func newToken(t testing.TB, dir, manifests string) string {
	t.Helper()
	return patgate(t, "token", "create", "ci-bot", "--into", dir, "--manifests", manifests, "--user", "alice", "--limit-to", ".*/rest/api/2/issue/JRA.*")
}

// TestServes runs the pod of the minimal example: a real Envoy asks it, a ConfigMap that
// changes revokes a token without a restart, and the pod ends well.
func TestServes(t *testing.T) {
	for _, helm := range helms {
		t.Run(helm, func(t *testing.T) {
			ns := newNamespace(t)
			ns.helm = helm
			minimal := examples(t)["minimal"]
			ns.run("install", release, chart, "-f", minimal)
			dir := writeData(t, ns.get("configmap", release+"-manifests"))
			value := newToken(t, dir, dir)
			args := []string{"upgrade", release, chart, "-f", minimal, "-f", freePorts(t), "--set", "drain.delaySeconds=1", "-f"}
			ns.run(append(args, manifestValues(t, readFiles(t, dir)))...)
			s := serve(ns, nil)
			s.decides(value)

			patgate(t, "token", "revoke", "ci-bot", "--manifests", dir, "--yes")
			template := asJSON(t, podTemplate(ns.get("deployment", release)))
			ns.run(append(args, manifestValues(t, readFiles(t, dir)))...)
			if now := asJSON(t, podTemplate(ns.get("deployment", release))); now != template {
				t.Errorf("a revocation replaces the pods:\n%s\n%s", template, now)
			}
			s.want("revoked in the ConfigMap, which is not in the pod yet", 200, "GET", "/rest/api/2/issue/JRA-9", "Bearer "+value)
			s.pod.sync()
			s.patgate.await("the revocation", func() bool {
				status, _ := s.ask("GET", "/rest/api/2/issue/JRA-9", "Bearer "+value)
				return status == 401
			})
			s.ends()
		})
	}
}
