//go:build kube

package kube

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/patgate/patgate/test/golden"
)

// chartCases are the values that the chart is rendered with: its examples, and what
// they omit.
func chartCases(t testing.TB) map[string]string {
	t.Helper()
	cases := map[string]string{}
	for _, pattern := range []string{filepath.Join(chart, "examples", "*.yaml"), "testdata/chart/*.values.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, expected values", pattern, err)
		}
		for _, f := range files {
			name, _, _ := strings.Cut(filepath.Base(f), ".")
			cases[name] = f
		}
	}
	return cases
}

// chartRun runs a tool and returns what it prints.
func chartRun(t testing.TB, name string, args ...string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(tool(t, name), args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	// Nothing of this machine's Helm, and no network.
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG="+os.DevNull)
	if err := cmd.Run(); err != nil {
		return out.String() + errs.String(), errors.New(strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// chartRender is `helm template` of the chart as the release patgate of the namespace patgate.
func chartRender(t testing.TB, helm string, args ...string) string {
	t.Helper()
	out, err := chartRun(t, helm, append([]string{"template", "patgate", chart, "--namespace", "patgate"}, args...)...)
	if err != nil {
		t.Fatalf("%s: %v", helm, err)
	}
	return out
}

// TestChartLint checks that both helms find nothing, with the defaults, which can't be
// installed, and with each case.
func TestChartLint(t *testing.T) {
	cases := chartCases(t)
	cases["defaults"] = filepath.Join(chart, "values.yaml")
	for _, helm := range helms {
		for name, file := range cases {
			out, err := chartRun(t, helm, "lint", "--strict", chart, "--values", file)
			if err != nil || !strings.Contains(out, "1 chart(s) linted, 0 chart(s) failed") {
				t.Errorf("%s lint, %s: %v\n%s", helm, name, err, out)
			}
		}
	}
}

// TestChartGolden compares the chart's output for each case with a golden file. Both helms
// render the same, except for empty lines between documents, and so does a second run:
// Argo CD renders again and again, and must find no difference.
func TestChartGolden(t *testing.T) {
	for name, file := range chartCases(t) {
		t.Run(name, func(t *testing.T) {
			got := chartRender(t, "helm", "--values", file)
			if again := chartRender(t, "helm", "--values", file); again != got {
				t.Errorf("a second run differs:\n%s", firstDifference(got, again))
			}
			if three := chartRender(t, "helm3", "--values", file); withoutGaps(three) != withoutGaps(got) {
				t.Errorf("helm 3 differs from helm 4:\n%s", firstDifference(got, three))
			}
			golden.File(t, filepath.Join("testdata/chart", name+".golden.yaml"), got)
		})
	}
}

// withoutGaps leaves out empty lines between documents and at the end.
func withoutGaps(text string) string {
	return strings.TrimRight(betweenDocuments.ReplaceAllString(text, "\n---\n"), "\n")
}

var betweenDocuments = regexp.MustCompile(`\n*\n---\n`)

// firstDifference shows the first line in which two texts differ.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "- " + w[i] + "\n+ " + g[i]
		}
	}
	return "one ends earlier"
}

// TestChartConforms validates every object of each case against the schemas of Kubernetes
// and of the operators whose kinds the chart has, without a network.
func TestChartConforms(t *testing.T) {
	for name := range chartCases(t) {
		out, err := conforms(t, filepath.Join("testdata/chart", name+".golden.yaml"))
		if err != nil || !strings.Contains(out, "Invalid: 0, Errors: 0, Skipped: 0") {
			t.Errorf("%s: %s", name, out)
		}
	}
	// What must not be so: a field that no Deployment has.
	golden, err := os.ReadFile("testdata/chart/minimal.golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	misspelt := filepath.Join(t.TempDir(), "misspelt.yaml")
	if err := os.WriteFile(misspelt, bytes.ReplaceAll(golden, []byte("minReadySeconds"), []byte("minReadySecs")), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := conforms(t, misspelt); err == nil || !strings.Contains(out, "minReadySecs") {
		t.Errorf("a misspelt field conforms: %s", out)
	}
}

func conforms(t *testing.T, file string) (string, error) {
	return chartRun(t, "kubeconform", "-strict", "-summary", "-kubernetes-version", "1.36.0",
		"-schema-location", tool(t, "schemas")+"/{{ .NormalizedKubernetesVersion }}-local{{ .StrictSuffix }}/{{ .ResourceKind }}{{ .KindSuffix }}.json",
		"-schema-location", tool(t, "crd-schemas")+"/{{ .Group }}/{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json", file)
}

// TestChartUnits runs the suites of charts/patgate/tests.
func TestChartUnits(t *testing.T) {
	out, err := chartRun(t, "helm-unittest", "--strict", chart)
	if err != nil {
		t.Error(out)
	}
	if !regexp.MustCompile(`Tests: +[1-9]\d* passed`).MatchString(out) {
		t.Errorf("no tests ran:\n%s", out)
	}
}

// TestChartReadme checks that the README is what helm-docs makes of the values' comments.
func TestChartReadme(t *testing.T) {
	dir, readme := t.TempDir(), filepath.Join(chart, "README.md")
	if *golden.Update {
		dir = chart
	} else if err := os.CopyFS(dir, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	} else if err := os.Remove(filepath.Join(dir, "README.md")); err != nil { // where helm-docs fails, it says so and ends well
		t.Fatal(err)
	}
	if out, err := chartRun(t, "helm-docs", "--chart-search-root", dir, "--sort-values-order", "file", "--log-level", "warning"); err != nil || out != "" {
		t.Fatal(err, out)
	}
	want, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the values' comments say; rewrite it with -update\n%s", readme, firstDifference(string(got), string(want)))
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `.*\\| *\\|$").FindAllString(string(got), -1) {
		t.Errorf("no word about %s", row)
	}
}

// TestChartPackage checks that the package holds what users need, and nothing of the tests.
func TestChartPackage(t *testing.T) {
	dir := t.TempDir()
	if out, err := chartRun(t, "helm", "package", chart, "--destination", dir); err != nil {
		t.Fatal(out)
	}
	packages, err := filepath.Glob(filepath.Join(dir, "patgate-*.tgz"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("packages: %v %v", packages, err)
	}
	list, err := exec.Command("tar", "-tzf", packages[0]).Output()
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Fields(string(list))
	for _, want := range []string{"values.schema.json", "README.md", "templates/tests/check.yaml", "examples/minimal.yaml", "files/alerts.yaml"} {
		if !slices.Contains(files, "patgate/"+want) {
			t.Errorf("%s is not in the package", want)
		}
	}
	for _, f := range files {
		if strings.HasPrefix(f, "patgate/tests/") || strings.HasSuffix(f, ".gotmpl") {
			t.Errorf("%s is in the package", f)
		}
	}
}

// documented are the commands of a page's blocks of shell, in their order.
func documented(t testing.TB, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, b := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		commands = append(commands, strings.Split(strings.TrimSpace(b[1]), "\n")...)
	}
	return commands
}

// TestChartCommandsAlone runs the commands of the chart's pages that need no
// cluster; TestChartCommands runs the others, and TestPages those of patgate.
func TestChartCommandsAlone(t *testing.T) {
	inCluster := []string{"patgate ", "helm install ", "helm test ", "helm upgrade ", "helm history ", "helm rollback ", "helm uninstall ", "kubectl "}
	ran := 0
	for _, page := range chartPages {
		for _, command := range documented(t, page) {
			words := strings.Fields(strings.ReplaceAll(command, "charts/patgate", chart))
			switch {
			case slices.ContainsFunc(inCluster, func(p string) bool { return strings.HasPrefix(command, p) }):
			case words[0] == "helm":
				ran++
				if out, err := chartRun(t, "helm", words[1:]...); err != nil {
					t.Errorf("%s: %s", command, out)
				}
			default:
				t.Errorf("%s: no test runs %s", page, command)
			}
		}
	}
	if ran != 3 {
		t.Errorf("%d commands were run", ran)
	}
}
