//go:build kube

package kube

import (
	"slices"
	"testing"
)

// argo is how Argo CD's server-side sync applies what it has rendered.
var argo = []string{"--server-side", "--field-manager=argocd-controller"}

// render renders the chart as Argo CD does, without a cluster.
func (ns *namespace) render(args ...string) string {
	ns.t.Helper()
	return ns.run(append([]string{"template", release, chart, "--api-versions", "monitoring.coreos.com/v1"}, args...)...)
}

// TestServerSideApply applies what the chart renders twice: nothing moves, and there is
// no difference to see. Then each kind of change touches only what it must.
func TestServerSideApply(t *testing.T) {
	installCRDs(t)
	for name, file := range examples(t) {
		t.Run(name, func(t *testing.T) { testApply(t, file) })
	}
}

func testApply(t *testing.T, file string) {
	ns := newNamespace(t)
	rendered := ns.render("-f", file)
	apply := func(objects string) { ns.pipe(objects, append([]string{"apply", "-f", "-"}, argo...)...) }
	read := func() []object { return objects(decode(t, ns.pipe(rendered, "get", "-o", "json", "-f", "-"))["items"]) }
	apply(rendered)
	first := read()
	if again := ns.render("-f", file); again != rendered {
		t.Error("rendered twice, the chart differs")
	}
	apply(rendered)
	if list := changed(first, read()); len(list) > 0 {
		t.Errorf("applied twice, %v changed", list)
	}
	ns.pipe(rendered, append([]string{"diff", "-f", "-"}, argo...)...) // exit code 1 where anything differs

	apply(ns.render("-f", file, "-f", manifestValues(t, map[string]string{"more.yaml": groupManifest})))
	if list := changed(first, read()); !slices.Equal(list, []string{"configmap/" + release + "-manifests"}) {
		t.Errorf("new manifests changed %v", list)
	}
	apply(rendered)
	if got := ns.get("configmap", release+"-manifests").text("data", "more.yaml"); got != "" {
		t.Error("a file that went from the values is still in the ConfigMap")
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
