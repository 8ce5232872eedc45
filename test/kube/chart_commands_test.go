//go:build kube

package kube

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// chartPages are the documents of the chart.
var chartPages = []string{"../../docs/kubernetes.md", filepath.Join(chart, "README.md")}

// TestChartCommands runs the commands of the chart's pages, page by page, each against an
// empty API server. There is no controller and no kubelet: what a command waits
// for is written into the objects' status.
func TestChartCommands(t *testing.T) {
	for _, page := range chartPages {
		t.Run(filepath.Base(page), func(t *testing.T) {
			ns := newNamespace(t)
			ran := 0
			for _, command := range documented(t, page) {
				if strings.HasPrefix(command, "patgate ") {
					continue // TestPages runs it
				}
				if strings.HasPrefix(command, "kubectl get --raw ") {
					continue // asks a pod over the cluster's network; TestChartServes asks its status port
				}
				line := strings.NewReplacer("--namespace patgate", "--namespace "+ns.name, "charts/patgate", chart).Replace(command)
				done := make(chan struct{})
				go func() {
					defer close(done)
					ns.actFor(command)
				}()
				words := strings.Fields(line)
				if words[0] == "kubectl" && words[1] == "rollout" {
					words = append(words, "--timeout=2m")
				}
				if out, err := ns.c.command(t, tool(t, words[0]), "", words[1:]...); err != nil {
					t.Errorf("%s: %v\n%s", command, err, out)
				}
				<-done
				ran++
			}
			if left := ns.list("deployment"); strings.Contains(page, "docs") && len(left) > 0 {
				t.Errorf("uninstalled, %s is still there", left[0].ref())
			}
			if want := map[bool]int{true: 14, false: 2}[strings.Contains(page, "docs")]; ran != want {
				t.Errorf("%d commands were run, want %d", ran, want)
			}
		})
	}
}

var rolledOut = regexp.MustCompile(`deployment/([a-z-]+)`)

// actFor does what controllers and kubelets would do while a command waits.
func (ns *namespace) actFor(command string) {
	switch {
	case strings.HasPrefix(command, "kubectl rollout status "):
		name := rolledOut.FindStringSubmatch(command)[1]
		generation := asJSON(ns.t, ns.get("deployment", name).at("metadata", "generation"))
		ns.kubectl("patch", "deployment", name, "--subresource=status", "--type=merge", "--patch",
			`{"status": {"observedGeneration": `+generation+`, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}}`)
	case strings.HasPrefix(command, "helm test "):
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			pods := ns.list("pod")
			if slices.ContainsFunc(pods, func(o object) bool { return o.ref() == "pod/"+release+"-check" }) {
				ns.kubectl("patch", "pod", release+"-check", "--subresource=status", "--type=merge", "--patch", `{"status": {"phase": "Succeeded"}}`)
				return
			}
		}
		ns.t.Error("helm test made no pod " + release + "-check")
	}
}

// TestChartEverything has the API server accept each object that the chart can make, with
// every value set: installed, upgraded to the same, and applied twice as Argo CD does, nothing moves.
func TestChartEverything(t *testing.T) {
	installCRDs(t)
	const file = "testdata/chart/everything.values.yaml"
	for _, helm := range helms {
		t.Run(helm, func(t *testing.T) {
			ns := newNamespace(t)
			ns.helm = helm
			ns.run("install", release, chart, "-f", file)
			installed := ns.objectsOf()
			if len(installed) < 10 {
				t.Errorf("%d objects", len(installed))
			}
			ns.run("upgrade", release, chart, "-f", file)
			if list := changed(installed, ns.objectsOf()); len(list) > 0 {
				t.Errorf("an upgrade with the same values changed %v", list)
			}
		})
	}
	ns := newNamespace(t)
	rendered := ns.render("-f", file)
	apply := append([]string{"apply", "-f", "-"}, argo...)
	ns.pipe(rendered, apply...)
	read := func() []object { return objects(decode(t, ns.pipe(rendered, "get", "-o", "json", "-f", "-"))["items"]) }
	first := read()
	ns.pipe(rendered, apply...)
	if list := changed(first, read()); len(list) > 0 {
		t.Errorf("applied twice, %v changed", list)
	}
	ns.pipe(rendered, append([]string{"diff", "-f", "-"}, argo...)...) // exit code 1 where anything differs
}

// TestChartKeepsItsService checks what the values say of service.headless: an existing
// Service stays as it is until somebody deletes it.
func TestChartKeepsItsService(t *testing.T) {
	ns := newNamespace(t)
	values := examples(t)["minimal"]
	ns.run("install", release, chart, "-f", values)
	address := func() string { return ns.get("service", release).text("spec", "clusterIP") }
	ns.run("upgrade", release, chart, "-f", values, "--set", "service.headless=false")
	if got := address(); got != "None" {
		t.Errorf("the Service has the address %s, which its README denies", got)
	}
	ns.kubectl("delete", "service", release)
	ns.run("upgrade", release, chart, "-f", values, "--set", "service.headless=false")
	if got := address(); got == "None" || got == "" {
		t.Errorf("recreated, the Service has the address %q", got)
	}
}

// TestChartFilesDoNotHideEachOther checks what docs/kubernetes.md says of items: the API
// server refuses a path that two ConfigMaps use.
func TestChartFilesDoNotHideEachOther(t *testing.T) {
	ns := newNamespace(t)
	twice := values(t, "existingConfigMaps:\n- {name: a, items: [{key: t, path: team/t.yaml}]}\n- {name: b, items: [{key: t, path: team/t.yaml}]}\n")
	if _, err := ns.tryHelm("install", release, chart, "-f", examples(t)["minimal"], "-f", twice); err == nil || !strings.Contains(err.Error(), "conflicting duplicate paths") {
		t.Errorf("two ConfigMaps want the same path: %v", err)
	}
}
