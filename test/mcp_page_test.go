package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMCPPage runs what docs/mcp.md shows: the example has no warnings but that its token ended, its cases hold, and
// explain says what the page says.
func TestMCPPage(t *testing.T) {
	page, err := os.ReadFile("../docs/mcp.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(begin, contains string) string {
		for _, text := range strings.Split(string(page), begin+"\n")[1:] {
			if text, _, _ = strings.Cut(text, "```\n"); strings.Contains(text, contains) {
				return text
			}
		}
		t.Fatalf("no %s with %s", begin, contains)
		return ""
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "manifests"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "manifests/agent.yaml"), block("```yaml", "kind: Gate"))
	write(t, filepath.Join(dir, "manifests/agent.test.yaml"), block("```yaml", "kind: PolicyTest"))
	write(t, filepath.Join(dir, "call.json"), `{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"create_issue"}}`)
	run := func(status int, args ...string) string {
		cmd := exec.Command(binary, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != status {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run(0, "test", "manifests")
	if out := run(0, "check", "manifests"); strings.Count(out, "warning") != 1 || !strings.Contains(out, "warning expired") {
		t.Errorf("%s", out)
	}
	_, command, _ := strings.Cut(string(page), "`patgate explain ")
	command, _, _ = strings.Cut(command, "`")
	if out, want := run(1, append([]string{"explain"}, strings.Fields(command)...)...), block("```text", "mcp tools"); !strings.HasSuffix(out, want) {
		t.Errorf("explain ends with\n%s\nthe page says\n%s", out, want)
	}
}
