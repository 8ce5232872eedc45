package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/patgate/patgate/envoy"
)

// pages are the documents whose commands are run, each in a directory of its own with what
// the page takes for granted, and how many there are.
var pages = map[string]struct {
	files    string
	folders  map[string]string // from below docs/, to where the page has them
	commands int
}{
	"testing": {pageManifests, nil, 3}, "clients": {pageManifests, nil, 4}, "migrating": {pageManifests, nil, 4}, "checks": {pageManifests, nil, 1},
	"envoy-checks": {pageManifests + "-- envoy.yaml --\n" + envoy.Standalone, nil, 1},
	"ingress":      {pageManifests + "-- patgate.conf --\nserver { location / { auth_request /a; proxy_pass http://api/; } }\n", nil, 2},
	"istio":        {pageManifests, nil, 3}, "envoy-gateway": {pageManifests, nil, 3},
	"kubernetes":  {pageManifests, nil, 1},
	"first-token": {"", map[string]string{"examples": "docs/examples"}, 4},
	"sidecar":     {"", map[string]string{"examples": "docs/examples"}, 5},
	"gitops":      {"-- last-week.log.gz --\n", map[string]string{"examples/gitops": ".", "examples/gitops/manifests": "tmp/before/manifests"}, 5}, // and the pipelines' check by TestPullRequests
}

const pageManifests = `
-- manifests/m.yaml --
apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: jira}
spec: {schemes: [basic, bearer]}
---
apiVersion: patgate.dev/v1alpha1
kind: APIToken
metadata: {name: ci-bot}
spec:
  user: alice
  digest: sha256:a225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8
  issued: 2026-05-01T00:00:00Z
  limitTo: '[post]/rest/api/2/issue/KANBAN-\d+/comment'
-- /tmp/main/manifests/old.yaml --
apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: jira}
spec: {schemes: [basic, bearer]}
-- tokens.json --
{"tokens":[{"label":"CI","user":"alice","token":"qt3sumg4gd8r47n98tcnmuarnfufviog","limitTo":"[get]/rest/.*"}],"status":"ok"}
-- secrets.yaml --
kind: Secret
metadata: {name: mobile}
stringData: {api_key: ndyBzreUzF4zqDQsqSPMHkRhriEOtcRx}
`

// TestPages runs every patgate command that a page shows. One may answer no, as people who
// try it may see; wrong usage is what must not be.
func TestPages(t *testing.T) {
	for name, page := range pages {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("../../docs/" + name + ".md")
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for _, f := range txtar.Parse([]byte(page.files)).Files {
				writePageFile(t, filepath.Join(dir, f.Name), f.Data)
			}
			for from, to := range page.folders {
				if err := os.CopyFS(filepath.Join(dir, to), os.DirFS(filepath.Join("../../docs", from))); err != nil {
					t.Fatal(err)
				}
			}
			for _, b := range block.FindAllStringSubmatch(string(text), -1) {
				if b[1] == "yaml" && strings.Contains(b[2], "kind: PolicyTest") {
					writePageFile(t, filepath.Join(dir, "manifests", "m.test.yaml"), []byte(b[2]))
				}
			}
			t.Chdir(dir)
			if ran := runPage(t, string(text), dir); ran != page.commands {
				t.Errorf("%d commands were run, want %d", ran, page.commands)
			}
		})
	}
}

func writePageFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func runPage(t *testing.T, text, dir string) (ran int) {
	t.Helper()
	for _, b := range block.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(b[2]) {
			if b[1] != "sh" || !strings.HasPrefix(line, "patgate ") {
				continue
			}
			ran++
			line, _, _ = strings.Cut(line, " > ") // the file is the shell's
			// What the page has put into /tmp lies below the test's directory.
			args := words(strings.ReplaceAll(strings.TrimSpace(line), "/tmp/", filepath.Join(dir, "tmp")+"/"))
			// The same Secret can come over once.
			if strings.Contains(line, "import --from envoy-gateway") {
				if err := os.Remove(filepath.Join(dir, "manifests", "mobile.yaml")); err != nil {
					t.Error(err)
				}
			}
			var out, errs bytes.Buffer
			if code := run(args[1:], strings.NewReader(""), &out, &errs); code == exitUsage {
				t.Errorf("%s%s%s", line, out.String(), errs.String())
			}
		}
	}
	return ran
}
