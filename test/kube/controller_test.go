//go:build kube

package kube

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestAControllerMakesASecret applies a token with a secret: the Secret appears with a value that works at two gates, goes
// when the token goes, and the value is nowhere else. What is wrong shows in the status.
func TestAControllerMakesASecret(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	gates := []*follower{follow(ns, ns.c.url, "--namespace", ns.name).ready(), follow(ns, ns.c.url, "--namespace", ns.name).ready()}
	c := control(ns, ns.c.kubeconfig, gates, "--namespace", ns.name)
	ns.until(30*time.Second, "the controller writes", c.writes)
	ns.apply(gateOf("bearer", "") + strings.Replace(gateOf("basic", ""), "[bearer]", "[basic]", 1))
	ns.becomes("gates", "bearer", "Ready", "True InForce", "in force on 2 of 2 replicas")

	ns.apply(secretToken("ci", "ci-token", ""))
	took := ns.until(30*time.Second, "there is a Secret", func() bool { return ns.secretKey("ci-token", "token") != "" })
	t.Logf("a usable Secret after %s", took)
	value := ns.secretKey("ci-token", "token")
	for i, f := range gates {
		if got := f.call("basic.example.com", ns.secretKey("ci-token", "authorization")); got != 200 {
			t.Errorf("gate %d: the value is answered with %d", i, got)
		}
	}
	ns.kubectl("wait", "--for=condition=Ready", "--timeout=30s", "apitoken/ci")
	checkSecret(ns, "ci", "ci-token", value)
	ns.becomes("apitokens", "ci", "Accepted", "True Accepted")
	containsAll(t, "columns", ns.kubectl("get", "pat", "ci"), "ci", "active")

	ns.apply(strings.Replace(secretToken("bearer", "bearer-token", ""), "user: ci", "user: ci, schemes: [bearer], gates: [bearer]", 1))
	ns.until(30*time.Second, "there is a Secret", func() bool { return ns.secretKey("bearer-token", "authorization") != "" })
	if got := gates[0].call("bearer.example.com", ns.secretKey("bearer-token", "authorization")); got != 200 {
		t.Errorf("by Bearer: %d", got)
	}

	ns.kubectl("create", "secret", "generic", "taken", "--from-literal=mine=x")
	ns.apply(secretToken("other", "taken", "") + secretToken("thief", "ci-token", "") + strings.Replace(secretToken("broken", "broken", ""), "user: ci", "user: ci, policies: [none]", 1))
	ns.becomes("apitokens", "other", "Ready", "False SecretExists", "taken", "was not made for this token")
	ns.becomes("apitokens", "thief", "Ready", "False SecretExists", "ci-token")
	ns.becomes("apitokens", "broken", "Accepted", "False NotAccepted", "spec.policies[0]", "no TokenPolicy is called")
	ns.apply(tokenOf("soon", 5, "unrestricted: true, expires: \""+time.Now().Add(48*time.Hour).UTC().Format(time.RFC3339)+"\"") +
		"apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: staff}\nspec: {members: [bob]}\n")
	ns.becomes("apitokens", "soon", "ExpiresSoon", "True ExpiresSoon", "it ends at 20")
	ns.becomes("usergroups", "staff", "Ready", "True InForce")
	if got := ns.fetch("apitokens", "soon").at("status"); object(got.(map[string]any)).text("state") != "expires-soon" {
		t.Errorf("the status of a token that ends soon: %v", got)
	}
	if s := ns.fetch("secrets", "taken"); s.at("data", "mine") == nil || s.at("data", "token") != nil {
		t.Errorf("a Secret of somebody else was changed: %v", s)
	}
	if ns.fetch("secrets", "broken") != nil {
		t.Error("a token that is not accepted has a Secret")
	}
	ns.until(60*time.Second, "the last use is written", func() bool { return ns.fetch("apitokens", "ci").text("status", "lastUsed") != "" })

	ns.kubectl("patch", "pat", "ci", "--type=merge", "-p", `{"spec":{"revoked":"2026-06-01T00:00:00Z"}}`)
	ns.becomes("apitokens", "ci", "Revoked", "True Revoked")
	ns.becomes("apitokens", "ci", "Ready", "True InForce")
	events := ns.kubectl("get", "events", "-o", "yaml")
	containsAll(t, "events", events, "reason: Accepted", "reason: Rejected", "name: broken", "reason: ExpiresSoon")
	containsAll(t, "audit", textOf(t, c.events), `"token.created"`, `"via":"controller"`, `"token":"`+ns.name+`/ci"`)
	everything := []string{events, ns.kubectl("get", "patgate", "-o", "yaml", "--show-managed-fields"), textOf(t, c.events), textOf(t, c.logs)}
	for _, f := range gates {
		everything = append(everything, textOf(t, f.events), textOf(t, f.logs), f.page("usage"), f.page("revision"))
	}
	notIn(t, value, everything)
}

// checkSecret checks what a Secret holds, and that it goes when its token goes.
func checkSecret(ns *namespace, name, secret, value string) {
	ns.t.Helper()
	s, owner := ns.fetch("secrets", secret), ns.fetch("apitokens", name)
	want := map[string]string{"token": value, "username": "ci", "password": value, "authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("ci:"+value))}
	for key, text := range want {
		if ns.secretKey(secret, key) != text {
			ns.t.Errorf("the Secret's %s is wrong", key)
		}
	}
	if len(s.at("data").(map[string]any)) != len(want) || s.text("type") != "kubernetes.io/basic-auth" || s.at("metadata", "finalizers") != nil {
		ns.t.Errorf("the Secret: type %s, finalizers %v", s.text("type"), s.at("metadata", "finalizers"))
	}
	refs := objects(s.at("metadata", "ownerReferences"))
	if len(refs) != 1 || refs[0].text("uid") != owner.text("metadata", "uid") || refs[0].text("kind") != "APIToken" || refs[0].text("apiVersion") != "patgate.dev/v1alpha1" {
		ns.t.Errorf("owner references: %v", refs)
	}
}

// notIn checks that no text holds a value, plain or in base64.
func notIn(t *testing.T, value string, texts []string) {
	t.Helper()
	for i, text := range texts {
		for _, form := range []string{value, value[5:25], base64.StdEncoding.EncodeToString([]byte(value))[:40], base64.StdEncoding.EncodeToString([]byte("ci:" + value))[8:40]} {
			if strings.Contains(text, form) {
				t.Errorf("text %d holds the value", i)
			}
		}
	}
}

// TestASecretIsMadeAgain deletes and edits a Secret: it gets another value, and the one before ends at once.
func TestASecretIsMadeAgain(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	c := control(ns, ns.c.kubeconfig, []*follower{f}, "--namespace", ns.name)
	ns.apply(gateOf("again", "") + secretToken("ci", "ci-token", ""))
	var before string
	ns.until(30*time.Second, "there is a Secret", func() bool { before = ns.secretKey("ci-token", "token"); return before != "" })
	for what, args := range map[string][]string{
		"deleted": {"delete", "secret", "ci-token"},
		"edited":  {"patch", "secret", "ci-token", "--type=merge", "-p", `{"stringData":{"token":"a-value-of-their-own","password":"a-value-of-their-own"}}`},
		"in part": {"patch", "secret", "ci-token", "--type=merge", "-p", `{"data":{"username":null}}`},
	} {
		if got := f.call("again.example.com", "Bearer "+before); got != 200 {
			t.Errorf("before it is %s: %d", what, got)
		}
		ns.kubectl(args...)
		var now string
		took := ns.until(30*time.Second, "it is made again after it was "+what, func() bool {
			now = ns.secretKey("ci-token", "token")
			return now != "" && now != before && strings.HasPrefix(now, "patg_")
		})
		t.Logf("%s: made again after %s", what, took)
		if got := f.call("again.example.com", "Bearer "+before); got != 401 {
			t.Errorf("after it was %s, the value before: %d", what, got)
		}
		if got := f.call("again.example.com", "Bearer "+now); got != 200 {
			t.Errorf("after it was %s, the new value: %d", what, got)
		}
		ns.becomes("apitokens", "ci", "Ready", "True InForce")
		before = now
	}
	ns.kubectl("label", "secret", "ci-token", "team=a") // no edit of what it holds
	time.Sleep(6 * time.Second)                         // longer than between two looks
	if now := ns.secretKey("ci-token", "token"); now != before {
		t.Error("a label made another value")
	}
	containsAll(t, "events", ns.kubectl("get", "events"), "Rotated")
	containsAll(t, "audit", textOf(t, c.events), `"token.rotated"`)
}

// TestASecretThatCannotBeWritten makes a Secret immutable, which no rotation can change: the status says so, and the value that
// is in it goes on.
func TestASecretThatCannotBeWritten(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	control(ns, ns.c.kubeconfig, []*follower{f}, "--namespace", ns.name)
	ns.apply(gateOf("stuck", "") + secretToken("ci", "ci-token", ", rotateEvery: 4s, overlap: 1s"))
	ns.until(30*time.Second, "there is a Secret", func() bool { return ns.secretKey("ci-token", "token") != "" })
	ns.kubectl("patch", "secret", "ci-token", "--type=merge", "-p", `{"immutable":true}`)
	value := ns.secretKey("ci-token", "token")
	ns.becomes("apitokens", "ci", "Ready", "False SecretFailed", "the Secret can't be written", "immutable")
	time.Sleep(2 * time.Second) // longer than the overlap
	if got := f.call("stuck.example.com", "Bearer "+value); got != 200 {
		t.Errorf("the value of the Secret: %d", got)
	}
}

// TestRotationsRefuseNothing rotates Secrets 20 times while programs use what the Secrets hold.
func TestRotationsRefuseNothing(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	gates := []*follower{follow(ns, ns.c.url, "--namespace", ns.name).ready(), follow(ns, ns.c.url, "--namespace", ns.name).ready()}
	control(ns, ns.c.kubeconfig, gates, "--namespace", ns.name)
	const overlap = 2500 * time.Millisecond
	names := []string{"one", "two"}
	ns.apply(gateOf("load", ""))
	for _, name := range names {
		ns.apply(secretToken(name, name, ", rotateEvery: 3s, overlap: 2500ms"))
	}
	var mu sync.Mutex
	values, calls, refused := map[string]int{}, 0, 0
	end := time.Now().Add(3 * time.Minute)
	done := func() bool { mu.Lock(); defer mu.Unlock(); return len(values) >= 22 || time.Now().After(end) }
	var all sync.WaitGroup
	for _, name := range names {
		ns.until(30*time.Second, "there is a Secret", func() bool { return ns.secretKey(name, "token") != "" })
		for _, f := range gates {
			all.Go(func() {
				for !done() {
					fetched, value := time.Now(), ns.secretKey(name, "token")
					for range 10 {
						got, age := f.call("load.example.com", "Bearer "+value), time.Since(fetched)
						mu.Lock()
						if calls++; got != 200 && age < overlap {
							refused++
							t.Errorf("%s, %s after it was read: %d", name, age, got)
						}
						values[name+value]++
						mu.Unlock()
					}
				}
			})
		}
	}
	all.Wait()
	t.Logf("%d rotations, %d calls, %d refused", len(values)-len(names), calls, refused)
	if len(values) < 22 {
		t.Errorf("%d values, expected at least 22", len(values))
	}
}

// TestTwoControllersCompete lets two controllers run, and kills the one that writes: the other goes on.
func TestTwoControllersCompete(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	ns.apply(gateOf("two", ""))
	var both []*controlling
	for range 2 {
		both = append(both, control(ns, ns.c.kubeconfig, []*follower{f}, "--namespace", ns.name, "--lease-duration", "3s"))
	}
	one := func() *controlling {
		for _, c := range both {
			if c.writes() {
				return c
			}
		}
		return nil
	}
	ns.until(30*time.Second, "one of them writes", func() bool { return one() != nil })
	time.Sleep(time.Second)
	if both[0].writes() && both[1].writes() {
		t.Error("both write")
	}
	first := one()
	ns.apply(secretToken("a", "a", ""))
	ns.until(30*time.Second, "the first one makes a Secret", func() bool { return ns.secretKey("a", "token") != "" })
	value := ns.secretKey("a", "token")
	_ = first.cmd.Process.Kill()
	<-first.exited
	took := ns.until(30*time.Second, "the other one writes", func() bool { c := one(); return c != nil && c != first })
	t.Logf("the other one wrote %s after the first was killed", took)
	ns.apply(secretToken("b", "b", ""))
	ns.until(30*time.Second, "it makes a Secret", func() bool { return ns.secretKey("b", "token") != "" })
	if ns.secretKey("a", "token") != value {
		t.Error("another controller made another value")
	}
	if got := f.call("two.example.com", "Bearer "+value); got != 200 {
		t.Errorf("the value of the first one: %d", got)
	}
	holder := ns.kubectl("get", "lease", "patgate-controller", "-o", "jsonpath={.spec.holderIdentity} {.spec.leaseTransitions}")
	if !strings.HasSuffix(strings.TrimSpace(holder), " 1") {
		t.Errorf("the Lease: %s", holder)
	}
	fmt.Fprintln(t.Output(), holder)
}
