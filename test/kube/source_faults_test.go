//go:build kube

package kube

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/server"
)

var cutFor = flag.Duration("cut", 2*time.Second, "for how long TestTheWatchIsCut cuts the watch")

// TestTheWatchIsDisordered lets events come in another order than they happened, and then pieces of them: what was revoked
// stays revoked.
func TestTheWatchIsDisordered(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.apply(gateOf("order", "") + tokenOf("one", 1, "unrestricted: true") + tokenOf("two", 2, "unrestricted: true"))
	g := newGateway(t, ns.c)
	f := follow(ns, g.URL, "--namespace", ns.name).ready()
	f.becomes(1, "order.example.com", 200)
	f.becomes(2, "order.example.com", 200)

	g.disturb(1, 0)
	ns.patch("apitokens/one", `{"metadata":{"annotations":{"note":"before"}}}`)
	ns.revoke("one")
	f.until("two events have changed places", func() bool { swap, _, _ := g.left(); return swap == 0 })
	f.becomes(1, "order.example.com", 401)
	f.until("the objects are listed again", func() bool {
		logs, err := os.ReadFile(f.logs)
		return err == nil && strings.Contains(string(logs), "events arrived out of order")
	})
	ns.apply(tokenOf("three", 3, "unrestricted: true"))
	f.becomes(3, "order.example.com", 200) // it follows what came later, and so has all of before
	if got := f.ask(1, "order.example.com"); got != 401 {
		t.Errorf("a revoked token: %d", got)
	}

	g.disturb(0, 3)
	ns.revoke("two")
	f.becomes(2, "order.example.com", 401)
	f.until("pieces were torn", func() bool { _, tear, _ := g.left(); return tear < 3 })
	g.disturb(0, 0)
	ns.revoke("three")
	f.becomes(3, "order.example.com", 401)
}

// TestTheHistoryIsCompacted lets etcd and the API server forget what happened while the watch was cut. The API server
// answers that it has forgotten, and patgate lists the objects again.
func TestTheHistoryIsCompacted(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.apply(gateOf("history", "") + tokenOf("one", 1, "unrestricted: true") + tokenOf("two", 2, "unrestricted: true") + tokenOf("three", 3, "unrestricted: true"))
	g := newGateway(t, ns.c)
	f := follow(ns, g.URL, "--namespace", ns.name).ready()
	for n := 1; n <= 3; n++ {
		f.becomes(n, "history.example.com", 200)
	}
	f.until("the watches are a second old: a younger one is not resumed", func() bool { return f.metric("patgate_source_age_seconds") > 1.2 })
	g.cut()
	ns.revoke("one")
	ns.kubectl("delete", "apitoken", "two")
	ns.c.compact(t)
	if err := ns.c.restartAPIServer(); err != nil {
		t.Fatal(err)
	}
	if _, _, expired := g.left(); expired > 0 {
		t.Fatalf("a version was forgotten before the watch could ask for it")
	}
	g.mend(0)
	f.becomes(1, "history.example.com", 401)
	f.becomes(2, "history.example.com", 401)
	if got := f.ask(3, "history.example.com"); got != 200 {
		t.Errorf("a token that nobody changed: %d", got)
	}
	if _, _, expired := g.left(); expired == 0 {
		t.Error("the API server has not answered 410, so that nothing was tested")
	}
}

// compact lets etcd forget all versions but the present ones.
func (c *cluster) compact(t testing.TB) {
	t.Helper()
	status, body := c.do(t, http.MethodPost, c.etcd+"/v3/kv/range", "application/json", []byte(`{"key":"AA==","range_end":"AA==","limit":1,"count_only":true}`))
	_, after, ok := strings.Cut(string(body), `"revision":"`)
	revision, _, _ := strings.Cut(after, `"`)
	if status != http.StatusOK || !ok {
		t.Fatalf("etcd: %d: %s", status, body)
	}
	status, body = c.do(t, http.MethodPost, c.etcd+"/v3/kv/compaction", "application/json", fmt.Appendf(nil, `{"revision":%q,"physical":true}`, revision))
	if status != http.StatusOK {
		t.Fatalf("etcd compacts: %d: %s", status, body)
	}
}

// patch merges something into an object.
func (ns *namespace) patch(object, merge string) {
	ns.t.Helper()
	status, body := ns.c.do(ns.t, http.MethodPatch, fmt.Sprintf("%s/apis/patgate.dev/v1alpha1/namespaces/%s/%s", ns.c.url, ns.name, object),
		"application/merge-patch+json", []byte(merge))
	if status != http.StatusOK {
		ns.t.Fatalf("%s: %d: %s", object, status, body)
	}
}

// TestStaleObjects cuts the watch and lets five minutes pass on patgate's clock: it is not ready, and refuses where that was
// asked for. Once it hears of the cluster it is as before.
func TestStaleObjects(t *testing.T) {
	for _, deny := range []bool{false, true} {
		t.Run("deny="+strconv.FormatBool(deny), func(t *testing.T) {
			ns := newNamespace(t)
			installKinds(t, ns)
			ns.apply(gateOf("stale", "") + tokenOf("one", 1, "unrestricted: true"))
			g := newGateway(t, ns.c)
			var later atomic.Int64
			f := inProcess(ns, g.URL, server.Options{
				MaxStale: 5 * time.Minute, StaleDeny: deny, Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) },
			}).ready()
			f.becomes(1, "stale.example.com", 200)
			g.cut()
			later.Store(int64(6 * time.Minute))
			f.until("it is not ready", func() bool { return strings.Contains(f.page("readyz"), "nothing was heard of the cluster for 6m") })
			want := 200
			if deny {
				want = 503
			}
			f.becomes(1, "stale.example.com", want)
			if deny {
				f.event(`"reason":"not_ready"`)
			}
			if age := f.metric("patgate_source_age_seconds"); age < 360 {
				t.Errorf("the age is %g", age)
			}
			g.mend(0)
			f.ready()
			f.becomes(1, "stale.example.com", 200)
		})
	}
}

// inProcess is follow with a server in this process, and options that no flag sets.
func inProcess(ns *namespace, apiServer string, o server.Options) *follower {
	t := ns.t
	t.Helper()
	dir := t.TempDir()
	f := &follower{served: served{t: t, ns: ns}, status: freeAddr(), events: filepath.Join(dir, "events"), logs: filepath.Join(dir, "logs")}
	audit, err := os.Create(f.events)
	if err != nil {
		t.Fatal(err)
	}
	o.Kubernetes = &server.KubernetesOptions{Kubeconfig: kubeconfigOf(ns, ns.c.token, apiServer, dir), Namespaces: []string{ns.name}}
	o.Audit, o.StatusListen, o.Listen = audit, f.status, freeAddr()
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel(server.ErrNow)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		audit.Close()
	})
	f.front(func(a envoy.Addresses) (string, error) {
		a.Patgate = o.Listen
		return envoy.Render(a)
	})
	return f
}
