//go:build mcp && fronts

package test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// mcpMessage is a POST to an MCP server: a case of policy/testdata/mcp-hostile.txt, which says how it is written.
type mcpMessage struct {
	name, body string
	header     http.Header
}

func newMessage(name, body string) mcpMessage {
	return mcpMessage{name, body, http.Header{"content-type": {"application/json"}, "accept": {"application/json, text/event-stream"}}}
}

// hostileMessages reads the cases. Blanks around a header's value are no part of it in HTTP: such cases are left out.
func hostileMessages(t *testing.T) (list []mcpMessage) {
	t.Helper()
	text, err := os.ReadFile("../policy/testdata/mcp-hostile.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, stanza := range strings.Split(string(text), "\n= ")[1:] {
		stanza, _, _ = strings.Cut(stanza, "\n== ")
		lines := strings.Split(strings.TrimSpace(stanza), "\n")
		m, sent := newMessage(lines[0], unquoted(t, lines[len(lines)-1])), true
		for i, line := range lines[1 : len(lines)-1] {
			name, value, _ := strings.Cut(line, ": ")
			if !strings.HasPrefix(lines[i], name+": ") {
				delete(m.header, name)
			}
			if value = unquoted(t, value); value != "-" {
				m.header[name] = append(m.header[name], value)
			}
			sent = sent && strings.TrimSpace(value) == value
		}
		if sent {
			list = append(list, m)
		}
	}
	return list
}

func unquoted(t *testing.T, text string) string {
	t.Helper()
	if !strings.HasPrefix(text, `"`) {
		return text
	}
	out, err := strconv.Unquote(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

// post sends a message, in a session where there is one, and returns its answer.
func (m *mcpMessage) post(t *testing.T, url, session string) (status int, header http.Header, body string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(m.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = m.header.Clone()
	r.Header.Set("authorization", "Bearer "+mcpValue)
	if session != "" {
		r.Header.Set("mcp-session-id", session)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("%s: %v", m.name, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s: %v", m.name, err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

const (
	initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`
	readIssue  = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_issue","arguments":{}}}`
)

// TestMCPHostile sends hostile messages to real servers through Envoy: none runs anything. In between, what is allowed
// is answered, as a whole and in chunks.
func TestMCPHostile(t *testing.T) {
	parts, dir, messages := installedMCP(t), mcpManifests(t), hostileMessages(t)
	for language, command := range parts.servers() {
		for _, sessions := range []string{"sessions", "stateless"} {
			t.Run(language+" "+sessions, func(t *testing.T) {
				s := startMCP(t, append(command, "", sessions))
				p := startPatgate(t, dir)
				url := behindPrinted(t, p, dir, s, func(config string) string { return config })
				begin := newMessage("initialize", initialize)
				status, header, body := begin.post(t, url, "")
				if status != http.StatusOK {
					t.Fatalf("%d: %s", status, body)
				}
				for _, m := range messages {
					status, header, body := m.post(t, url, header.Get("mcp-session-id"))
					if status == http.StatusOK && !(header.Get("x-patgate-id") != "" && strings.Contains(body, `"code":403`)) || status < 400 && status != http.StatusOK {
						t.Errorf("%s: %d: %s", m.name, status, body)
					}
				}
				if ran := s.ran.String(); strings.Contains(ran, "ran ") {
					t.Errorf("%s", ran)
				}
				good := newMessage("good", readIssue)
				status, answer, body := good.post(t, url, header.Get("mcp-session-id"))
				if status != http.StatusOK || !strings.Contains(body, "did read_issue") {
					t.Errorf("%d: %s", status, body)
				}
				p.byID(answer.Get("x-patgate-id"))
				allowed := 0
				for _, e := range p.decisions() {
					if e.Decision == "allow" {
						allowed++
					}
				}
				if allowed != 2 {
					t.Errorf("%d messages were allowed, want 2", allowed)
				}
			})
		}
	}
}

// behindPrinted runs the Envoy that envoy-config prints in front of a server, and returns the URL of its endpoint.
func behindPrinted(t *testing.T, p *patgate, dir string, s *mcpServer, change func(string) string) string {
	t.Helper()
	clients, admin := freeAddr(t), freeAddr(t)
	config := envoyConfig(t, "--for", "standalone", "--manifests", dir, "--listen", clients, "--admin", admin, "--upstream", s.address, "--patgate", p.addr)
	wantNoneDeprecated(t, startEnvoy(t, change(config), admin))
	return "http://" + clients + "/mcp"
}

// TestMCPBodies sends bodies up to the limit of the printed configuration and above it, whole and in chunks, and
// through one that sends patgate the beginning of larger ones.
func TestMCPBodies(t *testing.T) {
	parts, dir := installedMCP(t), mcpManifests(t)
	s := startMCP(t, append(parts.servers()["go"], "", "stateless"))
	p := startPatgate(t, dir)
	whole := behindPrinted(t, p, dir, s, func(config string) string { return config })
	partial := behindPrinted(t, p, dir, s, func(config string) string {
		return replacing(t, "                max_request_bytes: 65536\n                allow_partial_message: false", "                max_request_bytes: 1024\n                allow_partial_message: true")(config)
	})
	asked := 0
	for _, c := range []struct {
		name, url    string
		size, status int
		reason       string
	}{
		{"small", whole, 200, 200, "ok"}, {"at the limit", whole, 65536, 200, "ok"}, {"above it", whole, 65537, 413, ""}, {"far above it", whole, 1 << 20, 413, ""},
		{"whole", partial, 1024, 200, "ok"}, {"cut", partial, 1025, 403, "body_unavailable"}, {"cut early", partial, 60_000, 403, "body_unavailable"},
	} {
		for _, chunked := range []bool{false, true} {
			body := strings.Replace(readIssue, `"arguments":{}`, `"arguments":{},"_meta":{"x":"`+strings.Repeat("a", c.size-len(readIssue)-len(`,"_meta":{"x":""}`))+`"}`, 1)
			if len(body) != c.size {
				t.Fatalf("%d bytes", len(body))
			}
			var reader io.Reader = bytes.NewReader([]byte(body))
			if chunked {
				reader = io.MultiReader(reader) // of unknown length
			}
			r, err := http.NewRequest(http.MethodPost, c.url, reader)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = newMessage("", "").header
			r.Header.Set("authorization", "Bearer "+mcpValue)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			text, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode != c.status || c.status == 200 && !strings.Contains(string(text), "did read_issue") {
				t.Errorf("%s, in chunks %v: %d: %s", c.name, chunked, answer.StatusCode, text)
			}
			if c.reason == "" {
				continue
			}
			asked++
			p.wantDecisions(asked)
			if e := p.decisions()[asked-1]; e.Reason != c.reason {
				t.Errorf("%s, in chunks %v: %+v", c.name, chunked, e)
			}
		}
	}
}

// modernMeta is what requests of 2026-07-28 have besides their arguments.
const modernMeta = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
	`"io.modelcontextprotocol/clientInfo":{"name":"x","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`

// TestMCPValidation asks each server without a gate before it whether it refuses headers that disagree with the body: only
// then may a gate say serverValidates.
func TestMCPValidation(t *testing.T) {
	parts := installedMCP(t)
	for language, command := range parts.servers() {
		for _, sessions := range []string{"sessions", "stateless"} {
			t.Run(language+" "+sessions, func(t *testing.T) {
				s := startMCP(t, append(command, "", sessions))
				url := "http://" + s.address + "/mcp"
				begin := newMessage("initialize", initialize)
				_, header, _ := begin.post(t, url, "")
				for _, meta := range []string{"", modernMeta} {
					m := newMessage("mismatch", strings.Replace(strings.Replace(readIssue, "read_issue", "delete_issue", 1), `"arguments":{}`, `"arguments":{}`+meta, 1))
					m.header["mcp-protocol-version"], m.header["mcp-method"], m.header["mcp-name"] = []string{"2026-07-28"}, []string{"tools/call"}, []string{"read_issue"}
					status, _, body := m.post(t, url, header.Get("mcp-session-id"))
					if ran := s.ran.String(); status != http.StatusBadRequest || strings.Contains(ran, "ran ") {
						t.Errorf("%d: %s\n%s", status, body, ran)
					}
				}
			})
		}
	}
}
