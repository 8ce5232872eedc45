package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/patgate/patgate/explain"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// block is a fenced piece of a document.
var block = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// TestReadme does what the README says: it writes the manifest, runs each command of
// ours in its order, and checks that each target of make exists.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "patgate")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ran := 0
	for _, b := range block.FindAllStringSubmatch(string(readme), -1) {
		switch b[1] {
		case "yaml":
			if err := os.MkdirAll(filepath.Join(dir, "manifests"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "manifests", "gate.yaml"), []byte(b[2]), 0o644); err != nil {
				t.Fatal(err)
			}
		case "sh":
			for line := range strings.Lines(b[2]) {
				line, _, _ = strings.Cut(strings.TrimSpace(line), "  #")
				switch word, rest, _ := strings.Cut(line, " "); word {
				case "make":
					for _, target := range strings.Fields(rest) {
						if !strings.Contains(string(makefile), "\n"+target+":") {
							t.Errorf("there is no `make %s`", target)
						}
					}
				case "patgate":
					runAsTyped(t, dir, line)
					ran++
				case "export", "mkdir":
				case `"$(make`, "curl": // the system's tests run these, with the same file
				default:
					t.Errorf("no test runs the command: %s", line)
				}
			}
		}
	}
	if ran != 4 {
		t.Errorf("%d patgate commands were run", ran)
	}
}

// TestDocuments checks that the manifests that documents show are good, those of one document
// together, their tests to hold, and their links to lead somewhere.
func TestDocuments(t *testing.T) {
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(documents) == 0 {
		t.Fatalf("%v, %v", documents, err)
	}
	for _, name := range append(documents, "../../README.md", "../../envoy/README.md", "../../RATIONALE.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		checkManifestsOf(t, name, string(text))
		for _, link := range regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), link[1])); err != nil {
				t.Errorf("%s: a dead link: %v", name, err)
			}
		}
	}
}

// checkManifestsOf checks the manifests of a document together, and runs its PolicyTests
// on them.
func checkManifestsOf(t *testing.T, name, text string) {
	t.Helper()
	var manifests, tests strings.Builder
	for _, b := range block.FindAllStringSubmatch(text, -1) {
		switch {
		case b[1] != "yaml" || !strings.Contains(b[2], "apiVersion: patgate.dev/"):
		case strings.Contains(b[2], "kind: PolicyTest"):
			tests.WriteString("---\n" + b[2])
		default:
			manifests.WriteString("---\n" + b[2])
		}
	}
	var dec manifest.Decoder
	docs, problems := dec.DecodeTests("m.test.yaml", []byte(tests.String()))
	var rows policy.Rows
	if manifests.Len() > 0 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "m.yaml"), []byte(manifests.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		set := loaderdir.Load([]string{dir})
		rows, problems = set.Rows, append(problems, set.Problems...)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", name, p)
	}
	if len(problems) > 0 || len(docs) == 0 || len(rows.Gates) == 0 {
		return
	}
	report, problems := explain.Run(rows, docs, time.Now(), regexp.MustCompile(""))
	if len(problems) > 0 {
		t.Fatalf("%s: %v", name, problems)
	}
	for _, r := range report.Results {
		if !r.Passed {
			t.Errorf("%s: %s: %s, want %s\n%s", name, r.Request, r.Got, r.Want, r.Why)
		}
	}
}

// runAsTyped runs a command line in a shell; a server is ended when it serves.
func runAsTyped(t *testing.T, dir, line string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "exec "+line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "PATGATE_LISTEN=127.0.0.1:0", "PATGATE_STATUS_LISTEN=127.0.0.1:0")
	var out, errs bytes.Buffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer guard.Stop()
	for s := bufio.NewScanner(io.TeeReader(stderr, &errs)); s.Scan(); {
		if strings.Contains(s.Text(), `"msg":"serving"`) {
			_ = cmd.Process.Signal(syscall.SIGINT)
		}
	}
	err = cmd.Wait()
	if strings.HasPrefix(line, "patgate explain") { // of the request that the page shows as refused
		if cmd.ProcessState.ExitCode() != exitNo || !strings.HasPrefix(out.String(), "deny no_rule_matched (403)\n") {
			t.Errorf("%s: %v\n%s%s", line, err, out.String(), errs.String())
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v\n%s%s", line, err, out.String(), errs.String())
	}
}
