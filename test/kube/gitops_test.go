//go:build kube

package kube

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// printed is an object as helm template or kubectl kustomize prints it.
type printed struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
	}
	Data map[string]string
	Spec struct {
		Template struct {
			Metadata struct{ Labels, Annotations map[string]string }
			Spec     struct {
				Volumes []struct {
					Name      string
					ConfigMap struct{ Name string } `yaml:"configMap"`
					Projected struct {
						Sources []struct {
							ConfigMap struct{ Name string } `yaml:"configMap"`
						}
					}
				}
			}
		}
	}
}

// render runs a tool that prints objects.
func render(t *testing.T, name string, args ...string) []printed {
	t.Helper()
	cmd := exec.Command(tool(t, name), args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, errs.String())
	}
	var list []printed
	for d := yaml.NewDecoder(bytes.NewReader(out)); ; {
		var o printed
		err := d.Decode(&o)
		if err != nil && len(list) == 0 {
			t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
		}
		if err != nil {
			return list
		}
		list = append(list, o)
	}
}

// only returns the objects of a kind.
func only(list []printed, kind string) []printed {
	return slices.DeleteFunc(slices.Clone(list), func(o printed) bool { return o.Kind != kind })
}

// TestGitopsReachesThePods follows the manifests of docs/gitops.md: what kustomize makes of
// them is what the chart mounts, byte for byte, under names that a change keeps.
func TestGitopsReachesThePods(t *testing.T) {
	const example = "../../docs/examples/gitops"
	var names []string
	directory := t.TempDir() // what patgate sees in the pod
	for _, m := range only(render(t, "kubectl", "kustomize", filepath.Join(example, "manifests")), "ConfigMap") {
		if m.Metadata.Namespace != "patgate" {
			t.Errorf("%s is in the namespace %q", m.Metadata.Name, m.Metadata.Namespace)
		}
		names = append(names, m.Metadata.Name)
		for name, text := range m.Data {
			original, err := os.ReadFile(filepath.Join(example, "manifests", name))
			if errors.Is(err, os.ErrNotExist) {
				original, err = os.ReadFile(filepath.Join(example, "manifests", "tokens", name))
			}
			if err != nil || text != string(original) {
				t.Errorf("%s of %s is another text than the file's: %v", name, m.Metadata.Name, err)
			}
			if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := []string{"patgate-policies", "patgate-tokens"}; !slices.Equal(names, want) {
		t.Errorf("the ConfigMaps %q, want %q", names, want)
	}
	if out, err := exec.Command("go", "run", "../../cmd/patgate", "check", "--strict", directory).CombinedOutput(); err != nil {
		t.Errorf("what the pod has: %v: %s", err, out)
	}

	deployments := only(render(t, "helm", "template", "patgate", "../../charts/patgate", "--namespace", "patgate",
		"--values", filepath.Join(example, "clusters/production/values.yaml")), "Deployment")
	if len(deployments) != 1 || deployments[0].Metadata.Name != "patgate" {
		t.Fatalf("not one Deployment patgate: %+v", deployments)
	}
	pods := deployments[0].Spec.Template
	if pods.Metadata.Labels["app.kubernetes.io/name"] != "patgate" {
		t.Errorf("the documented selector finds no pods: %v", pods.Metadata.Labels)
	}
	for key := range pods.Metadata.Annotations {
		if strings.Contains(key, "checksum") {
			t.Errorf("a change of manifests would replace the pods: %s", key)
		}
	}
	var mounted []string
	for _, v := range pods.Spec.Volumes {
		for _, s := range v.Projected.Sources {
			mounted = append(mounted, s.ConfigMap.Name)
		}
	}
	if !slices.Equal(mounted, names) {
		t.Errorf("the pods mount %q, want %q", mounted, names)
	}
}

// TestSidecarRenders checks that a change of manifests keeps the sidecar's pods, and that one
// of Envoy's configuration replaces them.
func TestSidecarRenders(t *testing.T) {
	list := render(t, "kubectl", "kustomize", "../../docs/examples/sidecar")
	volumes := map[string]string{}
	for _, v := range only(list, "Deployment")[0].Spec.Template.Spec.Volumes {
		volumes[v.Name] = v.ConfigMap.Name
	}
	found := map[string]bool{}
	for _, o := range list {
		found[o.Kind+" "+o.Metadata.Name] = true
		if o.Metadata.Namespace != "jira" {
			t.Errorf("%s %s is in the namespace %q", o.Kind, o.Metadata.Name, o.Metadata.Namespace)
		}
	}
	if volumes["manifests"] != "jira-manifests" || !found["ConfigMap jira-manifests"] {
		t.Errorf("the manifests are in %q", volumes["manifests"])
	}
	if !strings.HasPrefix(volumes["envoy"], "jira-envoy-") || !found["ConfigMap "+volumes["envoy"]] {
		t.Errorf("Envoy's configuration is in %q", volumes["envoy"])
	}
	if len(list) != 5 {
		t.Errorf("%d objects, want 5", len(list))
	}
}

// elsewhere are commands of the pages that other tests run, or that can't run here.
var elsewhere = map[string]string{
	"patgate ":                              "TestPages runs them",
	"git ":                                  "TestPullRequests runs the pipelines, which have the same",
	"kubectl kustomize manifests | patgate": "likewise",
	"kubectl create namespace":              "the rig makes them, with the restricted pod security standard",
	"kubectl apply -f argocd/":              "there is no Argo CD; TestExamples applies the file's objects",
	"kubectl apply -f flux/":                "there is no Flux; likewise",
	"kubectl get --raw":                     "there is no pod that answers: the API server's proxy needs a kubelet's network",
}

// TestGitopsAndSidecarCommands runs the commands of docs/gitops.md and docs/sidecar.md against
// an API server with the chart installed and one pod of its Deployment.
func TestGitopsAndSidecarCommands(t *testing.T) {
	ns := newNamespace(t).inside("patgate")
	ns.helm = "helm"
	ns.inside("jira")
	repository := t.TempDir()
	for from, to := range map[string]string{"../../docs/examples/gitops": ".", "../../docs/examples": "docs/examples"} {
		if err := os.CopyFS(filepath.Join(repository, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	ns.run("install", release, chart, "--values", "../../docs/examples/gitops/clusters/production/values.yaml")
	before := ns.get("deployment", "patgate")
	ns.pipe(asJSON(t, object{"apiVersion": "v1", "kind": "Pod", "spec": podTemplate(before)["spec"],
		"metadata": object{"name": "patgate-0", "labels": podTemplate(before).at("metadata", "labels")}}), "create", "-f", "-")

	ran := ns.typePages(repository, "../../docs/gitops.md", "../../docs/sidecar.md")
	if ran != 8 {
		t.Errorf("%d commands were run", ran)
	}
	if ns.get("pod", "patgate-0").text("metadata", "annotations", "patgate.dev/nudge") == "" {
		t.Error("the pod is not annotated: no kubelet would look after it")
	}
	if asJSON(t, podTemplate(ns.get("deployment", "patgate"))) == asJSON(t, podTemplate(before)) {
		t.Error("the Deployment is as it was: no pod would be replaced")
	}
	if names := ns.inside("jira").list("configmap,deployment,service,networkpolicy"); len(names) < 5 {
		t.Errorf("the sidecar example made %d objects", len(names))
	}
}

// typePages runs the commands of pages in a folder, and returns how many.
func (ns *namespace) typePages(folder string, pages ...string) (ran int) {
	ns.t.Helper()
	absolute, err := filepath.Abs(chart)
	if err != nil {
		ns.t.Fatal(err)
	}
	for _, page := range pages {
		for _, command := range documented(ns.t, page) {
			if slices.ContainsFunc(slices.Collect(maps.Keys(elsewhere)), func(p string) bool { return strings.HasPrefix(command, p) }) {
				continue
			}
			ran++
			line := strings.ReplaceAll(command, "oci://ghcr.io/patgate/charts/patgate", absolute) // no registry is reached
			script := "cd " + folder + " && PATH=" + filepath.Dir(tool(ns.t, "kubectl")) + ":$PATH && " + line
			if out, err := ns.c.command(ns.t, "sh", "", "-c", script); err != nil {
				ns.t.Errorf("%s: %s: %v\n%s", page, command, err, out)
			}
		}
	}
	return ran
}
