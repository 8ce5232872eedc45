package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// example is the documented sidecar: docs/sidecar.md.
const example = "../docs/examples/sidecar"

// value is the token that the test gives to the example's ci-bot.
const value = "the-sidecar-test-presents-this-value"

// configMapsOf makes the ConfigMaps that kustomize would make of the example's
// configMapGenerator, with the test's value for its token.
func configMapsOf(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(example, "kustomization.yaml"))
	var k struct {
		ConfigMapGenerator []struct {
			Name  string
			Files []string
		} `yaml:"configMapGenerator"`
	}
	mustDo(t, err, yaml.Unmarshal(text, &k))
	all := map[string]map[string]string{}
	for _, g := range k.ConfigMapGenerator {
		all[g.Name] = map[string]string{}
		for _, f := range g.Files {
			text, err := os.ReadFile(filepath.Join(example, f))
			mustDo(t, err)
			digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(value)))
			file := regexp.MustCompile(`sha256:[0-9a-f]{64}`).ReplaceAllString(string(text), digest)
			// The example's token has an end, which comes; the test's begins now.
			file = regexp.MustCompile(`issued: \S+`).ReplaceAllString(file, "issued: "+time.Now().UTC().Format(time.RFC3339))
			all[g.Name][filepath.Base(f)] = regexp.MustCompile(`(?m)^ *expires: .*\n`).ReplaceAllString(file, "")
		}
	}
	return all
}

// api is the application of the example: it counts requests, and can be made slow.
type api struct {
	server  http.Server
	calls   atomic.Int64
	entered chan struct{}
	leave   chan struct{}
}

func startAPI(p *pod) *api {
	a := &api{entered: make(chan struct{}), leave: make(chan struct{})}
	a.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.calls.Add(1)
		if strings.HasSuffix(r.URL.Path, "KANBAN-999") {
			close(a.entered)
			<-a.leave
		}
		fmt.Fprintf(w, "user=%s authorization=%s", r.Header.Get("X-Forwarded-User"), r.Header.Get("Authorization"))
	})
	address, ok := strings.CutPrefix(p.container("jira").Args[0], "--listen=")
	if !ok {
		p.t.Fatal("the example's API says nowhere where it listens")
	}
	l := p.listen(address)
	go func() { _ = a.server.Serve(l) }()
	p.t.Cleanup(func() { _ = a.server.Close() })
	return a
}

// ask sends a request to Envoy as any client of the Service does.
func (p *pod) ask(method, path, token string) (status int, body string) {
	r, err := http.NewRequest(method, "http://"+podIP+":8080"+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	r.Host = "jira.example.com"
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	var b lockedBuffer
	_, err = b.b.ReadFrom(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, b.String()
}

func (p *pod) awaitStatus(want int, path, token string) {
	p.t.Helper()
	status, body := 0, ""
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if status, body = p.ask(http.MethodGet, path, token); status == want {
			return
		}
	}
	p.t.Fatalf("%s: %d, want %d: %s", path, status, want, body)
}

// envoyRoot is a root folder with Envoy and its libraries.
func envoyRoot(t *testing.T) (root string) {
	t.Helper()
	binary := os.Getenv("ENVOY_PATH")
	if binary == "" {
		t.Fatal("ENVOY_PATH is not set: run `make test-image`")
	}
	root = openFolder(t)
	program, err := os.ReadFile(binary)
	mustDo(t, err, os.WriteFile(filepath.Join(root, "envoy"), program, 0o755))
	for _, folder := range []string{"lib", "lib64"} {
		mustDo(t, os.Mkdir(filepath.Join(root, folder), 0o755))
	}
	for _, library := range libraries(t, binary) {
		text, err := os.ReadFile(library)
		target := filepath.Join(root, library)
		mustDo(t, err, os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, text, 0o755))
	}
	return root
}

const issue = "/rest/api/2/issue/KANBAN-1"

// TestSidecar runs the documented pod: patgate from the image, a real Envoy, an API.
func TestSidecar(t *testing.T) {
	maps := configMapsOf(t)
	p := newPod(t, filepath.Join(example, "deployment.yaml"), maps)
	if a, b := p.spec.InitContainers[0], p.spec.InitContainers[1]; a.Name != "patgate" || b.Name != "envoy" || a.RestartPolicy != "Always" || b.RestartPolicy != "Always" {
		t.Fatal("the sidecars are to be patgate and then Envoy, both native")
	}
	patgate := p.start("patgate", unpack(t), entrypoint)
	envoy := p.start("envoy", envoyRoot(t), "/envoy")
	app := startAPI(p)

	// The order above is what makes the first request a good one.
	if status, body := p.ask(http.MethodGet, issue, value); status != 200 || body != "user=alice authorization=" {
		t.Fatalf("the first request: %d %s", status, body)
	}
	p.await("jira", p.container("jira").ReadyProbe, nil)

	for _, c := range []struct {
		what, method, path, token string
		want                      int
	}{
		{"no token", "GET", issue, "", 401},
		{"a wrong token", "GET", issue, "patg_wrong", 401},
		{"a method that no rule allows", "DELETE", issue, value, 403},
		{"a path that no rule allows", "GET", "/rest/api/2/user", value, 403},
		{"what the probe may see is no more than that", "GET", "/status/more", "", 401},
	} {
		before := app.calls.Load()
		if status, body := p.ask(c.method, c.path, c.token); status != c.want || app.calls.Load() != before {
			t.Errorf("%s: %d, want %d, and the API was reached %d times: %s", c.what, status, c.want, app.calls.Load()-before, body)
		}
	}
	p.wantOnlyTheGateOpen()
	patgate = p.wantRecovery(patgate)
	p.wantRevocation(maps["jira-manifests"])
	p.wantOrderlyEnd(patgate, envoy, app)
	wantEvents(t, patgate)
}

// wantOnlyTheGateOpen checks that the API and Envoy's admin port are out of reach from
// outside the pod, and that the socket lets its owner and group connect, and no one else.
func (p *pod) wantOnlyTheGateOpen() {
	p.t.Helper()
	for _, port := range []string{"8081", "9901"} {
		if c, err := p.dial(context.Background(), "tcp", podIP+":"+port); err == nil {
			p.t.Errorf("port %s is open at the pod's address", port)
			c.Close()
		}
	}
	info, err := os.Stat(filepath.Join(p.volumes["socket"], "patgate.sock"))
	mustDo(p.t, err)
	owner := info.Sys().(*syscall.Stat_t)
	if info.Mode() != os.ModeSocket|0o660 || owner.Uid != 65532 || int(owner.Gid) != p.spec.SecurityContext.FSGroup {
		p.t.Errorf("the socket is %s of %d:%d", info.Mode(), owner.Uid, owner.Gid)
	}
}

// wantRecovery kills patgate: everything is refused until the kubelet has started it
// again, next to the socket that the dead one left.
func (p *pod) wantRecovery(patgate *process) *process {
	p.t.Helper()
	mustDo(p.t, patgate.Process.Kill())
	<-patgate.exited
	if status, body := p.ask(http.MethodGet, issue, value); status != 503 {
		p.t.Errorf("without patgate: %d %s", status, body)
	}
	again := p.start("patgate", unpack(p.t), entrypoint)
	p.awaitStatus(200, issue, value)
	return again
}

// wantRevocation changes the ConfigMap's volume as the kubelet does.
func (p *pod) wantRevocation(files map[string]string) {
	p.t.Helper()
	good := files["ci-bot.yaml"]
	files["ci-bot.yaml"] = strings.TrimRight(good, "\n") + "\n  revoked: 2026-11-20T00:00:00Z\n"
	project(p.t, p.volumes["manifests"], files)
	p.awaitStatus(401, issue, value)
	files["ci-bot.yaml"] = good
	project(p.t, p.volumes["manifests"], files)
	p.awaitStatus(200, issue, value)
}

// wantOrderlyEnd ends the containers in Kubernetes' order: the API, which finishes what it
// has begun, then the sidecars, the last one first.
func (p *pod) wantOrderlyEnd(patgate, envoy *process, app *api) {
	p.t.Helper()
	slow := make(chan int)
	go func() {
		status, _ := p.ask(http.MethodGet, "/rest/api/2/issue/KANBAN-999", value)
		slow <- status
	}()
	<-app.entered
	ended := make(chan error)
	go func() { ended <- app.server.Shutdown(context.Background()) }()
	close(app.leave)
	if status := <-slow; status != 200 {
		p.t.Errorf("the request under way got %d", status)
	}
	mustDo(p.t, <-ended)
	envoy.end(p.t)
	patgate.end(p.t)
	if code := patgate.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("patgate ended with %d", code)
	}
}

// wantEvents checks that each call of the pod's last patgate is in its audit.
func wantEvents(t *testing.T, patgate *process) {
	t.Helper()
	allowed := 0
	for line := range strings.Lines(patgate.out.String()) {
		var e struct{ Kind, Decision, Token, Client string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		if e.Kind == "decision" && e.Decision == "allow" {
			allowed++
			if e.Token != "ci-bot" || e.Client == "" {
				t.Errorf("an event without token or client: %s", line)
			}
		}
	}
	if allowed < 3 {
		t.Errorf("%d allows in the audit", allowed)
	}
	if strings.Contains(patgate.out.String()+patgate.err.String(), value) {
		t.Error("the token's value is in the audit or the log")
	}
}

// libraries lists the files that the loader of this system finds for a program.
func libraries(t *testing.T, binary string) (list []string) {
	t.Helper()
	out, err := exec.Command("ldd", binary).Output()
	mustDo(t, err)
	for _, m := range regexp.MustCompile(`(/\S+) \(0x`).FindAllStringSubmatch(string(out), -1) {
		list = append(list, m[1])
	}
	if len(list) == 0 {
		t.Fatalf("ldd %s: %s", binary, out)
	}
	return list
}
