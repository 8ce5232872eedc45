//go:build kube

package kube

import (
	"strings"
	"testing"
)

// TestChartsRightsSuffice follows objects with the rights that the chart gives, cluster-wide and in one namespace, and
// has no other right.
func TestChartsRightsSuffice(t *testing.T) {
	for name, args := range map[string][]string{"all namespaces": nil, "one namespace": {"one"}} {
		t.Run(name, func(t *testing.T) {
			ns := newNamespace(t)
			installKinds(t, ns)
			values := []string{"template", "r", "../../charts/patgate", "--namespace", ns.name, "--set", "kubernetes.enabled=true,insecureListen=true"}
			if args != nil {
				values = append(values, "--set", "kubernetes.namespaces={"+ns.name+"}")
				args = []string{"--namespace", ns.name}
			}
			for _, part := range []string{"serviceaccount", "rbac"} {
				out, err := ns.c.command(t, tool(t, "helm"), "", append(values, "--show-only", "templates/"+part+".yaml")...)
				if err != nil {
					t.Fatal(err)
				}
				ns.apply(out)
			}
			ns.apply(gateOf("rights", ", tokensFrom: {namespaces: {matchLabels: {team: a}}}") + tokenOf("one", 1, "unrestricted: true"))
			token := strings.TrimSpace(ns.kubectl("create", "token", "r-patgate"))
			f := followAs(ns, token, ns.c.url, args...).ready()
			f.becomes(1, "rights.example.com", 403) // the gate's own namespace has no such label
			ns.kubectl("label", "namespace", ns.name, "team=a")
			if args == nil {
				f.becomes(1, "rights.example.com", 200)
			}
			as := "system:serviceaccount:" + ns.name + ":r-patgate"
			for _, verb := range []string{"get secrets", "create apitokens.patgate.dev", "update apitokens.patgate.dev", "patch apitokens.patgate.dev/status", "delete gates.patgate.dev", "list pods"} {
				out, err := ns.try("", append([]string{"auth", "can-i", "--as", as}, strings.Fields(verb)...)...)
				if err == nil || strings.TrimSpace(out) != "no" {
					t.Errorf("it may %s: %s %v", verb, out, err)
				}
			}
			ns.kubectl("delete", "gate,apitoken", "--all")
		})
	}
}
