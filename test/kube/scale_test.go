//go:build kube

package kube

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var manyObjects = flag.Int("objects", 2_000, "how many tokens TestManyObjects creates")

// TestManyObjects loads many tokens, each with rules that no other has, into two gates. It measures how soon a revocation
// counts at both and how much memory each takes. With -objects 100000 it takes some minutes.
func TestManyObjects(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.apply(gateOf("many", ""))
	var next atomic.Int64
	var workers sync.WaitGroup
	url := fmt.Sprintf("%s/apis/patgate.dev/v1alpha1/namespaces/%s/apitokens", ns.c.url, ns.name)
	ns.c.client(t)
	began := time.Now()
	for range 8 {
		workers.Go(func() {
			for n := int(next.Add(1)); n <= *manyObjects; n = int(next.Add(1)) {
				text := fmt.Sprintf(`{"apiVersion":"patgate.dev/v1alpha1","kind":"APIToken","metadata":{"name":"t%d"},"spec":{"user":"user-%d","digest":"sha256:%x","issued":"2026-01-01T00:00:00Z","limitTo":".*/rest/api/2/issue/JRA-%d.*\n[post].*/rest/api/2/issue/KANBAN-%d/comment.*"}}`,
					n, n%10_000, sha256.Sum256([]byte(valueOf(n))), n, n)
				if status, body := ns.c.do(t, http.MethodPost, url, "application/json", []byte(text)); status != http.StatusCreated {
					t.Errorf("%d: %s", status, body)
					return
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d tokens created in %s", *manyObjects, time.Since(began).Round(time.Second))
	var gates []*follower
	for range 2 {
		began = time.Now()
		f := follow(ns, ns.c.url, "--namespace", ns.name)
		f.within(5*time.Minute, "it is ready", func() bool { return f.page("readyz") == "ok\n" })
		t.Logf("ready after %s", time.Since(began).Round(time.Millisecond))
		gates = append(gates, f)
		holdMemory(t, gates)
	}
	var times []time.Duration
	for i := range revocations {
		n := 1 + i*(*manyObjects/revocations)
		for _, f := range gates {
			if got := f.ask(n, "many.example.com"); got != 403 { // the path is none that it may
				t.Fatalf("token %d: %d", n, got)
			}
		}
		revoked := ns.revoke(fmt.Sprintf("t%d", n))
		var both sync.WaitGroup
		for _, f := range gates {
			both.Go(func() { f.becomes(n, "many.example.com", 401) })
		}
		both.Wait()
		times = append(times, time.Since(revoked))
	}
	slices.Sort(times)
	t.Logf("both gates refuse a revoked token after: p50 %s, p90 %s, p99 %s, max %s",
		times[revocations/2], times[revocations*9/10], times[revocations*99/100], times[revocations-1])
	if worst := times[revocations*99/100]; worst > revokedWithin {
		t.Errorf("p99 of a revocation is %s", worst)
	}
	f := gates[0]
	began = time.Now()
	ns.apply("apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: all}\nspec: {members: [user-1, user-2], tokens: {maxLifetime: 1h}}\n")
	f.becomes(2, "many.example.com", 401)
	t.Logf("a group counts after %s", time.Since(began).Round(time.Millisecond))
	holdMemory(t, gates)
}

const (
	revocations   = 200
	revokedWithin = 250 * time.Millisecond // 50 ms is the aim on a machine that does nothing else
	mostMemory    = 250                    // MiB
)

// holdMemory holds what gates have taken at most.
func holdMemory(t *testing.T, gates []*follower) {
	t.Helper()
	for _, f := range gates {
		peak, now := f.memory()
		t.Logf("memory: peak %d MiB, now %d MiB", peak>>10, now>>10)
		if peak>>10 > mostMemory {
			t.Errorf("the peak is %d MiB, want at most %d", peak>>10, mostMemory)
		}
	}
}

// memory returns the most that patgate took, and what it takes, in KiB.
func (f *follower) memory() (peak, now int) {
	f.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.cmd.Process.Pid))
	if err != nil {
		f.t.Fatal(err)
	}
	read := func(key string) int {
		n, err := strconv.Atoi(string(regexp.MustCompile(key + `:\s+(\d+)`).FindSubmatch(text)[1]))
		if err != nil {
			f.t.Fatal(err)
		}
		return n
	}
	return read("VmHWM"), read("VmRSS")
}
