//go:build kube

package kube

import (
	"crypto/x509"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/credentials/insecure"

	"github.com/patgate/patgate/test/configmap"
)

// TestChartMetrics checks that a scrape of a running patgate has every metric and label
// of the alerts and the dashboard.
func TestChartMetrics(t *testing.T) {
	// A gate that observes has a metric of its own.
	observing := "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: observing}\nspec: {hosts: [observing.example.com], enforcement: observe}\n"
	p := startChartPod(t, map[string]string{"observing.yaml": observing}, nil, "--values", filepath.Join(chart, "examples/minimal.yaml"))
	for _, host := range []string{"jira.example.com", "observing.example.com"} {
		if _, err := p.check(t, insecure.NewCredentials(), host, "/"); err != nil {
			t.Fatal(err)
		}
	}
	_, text := p.get("/metrics")
	scraped := samples(text)
	maps.Copy(scraped, samples(scrapeWithTLS(t))) // certificates have metrics of their own
	if len(scraped) < 50 {
		t.Fatalf("a scrape of %d metrics:\n%s", len(scraped), text)
	}
	asked := 0
	for place, query := range chartQueries(t) {
		for _, m := range selector.FindAllStringSubmatch(query, -1) {
			name, labels := m[1], m[2]
			if name == "up" {
				continue // Prometheus' own
			}
			asked++
			known, found := scraped[name]
			if !found {
				t.Errorf("%s asks for %s, which a scrape does not have", place, name)
				continue
			}
			// What Prometheus adds, and what a scrape has.
			known = append(known, "namespace", "service", "pod")
			for _, label := range labelOf.FindAllStringSubmatch(labels, -1) {
				if !slices.Contains(known, label[1]) {
					t.Errorf("%s asks for %s with the label %s, which has %v", place, name, label[1], known)
				}
			}
		}
		for _, m := range grouping.FindAllStringSubmatch(query, -1) {
			for label := range strings.SplitSeq(m[1], ",") {
				if label = strings.TrimSpace(label); !slices.Contains([]string{"namespace", "service", "pod", "le", "gate", "decision", "reason", "state", "result"}, label) {
					t.Errorf("%s groups by %s", place, label)
				}
			}
		}
	}
	if asked < 40 {
		t.Errorf("only %d metrics are asked for", asked)
	}
	// Every metric of patgate is used by an alert or the dashboard.
	all := strings.Join(slices.Collect(maps.Values(chartQueries(t))), "\n")
	for name := range scraped {
		family := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		if strings.HasPrefix(name, "patgate_") && !strings.Contains(all, family) {
			t.Errorf("neither alerts nor the dashboard show %s", name)
		}
	}
}

// scrapeWithTLS is the scrape of the minimal example's pod with certificates.
func scrapeWithTLS(t *testing.T) string {
	t.Helper()
	p := startChartPod(t, nil, func(dir string, _ []string) {
		ca := newAuthority(t)
		key, cert := ca.issue(t, x509.ExtKeyUsageServerAuth, "patgate")
		mount := configmap.Mount{Dir: dir}
		if err := mount.Write(map[string]string{"tls.crt": cert, "tls.key": key, "ca.crt": ca.pem}); err != nil {
			t.Fatal(err)
		}
	}, "--values", filepath.Join(chart, "examples/minimal.yaml"), "--set", "tls.existingSecret=server")
	_, text := p.get("/metrics")
	return text
}

var (
	// selector is a metric in a query, with its labels.
	selector = regexp.MustCompile(`\b((?:patgate|process|go)_[a-z_]+|up)\b(?:\{([^}]*)\})?`)
	labelOf  = regexp.MustCompile(`([a-z_]+) *(?:=~|!=|!~|=)`)
	grouping = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// samples returns the metrics of a scrape with the labels of each.
func samples(text string) map[string][]string {
	found := map[string][]string{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name := line[:strings.IndexAny(line, "{ ")]
		labels := found[name]
		if _, rest, has := strings.Cut(line, "{"); has {
			for _, m := range labelOf.FindAllStringSubmatch(rest, -1) {
				labels = append(labels, m[1])
			}
		}
		found[name] = labels
	}
	return found
}

// chartQueries are the queries of all alerts and panels, by their place.
func chartQueries(t *testing.T) map[string]string {
	t.Helper()
	queries := map[string]string{}
	objects := chartObjects(t, chartRender(t, "helm", "--values", filepath.Join(chart, "examples/production.yaml")))
	for _, group := range objects["PrometheusRule/patgate"].Spec.Groups {
		for _, r := range group.Rules {
			queries["the alert "+r.Alert] = r.Expr
		}
	}
	var dashboard struct {
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Panels []struct {
			Title   string
			Targets []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal([]byte(objects["ConfigMap/patgate-dashboard"].Data["patgate.json"]), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, v := range dashboard.Templating.List {
		queries["the variable "+v.Name] = v.Definition
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			queries["the panel "+p.Title+" "+target.RefID] = target.Expr
		}
	}
	return queries
}

// TestChartAlertsAreExplained checks that docs/kubernetes.md says what to do about each alert.
func TestChartAlertsAreExplained(t *testing.T) {
	page, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for place := range chartQueries(t) {
		if alert, is := strings.CutPrefix(place, "the alert "); is {
			n++
			if !strings.Contains(string(page), "| `"+alert+"` |") {
				t.Errorf("docs/kubernetes.md says nothing of %s", alert)
			}
		}
	}
	if n < 10 {
		t.Errorf("%d alerts", n)
	}
}

// TestChartAlerts has Prometheus itself evaluate the alerts; see promql/alerts_test.go.
func TestChartAlerts(t *testing.T) {
	cmd := exec.Command("go", "test", "-count=1", "./...")
	cmd.Dir = "promql"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
