package server

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
)

// TestMetricsAreDocumented checks that docs/reference.md has each metric, with its labels.
func TestMetricsAreDocumented(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "audit"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte("clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Manifests: []string{t.TempDir()}, Kubernetes: &KubernetesOptions{Kubeconfig: kubeconfig}, Listen: "127.0.0.1:0", StatusListen: "127.0.0.1:0", Audit: out})
	if err != nil {
		t.Fatal(err)
	}
	defer s.status.Close()
	defer s.listener.Close()
	s.metrics.Decided(&policy.Decision{Effect: policy.Allow, Shadowed: true}, time.Millisecond)
	s.metrics.loaded(&loader.Report{Loaded: true})
	s.certificates = &certificates{looked: time.Now(), warned: time.Now(), expiry: []expiry{{"tls.crt", time.Now()}}}
	families, err := s.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "patgate_") {
			continue
		}
		what := f.GetName()
		for _, label := range f.GetMetric()[0].GetLabel() {
			what += " " + label.GetName()
		}
		there = append(there, what)
	}
	page, err := os.ReadFile("../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`patgate_[^|]*) \\| ([^|]*)\\|").FindAllStringSubmatch(string(page), -1) {
		labels := strings.Fields(strings.NewReplacer("`", "", ",", " ").Replace(row[2]))
		slices.Sort(labels)
		for _, name := range strings.Split(strings.ReplaceAll(row[1], "`", ""), ", ") {
			documented = append(documented, strings.Join(append([]string{name}, labels...), " "))
		}
	}
	slices.Sort(documented)
	if !slices.Equal(there, documented) {
		t.Errorf("the metrics are\n%s\nand the page has\n%s", strings.Join(there, "\n"), strings.Join(documented, "\n"))
	}
}
