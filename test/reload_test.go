package test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/patgate/patgate/test/configmap"
	"github.com/patgate/patgate/token"
)

const gateManifest = "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: jira}\nspec: {schemes: [basic, bearer]}\n"

func tokenManifest(name, value, more string) string {
	return kind(name, "APIToken", "user: alice\ndigest: "+digestOf(value)+"\nissued: 2026-01-01T00:00:00Z\nunrestricted: true\n"+more)
}

// TestRevocationIsFast measures how long a token is still accepted after the event that
// ends it, under load through Envoy.
func TestRevocationIsFast(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir, value string)
		reason string
	}{
		{"its file is removed", func(t *testing.T, dir, _ string) {
			if err := os.Remove(filepath.Join(dir, "token.yaml")); err != nil {
				t.Fatal(err)
			}
		}, "token_unknown"},
		{"revoked is set", func(t *testing.T, dir, value string) {
			write(t, filepath.Join(dir, "token.yaml"), tokenManifest("ci", value, "revoked: 2026-06-01T00:00:00Z\n"))
		}, "token_revoked"},
		{"revoked is set in place, in a load that is rejected", func(t *testing.T, dir, value string) {
			write(t, filepath.Join(dir, "broken.yaml"), "kind: [")
			if err := os.WriteFile(filepath.Join(dir, "token.yaml"), []byte(tokenManifest("ci", value, "revoked: 2026-06-01T00:00:00Z\n")), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "token_revoked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			value := token.Mint().Reveal()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "gate.yaml"), gateManifest)
			write(t, filepath.Join(dir, "token.yaml"), tokenManifest("ci", value, ""))
			s := startSystem(t, dir, nil)
			request := ask{path: "/rest/", authorization: "Bearer " + value}
			if got := s.http(t, request); got.status != 200 {
				t.Fatalf("status %d", got.status)
			}
			var wg sync.WaitGroup
			done := make(chan struct{})
			for range 4 { // load besides the one that measures
				wg.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						if answer, err := plainClient.Get("http://" + s.clients + "/rest/"); err == nil {
							answer.Body.Close()
						}
					}
				})
			}
			changed := time.Now()
			c.change(t, dir, value)
			var got answered
			for got.status != 401 && time.Since(changed) < 20*time.Second {
				got = s.http(t, request)
			}
			took := time.Since(changed)
			close(done)
			wg.Wait()
			t.Logf("refused %v after the event", took.Round(time.Millisecond))
			if got.event.Reason != c.reason {
				t.Errorf("refused for %s, want %s", got.event.Reason, c.reason)
			}
			if took > time.Second {
				t.Errorf("refused %v after the event, want at most 1 s", took)
			}
		})
	}
}

// TestReloadIsReported breaks the manifests of a running server and mends them, and
// looks at the log, the metrics, the audit and /revision.
func TestReloadIsReported(t *testing.T) {
	a, b := token.Mint().Reveal(), token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "gate.yaml"), gateManifest)
	write(t, filepath.Join(dir, "a.yaml"), tokenManifest("a", a, ""))
	write(t, filepath.Join(dir, "b.yaml"), tokenManifest("b", b, ""))
	p := startPatgate(t, dir)
	first := p.find("the first load", func(e *event) bool { return e.Kind == "policy.loaded" && e.Revision == 1 })
	if got := strings.Join(first.AddedNames, " "); got != "Gate/jira APIToken/a APIToken/b" {
		t.Errorf("the first load added %s", got)
	}
	client := dial(t, p.addr)
	allowed := func(value string) bool {
		answer, err := client.Check(context.Background(), (&message{method: "GET", target: "/", host: "h", headers: [][2]string{{"authorization", "Bearer " + value}}}).checkRequest(true))
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetOkResponse() != nil
	}
	write(t, filepath.Join(dir, "gate.yaml"), strings.Replace(gateManifest, "schemes", "scheme", 1))
	write(t, filepath.Join(dir, "a.yaml"), tokenManifest("a", a, "suspended: true\n"))
	rejected := p.find("the rejection of both", func(e *event) bool { return e.Kind == "policy.rejected" && len(e.Tokens) > 0 })
	if rejected.Tokens[0] != "a" || rejected.Revision != 2 || rejected.Count != 1 || !strings.Contains(rejected.Problems[0], "did you mean schemes?") {
		t.Errorf("%+v", rejected)
	}
	if allowed(a) || !allowed(b) {
		t.Error("a rejected load must refuse what it suspends, and change nothing else")
	}
	if log := p.log(); !strings.Contains(log, "manifests rejected") || !strings.Contains(log, "did you mean schemes?") {
		t.Errorf("the log does not say so: %s", log)
	}
	p.wantPage("/metrics", "patgate_policy_reload_success 0", "patgate_policy_revision 2", `patgate_tokens{state="suspended"} 1`)
	p.wantPage("/revision", `"revision":2`, `"ok":false`, `"problems":1`, `"places":["`, `"refused":1`)
	answer, err := http.Get("http://" + p.status + "/revision")
	if err != nil {
		t.Fatal(err)
	}
	if page := readAll(t, answer); strings.Contains(page, "mean") || strings.Contains(page, `"a"`) {
		t.Errorf("the status port shows what is wrong in the manifests, or names: %s", page)
	}
	p.wantPage("/readyz", "ok")
	write(t, filepath.Join(dir, "gate.yaml"), gateManifest)
	write(t, filepath.Join(dir, "a.yaml"), tokenManifest("a", a, ""))
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.find("the mended load", func(e *event) bool { return e.Kind == "policy.loaded" && e.Revision > 2 })
	deadline := time.Now().Add(10 * time.Second)
	for !allowed(a) && time.Now().Before(deadline) {
	}
	if !allowed(a) || !allowed(b) {
		t.Error("mended, both must be allowed")
	}
	p.wantPage("/metrics", "patgate_policy_reload_success 1", `patgate_decisions_total{decision="allow",gate="jira",reason="ok"}`)
}

// wantPage waits until a page of the status port holds all of these.
func (p *patgate) wantPage(path string, want ...string) {
	p.t.Helper()
	text := ""
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		answer, err := http.Get("http://" + p.status + path)
		if err != nil {
			p.t.Fatal(err)
		}
		text = readAll(p.t, answer)
		missing := ""
		for _, w := range want {
			if !strings.Contains(text, w) {
				missing = w
			}
		}
		if missing == "" {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.t.Errorf("%s does not hold all of %q:\n%s", path, want, text)
}

// TestConfigMapSwapsUnderLoad swaps a mounted ConfigMap a thousand times while clients
// ask. A generation shows in three files: in the gate's header, the token's user and
// the name of the group. Every answer must be whole, and none may be older than the one
// before it.
//
// The test was seen to fail where the loader read the files through their links, one by
// one, instead of through one `..data`: loads were rejected, as a file of one generation
// named what another had.
func TestConfigMapSwapsUnderLoad(t *testing.T) {
	const swaps, callers = 1000, 8
	value := token.Mint().Reveal()
	m := configmap.Mount{Dir: t.TempDir()}
	generation := func(g int) map[string]string {
		return map[string]string{
			"gate.yaml":  kind("jira", "Gate", fmt.Sprintf("schemes: [bearer]\ngroups: [g%d]\nupstream: {userHeader: x-user-%d}\n", g, g)),
			"group.yaml": kind(fmt.Sprintf("g%d", g), "UserGroup", fmt.Sprintf("members: [u%d]\n", g)),
			"token.yaml": strings.Replace(tokenManifest("ci", value, ""), "user: alice", fmt.Sprintf("user: u%d", g), 1),
		}
	}
	if err := m.Write(generation(0)); err != nil {
		t.Fatal(err)
	}
	p := startPatgate(t, m.Dir)
	client := dial(t, p.addr)
	request := (&message{method: "GET", target: "/", host: "h", headers: [][2]string{{"authorization", "Bearer " + value}}}).checkRequest(true)
	done := make(chan struct{})
	var wg sync.WaitGroup
	var calls, newest atomic.Int64
	for range callers {
		wg.Go(func() {
			last := -1
			for {
				select {
				case <-done:
					return
				default:
				}
				answer, err := client.Check(context.Background(), request)
				if err != nil {
					t.Errorf("a call failed: %v", err)
					return
				}
				calls.Add(1)
				g := generationOf(t, answer)
				if g < last {
					t.Errorf("generation %d after %d", g, last)
				}
				last = max(last, g)
				storeMax(&newest, int64(last))
			}
		})
	}
	for g := 1; g <= swaps && !t.Failed(); g++ {
		if err := m.Write(generation(g)); err != nil {
			t.Fatal(err)
		}
		if g%2 == 0 { // two swaps at a time: the first is read in the middle of the second
			awaitGeneration(&newest, g)
		}
	}
	awaitGeneration(&newest, swaps)
	close(done)
	wg.Wait()
	if newest.Load() != swaps {
		t.Errorf("the last generation seen is %d", newest.Load())
	}
	loads := 0
	p.mu.Lock()
	for _, e := range p.events {
		switch e.Kind {
		case "policy.loaded":
			loads++
		case "policy.rejected":
			t.Errorf("a swap was rejected: %v", e.Problems)
		}
	}
	p.mu.Unlock()
	t.Logf("%d calls during %d swaps, which made %d revisions", calls.Load(), swaps, loads)
	p.wantDecisions(int(calls.Load()))
}

func storeMax(to *atomic.Int64, v int64) {
	for {
		have := to.Load()
		if v <= have || to.CompareAndSwap(have, v) {
			return
		}
	}
}

// awaitGeneration waits until callers have seen a generation, for a while.
func awaitGeneration(newest *atomic.Int64, g int) {
	for deadline := time.Now().Add(20 * time.Second); newest.Load() < int64(g) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// generationOf reads the generation out of an answer's three places, which must agree.
func generationOf(t *testing.T, answer *authv3.CheckResponse) int {
	if answer.GetOkResponse() == nil {
		t.Errorf("refused: %v", answer)
		return -1
	}
	header, user, group := -1, -1, -1
	for _, h := range answer.GetOkResponse().GetHeaders() {
		name, text := h.GetHeader().GetKey(), h.GetHeader().GetValue()
		if strings.HasPrefix(name, "x-user-") {
			_, _ = fmt.Sscanf(name, "x-user-%d", &header)
			_, _ = fmt.Sscanf(text, "u%d", &user)
		}
		if name == "x-forwarded-groups" {
			_, _ = fmt.Sscanf(text, "g%d", &group)
		}
	}
	if header < 0 || header != user || user != group {
		t.Errorf("a mixture: the gate of %d, the token of %d, the group of %d", header, user, group)
	}
	return header
}
