//go:build kube

package kube

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// chartObjects renders templates of the chart with values.
func (ns *namespace) chartObjects(values string, templates ...string) string {
	ns.t.Helper()
	args := []string{"template", "r", chart, "--namespace", ns.name, "--set", "insecureListen=true,kubernetes.enabled=true", "--set", values}
	for _, name := range templates {
		args = append(args, "--show-only", "templates/"+name+".yaml")
	}
	out, err := ns.c.command(ns.t, tool(ns.t, "helm"), "", args...)
	if err != nil {
		ns.t.Fatal(err)
	}
	return out
}

// admit installs the policies of the chart for this namespace alone, and takes them away at the end.
func (ns *namespace) admit(values string) {
	ns.t.Helper()
	text := ns.chartObjects(`admission.namespaceSelector.matchLabels.kubernetes\.io/metadata\.name=`+ns.name+`,admission.administrators.groups={token-admins,system:serviceaccounts:kube-system},`+values, "admission")
	ns.apply(text)
	ns.t.Cleanup(func() { ns.pipe(text, "delete", "-f", "-") })
}

// as writes a text as a user who may write every APIToken of the namespace, and returns the refusal; empty: none.
func (ns *namespace) as(user, text string, args ...string) string {
	ns.t.Helper()
	who := []string{"--as", user, "--as-group", "system:authenticated"}
	if group, ok := strings.CutPrefix(user, "group:"); ok {
		who = []string{"--as", "someone", "--as-group", group, "--as-group", "system:authenticated"}
	}
	_, err := ns.try(text, append(who, args...)...)
	if err == nil {
		return ""
	}
	return err.Error()
}

// writers lets everyone write APITokens of the namespace, so that the policies alone decide.
func (ns *namespace) writers() {
	ns.t.Helper()
	ns.apply(`apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: writers}
rules:
- {apiGroups: [patgate.dev], resources: [apitokens, apitokens/status], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: writers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: writers}
subjects: [{kind: Group, name: "system:authenticated", apiGroup: rbac.authorization.k8s.io}]
`)
}

// inForce waits until a policy refuses a text.
func (ns *namespace) inForce(user, text string) {
	ns.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ns.as(user, text, "create", "--dry-run=server", "-f", "-") == ""; {
		if time.Now().After(deadline) {
			ns.t.Fatal("the policy is not in force")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// refusedAs checks that a user is refused with a text.
func (ns *namespace) refusedAs(what, user, want, text string, args ...string) {
	ns.t.Helper()
	if got := ns.as(user, text, args...); !strings.Contains(got, want) {
		ns.t.Errorf("%s as %s: %q, want %q", what, user, got, want)
	}
}

// allowedAs checks that a user is not refused.
func (ns *namespace) allowedAs(what, user, text string, args ...string) {
	ns.t.Helper()
	if got := ns.as(user, text, args...); got != "" {
		ns.t.Errorf("%s as %s: %s", what, user, got)
	}
}

var (
	create = []string{"create", "-f", "-"}
	apply  = []string{"apply", "--server-side", "--force-conflicts", "-f", "-"}
)

func patched(name, patch string) []string {
	return []string{"patch", "pat", name, "--type", "merge", "-p", patch}
}

// TestOwnTokens tries to write other people's tokens, and the ways around.
func TestOwnTokens(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.writers()
	ns.admit("admission.ownTokens.enabled=true")
	alices := func(name string, n int, more string) string { return tokenOf(name, n, more+"unrestricted: true") }
	bobs := strings.Replace(alices("bobs", 2, ""), "user: alice", "user: bob", 1)
	anyone := strings.Replace(alices("anyone", 3, "schemes: [basic], "), "user: alice", "anyUser: true", 1)
	ns.inForce("alice", bobs)

	ns.allowedAs("her own token", "alice", alices("ci", 1, ""), create...)
	ns.allowedAs("a change of it", "alice", "", patched("ci", `{"spec":{"description":"mine"}}`)...)
	ns.allowedAs("server-side apply", "alice", alices("ci", 1, `displayName: CI, `), apply...)
	ns.refusedAs("another's token", "alice", "spec.user: expected alice", bobs, create...)
	ns.refusedAs("another's token by apply", "alice", "spec.user", bobs, apply...)
	ns.refusedAs("a token of any user", "alice", "spec.user", anyone, create...)
	ns.refusedAs("a generated name", "alice", "spec.user", strings.Replace(bobs, "name: bobs", "generateName: bobs-", 1), create...)
	ns.refusedAs("a canary", "alice", "spec.user", "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: canary}\nspec: {canary: true, digest: \"sha256:a225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8\", issued: \"2026-01-01T00:00:00Z\"}\n", create...)
	ns.refusedAs("acting for others", "alice", "actAs", alices("acting", 4, "actAs: [bob], "), create...)
	ns.refusedAs("acting for others by a change", "alice", "actAs", "", patched("ci", `{"spec":{"actAs":["bob"]}}`)...)
	ns.refusedAs("logins", "alice", "logins", "", patched("ci", `{"spec":{"logins":["bob"]}}`)...)

	ns.allowedAs("an administrator", "group:token-admins", bobs, create...)
	ns.refusedAs("a change of another's", "alice", "spec.user", "", patched("bobs", `{"spec":{"user":"alice"}}`)...)
	ns.refusedAs("taking the user away", "alice", "spec.user", "", patched("bobs", `{"spec":{"user":null,"anyUser":true}}`)...)
	ns.refusedAs("giving one's own away", "alice", "spec.user", "", patched("ci", `{"spec":{"user":"bob"}}`)...)
	ns.refusedAs("an annotation of another's", "alice", "expected alice", "", "annotate", "pat", "bobs", "patgate.dev/hint=x")
	ns.refusedAs("deleting another's", "alice", "another user", "", "delete", "pat", "bobs")
	ns.refusedAs("deleting all", "alice", "another user", "", "delete", "--raw", "/apis/patgate.dev/v1alpha1/namespaces/"+ns.name+"/apitokens")
	for _, name := range []string{"ci", "bobs"} {
		ns.refusedAs("the status of "+name, "alice", "", "", "patch", "pat", name, "--subresource=status", "--type", "merge", "-p", `{"status":{"state":"active"}}`)
	}

	ns.allowedAs("suspended by an administrator", "group:token-admins", "", patched("ci", `{"metadata":{"annotations":{"patgate.dev/suspended-by":"root"}},"spec":{"suspended":true}}`)...)
	ns.refusedAs("lifting it", "alice", "suspended", "", patched("ci", `{"spec":{"suspended":null}}`)...)
	ns.refusedAs("lifting it with the annotation", "alice", "suspended", "", patched("ci", `{"metadata":{"annotations":{"patgate.dev/suspended-by":"alice"}},"spec":{"suspended":false}}`)...)
	ns.refusedAs("the annotation first", "alice", "suspended", "", patched("ci", `{"metadata":{"annotations":{"patgate.dev/suspended-by":"alice"}}}`)...)
	ns.refusedAs("deleting it, to create it again", "alice", "must not be deleted", "", "delete", "pat", "ci")
	other := strings.Repeat("e", 64)
	ns.refusedAs("another value in place of a suspended one", "alice", "digest and previous", "", patched("ci", `{"spec":{"digest":"sha256:`+other+`"}}`)...)
	ns.allowedAs("a change of a suspended token", "alice", "", patched("ci", `{"spec":{"description":"still suspended"}}`)...)
	ns.allowedAs("lifted by an administrator", "group:token-admins", "", patched("ci", `{"metadata":{"annotations":{"patgate.dev/suspended-by":null}},"spec":{"suspended":null}}`)...)
	ns.allowedAs("suspended by herself", "alice", "", patched("ci", `{"metadata":{"annotations":{"patgate.dev/suspended-by":"alice"}},"spec":{"suspended":true}}`)...)
	ns.refusedAs("lifting it, to lift the next one too", "alice", "expected it to go", "", patched("ci", `{"spec":{"suspended":null}}`)...)
	ns.allowedAs("lifted by herself", "alice", "", patched("ci", `{"metadata":{"annotations":{"patgate.dev/suspended-by":null}},"spec":{"suspended":null}}`)...)
	ns.refusedAs("her name before a suspension", "alice", "expected it to go", "", "annotate", "pat", "ci", "patgate.dev/suspended-by=alice")
	ns.refusedAs("her name on a new token", "alice", "expected it to go", strings.Replace(alices("early", 6, ""), "metadata: {", `metadata: {annotations: {"patgate.dev/suspended-by": alice}, `, 1), create...)

	ns.allowedAs("suspended by an administrator again", "group:token-admins", "", patched("ci", `{"metadata":{"annotations":{"patgate.dev/suspended-by":"root"}},"spec":{"suspended":true}}`)...)
	ns.allowedAs("lifted, and the annotation forgotten", "group:token-admins", "", patched("ci", `{"spec":{"suspended":null}}`)...)
	ns.refusedAs("her name in place of what was forgotten", "alice", "expected it to go", "", patched("ci", `{"metadata":{"annotations":{"patgate.dev/suspended-by":"alice"}}}`)...)
	// She did not write the annotation, and must be able to revoke the token.
	ns.allowedAs("revoked", "alice", "", patched("ci", `{"spec":{"revoked":"2026-02-01T00:00:00Z"}}`)...)
	ns.refusedAs("another value in place of a revoked one", "alice", "digest and previous", "", patched("ci", `{"spec":{"digest":"sha256:`+other+`"}}`)...)
	ns.refusedAs("the value as a previous one", "alice", "digest and previous", "", patched("ci", `{"spec":{"previous":[{"digest":"sha256:`+other+`","issued":"2026-01-01T00:00:00Z","until":"2026-02-01T00:00:00Z"}]}}`)...)
	ns.refusedAs("deleting a revoked token", "alice", "must not be deleted", "", "delete", "pat", "ci")
	ns.allowedAs("another token of hers", "alice", alices("other", 5, ""), create...)
	ns.allowedAs("deleted by herself", "alice", "", "delete", "pat", "other")
	ns.allowedAs("deleted by an administrator", "group:token-admins", "", "delete", "pat", "ci", "bobs")
}

// TestMaxLifetime tries to write tokens beyond the caps of groups, and the ways around.
func TestMaxLifetime(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.writers()
	ns.admit("admission.maxLifetime.enabled=true")
	group := func(name, cap string) string {
		return fmt.Sprintf("apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: %s}\nspec: {members: [%s], tokens: {maxLifetime: %s}}\n---\n", name, name, cap)
	}
	ns.apply(group("alice", "90d") + group("hours", "36h") + group("mixed", "1y1w2d12h") + group("free", "forever") +
		"apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: none}\nspec: {members: [none]}\n")
	n := 10
	until := func(name, user, end string) string {
		n++
		if end != "" {
			end = fmt.Sprintf("expires: %q, ", end)
		}
		return strings.Replace(tokenOf(name, n, end+"unrestricted: true"), "user: alice", "user: "+user, 1)
	}
	ns.inForce("alice", until("x", "alice", "2026-04-02T00:00:00Z"))
	for _, c := range []struct{ user, end, want string }{
		{"alice", "2026-04-01T00:00:00Z", ""}, // 90 days after 2026-01-01
		{"alice", "2026-04-01T00:00:01Z", "at most 90d"},
		{"alice", "", ""}, // it ends 90 days after it was issued
		{"hours", "2026-01-02T12:00:00Z", ""},
		{"hours", "2026-01-02T12:00:01Z", "at most 36h"},
		{"mixed", "2027-01-10T12:00:00Z", ""},
		{"mixed", "2027-01-10T12:00:01Z", "at most 1y1w2d12h"},
		{"free", "2096-01-01T00:00:00Z", ""},
		{"none", "2096-01-01T00:00:00Z", ""},
		{"stranger", "2096-01-01T00:00:00Z", ""},
	} {
		got := ns.as("someone", until("x", c.user, c.end), "create", "--dry-run=server", "-f", "-")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s until %s: %q, want %q", c.user, c.end, got, c.want)
		}
	}
	ns.allowedAs("a good token", "alice", until("ci", "alice", "2026-03-01T00:00:00Z"), create...)
	ns.refusedAs("a later end", "alice", "at most 90d", "", patched("ci", `{"spec":{"expires":"2026-05-01T00:00:00Z"}}`)...)
	ns.refusedAs("a later beginning", "alice", "issued", "", patched("ci", `{"spec":{"issued":"2026-02-01T00:00:00Z"}}`)...)
	ns.refusedAs("a later beginning and end", "alice", "issued", "", patched("ci", `{"spec":{"issued":"2026-02-01T00:00:00Z","expires":"2026-05-01T00:00:00Z"}}`)...)
	ns.allowedAs("the end taken away", "alice", "", patched("ci", `{"spec":{"expires":null}}`)...)
	ns.refusedAs("and added again", "alice", "at most 90d", "", patched("ci", `{"spec":{"expires":"2026-05-01T00:00:00Z"}}`)...)
	ns.refusedAs("another value", "alice", "digest", "", patched("ci", `{"spec":{"digest":"sha256:a225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8"}}`)...)
	ns.refusedAs("an older value that begins later", "alice", "previous", "", patched("ci", `{"spec":{"previous":[{"digest":"sha256:a225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8","issued":"2026-01-01T00:00:00Z","until":"2027-01-01T00:00:00Z"}]}}`)...)
	ns.refusedAs("by apply", "alice", "at most 90d", until("applied", "alice", "2027-01-01T00:00:00Z"), apply...)
	ns.refusedAs("a generated name", "alice", "at most 90d", strings.Replace(until("g", "alice", "2027-01-01T00:00:00Z"), "name: g", "generateName: g-", 1), create...)
	ns.refusedAs("deleting it, to create it again", "alice", "must not be deleted", "", "delete", "pat", "ci")
	ns.allowedAs("revoked", "alice", "", patched("ci", `{"spec":{"revoked":"2026-02-01T00:00:00Z"}}`)...)
	ns.allowedAs("an administrator", "group:token-admins", until("long", "alice", "2030-01-01T00:00:00Z"), create...)
	ns.allowedAs("deleted by an administrator", "group:token-admins", "", "delete", "pat", "ci", "long")
}

// TestManagersRights manages tokens with the rights that the chart gives the page's account, beside both policies, and looks for
// others.
func TestManagersRights(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.apply(ns.chartObjects("manage.enabled=true,manage.kubernetes.enabled=true,manage.insecureListen=true,manage.gate=tokens", "manage"))
	as := "system:serviceaccount:" + ns.name + ":r-patgate-manage"
	for _, c := range []struct{ may, verb string }{
		{"yes", "get apitokens.patgate.dev"}, {"yes", "create apitokens.patgate.dev"}, {"yes", "patch apitokens.patgate.dev"}, {"yes", "watch usergroups.patgate.dev"},
		{"no", "update apitokens.patgate.dev"}, {"no", "delete apitokens.patgate.dev"}, {"no", "deletecollection apitokens.patgate.dev"},
		{"no", "patch apitokens.patgate.dev --subresource=status"}, {"no", "update apitokens.patgate.dev --subresource=status"},
		{"no", "create gates.patgate.dev"}, {"no", "patch gates.patgate.dev"}, {"no", "patch usergroups.patgate.dev"}, {"no", "create usergroups.patgate.dev"},
		{"no", "patch tokenpolicies.patgate.dev"}, {"no", "delete tokenpolicies.patgate.dev"},
		{"no", "get secrets"}, {"no", "list secrets"}, {"no", "create secrets"}, {"no", "get configmaps"}, {"no", "list pods"}, {"no", "impersonate users"},
		{"no", "create rolebindings.rbac.authorization.k8s.io"}, {"no", "create serviceaccounts --subresource=token"},
		{"no", "create apitokens.patgate.dev --namespace default"}, {"no", "get gates.patgate.dev --namespace default"},
	} {
		out, _ := ns.try("", append([]string{"auth", "can-i", "--as", as}, strings.Fields(c.verb)...)...)
		if strings.TrimSpace(out) != c.may {
			t.Errorf("%s: %q, want %s", c.verb, out, c.may)
		}
	}
	if _, err := ns.try("", "auth", "can-i", "--as", as, "get", "gates.patgate.dev", "--all-namespaces"); err == nil {
		t.Error("it may read the Gates of all namespaces")
	}
}
