// Package flux reads the documentation's objects of Flux by Flux's own Go types: their
// definitions are in no module that the tests of test/kube could install.
package flux

import (
	"bytes"
	"os"
	"strings"
	"testing"

	helm "github.com/fluxcd/helm-controller/api/v2"
	kustomize "github.com/fluxcd/kustomize-controller/api/v1"
	source "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/yaml"
)

const example = "../../../docs/examples/gitops/flux/patgate.yaml"

// kinds are those that Flux knows and the documentation shows, with where they belong.
var kinds = map[string]struct {
	group string
	make  func() any
}{
	"GitRepository": {source.GroupVersion.String(), func() any { return &source.GitRepository{} }},
	"OCIRepository": {source.GroupVersion.String(), func() any { return &source.OCIRepository{} }},
	"Kustomization": {kustomize.GroupVersion.String(), func() any { return &kustomize.Kustomization{} }},
	"HelmRelease":   {helm.GroupVersion.String(), func() any { return &helm.HelmRelease{} }},
}

// TestExample wants every object to be one of Flux's, with no field that its kind has not.
func TestExample(t *testing.T) {
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	documents := bytes.Split(text, []byte("\n---\n"))
	if len(documents) != len(kinds) {
		t.Errorf("%d objects, want %d", len(documents), len(kinds))
	}
	for _, d := range documents {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(d, &head); err != nil {
			t.Fatal(err)
		}
		kind, ok := kinds[head.Kind]
		if !ok || head.APIVersion != kind.group {
			t.Errorf("%s of %s, want it of %s", head.Kind, head.APIVersion, kind.group)
			continue
		}
		if err := yaml.UnmarshalStrict(d, kind.make()); err != nil {
			t.Errorf("%s: %v", head.Kind, err)
		}
		// A field of no kind is seen.
		planted := bytes.Replace(d, []byte("\nspec:\n"), []byte("\nspec:\n  intervall: 1m\n"), 1)
		if err := yaml.UnmarshalStrict(planted, kind.make()); err == nil || !strings.Contains(err.Error(), "intervall") {
			t.Errorf("%s: a misspelt field: %v", head.Kind, err)
		}
	}
}
