//go:build kube

package kube

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// statusWrites is how many times the status of an APIToken was written.
func (ns *namespace) statusWrites() (n int) {
	ns.t.Helper()
	status, body := ns.c.do(ns.t, http.MethodGet, ns.c.url+"/metrics", "application/json", nil)
	if status != http.StatusOK {
		ns.t.Fatalf("%d: %s", status, body)
	}
	for _, m := range regexp.MustCompile(`(?m)^apiserver_request_total\{.*resource="apitokens".*subresource="status".*\} (\S+)$`).FindAllStringSubmatch(string(body), -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			ns.t.Fatal(err)
		}
		n += int(v)
	}
	return n
}

// createTokens creates tokens that all have one policy.
func (ns *namespace) createTokens(count int) {
	ns.t.Helper()
	url := fmt.Sprintf("%s/apis/patgate.dev/v1alpha1/namespaces/%s/apitokens", ns.c.url, ns.name)
	ns.c.client(ns.t)
	var next atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := int(next.Add(1)); n <= count; n = int(next.Add(1)) {
				text := fmt.Sprintf(`{"apiVersion":"patgate.dev/v1alpha1","kind":"APIToken","metadata":{"name":"t%d"},"spec":{"user":"user-%d","digest":"sha256:%x","issued":"2026-01-01T00:00:00Z","policies":["shared"]}}`,
					n, n, sha256.Sum256([]byte(valueOf(n))))
				if status, body := ns.c.do(ns.t, http.MethodPost, url, "application/json", []byte(text)); status != http.StatusCreated {
					ns.t.Errorf("%d: %s", status, body)
					return
				}
			}
		})
	}
	all.Wait()
}

// TestManyStatuses changes a policy that many tokens use: a status is written where it says something else, once, and a new token does
// not wait for that. With -objects 100000 it takes half an hour.
func TestManyStatuses(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	policy := func(allow string) {
		t.Helper()
		ns.apply("apiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: shared}\nspec: {allow: [" + allow + "]}\n")
	}
	policy("{path: /a}")
	ns.apply(gateOf("many", ""))
	ns.createTokens(*manyObjects)
	r := newReplica(ns)
	c := control(ns, ns.c.kubeconfig, []*follower{&r.follower}, "--namespace", ns.name, "--log-level", "info")
	settled := func(what string) int {
		t.Helper()
		n, since, began := -1, time.Now(), time.Now()
		ns.until(time.Hour, "no status is written any more", func() bool {
			if now := ns.statusWrites(); now != n {
				n, since = now, time.Now()
			}
			time.Sleep(100 * time.Millisecond)
			return n > 0 && time.Since(since) > 3*time.Second
		})
		(&follower{served: served{t: t}, cmd: c.cmd}).logMemory(what)
		t.Logf("%s: %d writes of %d tokens, in %s", what, n, *manyObjects, time.Since(began).Round(time.Second))
		return n
	}
	before := settled("started")
	if before < *manyObjects {
		t.Errorf("%d writes", before)
	}

	policy("{path: /b}") // the status of the tokens says the same
	ns.becomes("tokenpolicies", "shared", "Ready", "True InForce")
	if now := settled("a pattern of the policy changed"); now != before {
		t.Errorf("%d statuses were written, with nothing to say", now-before)
	}
	if now := ns.statusWrites(); now != before {
		t.Errorf("%d statuses were written", now-before)
	}

	policy("{path: /b}, {path: /c}") // each token has a rule more
	ns.until(time.Minute, "statuses are written", func() bool { return ns.statusWrites() > before })
	ns.apply(tokenOf("new", 1_000_000, "unrestricted: true"))
	began := time.Now()
	ns.becomes("apitokens", "new", "Ready", "True InForce")
	behind := before + *manyObjects - ns.statusWrites()
	t.Logf("a new token is Ready after %s, before %d others", time.Since(began), behind)
	after := settled("a rule was added to the policy")
	if written := after - before; written < *manyObjects || written > *manyObjects+*manyObjects/100+5 {
		t.Errorf("%d statuses were written, want one for each token", written)
	}
	if got := fmt.Sprint(ns.fetch("apitokens", "t1").at("status", "rules")); strings.TrimSpace(got) != "2" {
		t.Errorf("rules: %s", got)
	}
}

// logMemory logs what a process takes.
func (f *follower) logMemory(what string) {
	f.t.Helper()
	peak, now := f.memory()
	f.t.Logf("%s: memory of the process: peak %d MiB, now %d MiB", what, peak>>10, now>>10)
}
