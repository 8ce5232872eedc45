package test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gopkg.in/yaml.v3"
)

// gitopsExample is the repository of docs/gitops.md. TestPullRequests of test/kube runs its pipelines.
const gitopsExample = "../docs/examples/gitops"

// TestGitopsIsConsistent compares the parts of the example that must agree.
func TestGitopsIsConsistent(t *testing.T) {
	documents := func(name string) (list []map[string]any) {
		f, err := os.Open(filepath.Join(gitopsExample, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for d := yaml.NewDecoder(f); ; {
			var doc map[string]any
			if err := d.Decode(&doc); err != nil {
				return list
			}
			list = append(list, doc)
		}
	}
	values := documents("clusters/production/values.yaml")[0]
	flux := documents("flux/patgate.yaml")
	release := flux[slices.IndexFunc(flux, func(d map[string]any) bool { return d["kind"] == "HelmRelease" })]
	if got := release["spec"].(map[string]any)["values"]; fmt.Sprint(got) != fmt.Sprint(values) {
		t.Errorf("Flux has the values\n%v\nand Argo CD\n%v", got, values)
	}
	kustomization := documents("manifests/kustomization.yaml")[0]
	var names []map[string]any
	for _, g := range kustomization["configMapGenerator"].([]any) {
		names = append(names, map[string]any{"name": g.(map[string]any)["name"]})
	}
	if fmt.Sprint(values["existingConfigMaps"]) != fmt.Sprint(names) {
		t.Errorf("kustomize makes %v, and the chart reads %v", names, values["existingConfigMaps"])
	}
	// Of two files with one name, a pod would have one.
	seen := map[string]string{}
	err := filepath.WalkDir(filepath.Join(gitopsExample, "manifests"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && seen[e.Name()] != "" {
			err = errors.New(path + " and " + seen[e.Name()])
		}
		seen[e.Name()] = path
		return err
	})
	if err != nil {
		t.Errorf("two files with one name: %v", err)
	}
}
