//go:build kube

package kube

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestControllersRights runs a controller with the rights that the chart gives, cluster-wide and in namespaces. They suffice, and
// it has no other right: it can't write objects, and knows no Secret beyond the namespaces that the values name.
func TestControllersRights(t *testing.T) {
	for name, inNamespaces := range map[string]bool{"all namespaces": false, "namespaces": true} {
		t.Run(name, func(t *testing.T) {
			ns := newNamespace(t)
			installKinds(t, ns)
			other := &namespace{t: t, c: ns.c, name: ns.name + "-other"}
			other.make("create", "-f", "-")
			set := "kubernetes.enabled=true,insecureListen=true,controller.enabled=true,controller.secrets.namespaces={" + ns.name + "}"
			var args []string
			if inNamespaces {
				set += ",kubernetes.namespaces={" + ns.name + "," + other.name + "}"
				args = []string{"--namespace", ns.name, "--namespace", other.name}
			}
			out, err := ns.c.command(t, tool(t, "helm"), "", "template", "r", "../../charts/patgate", "--namespace", ns.name, "--set", set, "--show-only", "templates/controller.yaml")
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range strings.Split(out, "\n---\n") {
				if strings.Contains(part, "kind: Role") || strings.Contains(part, "kind: ClusterRole") || strings.Contains(part, "kind: ServiceAccount\nmetadata") {
					if _, err := ns.c.command(t, tool(t, "kubectl"), part, "apply", "--server-side", "-f", "-"); err != nil {
						t.Fatal(err)
					}
				}
			}
			token := strings.TrimSpace(ns.kubectl("create", "token", "r-patgate-controller"))
			f := follow(ns, ns.c.url, args...).ready()
			c := control(ns, kubeconfigOf(ns, token, ns.c.url, t.TempDir()), []*follower{f}, append(args, "--lease-name", "r-patgate-controller")...)
			ns.until(30*time.Second, "it writes", c.writes)
			ns.apply(gateOf("may", "") + secretToken("ci", "ci-token", ""))
			other.apply(secretToken("ci", "ci-token", ""))
			ns.becomes("apitokens", "ci", "Ready", "True InForce")
			other.becomes("apitokens", "ci", "Ready", "False SecretForbidden", "may not read and write Secrets of the namespace")
			ns.until(20*time.Second, "there is an Event", func() bool { return strings.Contains(ns.kubectl("get", "events"), "Accepted") })
			if got := f.call("may.example.com", "Bearer "+ns.secretKey("ci-token", "token")); got != 200 {
				t.Errorf("the value: %d", got)
			}

			as := "system:serviceaccount:" + ns.name + ":r-patgate-controller"
			for _, n := range []*namespace{ns, other} {
				for _, verb := range []string{"create", "update", "patch", "delete"} {
					for _, resource := range []string{"gates", "apitokens", "usergroups", "tokenpolicies"} {
						n.may(as, false, verb, resource+".patgate.dev")
					}
				}
				for _, ask := range []string{"list secrets", "watch secrets", "delete secrets", "patch secrets", "get configmaps", "create pods", "update gates.patgate.dev/status", "delete leases", "create roles", "get events"} {
					n.may(as, false, strings.Fields(ask)...)
				}
				n.may(as, true, "patch", "apitokens.patgate.dev", "--subresource=status")
			}
			for _, verb := range []string{"get", "create", "update"} {
				ns.may(as, true, verb, "secrets")
				other.may(as, false, verb, "secrets")
			}
			ns.may(as, true, "update", "lease/r-patgate-controller")
			ns.may(as, false, "update", "lease/of-another")
			// What can-i says is so: a spec in a write of the status changes nothing.
			if got := ns.patchAs(token, "apitokens/ci/status", `{"spec":{"unrestricted":null,"limitTo":".*"},"status":{"state":"x"}}`); got != http.StatusOK {
				t.Errorf("a write of the status: %d", got)
			}
			if got := ns.patchAs(token, "apitokens/ci", `{"spec":{"description":"x"}}`); got != http.StatusForbidden {
				t.Errorf("a write of the spec: %d", got)
			}
			if o := ns.fetch("apitokens", "ci"); o.at("spec", "unrestricted") != true || o.at("spec", "limitTo") != nil {
				t.Errorf("a write of the status has changed the spec: %v", o.at("spec"))
			}
			ns.kubectl("delete", "gate,apitoken", "--all")
			other.kubectl("delete", "apitoken", "--all")
		})
	}
}

// patchAs sends a merge patch of somebody who shows a token, and returns the status of the answer.
func (ns *namespace) patchAs(token, path, patch string) int {
	ns.t.Helper()
	r, err := http.NewRequest(http.MethodPatch, fmt.Sprintf("%s/apis/patgate.dev/v1alpha1/namespaces/%s/%s", ns.c.url, ns.name, path), strings.NewReader(patch))
	if err != nil {
		ns.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/merge-patch+json")
	answer, err := ns.c.client(ns.t).Do(r)
	if err != nil {
		ns.t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// may checks whether somebody has a right in the namespace.
func (ns *namespace) may(as string, want bool, ask ...string) {
	ns.t.Helper()
	out, _ := ns.try("", append([]string{"auth", "can-i", "--as", as}, ask...)...)
	if got := strings.TrimSpace(out); got != map[bool]string{true: "yes", false: "no"}[want] {
		ns.t.Errorf("%s in %s: may it %s? %q, want %t", as, ns.name, fmt.Sprint(ask), got, want)
	}
}

// TestChartControllerFlags checks that the command has every flag that the chart may pass.
func TestChartControllerFlags(t *testing.T) {
	help, err := exec.Command(binary, "controller", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(chart, "templates/_controller.tpl"))
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^(?:- )?(?:\{\{ printf ")?(--[a-z][a-z-]+)`).FindAllStringSubmatch(string(source), -1)
	if len(flags) < 8 {
		t.Fatalf("%d flags in the template", len(flags))
	}
	for _, f := range flags {
		if !strings.Contains(string(help), "      "+f[1]+" ") {
			t.Errorf("patgate controller has no flag %s", f[1])
		}
	}
}
