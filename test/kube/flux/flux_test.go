// Package flux reads the documentation's HelmRelease by Flux's own Go type: its definition
// is in no module that the tests of test/kube could install.
package flux

import (
	"bytes"
	"os"
	"strings"
	"testing"

	helm "github.com/fluxcd/helm-controller/api/v2"
	"sigs.k8s.io/yaml"
)

// TestHelmRelease checks that it has only fields that the kind has.
func TestHelmRelease(t *testing.T) {
	text, err := os.ReadFile("../../../docs/examples/gitops/flux/patgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, d := range bytes.Split(text, []byte("\n---\n")) {
		var release helm.HelmRelease
		if !bytes.Contains(d, []byte("\nkind: HelmRelease\n")) {
			continue
		}
		found++
		if err := yaml.UnmarshalStrict(d, &release); err != nil {
			t.Error(err)
		}
		if release.APIVersion != helm.GroupVersion.String() || release.Name != "patgate" {
			t.Errorf("%s %s, want patgate of %s", release.APIVersion, release.Name, helm.GroupVersion)
		}
		planted := bytes.Replace(d, []byte("\nspec:\n"), []byte("\nspec:\n  intervall: 1m\n"), 1)
		if err := yaml.UnmarshalStrict(planted, &release); err == nil || !strings.Contains(err.Error(), "intervall") {
			t.Errorf("a misspelt field: %v", err)
		}
	}
	if found != 1 {
		t.Errorf("%d HelmReleases, want 1", found)
	}
}
