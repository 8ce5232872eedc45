//go:build kube

package kube

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestTokensAreObjects applies gates, policies and tokens, and asks through Envoy. A broken object concerns itself alone.
func TestTokensAreObjects(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	ns.apply(gateOf("a", "") + tokenOf("one", 1, "unrestricted: true") + tokenOf("two", 2, "limitTo: \".*\"") + tokenOf("three", 3, "policies: [missing]"))
	f.becomes(1, "a.example.com", 200)
	f.becomes(2, "a.example.com", 200)
	if got := f.ask(3, "a.example.com"); got != 401 {
		t.Errorf("a token that names no policy: %d", got)
	}
	f.event(`"reason":"token_unknown"`, `"detail":"not accepted"`, `"token":"`+ns.name+`/three"`)
	f.event(`"policy.rejected"`, `"source":"APIToken/`+ns.name+`/three"`, "no TokenPolicy is called "+ns.name+"/missing")

	ns.apply("apiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: missing}\nspec: {allow: [{methods: [GET]}]}\n")
	f.becomes(3, "a.example.com", 200)
	ns.kubectl("delete", "tokenpolicy", "missing")
	f.becomes(3, "a.example.com", 401)

	ns.apply(gateOf("a", ", groups: [nobody]")) // its last good version stays
	ns.apply(gateOf("b", ", groups: [nobody]")) // it never had one
	f.becomes(1, "b.example.com", 503)
	f.event(`"reason":"gate_invalid"`)
	if got := f.ask(1, "a.example.com"); got != 200 {
		t.Errorf("a gate with a fault: %d, want its last good version", got)
	}
	f.until("the fault is counted", func() bool { return f.metric(`patgate_objects_not_accepted{kind="Gate"}`) == 2 })

	ns.kubectl("delete", "apitoken", "two")
	f.becomes(2, "a.example.com", 401)
	var times []time.Duration
	for i := range 40 {
		name := fmt.Sprintf("r%d", i)
		ns.apply(tokenOf(name, 100+i, "unrestricted: true"))
		f.becomes(100+i, "a.example.com", 200)
		revoked := ns.revoke(name)
		f.becomes(100+i, "a.example.com", 401)
		times = append(times, time.Since(revoked))
	}
	slices.Sort(times)
	t.Logf("a revocation is refused after: p50 %s, max %s", times[len(times)/2], times[len(times)-1])
	if worst := times[len(times)-1]; worst > time.Second {
		t.Errorf("a revocation was refused after %s", worst)
	}
}

// TestTeamsInACluster lets two namespaces share the gate of a third.
func TestTeamsInACluster(t *testing.T) {
	edge := newNamespace(t)
	installKinds(t, edge)
	team := &namespace{t: t, c: edge.c, name: edge.name + "-team"}
	team.make("create", "-f", "-")
	other := &namespace{t: t, c: edge.c, name: edge.name + "-other"}
	other.make("create", "-f", "-")
	f := follow(edge, edge.c.url, "--namespace", edge.name, "--namespace", team.name, "--namespace", other.name).ready()
	edge.apply(gateOf("open", ", tokensFrom: {namespaces: All}") + gateOf("closed", "") +
		gateOf("chosen", ", tokensFrom: {namespaces: {matchLabels: {kubernetes.io/metadata.name: "+team.name+"}}}"))
	gates := "unrestricted: true, gates: [" + edge.name + "/open, " + edge.name + "/closed, " + edge.name + "/chosen]"
	team.apply(tokenOf("t", 1, gates))
	other.apply(tokenOf("t", 2, gates))
	f.becomes(1, "open.example.com", 200)
	f.becomes(2, "open.example.com", 200)
	for _, c := range []struct {
		token  int
		host   string
		status int
	}{{1, "closed.example.com", 403}, {1, "chosen.example.com", 200}, {2, "chosen.example.com", 403}} {
		if got := f.ask(c.token, c.host); got != c.status {
			t.Errorf("token %d at %s: %d, want %d", c.token, c.host, got, c.status)
		}
	}
}

// TestTheWatchIsCut cuts patgate off from the API server, delays what comes, and lets its history be gone. With -cut 60s it
// is cut for a minute.
func TestTheWatchIsCut(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.apply(gateOf("cut", "") + tokenOf("one", 1, "unrestricted: true") + tokenOf("two", 2, "unrestricted: true") +
		tokenOf("three", 3, "unrestricted: true") + tokenOf("four", 4, "unrestricted: true"))
	g := newGateway(t, ns.c)
	f := follow(ns, g.URL, "--namespace", ns.name).ready()
	for n := 1; n <= 4; n++ {
		f.becomes(n, "cut.example.com", 200)
	}

	g.delayBy(200 * time.Millisecond)
	ns.revoke("one")
	f.becomes(1, "cut.example.com", 401)
	g.delayBy(0)

	g.cut()
	ns.revoke("two")
	f.within(*cutFor+20*time.Second, "the age grows", func() bool { return f.metric("patgate_source_age_seconds") > cutFor.Seconds() })
	if got := f.ask(2, "cut.example.com"); got != 200 {
		t.Errorf("while the watch is cut: %d, want the last state", got)
	}
	logs, err := os.ReadFile(f.logs)
	if err != nil || !strings.Contains(string(logs), "the cluster does not answer") {
		t.Errorf("the cut was not logged: %v\n%s", err, logs)
	}
	g.mend(0)
	if took := f.becomes(2, "cut.example.com", 401); took > time.Second {
		t.Errorf("the revocation counted %s after the cut was mended", took)
	} else {
		t.Logf("healed after %s", took)
	}

	g.cut()
	ns.revoke("three")
	ns.kubectl("delete", "apitoken", "four")
	g.mend(8) // the API server has forgotten what happened meanwhile
	f.becomes(3, "cut.example.com", 401)
	f.becomes(4, "cut.example.com", 401)
}

// TestTheAPIServerRestarts kills the API server: patgate answers on, and follows the new one.
func TestTheAPIServerRestarts(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.apply(gateOf("restart", "") + tokenOf("one", 1, "unrestricted: true"))
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	f.becomes(1, "restart.example.com", 200)
	var failed atomic.Int64
	stop := f.load("restart.example.com", []int{1}, &failed)
	if err := ns.c.restartAPIServer(); err != nil {
		t.Fatal(err)
	}
	if calls := stop(); failed.Load() > 0 || calls == 0 {
		t.Errorf("while the API server was away, %d of %d calls failed", failed.Load(), calls)
	}
	ns.revoke("one")
	if took := f.becomes(1, "restart.example.com", 401); took > 5*time.Second {
		t.Errorf("the revocation counted after %s", took)
	}
}

// TestNotReadyWithoutACluster starts patgate while nothing answers, and lets the API server come later.
func TestNotReadyWithoutACluster(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.apply(gateOf("late", "") + tokenOf("one", 1, "unrestricted: true"))
	g := newGateway(t, ns.c)
	g.cut()
	f := follow(ns, g.URL, "--namespace", ns.name)
	f.until("it says why it is not ready", func() bool { return strings.Contains(f.page("readyz"), "not listed yet") })
	if got := f.ask(1, "late.example.com"); got == 200 {
		t.Error("it allowed something before it knew the objects")
	}
	g.mend(0)
	f.ready()
	f.becomes(1, "late.example.com", 200)
}

// TestTheEndIsQuiet ends a server that follows objects: that its watches end with it is no error.
func TestTheEndIsQuiet(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	t.TempDir() // which is removed after what follows
	var f *follower
	t.Cleanup(func() {
		text, err := os.ReadFile(f.logs)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `"level":"ERROR"`) {
			t.Errorf("the log has errors:\n%s", text)
		}
	})
	f = follow(ns, ns.c.url, "--namespace", ns.name).ready()
}
