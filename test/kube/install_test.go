//go:build kube

package kube

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestInstall takes each example of the chart through the life of a release, with each
// helm: installed, upgraded, rolled back, uninstalled.
func TestInstall(t *testing.T) {
	installCRDs(t)
	for _, helm := range helms {
		for name, file := range examples(t) {
			t.Run(helm+" "+name, func(t *testing.T) { testLife(t, helm, file) })
		}
	}
}

func testLife(t *testing.T, helm, file string) {
	ns := newNamespace(t)
	ns.helm = helm
	file = ns.own(file)
	notes := ns.run("install", release, chart, "-f", file)
	if !strings.Contains(notes, "kubectl rollout status deployment/"+release+" --namespace "+ns.name) {
		t.Errorf("the notes do not say how to wait for it:\n%s", notes)
	}
	installed := ns.objectsOf()
	ns.run("upgrade", release, chart, "-f", file)
	if list := changed(installed, ns.objectsOf()); len(list) > 0 {
		t.Errorf("an upgrade with the same values changed %v", list)
	}

	revisions := 4
	manifests := "configmap/" + release + "-manifests"
	files := slices.ContainsFunc(installed, func(o object) bool { return o.ref() == manifests })
	if files { // manifests reach pods through their volumes: no pod is replaced for them
		revisions++
		ns.run("upgrade", release, chart, "-f", file, "-f", manifestValues(t, map[string]string{"more.yaml": groupManifest}))
		if list := changed(installed, ns.objectsOf()); !slices.Equal(list, []string{manifests}) {
			t.Errorf("new manifests changed %v", list)
		}
		if got := ns.get("configmap", release+"-manifests").text("data", "more.yaml"); got != groupManifest {
			t.Errorf("the ConfigMap has %q, expected %q", got, groupManifest)
		}
	}

	ns.run("upgrade", release, chart, "-f", file, "--set", "logLevel=debug")
	upgraded := ns.get("deployment", release)
	if generation := upgraded.at("metadata", "generation"); generation != 2.0 {
		t.Errorf("another flag is a new generation of the Deployment: %v", generation)
	}
	ns.run("rollback", release, "1")
	was, is := podTemplate(find(t, installed, "deployment/"+release)), podTemplate(ns.get("deployment", release))
	if asJSON(t, was) != asJSON(t, is) {
		t.Errorf("rolled back, the pods are %s, were %s", asJSON(t, is), asJSON(t, was))
	}
	if files && ns.get("configmap", release+"-manifests").text("data", "more.yaml") != "" {
		t.Error("rolled back, the newer manifests are still there")
	}
	if history := ns.run("history", release, "-o", "json"); strings.Count(history, `"revision":`) != revisions {
		t.Errorf("history: %s", history)
	}

	ns.run("uninstall", release)
	for _, o := range installed {
		left := ns.kubectl("get", o.ref(), "--ignore-not-found", "-o", "name")
		if kept := strings.HasPrefix(o.ref(), "persistentvolumeclaim/"); kept != (left != "") {
			if kept {
				t.Errorf("uninstalled, %s is gone, and the tokens with it", o.ref())
				continue
			}
			t.Errorf("uninstalled, %s is still there", strings.TrimSpace(left))
		}
	}
}

const groupManifest = `apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata:
  name: more
spec:
  members: [stelin]
`

// podTemplate is what a Deployment makes pods of.
func podTemplate(deployment object) object {
	template, _ := deployment.at("spec", "template").(map[string]any)
	return template
}

// TestValuesRefused has bad values end an installation before anything is there.
func TestValuesRefused(t *testing.T) {
	const good = "insecureListen: true\nmanifests: {gate.yaml: \"" + `apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: g}\n` + "\"}\n"
	tests := []struct{ name, values, want string }{
		{"nothing chosen", "", "manifests"},
		{"open to everybody", "insecureListen: false", "insecureListen"},
		{"a misspelt key", "replicas: 3", "replicas"},
		{"a number that is a text", "replicaCount: two", "replicaCount"},
		{"a policy that admits no client", "networkPolicy: {enabled: true}", "networkPolicy.envoys"},
		{"memory that the API server does not know", "resources: {limits: {memory: lots}}", "memory"},
		{"a probe that asks in two ways", "livenessProbe: {httpGet: {port: status}, grpc: {port: 9191}}", "livenessProbe"},
		{"a port that is none", "ports: {grpc: 91910}", "65"},
	}
	for _, helm := range helms {
		for _, tt := range tests {
			t.Run(helm+" "+tt.name, func(t *testing.T) {
				ns := newNamespace(t)
				ns.helm = helm
				args := []string{"install", release, chart, "-f", values(t, tt.values)}
				if tt.values != "" {
					args = append(args, "-f", values(t, good+tt.values))
				}
				out, err := ns.tryHelm(args...)
				if err == nil {
					t.Fatalf("installed: %s", out)
				}
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("expected a word of %s, got: %v", tt.want, err)
				}
				if left := ns.list("deployment"); len(left) > 0 {
					t.Errorf("%s is there all the same", left[0].ref())
				}
			})
		}
	}
}

// TestPodSecurity has the API server admit the pods of each example into a namespace
// that enforces the restricted standard. It checks only pods, not Deployments.
func TestPodSecurity(t *testing.T) {
	installCRDs(t)
	for name, file := range examples(t) {
		t.Run(name, func(t *testing.T) {
			ns := newNamespace(t)
			ns.run("install", release, chart, "-f", ns.own(file))
			template := podTemplate(ns.get("deployment", release))
			follows := strings.Contains(asJSON(t, template), `"--kubernetes"`)
			token := slices.ContainsFunc(newPod(ns, template).items("volumes"), func(v object) bool { return strings.HasPrefix(v.text("name"), "kube-api-access") })
			if token != follows {
				t.Errorf("the pod has a token for the API server: %v; it follows objects: %v", token, follows)
			}
			weak := podTemplate(ns.get("deployment", release))
			maps.DeleteFunc(weak.at("spec").(map[string]any), func(key string, _ any) bool { return key == "securityContext" })
			ns.refused(asJSON(t, object{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "weak"}, "spec": weak["spec"]}),
				[]string{"violates PodSecurity"}, "create", "--dry-run=server", "-f", "-")
		})
	}
}

// TestAutoscaling leaves the number of replicas to the autoscaler: what it has set stays
// through an upgrade.
func TestAutoscaling(t *testing.T) {
	for _, helm := range helms {
		t.Run(helm, func(t *testing.T) {
			ns := newNamespace(t)
			ns.helm = helm
			file := examples(t)["minimal"]
			ns.run("install", release, chart, "-f", file, "--set", "autoscaling.enabled=true,autoscaling.maxReplicas=7")
			ns.kubectl("scale", "deployment", release, "--replicas=5")
			ns.run("upgrade", release, chart, "-f", file, "--set", "autoscaling.enabled=true,autoscaling.maxReplicas=8")
			if n := ns.get("deployment", release).at("spec", "replicas"); n != 5.0 {
				t.Errorf("after an upgrade there are %v replicas, the autoscaler wanted 5", n)
			}
			target := ns.get("hpa", release)
			if target.text("spec", "scaleTargetRef", "name") != release || target.at("spec", "maxReplicas") != 8.0 {
				t.Errorf("the autoscaler: %v", target["spec"])
			}
		})
	}
}
