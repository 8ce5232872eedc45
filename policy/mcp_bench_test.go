package policy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
)

// BenchmarkMCP measures a decision by a rule on MCP beside one by a rule on JSON, which reads the
// same body: the difference is what the message costs.
func BenchmarkMCP(b *testing.B) {
	onJSON := rule(&testing.T{}, "r", "method", "POST", "path", "/mcp", "json", "method=tools/call")
	onMCP := mcpRule(&testing.T{}, "tools", "search_.*", "tools", "read_file", "resources", "file:///srv/.*", "methods", "tools/list")
	for _, c := range []struct {
		name string
		rule *policy.Rule
	}{{"json", onJSON}, {"mcp", onMCP}} {
		s := manyTokens(b, 100, allowing(c.rule))
		for _, q := range []struct {
			name    string
			request *policy.Request
		}{{"body", call(read)}, {"headers", call(read, modern("tools/call", "read_file")...)}} {
			q.request.Credential = bearer("value7")
			q.request.Header = listed(q.request.Header)
			b.Run(c.name+"/"+q.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if d := policy.Evaluate(s, q.request, nil); d.Effect != policy.Allow {
						b.Fatal(d.Reason)
					}
				}
			})
		}
	}
}

// listed is headers as a list, which looks them up as Envoy's are.
func listed(h policy.Header) (l list) {
	for i := range h.Len() {
		name, value := h.At(i)
		l = append(l, [2]string{name, value})
	}
	return l
}

// FuzzMCP holds an allowed message against encoding/json, and against readers that fold names: all must see
// the tool that was matched.
func FuzzMCP(f *testing.F) {
	for _, seed := range []string{read, remove, "[" + read + "]", strings.Replace(read, `"name"`, `"Name":"x","name"`, 1),
		strings.Replace(read, "tools/call", "t\\u006fols/call", 1), `{"jsonrpc":"2.0","method":"ping"}`, `{"jsonrpc":"2.0","result":1}`} {
		f.Add([]byte(seed), "tools/call", "read_file", "2026-07-28")
		f.Add([]byte(seed), "", "", "")
		f.Add([]byte(seed), "tools/call", "=?base64?cmVhZF9maWxl?=", "2025-11-25")
	}
	f.Fuzz(func(t *testing.T, body []byte, method, name, version string) {
		w := newWorld(t)
		w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(mcpRule(t, "tools", "read_file"))}}
		var pairs []string
		for _, h := range [][2]string{{"mcp-protocol-version", version}, {"mcp-method", method}, {"mcp-name", name}} {
			if h[1] != "" && !strings.Contains(h[1], "|") {
				pairs = append(pairs, h[0], h[1])
			}
		}
		d := policy.Evaluate(w.snapshot(), call(string(body), pairs...), nil)
		if d.Call != "" && !json.Valid([]byte(d.Call)) {
			t.Fatalf("the id %q of %q is no JSON", d.Call, body)
		}
		if d.Effect != policy.Allow {
			return
		}
		var m struct { // encoding/json takes the last of several members, in any case
			Method string
			Params struct{ Name string }
		}
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatalf("%q was allowed: %v", body, err)
		}
		switch m.Method {
		case "initialize", "ping", "server/discover", "notifications/initialized":
		case "tools/call":
			if m.Params.Name != "read_file" {
				t.Fatalf("%q was allowed: it calls %q", body, m.Params.Name)
			}
		default:
			t.Fatalf("%q was allowed: its method is %q", body, m.Method)
		}
		if pairs != nil && method != "" && method != m.Method {
			t.Fatalf("%q was allowed with Mcp-Method %q", body, method)
		}
	})
}
