//go:build mcp && fronts

package test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/test/output"
)

// mcpParts are the installed clients and servers of MCP.
type mcpParts string

func installedMCP(t *testing.T) mcpParts {
	t.Helper()
	dir := os.Getenv("PATGATE_TEST_MCP")
	if dir == "" {
		t.Fatal("PATGATE_TEST_MCP must name the installed clients: make test-mcp installs them")
	}
	return mcpParts(dir)
}

func (m mcpParts) path(name string) string { return filepath.Join(string(m), name) }

// servers are the commands of the servers.
func (m mcpParts) servers() map[string][]string {
	return map[string][]string{
		"go": {m.path("mcp"), "server"}, "python": {m.path("python/bin/python"), m.path("server.py")}, "typescript": {"node", m.path("server.mjs")},
	}
}

// mcpClient is a client. A modern one speaks 2026-07-28 where the server does.
type mcpClient struct {
	name    string
	command []string
	modern  bool
}

func (m mcpParts) clients() []mcpClient {
	return []mcpClient{
		{"go", []string{m.path("mcp"), "client"}, true},
		{"python", []string{m.path("python/bin/python"), m.path("client.py")}, true},
		{"typescript client", []string{"node", m.path("client.mjs"), "client"}, false},
		{"typescript client, auto", []string{"node", m.path("client.mjs"), "auto"}, true},
		{"typescript sdk", []string{"node", m.path("client.mjs"), "sdk"}, false},
	}
}

const mcpValue = "mcp-bR5tKq1wZ8xVn3Lp"

// mayAnswer lets the holder of the token answer what the server asks.
var mayAnswer = [2]string{`notifications/cancelled\]`, "notifications/cancelled, response]"}

// mcpManifests is the example of docs/mcp.md with a token of ours, which does not expire, and with edits.
func mcpManifests(t *testing.T, edits ...[2]string) string {
	t.Helper()
	page, err := os.ReadFile("../docs/mcp.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```yaml\n")
	text, _, _ = strings.Cut(text, "```\n")
	for _, edit := range append(edits, [][2]string{
		{`digest: sha256:[0-9a-f]{64}`, "digest: " + digestOf(mcpValue)}, {`\n  expires: [^\n]*`, ""}, {`\n  hosts: [^\n]*`, ""},
	}...) {
		all := regexp.MustCompile(edit[0])
		if !all.MatchString(text) {
			t.Fatalf("the example has no %s", edit[0])
		}
		text = all.ReplaceAllString(text, edit[1])
	}
	return manifestsOf(t, text)
}

// TestMCP has real clients of MCP use real servers through the Envoy that envoy-config prints, with the token
// of docs/mcp.md. What it may not use is refused, and the session goes on. A server with sessions speaks
// 2025-11-25, one without also 2026-07-28.
func TestMCP(t *testing.T) {
	parts, dir := installedMCP(t), mcpManifests(t, mayAnswer)
	p := startPatgate(t, dir)
	refused := 0
	for language, command := range parts.servers() {
		for _, sessions := range []string{"sessions", "stateless"} {
			s := startMCP(t, append(command, "", sessions))
			clients, admin := freeAddr(t), freeAddr(t)
			wantNoneDeprecated(t, startEnvoy(t, envoyConfig(t, "--for", "standalone", "--manifests", dir, "--listen", clients, "--admin", admin,
				"--upstream", s.address, "--patgate", p.addr), admin))
			for _, c := range parts.clients() {
				t.Run(language+" "+sessions+"/"+c.name, func(t *testing.T) {
					wantLines(t, use(t, append(c.command, "http://"+clients+"/mcp", mcpValue)), transcript(sessions == "stateless", c.modern))
				})
				refused += 4
			}
			s.wantRan(t, "read_issue", "search_issues", "issue://OPEN/1", "triage")
		}
	}
	notPost := map[string]int{}
	for _, e := range p.decisions() {
		if e.Method != http.MethodPost {
			notPost[e.Method+" "+e.Decision]++
		}
		if e.Decision == "deny" && (e.Reason == "no_rule_matched" || e.Reason == "rule_denied") && e.Status == http.StatusOK {
			refused--
		}
	}
	if refused != 0 {
		t.Errorf("%d refused calls are not in the audit", refused)
	}
	if notPost["GET deny"] == 0 || notPost["DELETE deny"] == 0 || len(notPost) != 2 {
		t.Errorf("streams and ends of sessions: %v, want them refused", notPost)
	}
}

// transcript is what a client prints: what begins its lines.
func transcript(stateless, modern bool) []string {
	const no = " refused: *No rule allows this request"
	lines := []string{
		"tools answered: 6", "read_issue answered: did read_issue", "delete_issue refused: *Rule \"no deletes\" of policy no-deletes denies this request.", "read_issue answered: did read_issue",
		"search_issues answered: did search_issues", "steps search_issues search_issues search_issues",
		"issue://OPEN/1 answered: did issue://OPEN/1", "issue://OPEN/draft" + no, "triage answered: did triage", "wipe" + no, "complete" + no,
		"search_slowly cancelled: true", "the server knows: true", "read_issue answered: did read_issue",
		"search_private answered: did search_private", "read_issue answered: did read_issue",
	}
	if stateless && !modern {
		lines[12], lines[14] = "the server knows: false", "search_private " // the server can't ask
	}
	return lines
}

// wantLines compares lines with what they begin with; after a * with what they contain.
func wantLines(t *testing.T, out string, want []string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%s", out)
	}
	for i, line := range lines {
		begin, part, _ := strings.Cut(want[i], "*")
		if !strings.HasPrefix(line, begin) || !strings.Contains(line, part) {
			t.Errorf("%q, want %q", line, want[i])
		}
	}
}

// use runs a client that must succeed, and returns what it printed.
func use(t *testing.T, command []string) string {
	t.Helper()
	out, err := attempt(t, command)
	if err != "" {
		t.Error(err)
	}
	return out
}

// attempt runs a client, and returns what it printed, and what was wrong.
func attempt(t *testing.T, command []string) (out, wrong string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var stderr strings.Builder // of Python also where all is well: that the end of its session is refused
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return string(text), err.Error() + "\n" + stderr.String()
	}
	return string(text), ""
}

// mcpServer is a running server.
type mcpServer struct {
	address string
	ran     *output.Buffer
}

// startMCP runs a server; where its command has an empty argument, the address comes.
func startMCP(t *testing.T, command []string) *mcpServer {
	t.Helper()
	s := &mcpServer{freeAddr(t), &output.Buffer{}}
	args := append([]string{}, command[1:]...)
	for i := range args {
		if args[i] == "" {
			args[i] = s.address
		}
	}
	runWith(t, s.ran, command[0], exec.Command(command[0], args...), s.address)
	return s
}

// wantRan checks that the server ran each of these, and nothing that the token may not use.
func (s *mcpServer) wantRan(t *testing.T, names ...string) {
	t.Helper()
	out := s.ran.String()
	for _, name := range names {
		if !strings.Contains(out, "ran "+name+"\n") {
			t.Errorf("the server did not run %s:\n%s", name, out)
		}
	}
	s.wantRanNothing(t)
}

// wantRanNothing checks that the server ran nothing that the token may not use.
func (s *mcpServer) wantRanNothing(t *testing.T) {
	t.Helper()
	out := s.ran.String()
	for _, name := range []string{"delete_issue", "issue://OPEN/draft", "wipe", "complete"} {
		if strings.Contains(out, "ran "+name+"\n") {
			t.Errorf("the server ran %s", name)
		}
	}
}
