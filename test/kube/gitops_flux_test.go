//go:build kube

package kube

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// gitops runs what Flux and Argo CD do with objects, and returns what it says and whether it succeeded.
func (ns *namespace) gitops(text, what string, args ...string) (string, bool) {
	ns.t.Helper()
	args = append([]string{"-kubeconfig", ns.c.kubeconfig, "-script", "../../docs/examples/gitops/argocd/health.yaml"}, append(args, what)...)
	out, err := ns.c.command(ns.t, tool(ns.t, "gitops"), text, args...)
	if err != nil {
		out += err.Error()
	}
	return out, err == nil
}

// says checks that what Flux or Argo CD find of each object begins as expected.
func (ns *namespace) says(text, what string, want map[string]string) {
	ns.t.Helper()
	out, ok := ns.gitops(text, what)
	if !ok {
		ns.t.Fatalf("%s fails: %s", what, out)
	}
	for object, begin := range want {
		if !strings.Contains("\n"+out, "\n"+object+" "+begin) {
			ns.t.Errorf("%s: %s is expected to be %q:\n%s", what, object, begin, out)
		}
	}
}

// every returns the same for each object of inGit.
func every(text string) map[string]string {
	return map[string]string{"Gate/flux": text, "UserGroup/staff": text, "TokenPolicy/no-admin": text, "APIToken/ci": text}
}

// TestFluxAndArgoCD applies objects as Flux does, and waits for them by kstatus: they are current for Flux and healthy for Argo CD once
// they are in force, and not before. There is no drift apart from the status and what the page wrote, and pruning ends the token.
func TestFluxAndArgoCD(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	digest := token.Sum(token.NewSecret(valueOf(81)))
	text := fmt.Sprintf(strings.NewReplacer("git.example.com", "flux.example.com", "{name: git}", "{namespace: "+ns.name+", name: flux}", "{name: ", "{namespace: "+ns.name+", name: ").Replace(inGit), digest[:])
	if out, ok := ns.gitops(text, "apply"); !ok || strings.Count(out, " created") != 4 {
		t.Fatalf("applied: %s", out)
	}
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	f.becomes(81, "flux.example.com", 403) // in force, and no controller says so
	ns.says(text, "status", every("InProgress"))
	ns.says(text, "argocd", every("Progressing patgate controller has not seen"))

	control(ns, ns.c.kubeconfig, []*follower{f}, "--namespace", ns.name)
	if out, ok := ns.gitops(text, "wait"); !ok {
		t.Fatalf("Flux waits for health in vain: %s", out)
	}
	ns.says(text, "status", every("Current"))
	ns.says(text, "argocd", every("Healthy in force on 1 of 1 replicas"))
	for name, plural := range map[string]string{"flux": "gates", "staff": "usergroups", "no-admin": "tokenpolicies", "ci": "apitokens"} {
		if got := ns.condition(plural, name, "Ready"); !strings.HasPrefix(got, "True") {
			t.Errorf("%s is current for Flux, and Ready is %s", name, got)
		}
	}

	ns.kubectl("patch", "pat", "ci", "--type=merge", "--field-manager=patgate-manage", "-p", `{"spec":{"suspended":true,"description":"of the page"},"metadata":{"annotations":{"patgate.dev/suspended-by":"alice"}}}`)
	ns.becomes("apitokens", "ci", "Ready", "True InForce")
	if out, ok := ns.gitops(text, "drift"); !ok || strings.Count(out, " unchanged") != 4 {
		t.Errorf("drift: %s", out)
	}
	if out, ok := ns.gitops(text, "apply"); !ok || strings.Count(out, " unchanged") != 4 {
		t.Errorf("applied again: %s", out)
	}
	ns.kubectl("patch", "gate", "flux", "--type=merge", "--field-manager=somebody", "-p", `{"spec":{"groups":["staff","others"]}}`)
	if out, ok := ns.gitops(text, "drift"); ok || !strings.Contains(out, "Gate/"+ns.name+"/flux configured") {
		t.Errorf("a field of Git that somebody changed: %s", out)
	}
	ns.says(text, "argocd", map[string]string{"Gate/flux": "Degraded spec.groups[1]"})
	if out, ok := ns.gitops(text, "apply"); !ok || strings.Count(out, " configured") != 1 {
		t.Errorf("put back: %s", out)
	}
	if out, ok := ns.gitops(text, "wait"); !ok {
		t.Errorf("Flux waits for health in vain: %s", out)
	}

	broken := strings.Replace(text, "limitTo: |", "policies: [none]\n  limitTo: |", 1)
	if out, ok := ns.gitops(broken, "apply"); !ok || strings.Count(out, " configured") != 1 {
		t.Errorf("a token with a policy that is not there: %s", out)
	}
	if out, ok := ns.gitops(broken, "wait", "-timeout", "3s"); ok || !strings.Contains(out, "APIToken/"+ns.name+"/ci status: 'InProgress'") {
		t.Errorf("a token that is not accepted is waited for: %s", out)
	}
	ns.says(text, "status", map[string]string{"APIToken/ci": "InProgress", "Gate/flux": "Current"})
	ns.says(text, "argocd", map[string]string{"APIToken/ci": "Degraded spec.policies[0]", "Gate/flux": "Healthy"})

	pruned := text[strings.LastIndex(text, "---\n")+4:]
	if out, ok := ns.gitops(pruned, "prune"); !ok || !strings.Contains(out, "APIToken/"+ns.name+"/ci deleted") {
		t.Errorf("pruned: %s", out)
	}
	f.becomes(81, "flux.example.com", 401)
	ns.until(10*time.Second, "it is gone", func() bool { return ns.fetch("apitokens", "ci") == nil })
}
