//go:build kube

package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// docs is the folder of the documentation's examples.
const docs = "../../docs/examples"

// TestGitOps does what Argo CD and Flux do with the example repository: kustomize makes
// ConfigMaps of its manifests, which come back from the API server byte for byte, and the
// chart with the repository's values reads them.
func TestGitOps(t *testing.T) {
	ns := newNamespace(t)
	repository := filepath.Join(docs, "gitops")
	for _, d := range documents(ns.kubectl("kustomize", filepath.Join(repository, "manifests"))) {
		ns.pipe(strings.Replace(d, "namespace: patgate", "namespace: "+ns.name, 1), append([]string{"apply", "-f", "-"}, argo...)...)
	}
	ns.run("install", release, chart, "-f", filepath.Join(repository, "clusters", "production", "values.yaml"))
	p := newPod(ns, podTemplate(ns.get("deployment", release)))
	mounted := p.volume("manifests")
	for name, text := range readFiles(t, filepath.Join(mounted, "..data")) {
		found := false
		for _, at := range []string{name, filepath.Join("tokens", name)} {
			was, err := os.ReadFile(filepath.Join(repository, "manifests", at))
			found = found || err == nil && string(was) == text
		}
		if !found {
			t.Errorf("%s in the pod is no file of the repository, or another one", name)
		}
	}
	check, container := testPod(ns)
	c := check.start(container)
	if code := c.wait(time.Minute); code != 0 {
		t.Errorf("helm test: exit code %d\n%s%s", code, c.out.String(), c.log.String())
	}
}
