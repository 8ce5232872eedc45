//go:build kube

package kube

import (
	"flag"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var changesFor = flag.Duration("changes", 6*time.Second, "for how long TestChangesUnderLoad changes objects")

const changesAMinute = 1_000

// load calls with tokens, in turn and from several clients, until stop is called, which returns how many calls there were.
// Calls that are not allowed are counted.
func (f *follower) load(host string, tokens []int, failed *atomic.Int64) (stop func() int64) {
	var calls atomic.Int64
	var clients sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				n := tokens[int(calls.Add(1))%len(tokens)]
				if status := f.try(n, host); status != http.StatusOK && failed.Add(1) < 10 {
					f.t.Logf("token %d: %d", n, status)
				}
			}
		})
	}
	return func() int64 {
		close(done)
		clients.Wait()
		return calls.Load()
	}
}

// TestChangesUnderLoad makes a thousand changes a minute to tokens, also to those that are used, to a policy, to a group and
// to the gate. No call of a token that stays good fails, and each other change counts.
func TestChangesUnderLoad(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.apply("apiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: read}\nspec: {allow: [{methods: [GET]}]}\n---\n" +
		"apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: people}\nspec: {members: [alice]}\n---\n" + gateOf("load", ""))
	var steady []int
	text := ""
	for n := 1; n <= 20; n++ {
		more := []string{"policies: [read]", `limitTo: ".*"`}[n%2]
		steady, text = append(steady, n), text+tokenOf(fmt.Sprint("s", n), n, more)
	}
	ns.apply(text)
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	for _, n := range steady {
		f.becomes(n, "load.example.com", 200)
	}
	var failed atomic.Int64
	stop := f.load("load.example.com", steady, &failed)
	var gone, there []int
	var waits []time.Duration
	changes, began := 0, time.Now()
	tick := time.NewTicker(time.Minute / changesAMinute)
	defer tick.Stop()
	for ; time.Since(began) < *changesFor; changes++ {
		<-tick.C
		switch n := 100 + changes; changes % 8 {
		case 0:
			ns.patch(fmt.Sprintf("apitokens/s%d", 1+2*(changes%10)), fmt.Sprintf(`{"spec":{"limitTo":".*|/%d"}}`, n))
		case 1: // it rotates with overlap: the old value, which is used, is a previous one
			ns.patch("apitokens/s2", fmt.Sprintf(`{"spec":{"digest":%q,"previous":[{"digest":%q,"issued":"2026-01-01T00:00:00Z","until":"2099-01-01T00:00:00Z"}]}}`, digestOf(n), digestOf(2)))
		case 2:
			ns.patch("tokenpolicies/read", fmt.Sprintf(`{"spec":{"allow":[{"methods":["GET"]},{"methods":["PUT"],"path":"/%d"}]}}`, n))
		case 3:
			ns.patch("usergroups/people", fmt.Sprintf(`{"spec":{"members":["alice","user-%d"]}}`, n))
		case 4:
			ns.patch("gates/load", fmt.Sprintf(`{"spec":{"hosts":["load.example.com","load-%d.example.com"]}}`, n))
		case 5:
			ns.create(fmt.Sprint("n", n), n)
			there = append(there, n)
		case 6:
			ns.create(fmt.Sprint("n", n), n)
			gone = append(gone, n)
		case 7:
			last := gone[len(gone)-1]
			f.becomes(last, "load.example.com", 200)
			revoked := ns.revoke(fmt.Sprint("n", last))
			f.becomes(last, "load.example.com", 401)
			waits = append(waits, time.Since(revoked))
		}
	}
	took := time.Since(began)
	calls := stop()
	slices.Sort(waits)
	t.Logf("%d changes in %s, %d calls, %d failed; a revocation is refused after p50 %s, p99 %s", changes, took.Round(time.Millisecond), calls, failed.Load(),
		waits[len(waits)/2], waits[len(waits)*99/100])
	if failed.Load() > 0 {
		t.Errorf("%d of %d calls failed", failed.Load(), calls)
	}
	for _, n := range there {
		f.becomes(n, "load.example.com", 200)
	}
	for _, n := range gone[:len(waits)] {
		if got := f.ask(n, "load.example.com"); got != 401 {
			t.Errorf("the revoked token %d: %d", n, got)
		}
	}
}

// create creates a token with the value of a number.
func (ns *namespace) create(name string, n int) {
	ns.t.Helper()
	status, body := ns.c.do(ns.t, http.MethodPost, fmt.Sprintf("%s/apis/patgate.dev/v1alpha1/namespaces/%s/apitokens", ns.c.url, ns.name), "application/json",
		fmt.Appendf(nil, `{"apiVersion":"patgate.dev/v1alpha1","kind":"APIToken","metadata":{"name":%q},"spec":{"user":"alice","digest":%q,"issued":"2026-01-01T00:00:00Z","unrestricted":true}}`,
			name, digestOf(n)))
	if status != http.StatusCreated {
		ns.t.Fatalf("%s: %d: %s", name, status, body)
	}
}
