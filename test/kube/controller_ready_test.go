//go:build kube

package kube

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// replica is a patgate that follows the objects, without an Envoy, and whose status port is the same after a restart.
type replica struct {
	follower
	config string
	exited chan struct{}
}

func newReplica(ns *namespace) *replica {
	ns.t.Helper()
	r := &replica{follower: follower{served: served{t: ns.t, ns: ns}, status: freeAddr()}}
	dir := ns.t.TempDir()
	r.config, r.logs = kubeconfigOf(ns, ns.c.token, ns.c.url, dir), filepath.Join(dir, "logs")
	ns.t.Cleanup(r.end)
	r.begin()
	return r
}

func (r *replica) begin() {
	r.t.Helper()
	logs, err := os.Create(r.logs)
	if err != nil {
		r.t.Fatal(err)
	}
	defer logs.Close()
	r.cmd = exec.Command(binary, "serve", "--kubernetes", "--kubeconfig", r.config, "--namespace", r.ns.name, "--listen", freeAddr(), "--status-listen", r.status, "--drain-delay", "0s")
	r.cmd.Stderr = logs
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if r.exited, err = start(r.cmd); err != nil {
		r.t.Fatal(err)
	}
	r.ready()
}

func (r *replica) end() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	<-r.exited
}

// written is when a condition changed, and the version that wrote it.
func (ns *namespace) written(resource, name, kind string) (version string, changed time.Time) {
	ns.t.Helper()
	o := ns.fetch(resource, name)
	for _, c := range objects(o.at("status", "conditions")) {
		if c.text("type") == kind {
			changed, _ = time.Parse(time.RFC3339, c.text("lastTransitionTime"))
		}
	}
	return o.text("metadata", "resourceVersion"), changed
}

// TestReadyFollowsTheReplicas ends one of two replicas, and starts it again: what was in force on both stays Ready for 30 s, then says
// which one is away, and is Ready again once that is back. Nothing is written meanwhile.
func TestReadyFollowsTheReplicas(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	one, two := newReplica(ns), newReplica(ns)
	c := control(ns, ns.c.kubeconfig, []*follower{&one.follower, &two.follower}, "--namespace", ns.name)
	ns.until(30*time.Second, "the controller writes", c.writes)
	ns.apply(gateOf("away", "") + tokenOf("plain", 1, "unrestricted: true") + secretToken("ci", "ci-token", "") +
		"apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: staff}\nspec: {members: [bob]}\n")
	all := map[string]string{"away": "gates", "plain": "apitokens", "ci": "apitokens", "staff": "usergroups"}
	versions, times := map[string]string{}, map[string]time.Time{}
	for name, resource := range all {
		ns.becomes(resource, name, "Ready", "True InForce", "in force on 2 of 2 replicas")
	}
	for name, resource := range all {
		versions[name], times[name] = ns.written(resource, name, "Ready")
	}

	two.end()
	ended := time.Now()
	ns.apply(tokenOf("late", 2, "unrestricted: true"))
	ns.becomes("apitokens", "late", "Ready", "False NotInForce", "in force on 1 of 2 replicas: http://"+two.status, "connection refused")
	late, _ := ns.written("apitokens", "late", "Ready")
	for ns.condition("apitokens", "plain", "Ready") == "True InForce: in force on 2 of 2 replicas" {
		if now, _ := ns.written("apitokens", "plain", "Ready"); now != versions["plain"] && time.Since(ended) < 25*time.Second {
			t.Fatalf("it was written %s after a replica went", time.Since(ended))
		}
		if time.Since(ended) > 75*time.Second {
			t.Fatal("it stays Ready without the replica")
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("not Ready %s after a replica went", time.Since(ended))
	if time.Since(ended) < 25*time.Second {
		t.Error("it is not Ready at once")
	}
	for name, resource := range all {
		ns.becomes(resource, name, "Ready", "False NotInForce", "in force on 1 of 2 replicas: http://"+two.status, "connection refused")
		if _, changed := ns.written(resource, name, "Ready"); !changed.After(times[name]) {
			t.Errorf("%s: the last transition was at %s, before that at %s", name, changed, times[name])
		}
		_, accepted := ns.written(resource, name, "Accepted")
		if accepted.After(times[name]) {
			t.Errorf("%s: Accepted changed too, at %s", name, accepted)
		}
	}
	if now, _ := ns.written("apitokens", "late", "Ready"); now != late {
		t.Errorf("the status of a token was written again (%s, then %s), with nothing to say", late, now)
	}
	value := ns.secretKey("ci-token", "token")

	two.begin()
	began := time.Now()
	all["late"] = "apitokens"
	for name, resource := range all {
		ns.becomes(resource, name, "Ready", "True InForce", "in force on 2 of 2 replicas")
	}
	t.Logf("Ready %s after it was back", time.Since(began))
	if strings.TrimSpace(value) == "" || ns.secretKey("ci-token", "token") != value {
		t.Error("the Secret has another value")
	}
}
