package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/patgate/patgate/test/freeaddr"
	"github.com/patgate/patgate/test/golden"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"patgate": main})
}

// TestSessions runs the sessions of testdata: what a user types, and what they see.
func TestSessions(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *golden.Update,
		Setup: func(e *testscript.Env) error {
			standalone, err := filepath.Abs("../../envoy/standalone.yaml")
			if err != nil {
				return err
			}
			e.Setenv("STANDALONE", standalone)
			e.Setenv("GORACE", os.Getenv("GORACE")) // of the Makefile; sessions inherit nothing
			for _, name := range []string{"CHECKS", "STATUS"} {
				addr, err := freeaddr.Get()
				if err != nil {
					return err
				}
				e.Setenv(name, addr)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitfor": waitFor,
			"value":   wantValue,
		},
	})
}

// waitFor waits until a page of the status port holds a text:
//
//	waitfor http://$STATUS/readyz ok
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: waitfor URL TEXT")
	}
	got := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		answer, err := http.Get(args[0])
		if err != nil {
			got = err.Error()
			continue
		}
		var b bytes.Buffer
		_, _ = b.ReadFrom(answer.Body)
		answer.Body.Close()
		if got = b.String(); strings.Contains(got, args[1]) {
			return
		}
	}
	ts.Fatalf("%s does not hold %q: %s", args[0], args[1], got)
}

// wantValue checks that stdout is one minted value, alone, and that a file holds nothing of it:
//
//	value manifests/ci-bot.yaml
func wantValue(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: value FILE")
	}
	out := ts.ReadFile("stdout")
	value := strings.TrimSuffix(out, "\n")
	if len(value) != 41 || !strings.HasPrefix(value, "patg_") || strings.ContainsAny(value, " \n") {
		ts.Fatalf("stdout is no value alone: %q", out)
	}
	if strings.Contains(ts.ReadFile(args[0]), value[5:]) {
		ts.Fatalf("%s holds the value", args[0])
	}
	if strings.Contains(ts.ReadFile("stderr"), value[5:]) {
		ts.Fatalf("stderr holds the value")
	}
}

// TestHelp holds the help of every command against its golden file, and to the width
// and height of a screen.
func TestHelp(t *testing.T) {
	for _, command := range commands(newRoot(streams{})) {
		testHelp(t, command)
	}
}

// commands lists a command and all below it that are ours, as a user types them.
func commands(cmd *cobra.Command) []string {
	list := []string{cmd.CommandPath()}
	for _, c := range cmd.Commands() {
		if c.Name() != "help" && c.Name() != "completion" {
			list = append(list, commands(c)...)
		}
	}
	return list
}

func testHelp(t *testing.T, command string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(append(strings.Fields(command)[1:], "--help"), nil, &out, &errs); code != exitGood || errs.Len() > 0 {
		t.Errorf("%s --help: exit code %d, %s", command, code, errs.String())
	}
	if !strings.Contains(out.String(), "\nExamples:\n") {
		t.Errorf("%s: no example", command)
	}
	for line := range strings.Lines(out.String()) {
		if len([]rune(strings.TrimSuffix(line, "\n"))) > 130 {
			t.Errorf("%s: a line of %d characters: %s", command, len(line), line)
		}
	}
	if n := strings.Count(out.String(), "\n"); n > 45 && command != "patgate serve" { // it has the management's flags too
		t.Errorf("%s: %d lines", command, n)
	}
	name := filepath.Join("testdata", "help", strings.ReplaceAll(command, " ", "-")+".txt")
	golden.File(t, name, out.String())
}

// arrows says who may import whom within the project, and why. A package imports
// nothing of the project that is not listed.
var arrows = []struct {
	from string
	to   []string
	why  string
}{
	{"token", nil, "the leaf: values and their digests know nothing of policies"},
	{"diag", nil, "a leaf: places in files, and what is wrong there"},
	{"policy", []string{"token"}, "the domain: no clock, no network, no YAML"},
	{"audit", []string{"diag", "policy", "token"}, "events name what the policy decided, and mask what a token looks like; people's lines are escaped"},
	{"usage", []string{"audit", "policy"}, "counts how tokens are used, in a server and over servers"},
	{"audit/report", []string{"audit", "policy", "usage"}, "counts and verifies what a log holds"},
	{"envoy", []string{"policy"}, "configurations are text; gates fill them in"},
	{"fronts", []string{"policy"}, "configurations of other proxies are text; gates fill them in"},
	{"fronts/check", []string{"diag"}, "configurations of other proxies, and the comments that accept"},
	{"envoy/check", []string{"diag", "manifest", "policy"}, "configurations as located trees, and the comments that accept"},
	{"manifest", []string{"diag", "policy", "token"}, "the only reader of YAML manifests"},
	{"manifest/edit", []string{"diag", "manifest", "token"}, "changes of YAML that keep every other byte, compared by decoding"},
	{"ruleset", []string{"diag", "manifest", "policy", "token"}, "documents of all origins as one set, and its rows"},
	{"tokens", []string{"diag", "manifest", "manifest/edit", "policy", "ruleset", "token"}, "the one way to change tokens, over a store"},
	{"tokens/storetest", []string{"diag", "manifest", "manifest/edit", "ruleset", "tokens"}, "what every store must do, for tests alone"},
	{"loader/kube", []string{"diag", "manifest", "manifest/edit", "policy", "ruleset", "token", "tokens"}, "objects of a cluster, one at a time, into the index, and a store of tokens"},
	{"controller", []string{"audit", "loader/kube", "manifest", "policy", "ruleset", "token", "usage"}, "status and Secrets of a cluster's objects, decided about as a server does"},
	{"loader", []string{"diag", "ruleset", "manifest", "policy", "token"}, "keeps the index in step with its sources"},
	{"loader/dir", []string{"diag", "loader", "manifest", "manifest/edit", "ruleset", "tokens"}, "directories: a source of the loader, and a store of tokens"},
	{"explain", []string{"diag", "manifest", "audit", "policy", "token"}, "questions to the same evaluation"},
	{"replay", []string{"audit", "policy", "token"}, "an audit log asked again of other manifests"},
	{"replay/suggest", []string{"audit", "lint", "policy"}, "rules that recorded calls need, proven by the linter's search"},
	{"lint", []string{"diag", "ruleset", "manifest", "explain", "policy", "token"}, "warnings about manifests that are valid"},
	{"migrate", []string{"diag", "manifest", "manifest/edit", "policy", "token"}, "manifests from elsewhere"},
	{"token/snippet", nil, "text for clients, with a placeholder for the value"},
	{"extauthz/wire", nil, "HTTP/2 and gRPC, and nothing of what is decided"},
	{"extauthz/httpfront", []string{"policy"}, "reads checks over HTTP: names fold as policies fold them"},
	{"extauthz", []string{"policy", "token", "audit", "extauthz/wire", "extauthz/httpfront"}, "Envoy's side: the only package that uses gRPC"},
	{"admin", []string{"audit", "diag", "explain", "lint", "manifest", "manifest/edit", "policy", "ruleset", "token", "token/snippet", "tokens", "usage"}, "management over HTTP: every change goes through tokens"},
	{"admin/admintest", []string{"admin", "audit", "policy", "tokens", "tokens/storetest"}, "a management API over a store in memory, for tests alone"},
	{"admin/oidc", []string{"admin"}, "signing in with an identity provider: the only user of its library"},
	{"admin/page", []string{"admin", "explain", "manifest/edit", "policy", "tokens"}, "pages of what the management returns, rendered by the server"},
	{"server", []string{"admin", "admin/page", "admin/oidc", "tokens", "diag", "extauthz", "extauthz/httpfront", "loader", "loader/dir", "loader/kube", "manifest", "audit", "policy", "ruleset", "usage"}, "puts the parts together"},
	{"cmd/patgate/demo", []string{"envoy", "token"}, "runs the binary as a user would"},
	{"cmd/patgate", []string{"admin/oidc", "controller", "diag", "manifest/edit", "server", "loader", "loader/dir", "ruleset", "tokens", "manifest", "explain", "lint", "migrate",
		"extauthz", "extauthz/httpfront", "audit", "audit/report", "replay", "replay/suggest", "policy", "token", "token/snippet", "envoy", "envoy/check", "fronts", "fronts/check", "cmd/patgate/demo", "usage"}, "flags, wiring and output"},
	{"test/configmap", nil, "for tests alone"},
	{"test/ugly", nil, "for tests alone"},
	{"test/freeaddr", nil, "for tests alone"},
	{"test/golden", nil, "for tests alone"},
	{"test/output", nil, "for tests alone"},
	{"test/company", []string{"audit"}, "a company that is made up, and its log"},
	{"test/company/log", []string{"test/company"}, "writes that log"},
	{"test/marks", nil, "lines of the code that tests change"},
	{"test/mutants", []string{"test/marks"}, "plants flaws in a copy"},
	{"test/upstreams/lookalikes", []string{"token"}, "requests and what they mean, for whatever is in front of an API"},
	{"test/bench", []string{"token", "envoy", "test/company", "test/output"}, "measures the binary from outside"},
}

// outside says which packages may import a library, so that it can be replaced there.
var outside = map[string][]string{
	"github.com/pelletier/go-toml":        {"fronts/check"},
	"gopkg.in/yaml.v3":                    {"manifest", "manifest/edit", "envoy/check", "fronts/check"}, // manifests; configurations of Envoy
	"github.com/hashicorp/go-memdb":       {"policy"},
	"k8s.io/":                             {"loader/kube", "controller"},
	"github.com/fsnotify/fsnotify":        {"loader/dir"},
	"google.golang.org/grpc":              {"extauthz", "test/bench"},
	"github.com/envoyproxy/":              {"extauthz", "test/bench"},
	"github.com/prometheus/client_golang": {"server"},
	"net/http":                            {"server", "admin", "loader/kube", "controller", "admin/page", "admin/oidc", "admin/admintest", "extauthz", "extauthz/httpfront", "envoy", "usage", "cmd/patgate", "cmd/patgate/demo", "test/upstreams/lookalikes"}, // extauthz: names of statuses
	"github.com/spf13/":                   {"cmd/patgate"},
	"github.com/coreos/go-oidc":           {"admin/oidc"},
	"golang.org/x/oauth2":                 {"admin/oidc"},
}

// TestArrows holds the imports of every package against what is written above.
func TestArrows(t *testing.T) {
	const module = "github.com/patgate/patgate/"
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string][]string{}
	for _, a := range arrows {
		known[a.from] = a.to
	}
	for line := range strings.Lines(strings.TrimSpace(string(out))) {
		fields := strings.Fields(line)
		from := strings.TrimPrefix(fields[0], module)
		allowed, listed := known[from]
		if !listed && from != "test" {
			t.Errorf("the package %s is not listed among the arrows", from)
		}
		for _, to := range fields[1:] {
			if own, ok := strings.CutPrefix(to, module); ok && !contains(allowed, own) {
				t.Errorf("%s imports %s, which is no arrow of the house", from, own)
			}
			for library, users := range outside {
				if strings.HasPrefix(to, library) && !contains(users, from) {
					t.Errorf("%s imports %s, which is left to %v", from, to, users)
				}
			}
		}
	}
}

// TestArchitecture checks that ARCHITECTURE.md names every package, and no file that is not there, and that its rows are
// in the order of the imports.
func TestArchitecture(t *testing.T) {
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range arrows {
		room := strings.Split(a.from, "/")[0]
		if !strings.Contains(string(text), "`"+room+"`") && !strings.Contains(string(text), "`"+a.from+"`") {
			t.Errorf("ARCHITECTURE.md does not name %s", room)
		}
	}
	rows := map[string]int{} // the row of each folder
	for n, row := range regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		rows[row[1]] = n
	}
	rowOf := func(name string) (int, bool) {
		row, own := rows[name]
		if !own {
			row, own = rows[strings.Split(name, "/")[0]]
		}
		return row, own
	}
	for _, a := range arrows {
		from, listed := rowOf(a.from)
		for _, to := range a.to {
			if row, _ := rowOf(to); listed && row < from {
				t.Errorf("%s imports %s, whose row is above its own", a.from, to)
			}
		}
	}
	for _, m := range regexp.MustCompile("`([a-z]+(?:/[a-z0-9_.]+)+)`").FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
			t.Errorf("ARCHITECTURE.md names %s: %v", m[1], err)
		}
	}
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

func TestFlagsComeFromTheEnvironment(t *testing.T) {
	env := map[string]string{"PATGATE_AUDIT_WAIT": "350ms", "PATGATE_MANIFESTS": "a:b", "PATGATE_INSECURE_LISTEN": "true", "PATGATE_LISTEN": "1.2.3.4:5"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	cmd := newServe(streams{})
	if err := cmd.ParseFlags([]string{"--listen", "127.0.0.1:7"}); err != nil {
		t.Fatal(err)
	}
	if err := fromEnvironment(cmd.Flags(), lookup); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"audit-wait": "350ms", "manifests": "[a,b]", "insecure-listen": "true", "listen": "127.0.0.1:7"} {
		if got := cmd.Flags().Lookup(name).Value.String(); got != want {
			t.Errorf("--%s is %s, want %s", name, got, want)
		}
	}
	env["PATGATE_DRAIN_DELAY"] = "soon"
	if err := fromEnvironment(newServe(streams{}).Flags(), lookup); err == nil || !strings.Contains(fmt.Sprint(err), "PATGATE_DRAIN_DELAY") {
		t.Errorf("a bad value: %v", err)
	}
}
