//go:build mcp

package test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/envoy"
)

// TestMCP has real clients of MCP, in three languages, call tools through Envoy: what the token may not call is
// refused, and the session goes on. The server has sessions, or none, which decides about the version.
func TestMCP(t *testing.T) {
	dir := os.Getenv("PATGATE_TEST_MCP")
	if dir == "" {
		t.Fatal("PATGATE_TEST_MCP must name the installed clients: make test-mcp installs them")
	}
	const value = "mcp-bR5tKq1wZ8xVn3Lp"
	manifests := t.TempDir()
	write(t, filepath.Join(manifests, "all.yaml"), kind("tracker", "Gate", "paths: [/mcp]\nschemes: [bearer]\n")+
		kind("agent", "APIToken", "user: alice\ndigest: "+digestOf(value)+"\nissued: 2026-01-01T00:00:00Z\nlimitTo: |\n  [post]/mcp[Mcp::tools==read_.*][Mcp::methods==tools/list]\n"))
	p := startPatgate(t, manifests)
	clients := map[string][]string{
		"go": {filepath.Join(dir, "mcp"), "client"}, "python": {filepath.Join(dir, "python/bin/python"), filepath.Join(dir, "client.py")},
	}
	for _, kind := range []string{"client", "auto", "sdk"} {
		clients["typescript "+kind] = []string{"node", filepath.Join(dir, "client.mjs"), kind}
	}
	for _, sessions := range []string{"sessions", "stateless"} {
		url := "http://" + startMCP(t, p, filepath.Join(dir, "mcp"), sessions) + "/mcp"
		for name, command := range clients {
			t.Run(sessions+"/"+name, func(t *testing.T) { callsTools(t, append(command, url, value)) })
		}
	}
	refused := 0
	for _, e := range p.decisions() {
		if e.Decision == "deny" && e.Reason == "no_rule_matched" && e.Status == http.StatusOK {
			refused++
		}
	}
	if refused != 2*len(clients) {
		t.Errorf("%d refused calls in the audit, want %d", refused, 2*len(clients))
	}
}

// startMCP runs a server behind an Envoy, and returns where clients reach it.
func startMCP(t *testing.T, p *patgate, program, sessions string) string {
	t.Helper()
	server, clients, admin := freeAddr(t), freeAddr(t), freeAddr(t)
	cmd := exec.Command(program, "server", server, sessions)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", server)
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	config, err := envoy.Render(envoy.Addresses{Admin: admin, Clients: clients, Upstream: server, Patgate: p.addr})
	if err != nil {
		t.Fatal(err)
	}
	startEnvoy(t, config, admin)
	return clients
}

// callsTools runs a client: reading is answered, before and after the refusal of deleting.
func callsTools(t *testing.T, command []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var stderr strings.Builder // of Python: that the end of its session is refused
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, &stderr)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	want := []string{"tools 2", "read_issue answered: did read_issue", "delete_issue refused: ", "read_issue answered: did read_issue"}
	if len(lines) != len(want) {
		t.Fatalf("%s", out)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) || i == 2 && !strings.Contains(line, "No rule allows this request") {
			t.Errorf("%q, want %q", line, want[i])
		}
	}
}
