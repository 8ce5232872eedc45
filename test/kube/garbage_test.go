//go:build kube

package kube

import (
	"strings"
	"testing"
	"time"
)

// collectGarbage lets the garbage collector and the namespace controller of Kubernetes run until the test ends.
func (c *cluster) collectGarbage(t testing.TB) {
	t.Helper()
	before := len(c.processes)
	err := c.run(tool(t, "kube-controller-manager"), "--kubeconfig", c.kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--controllers=garbage-collector-controller,namespace-controller")
	if err != nil {
		t.Fatal(err)
	}
	p := c.processes[before]
	t.Cleanup(func() {
		p.stop()
		c.processes = c.processes[:before]
		if t.Failed() {
			t.Logf("the log of %s:\n%s", p.name, p.tail())
		}
	})
}

// gone waits until there is no object, and returns after how long.
func (ns *namespace) gone(resource, name string) time.Duration {
	ns.t.Helper()
	return ns.until(60*time.Second, resource+" "+name+" is gone", func() bool { return ns.fetch(resource, name) == nil })
}

// withSecret applies a token whose value the controller makes, and returns that value once it is good.
func (ns *namespace) withSecret(f *follower, name, host string) string {
	ns.t.Helper()
	ns.apply(secretToken(name, name, ""))
	value := ""
	ns.until(30*time.Second, "there is a Secret", func() bool { value = ns.secretKey(name, "token"); return value != "" })
	if got := f.call(host, "Bearer "+value); got != 200 {
		ns.t.Fatalf("the value of %s: %d", name, got)
	}
	return value
}

// ends checks that a value works no more.
func (ns *namespace) ends(f *follower, host, value string) {
	ns.t.Helper()
	ns.until(20*time.Second, "the value is refused", func() bool { return f.call(host, "Bearer "+value) == 401 })
}

// TestSecretsAreCollected deletes tokens in each way that Kubernetes has: the value ends at once, and the garbage collector deletes the
// Secret, unless it is to be an orphan.
func TestSecretsAreCollected(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.c.collectGarbage(t)
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	control(ns, ns.c.kubeconfig, []*follower{f}, "--namespace", ns.name)
	const host = "garbage.example.com"
	ns.apply(gateOf("garbage", ""))
	for _, way := range []string{"background", "foreground", "orphan"} {
		value := ns.withSecret(f, way, host)
		ns.kubectl("delete", "pat", way, "--cascade="+way, "--wait=false")
		ns.ends(f, host, value)
		took := ns.gone("apitokens", way)
		if way == "orphan" {
			ns.until(30*time.Second, "the Secret has no owner", func() bool {
				s := ns.fetch("secrets", way)
				return s != nil && s.at("metadata", "ownerReferences") == nil
			})
			continue
		}
		t.Logf("%s: the token is gone after %s, the Secret %s later", way, took, ns.gone("secrets", way))
	}

	// A token of the same name gets a value of its own: it does not take over the Secret that another one has left.
	ns.apply(secretToken("orphan", "orphan", ""))
	ns.becomes("apitokens", "orphan", "Ready", "False SecretExists", "was not made for this token")
	before := ns.secretKey("orphan", "token")
	ns.kubectl("delete", "secret", "orphan")
	ns.until(30*time.Second, "there is another value", func() bool { v := ns.secretKey("orphan", "token"); return v != "" && v != before })

	// A token that is deleted and applied again at once keeps its Secret from being deleted with the first one.
	first := ns.withSecret(f, "again", host)
	ns.kubectl("delete", "pat", "again", "--wait=false")
	ns.apply(secretToken("again", "again", ""))
	ns.ends(f, host, first)
	ns.becomes("apitokens", "again", "Ready", "True InForce")
	if value := ns.secretKey("again", "token"); value == first || f.call(host, "Bearer "+value) != 200 {
		t.Error("the token that was applied again has no value of its own")
	}
	uid := ns.fetch("apitokens", "again").text("metadata", "uid")
	if refs := objects(ns.fetch("secrets", "again").at("metadata", "ownerReferences")); len(refs) != 1 || refs[0].text("uid") != uid {
		t.Errorf("the Secret belongs to %v, want %s", refs, uid)
	}
}

// TestANamespaceIsDeleted deletes a namespace with tokens while gates and a controller follow it: it ends, and so do the tokens. Nothing
// is written into it meanwhile, and other namespaces go on.
func TestANamespaceIsDeleted(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.c.collectGarbage(t)
	team := &namespace{t: t, c: ns.c, name: ns.name + "-team"}
	team.make("create", "-f", "-")
	f := follow(ns, ns.c.url, "--namespace", ns.name, "--namespace", team.name).ready()
	c := control(ns, ns.c.kubeconfig, []*follower{f}, "--namespace", ns.name, "--namespace", team.name)
	ns.apply(gateOf("stays", ""))
	team.apply(gateOf("team", "") + tokenOf("plain", 91, "unrestricted: true"))
	stays, goes := ns.withSecret(f, "stays", "stays.example.com"), team.withSecret(f, "goes", "team.example.com")
	f.becomes(91, "team.example.com", 200)
	team.becomes("apitokens", "plain", "Ready", "True InForce")

	began := time.Now()
	ns.kubectl("delete", "namespace", team.name, "--wait=false")
	ns.until(60*time.Second, "the values are refused", func() bool {
		return f.call("team.example.com", "Bearer "+goes) != 200 && f.try(91, "team.example.com") != 200
	})
	t.Logf("the values end %s after the namespace is deleted", time.Since(began))
	ns.until(60*time.Second, "the namespace is gone", func() bool {
		return strings.TrimSpace(ns.kubectl("get", "namespaces", "--field-selector", "metadata.name="+team.name, "-o", "name")) == ""
	})
	t.Logf("the namespace is gone after %s", time.Since(began))
	delete(ns.c.namespaces, team.name)
	if got := f.call("stays.example.com", "Bearer "+stays); got != 200 {
		t.Errorf("the token of another namespace: %d", got)
	}
	ns.apply(tokenOf("more", 92, "unrestricted: true"))
	ns.becomes("apitokens", "more", "Ready", "True InForce")
	for _, line := range strings.Split(textOf(t, c.logs), "\n") {
		if strings.Contains(line, `"level":"ERROR"`) && !strings.Contains(line, "can't be watched") {
			t.Errorf("the controller says: %s", line)
		}
	}
}
