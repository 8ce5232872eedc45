//go:build kube

package kube

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// argo holds the flags of Argo CD's server-side sync.
var argo = []string{"--server-side", "--field-manager=argocd-controller"}

// render renders the chart as Argo CD does, without a cluster.
func (ns *namespace) render(args ...string) string {
	ns.t.Helper()
	return ns.run(append([]string{"template", release, chart, "--api-versions", "monitoring.coreos.com/v1"}, args...)...)
}

// TestServerSideApply applies what the chart renders twice: nothing changes, and there is
// no difference. Then each kind of change touches only the objects it must.
func TestServerSideApply(t *testing.T) {
	installCRDs(t)
	for name, file := range examples(t) {
		t.Run(name, func(t *testing.T) { testApply(t, file) })
	}
}

// applyTwice applies objects, and then those of a second rendering: nothing may differ.
func (ns *namespace) applyTwice(file string) (rendered string, first []object) {
	ns.t.Helper()
	rendered = ns.render("-f", file)
	ns.pipe(rendered, append([]string{"apply", "--validate=strict", "-f", "-"}, argo...)...)
	first = ns.read(rendered)
	again := ns.render("-f", file)
	if again != rendered {
		ns.t.Error("rendered twice, the chart differs")
	}
	ns.pipe(again, append([]string{"apply", "-f", "-"}, argo...)...)
	if list := changed(first, ns.read(rendered)); len(list) > 0 {
		ns.t.Errorf("applied twice, %v changed", list)
	}
	ns.pipe(rendered, append([]string{"diff", "-f", "-"}, argo...)...) // exit code 1 where anything differs
	return rendered, first
}

// read reads the objects of a text as the cluster has them.
func (ns *namespace) read(text string) []object {
	ns.t.Helper()
	return objects(decode(ns.t, ns.pipe(text, "get", "-o", "json", "-f", "-"))["items"])
}

// own is a copy of an example in which the release's own namespace, patgate, is this one.
func (ns *namespace) own(file string) string {
	ns.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		ns.t.Fatal(err)
	}
	return values(ns.t, strings.ReplaceAll(string(text), "namespaces: [patgate]", "namespaces: ["+ns.name+"]"))
}

func testApply(t *testing.T, file string) {
	ns := newNamespace(t)
	file = ns.own(file)
	apply := func(objects string) { ns.pipe(objects, append([]string{"apply", "-f", "-"}, argo...)...) }
	rendered, first := ns.applyTwice(file)

	manifests := "configmap/" + release + "-manifests"
	if slices.ContainsFunc(first, func(o object) bool { return o.ref() == manifests }) {
		apply(ns.render("-f", file, "-f", manifestValues(t, map[string]string{"more.yaml": groupManifest})))
		if list := changed(first, ns.read(rendered)); !slices.Equal(list, []string{manifests}) {
			t.Errorf("new manifests changed %v", list)
		}
		apply(rendered)
		if got := ns.get("configmap", release+"-manifests").text("data", "more.yaml"); got != "" {
			t.Error("a file that went from the values is still in the ConfigMap")
		}
	}
	before, after := find(t, first, "deployment/"+release), ns.get("deployment", release)
	if before.at("metadata", "generation") != after.at("metadata", "generation") {
		t.Error("the Deployment has a new generation: its pods would be replaced")
	}

	ns.kubectl("label", "deployment", release, "planted=drift")
	ns.kubectl("patch", "deployment", release, "--patch", `{"spec":{"minReadySeconds":99}}`)
	if _, err := ns.try(rendered, append([]string{"diff", "-f", "-", "--force-conflicts"}, argo...)...); err == nil {
		t.Error("diff does not see a change that somebody else made")
	}
}

// TestAutoscalingApplied leaves the number of replicas to the autoscaler where manifests
// are applied again and again.
func TestAutoscalingApplied(t *testing.T) {
	ns := newNamespace(t)
	rendered := ns.render("-f", examples(t)["minimal"], "--set", "autoscaling.enabled=true")
	ns.pipe(rendered, append([]string{"apply", "-f", "-"}, argo...)...)
	ns.kubectl("scale", "deployment", release, "--replicas=5")
	ns.pipe(rendered, append([]string{"apply", "-f", "-"}, argo...)...)
	ns.pipe(rendered, append([]string{"diff", "-f", "-"}, argo...)...)
	if n := ns.get("deployment", release).at("spec", "replicas"); n != 5.0 {
		t.Errorf("applied again, there are %v replicas, the autoscaler wanted 5", n)
	}
}
