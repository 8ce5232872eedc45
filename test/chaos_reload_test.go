package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patgate/patgate/test/configmap"
	"github.com/patgate/patgate/token"
)

// TestReloadStorm rewrites manifests as fast as it can, whole ones and broken ones in turn:
// the swaps of a ConfigMap, plain files, and both at once. Meanwhile every answer must be
// that of one good generation, and none older than the one before; ordinary calls through
// Envoy must not notice. Afterwards the last state takes effect soon, and nothing leaks.
func TestReloadStorm(t *testing.T) {
	s := startStorm(t)
	l := startLoad(t, 2, "http://"+s.clients+"/rest/x", "Bearer "+s.ordinary)
	callers := s.call(t, 4)
	l.awaitMore(t) // every connection is open
	for _, c := range []struct {
		name           string
		mounted, plain bool
	}{{"a ConfigMap", true, false}, {"files", false, true}, {"both", true, true}} {
		before := s.usage()
		n := s.blow(t, c.mounted, c.plain, 1500*time.Millisecond)
		calm := time.Now()
		awaitGeneration(&s.mountedSeen, s.mounted)
		awaitGeneration(&s.plainSeen, s.plain)
		took := time.Since(calm).Round(time.Millisecond)
		if got, want := [2]int64{s.mountedSeen.Load(), s.plainSeen.Load()}, [2]int64{int64(s.mounted), int64(s.plain)}; got != want {
			t.Errorf("%s: the last state is %v, and what counts is %v", c.name, want, got)
		}
		if took > answerBound {
			t.Errorf("%s: the last state counts after %v", c.name, took)
		}
		after := s.usage()
		t.Logf("%s: %d changes; the last state counted %v after; goroutines %d and %d, descriptors %d and %d",
			c.name, n, took, before.goroutines, after.goroutines, before.descriptors, after.descriptors)
		if after.goroutines > before.goroutines+slack || after.descriptors > before.descriptors+slack {
			t.Errorf("%s: of %+v came %+v", c.name, before, after)
		}
	}
	l.awaitMore(t)
	l.end()
	callers()
	if n := l.refused.Load(); n > 0 {
		t.Errorf("%d of %d ordinary calls were refused", n, n+l.allowed.Load())
	}
	s.wantInvariants(l)
	s.wantConsistentMetrics(t)
}

// storm is a patgate that reads a mounted ConfigMap and a directory of plain files. Its
// callers see which generation of each answered them.
type storm struct {
	*system
	mount                  configmap.Mount
	dir                    string
	ordinary, m, p         string // values of tokens: one that never changes, one of each place
	mounted, plain         int    // the last good generation
	mountedSeen, plainSeen atomic.Int64
}

func startStorm(t *testing.T) *storm {
	t.Helper()
	s := &storm{mount: configmap.Mount{Dir: t.TempDir()}, dir: t.TempDir(), ordinary: token.Mint().Reveal(), m: token.Mint().Reveal(), p: token.Mint().Reveal()}
	s.swap(t, 0)
	s.rewrite(t, 0)
	p := startPatgate(t, s.mount.Dir, "--manifests", s.dir)
	s.system = behindEnvoy(t, p, nil)
	return s
}

// swap mounts a generation. It shows in three files: in the gate's header, the token's user
// and the name of the group. Odd ones are broken: the last of the files is.
func (s *storm) swap(t *testing.T, g int) {
	t.Helper()
	files := map[string]string{
		"ordinary.yaml": gateManifest + "---\n" + tokenManifest("ordinary", s.ordinary, ""),
		"gate.yaml":     kind("mounted", "Gate", fmt.Sprintf("hosts: [mounted]\nschemes: [bearer]\ngroups: [g%d]\nupstream: {userHeader: x-user-%d}\n", g, g)),
		"group.yaml":    kind(fmt.Sprintf("g%d", g), "UserGroup", fmt.Sprintf("members: [u%d]\n", g)),
		"token.yaml":    strings.Replace(tokenManifest("mounted", s.m, ""), "user: alice", fmt.Sprintf("user: u%d", g), 1),
	}
	if g%2 == 1 {
		files["token.yaml"] += "kind: ["
	} else {
		s.mounted = g
	}
	if err := s.mount.Write(files); err != nil {
		t.Fatal(err)
	}
}

// rewrite writes a generation into a plain file. Odd ones are broken, in place. (A file that is
// cut to nothing meanwhile is a state like any other, if two reads find it so.)
func (s *storm) rewrite(t *testing.T, g int) {
	t.Helper()
	path := filepath.Join(s.dir, "token.yaml")
	if g%2 == 0 {
		s.plain = g
		write(t, path, strings.Replace(tokenManifest("plain", s.p, ""), "user: alice", fmt.Sprintf("user: u%d", g), 1))
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("kind: ["); err != nil {
		t.Fatal(err)
	}
}

// blow changes one place or both, as fast as it can, for a while. The last state is good.
func (s *storm) blow(t *testing.T, mounted, plain bool, d time.Duration) (changes int) {
	t.Helper()
	m, p := s.mounted, s.plain
	for end := time.Now().Add(d); time.Now().Before(end); {
		if mounted {
			m++
			s.swap(t, m)
			changes++
		}
		if plain {
			p++
			s.rewrite(t, p)
			changes++
		}
	}
	if m%2 == 1 {
		s.swap(t, m+1)
	}
	if p%2 == 1 {
		s.rewrite(t, p+1)
	}
	return changes
}

// call sends checks to patgate itself over many connections, by both tokens, until stop.
func (s *storm) call(t *testing.T, callers int) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	client := dial(t, s.addr)
	request := func(host, value string) *message {
		return &message{method: "GET", target: "/", host: host, headers: [][2]string{{"authorization", "Bearer " + value}}}
	}
	mounted, plain := request("mounted", s.m).checkRequest(true), request("elsewhere", s.p).checkRequest(true)
	for range callers {
		wg.Go(func() {
			lastMounted, lastPlain := 0, 0
			for {
				select {
				case <-done:
					return
				default:
				}
				answer, err := client.Check(context.Background(), mounted)
				if err != nil {
					t.Errorf("a call failed: %v", err)
					return
				}
				lastMounted = wantNext(t, "the ConfigMap", lastMounted, generationOf(t, answer))
				storeMax(&s.mountedSeen, int64(lastMounted))
				if answer, err = client.Check(context.Background(), plain); err != nil {
					t.Errorf("a call failed: %v", err)
					return
				}
				g := -1
				_, _ = fmt.Sscanf(answer.GetDynamicMetadata().GetFields()["user"].GetStringValue(), "u%d", &g)
				if answer.GetOkResponse() == nil {
					t.Errorf("refused: %v", answer)
				}
				lastPlain = wantNext(t, "the file", lastPlain, g)
				storeMax(&s.plainSeen, int64(lastPlain))
			}
		})
	}
	return func() { close(done); wg.Wait() }
}

// wantNext requires a good generation, not older than the last one.
func wantNext(t *testing.T, where string, last, g int) int {
	if g < last || g%2 == 1 {
		t.Errorf("%s: generation %d after %d", where, g, last)
	}
	return max(g, last)
}

// wantConsistentMetrics checks that the metrics, /revision and the events agree.
func (s *storm) wantConsistentMetrics(t *testing.T) {
	t.Helper()
	m := s.metrics()
	s.find("as many events as were written", func(*event) bool { return float64(len(s.events)) >= m["patgate_audit_events_total"] })
	s.mu.Lock()
	defer s.mu.Unlock()
	counts, revision := map[string]float64{}, uint64(0)
	for _, e := range s.events {
		counts[e.Kind]++
		if e.Kind == "policy.loaded" {
			revision = e.Revision
		}
	}
	decisions := 0.0
	for name, n := range m {
		if strings.HasPrefix(name, "patgate_decisions_total{") {
			decisions += n
		}
	}
	for what, pair := range map[string][2]float64{
		"decisions":      {decisions, counts["decision"]},
		"loads":          {m[`patgate_policy_reloads_total{result="loaded"}`], counts["policy.loaded"]},
		"rejected loads": {m[`patgate_policy_reloads_total{result="rejected"}`], counts["policy.rejected"]},
		"revisions":      {m["patgate_policy_revision"], float64(revision)},
		"lost events":    {m["patgate_audit_lost_total"], 0},
		"success":        {m["patgate_policy_reload_success"], 1},
		"faults":         {m["patgate_check_faults_total"], 0},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: the metrics say %v, the events %v", what, pair[0], pair[1])
		}
	}
	t.Logf("%v loads and %v that were rejected, %v decisions", counts["policy.loaded"], counts["policy.rejected"], decisions)
	if counts["policy.rejected"] == 0 {
		t.Error("no load was rejected: nothing was tried")
	}
}
