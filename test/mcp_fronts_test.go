//go:build mcp && fronts

package test

import (
	"slices"
	"strings"
	"testing"
)

// TestMCPFronts has real clients use a server without sessions through the fronts that ask over HTTP. Where a
// front sends no body, rules on MCP can't be decided and clients can't even begin, unless the gate says that the server
// validates headers: then the clients that send them can. Refusals are 403.
func TestMCPFronts(t *testing.T) {
	parts := installedMCP(t)
	for _, validates := range []bool{false, true} {
		edits := [][2]string{mayAnswer}
		if validates {
			edits = append(edits, [2]string{`paths: \[/mcp\]`, "paths: [/mcp]\n  mcp: {serverValidates: true}"})
		}
		dir := mcpManifests(t, edits...)
		for _, f := range fronts() {
			server := startMCP(t, append(parts.servers()["go"], "", "stateless"))
			s := f.stand(t, dir, server.address, false)
			for _, c := range parts.clients() {
				name := f.name + "/" + c.name
				if validates {
					name = "validated/" + name
				}
				t.Run(name, func(t *testing.T) {
					out, err := attempt(t, append(c.command, "http://"+s.clients+"/mcp", mcpValue))
					switch {
					case f.kind != "envoy" && !(validates && c.modern):
						if err == "" || out != "" && !strings.Contains(out, "Forbidden") {
							t.Errorf("it went on without a body:\n%s", out)
						}
					default:
						wantLines(t, out, overHTTP(f, c))
					}
				})
			}
			server.wantRanNothing(t)
			for _, e := range s.decisions() {
				if e.Decision == "deny" && e.Status != 403 {
					t.Errorf("a refusal with %d: %+v", e.Status, e)
				}
			}
		}
	}
}

// overHTTP is the transcript of a client behind a front. A client of the Go SDK has lost its session where the front
// shows an answer of its own.
func overHTTP(f front, c mcpClient) []string {
	lines := slices.Clone(transcript(true, c.modern))
	lost := f.kind == "ingress-nginx" && c.name == "go"
	for i, line := range lines {
		name, _, refused := strings.Cut(line, " refused: ")
		switch {
		case refused:
			lines[i] = name + " refused: "
		case lost && i > 2:
			lines[i] = strings.Fields(line)[0]
		}
	}
	return lines
}
