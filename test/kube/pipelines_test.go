//go:build kube

package kube

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// gitopsExample is the repository of docs/gitops.md.
const gitopsExample = "../../docs/examples/gitops"

// access is a clone of a team's repository, laid out as the example, next to its origin.
type access struct {
	t   *testing.T
	dir string
}

// newAccess makes the origin with a first commit, and a clone on a branch for a change.
// base changes what is there before.
func newAccess(t *testing.T, base func(*access)) *access {
	t.Helper()
	root := t.TempDir()
	origin := &access{t, filepath.Join(root, "origin")}
	if err := os.CopyFS(origin.dir, os.DirFS(gitopsExample)); err != nil {
		t.Fatal(err)
	}
	if base != nil {
		base(origin)
	}
	origin.git("init", "--quiet", "--initial-branch=main")
	origin.commit("what is in force")
	a := &access{t, filepath.Join(root, "clone")}
	origin.git("clone", "--quiet", origin.dir, a.dir)
	a.git("switch", "--quiet", "--create", "change")
	return a
}

func (a *access) git(args ...string) {
	a.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=alice", "-c", "user.email=alice@example.com"}, args...)...)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (a *access) commit(message string) {
	a.t.Helper()
	a.git("add", "--all")
	a.git("commit", "--quiet", "--allow-empty", "--message", message)
}

// patgate runs a patgate command in the clone, as a person does before a commit.
func (a *access) patgate(args ...string) {
	a.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Dir = a.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("patgate %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// edit replaces a text of a file, which must be there once.
func (a *access) edit(name, old, new string) {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), old) != 1 {
		a.t.Fatalf("%s holds %q %d times: %v", name, old, strings.Count(string(text), old), err)
	}
	a.write(name, strings.Replace(string(text), old, new, 1))
}

// add writes a text at the end of a file, which may be new.
func (a *access) add(name, text string) {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	was, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.t.Fatal(err)
	}
	a.write(name, string(was)+text)
}

func (a *access) write(name, text string) {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		a.t.Fatal(err)
	}
}

func (a *access) read(name string) string {
	a.t.Helper()
	text, err := os.ReadFile(filepath.Join(a.dir, name))
	if err != nil {
		a.t.Fatal(err)
	}
	return string(text)
}

func (a *access) remove(name string) {
	a.t.Helper()
	if err := os.Remove(filepath.Join(a.dir, name)); err != nil {
		a.t.Fatal(err)
	}
}

// pipelines are the steps that a change must pass, without those that fetch patgate, and
// the variables that the CI sets.
func pipelines(t *testing.T, a *access) map[string]struct{ steps, env []string } {
	t.Helper()
	var github struct {
		Jobs struct {
			Check struct {
				Steps []struct{ Name, Run string }
			}
		}
	}
	var gitlab struct {
		Manifests struct{ Script []string }
	}
	for name, into := range map[string]any{"github": &github, "gitlab": &gitlab} {
		text, err := os.ReadFile(filepath.Join(gitopsExample, "ci", name+".yaml"))
		if err == nil {
			err = yaml.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var steps []string
	for _, s := range github.Jobs.Check.Steps {
		if s.Run != "" && s.Name != "install" {
			steps = append(steps, s.Run)
		}
	}
	if len(steps) != 3 || len(gitlab.Manifests.Script) != 7 {
		t.Fatalf("%d steps for GitHub and %d for GitLab", len(steps), len(gitlab.Manifests.Script))
	}
	logs := t.TempDir()
	lastWeek := `{"v":1,"seq":1,"instance":"i","time":"2026-06-01T12:00:00Z","kind":"decision","id":"A","decision":"allow","reason":"ok","token":"ci-bot","method":"GET","path":"/"}` + "\n"
	if err := os.WriteFile(filepath.Join(logs, "audit.log"), []byte(lastWeek), 0o644); err != nil {
		t.Fatal(err)
	}
	audit := "AUDIT_LOG=file://" + filepath.Join(logs, "audit.log")
	return map[string]struct{ steps, env []string }{
		"github": {steps, []string{"GITHUB_BASE_REF=main", "RUNNER_TEMP=" + t.TempDir(), audit, "GITHUB_STEP_SUMMARY=" + filepath.Join(logs, "summary.md")}},
		"gitlab": {gitlab.Manifests.Script, []string{audit, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main", "CI_PROJECT_DIR=" + a.dir}},
	}
}

// run runs steps until one fails, as CI does.
func (a *access) run(steps, env []string) (string, error) {
	var out strings.Builder
	for _, step := range steps {
		cmd := exec.Command("sh", "-e", "-c", step)
		cmd.Dir = a.dir
		cmd.Env = append(append(os.Environ(), env...), "PATH="+filepath.Dir(binary)+":"+filepath.Dir(tool(a.t, "kubectl"))+":"+os.Getenv("PATH"))
		text, err := cmd.CombinedOutput()
		out.Write(text)
		if err != nil {
			return out.String(), fmt.Errorf("%s: %w", step, err)
		}
	}
	return out.String(), nil
}

// openGate is a gate that lets anybody in, as a text of JSON holds it.
const openGate = `apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: open}\nspec: {hosts: [wiki.example.com], anonymous: {unrestricted: true}}\n`

// TestPullRequests makes changes as people do, and has the documented pipelines check them.
func TestPullRequests(t *testing.T) {
	revoked := func(a *access) {
		a.edit("manifests/tokens/ci-bot.yaml", "  gates: [jira]\n", "  gates: [jira]\n  revoked: 2026-11-01T00:00:00Z\n")
	}
	for name, c := range map[string]struct {
		before func(*access)
		change func(*access)
		wrong  string // what the pipeline says; empty: it passes
	}{
		"nothing": {nil, func(*access) {}, ""},
		"a rotation": {nil, func(a *access) {
			a.patgate("token", "rotate", "ci-bot", "--manifests", "manifests")
		}, ""},
		"a revocation": {nil, func(a *access) {
			a.patgate("token", "revoke", "ci-bot", "--manifests", "manifests", "--yes")
		}, ""},
		"a revocation taken back": {revoked, func(a *access) {
			a.edit("manifests/tokens/ci-bot.yaml", "  revoked: 2026-11-01T00:00:00Z\n", "")
		}, "revoked"},
		"a token that is not in the cluster": {nil, func(a *access) {
			a.patgate("token", "create", "deploy", "--user", "bob", "--gate", "jira", "--policy", "kanban-ci", "--manifests", "manifests", "--into", "manifests/tokens")
		}, "manifests/tokens/deploy.yaml: it is in no ConfigMap"},
		"a token": {nil, func(a *access) {
			a.patgate("token", "create", "deploy", "--user", "bob", "--gate", "jira", "--policy", "kanban-ci", "--manifests", "manifests", "--into", "manifests/tokens")
			a.edit("manifests/kustomization.yaml", "  - tokens/ci-bot.yaml\n", "  - tokens/ci-bot.yaml\n  - tokens/deploy.yaml\n")
		}, ""},
		"a token, in a list with another indent": {nil, func(a *access) {
			a.edit("manifests/kustomization.yaml", "  - tokens/ci-bot.yaml\n  - tokens/reports.yaml\n", "    # teams\n    - tokens/ci-bot.yaml\n\n    - tokens/reports.yaml # of finance\n")
		}, ""},
		"a token deleted, and the cluster still told": {nil, func(a *access) {
			a.remove("manifests/tokens/reports.yaml")
		}, "tokens/reports.yaml"},
		"a token deleted": {func(a *access) {
			a.add("manifests/tokens/second.yaml", strings.NewReplacer("ci-bot", "second", "a225", "a226").Replace(a.read("manifests/tokens/ci-bot.yaml")))
			a.edit("manifests/kustomization.yaml", "  - tokens/ci-bot.yaml\n", "  - tokens/ci-bot.yaml\n  - tokens/second.yaml\n")
		}, func(a *access) {
			a.remove("manifests/tokens/second.yaml")
			a.edit("manifests/kustomization.yaml", "  - tokens/second.yaml\n", "")
		}, ""},
		"a token named as another file is": {nil, func(a *access) {
			a.patgate("token", "create", "policies", "--user", "bob", "--gate", "jira", "--policy", "kanban-ci", "--manifests", "manifests", "--into", "manifests/tokens")
			a.edit("manifests/kustomization.yaml", "  - tokens/ci-bot.yaml\n", "  - tokens/ci-bot.yaml\n  - tokens/policies.yaml\n")
		}, "patgate-tokens/policies.yaml: the ConfigMap patgate/patgate-policies has a file of this name, too"},
		"a file listed twice": {nil, func(a *access) {
			a.edit("manifests/kustomization.yaml", "  - tokens/ci-bot.yaml\n", "  - tokens/ci-bot.yaml\n  - tokens/ci-bot.yaml\n")
		}, "ci-bot.yaml"},
		"a manifest listed as a resource": {nil, func(a *access) {
			a.edit("manifests/kustomization.yaml", "  - tokens/reports.yaml\n", "resources:\n  - tokens/reports.yaml\n")
		}, "manifests/tokens/reports.yaml: it is in no ConfigMap"},
		"a gate among the tokens": {nil, func(a *access) {
			a.add("manifests/tokens/ci-bot.yaml", "---\n{apiVersion: patgate.dev/v1alpha1, \"k\\u0069nd\": Gate, metadata: {name: open}, spec: {hosts: [wiki.example.com], anonymous: {allow: [{path: /pages/.*}]}}}\n")
		}, "is a kind that manifests/tokens may not hold"},
		"a gate moved among the tokens": {nil, func(a *access) {
			a.git("mv", "manifests/gates.yaml", "manifests/tokens/gates.yaml")
			a.edit("manifests/kustomization.yaml", "  - gates.yaml\n", "  - tokens/gates.yaml\n")
		}, "is a kind that manifests/tokens may not hold"},
		"a policy among the tokens": {nil, func(a *access) {
			a.add("manifests/tokens/ci-bot.yaml", "---\napiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: more}\nspec: {allow: [{methods: [GET, HEAD], path: /rest/api/2/project}]}\n")
			a.edit("manifests/tokens/ci-bot.yaml", "[kanban-ci]", "[kanban-ci, more]")
		}, "is a kind that manifests/tokens may not hold"},
		"a gate as a literal": {nil, func(a *access) {
			a.edit("manifests/kustomization.yaml", "  - policies.yaml\n", "  - policies.yaml\n  literals:\n  - \"open.yaml="+openGate+"\"\n")
		}, "patgate-policies/open.yaml: no manifest of the directories is called open.yaml"},
		"a gate as a literal among the tokens": {nil, func(a *access) {
			a.add("manifests/kustomization.yaml", "  literals:\n  - \"open.yaml="+openGate+"\"\n")
		}, "patgate-tokens/open.yaml: no manifest of the directories is called open.yaml"},
		"a literal with the name of a test": {nil, func(a *access) {
			a.write("manifests/tokens/open.test.yaml", "# looks like one\n")
			a.add("manifests/kustomization.yaml", "  literals:\n  - \"open.yaml="+openGate+"\"\n")
		}, "patgate-tokens/open.yaml: no manifest of the directories is called open.yaml"},
		"a gate in what looks like a test": {nil, func(a *access) {
			a.write("manifests/tokens/notes.test.yaml", strings.ReplaceAll(openGate, "\\n", "\n"))
			a.add("manifests/kustomization.yaml", "  - more.yaml=tokens/notes.test.yaml\n")
		}, "patgate-tokens/more.yaml: no manifest of the directories is called more.yaml"},
		"a gate in a hidden file": {nil, func(a *access) {
			a.write("manifests/tokens/.x.yaml", strings.ReplaceAll(openGate, "\\n", "\n"))
			a.add("manifests/kustomization.yaml", "  - more.yaml=tokens/.x.yaml\n")
		}, "patgate-tokens/more.yaml: no manifest of the directories is called more.yaml"},
		"a gate in another kustomization": {nil, func(a *access) {
			a.write("manifests/tokens/kustomization.yaml", strings.ReplaceAll(openGate, "\\n", "\n"))
			a.add("manifests/kustomization.yaml", "  - more.yaml=tokens/kustomization.yaml\n")
		}, "patgate-tokens/more.yaml: no manifest of the directories is called more.yaml"},
		"a gate in place of a manifest": {nil, func(a *access) {
			a.write("manifests/tokens/notes.txt", strings.ReplaceAll(openGate, "\\n", "\n"))
			a.edit("manifests/kustomization.yaml", "  - tokens/reports.yaml\n", "  - reports.yaml=tokens/notes.txt\n")
		}, "patgate-tokens/reports.yaml: it is another text than manifests/tokens/reports.yaml"},
		"a gate in a ConfigMap more": {nil, func(a *access) {
			a.add("manifests/kustomization.yaml", "- name: patgate-more\n  literals:\n  - \"open.yaml="+openGate+"\"\n")
		}, "patgate-more/open.yaml: no manifest of the directories is called open.yaml"},
		"a ConfigMap as a resource": {nil, func(a *access) {
			a.write("manifests/tokens/map.txt", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: patgate-more}\nbinaryData: {open.yaml: a2luZDogR2F0ZQo=}\n")
			a.add("manifests/kustomization.yaml", "resources: [tokens/map.txt]\n")
		}, "patgate-more/open.yaml: no manifest of the directories is called open.yaml"},
		"a patch": {nil, func(a *access) {
			a.add("manifests/kustomization.yaml", "patches:\n- target: {kind: ConfigMap, name: patgate-policies}\n  patch: '[{\"op\": \"add\", \"path\": \"/data/gates.yaml\", \"value\": \"# none\"}]'\n")
		}, "patgate-policies/gates.yaml: it is another text than manifests/gates.yaml"},
		"a misspelt field": {nil, func(a *access) {
			a.edit("manifests/tokens/ci-bot.yaml", "  policies:", "  polices:")
		}, "policies"},
		"a rule for everything": {nil, func(a *access) {
			a.edit("manifests/policies.yaml", `    path: /rest/api/2/issue/KANBAN-\d+/comment`, "    path: /.*")
		}, "matches-everything"},
		"a rule that must not be wider": {nil, func(a *access) {
			a.edit("manifests/policies.yaml", `    path: /rest/api/2/issue/KANBAN-\d+`+"\n", `    path: /rest/api/2/issue/[A-Z]+-\d+`+"\n")
		}, "SECRET-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccess(t, c.before)
			c.change(a)
			a.commit(name)
			for ci, p := range pipelines(t, a) {
				out, err := a.run(p.steps, p.env)
				switch {
				case c.wrong == "" && err != nil:
					t.Errorf("%s: %v\n%s", ci, err, out)
				case c.wrong != "" && (err == nil || !strings.Contains(out, c.wrong)):
					t.Errorf("%s: %v, expected a failure that says %q\n%s", ci, err, c.wrong, out)
				}
			}
		})
	}
}
