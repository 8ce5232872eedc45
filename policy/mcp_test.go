package policy_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
)

// mcpRule is a rule on POST /mcp, with pairs of lists and patterns.
func mcpRule(t *testing.T, pairs ...string) *policy.Rule {
	t.Helper()
	r := rule(t, "r", "method", "POST", "path", "/mcp")
	r.MCP = &policy.MCP{}
	for i := 0; i < len(pairs); i += 2 {
		list := map[string]*[]*policy.Pattern{
			"tools": &r.MCP.Tools, "resources": &r.MCP.Resources, "prompts": &r.MCP.Prompts, "methods": &r.MCP.Methods,
		}[pairs[i]]
		*list = append(*list, pattern(t, pairs[i+1]))
	}
	return r
}

// call is a POST of a message, with pairs of header names and values.
func call(body string, pairs ...string) *policy.Request {
	options := []func(*policy.Request){method("POST"), target("/mcp"), jsonBody(body)}
	for i := 0; i < len(pairs); i += 2 {
		options = append(options, header(pairs[i], strings.Split(pairs[i+1], "|")...))
	}
	return request(options...)
}

const (
	read   = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{"path":"/a"}}}`
	remove = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_file"}}`
)

// modern are the headers of 2026-07-28.
func modern(method, name string) []string {
	pairs := []string{"mcp-protocol-version", "2026-07-28", "mcp-method", method}
	if name != "" {
		pairs = append(pairs, "mcp-name", name)
	}
	return pairs
}

func TestMCP(t *testing.T) {
	r := mcpRule(t, "tools", "search_.*", "tools", "read_file", "resources", "file:///srv/.*", "prompts", "greet", "methods", "tools/list")
	message := func(method, params string) string {
		return `{"jsonrpc":"2.0","id":"a","method":"` + method + `","params":` + params + `}`
	}
	life := both{policy.OK, policy.OK}
	for _, c := range []struct {
		body string
		want both
	}{
		{read, yes}, {remove, no}, {message("tools/call", `{"name":"search_issues"}`), yes}, {message("tools/call", `{"name":"xsearch_issues"}`), no},
		{message("tools/call", `{"name":"read_file\n"}`), no}, {message("tools/call", `{"name":"\u0072ead_file"}`), yes}, {message("tools/list", `{}`), yes},
		{message("t\\u006fols/call", `{"name":"delete_file"}`), no}, {message("tools/call", `{"n\u0061me":"delete_file"}`), no},
		{message("resources/read", `{"uri":"file:///srv/a.txt"}`), yes}, {message("resources/subscribe", `{"uri":"file:///srv/a.txt"}`), yes},
		{message("resources/read", `{"uri":"file:///etc/passwd"}`), no}, {message("resources/list", `{}`), no},
		{message("prompts/get", `{"name":"greet"}`), yes}, {message("prompts/get", `{"name":"other"}`), no}, {message("prompts/list", `{}`), no},
		{message("initialize", `{}`), life}, {message("server/discover", `{}`), life}, {message("ping", `{}`), life},
		{`{"jsonrpc":"2.0","method":"notifications/initialized"}`, life}, {`{"jsonrpc":"2.0","method":"notifications/cancelled"}`, no},
		{`{"jsonrpc":"2.0","id":1,"result":{}}`, no}, {`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}`, no},
		{message("completion/complete", `{"ref":{"type":"ref/prompt","name":"greet"}}`), no},
	} {
		c.want.check(t, c.body, r, call(c.body))
	}
	onlyTools := mcpRule(t, "tools", "read_file", "methods", ".*")
	no.check(t, "the list of tools decides", onlyTools, call(remove))
	yes.check(t, "no list of resources", onlyTools, call(message("resources/read", `{"uri":"file:///x"}`)))
	yes.check(t, "an odd URI, and no list of resources", onlyTools, call(message("resources/read", `{"uri":"file:///x/../y"}`)))
	no.check(t, "an odd URI, and only a list of tools", mcpRule(t, "tools", ".*"), call(message("resources/read", `{"uri":"file:///x/../y"}`)))
	answers := mcpRule(t, "methods", "response")
	for _, body := range []string{`{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}`} {
		yes.check(t, body, answers, call(body))
		yes.check(t, body, onlyTools, call(body))
	}
	no.check(t, "no answer", answers, call(read))
	twice := mcpRule(t, "tools", ".*_file")
	twice.MCP.Also = mcpRule(t, "tools", "read_.*").MCP
	yes.check(t, "both match", twice, call(read))
	no.check(t, "one matches", twice, call(remove))
}

// Some servers ignore the case of a URI's host: an allow rule matches what the client wrote, a deny rule both readings.
func TestMCPHosts(t *testing.T) {
	for _, c := range []struct {
		pattern, uri string
		want         both
	}{
		{"issue://[A-Z]+/.*", "issue://OPEN/1", yes}, {"greeting://.*", "greeting://Alice", yes}, {"greeting://Alice", "greeting://alice", no},
		{"greeting://alice", "greeting://Alice", both{policy.NoRuleMatched, policy.RuleDenied}},
		{"greeting://größe/A", "greeting://GRÖßE/A", both{policy.NoRuleMatched, policy.RuleDenied}},
		{"db://Bob@host/.*", "db://Bob@HOST/a", both{policy.NoRuleMatched, policy.RuleDenied}}, {"db://bob@.*", "db://Bob@host", no},
		{"note://a/b", "note://a/B", no}, {"note://a[?]b", "note://A?b", both{policy.NoRuleMatched, policy.RuleDenied}}, {"urn:A:.*", "urn:A:b", yes}, {"urn:a:.*", "urn:A:b", no},
		{".*", "https://a/b", yes}, {".*", "https://A/b", unreadableB}, {".*", "wss://A", unreadableB}, {".*", "https://\u00e4/b", unreadableB}, {".*", "https://%c3%a4/b", unreadableB},
		{".*", "http://a@B/", unreadableB}, {".*", "http://A@b/", yes},
	} {
		body := `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"` + c.uri + `"}}`
		c.want.check(t, c.pattern+" "+c.uri, mcpRule(t, "resources", c.pattern), call(body))
	}
}

func TestMCPHeaders(t *testing.T) {
	r := mcpRule(t, "tools", "read_file", "tools", "größe", "tools", " x", "methods", "tools/list")
	named := func(name string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `"}}`
	}
	for _, c := range []struct {
		name    string
		request *policy.Request
		want    both
	}{
		{"modern", call(read, modern("tools/call", "read_file")...), yes},
		{"encoded", call(read, modern("tools/call", "=?base64?cmVhZF9maWxl?=")...), yes},
		{"not ASCII", call(named("größe"), modern("tools/call", "=?base64?Z3LDtsOfZQ==?=")...), yes},
		{"a blank in front", call(named(" x"), modern("tools/call", "=?base64?IHg=?=")...), yes},
		{"no name needed", call(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, modern("tools/list", "")...), yes},
		{"an old version", call(read, "mcp-protocol-version", "2025-11-25"), yes},
		{"an old version with headers", call(read, "mcp-protocol-version", "2025-11-25", "mcp-method", "tools/call", "mcp-name", "read_file"), yes},
		{"not allowed", call(remove, modern("tools/call", "delete_file")...), no},
		{"a task", call(`{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t1"}}`, modern("tasks/get", "t1")...), no},
	} {
		c.want.check(t, c.name, r, c.request)
	}
}

// hostileCase is a case of testdata/mcp-hostile.txt.
type hostileCase struct {
	name    string
	want    both
	request *policy.Request
}

// hostileCases reads them.
func hostileCases(t *testing.T) (cases []hostileCase) {
	t.Helper()
	text, err := os.ReadFile("testdata/mcp-hostile.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]both{"can't be decided": unreadableB, "is not allowed": no}
	for section := range strings.SplitSeq(string(text), "\n== ") {
		title, rest, _ := strings.Cut(section, "\n")
		for _, stanza := range strings.Split("\n"+rest, "\n= ")[1:] {
			lines := strings.Split(strings.TrimSpace(stanza), "\n")
			q := call(unquoted(t, lines[len(lines)-1]))
			h := q.Header.(headers)
			for i, line := range lines[1 : len(lines)-1] {
				name, value, ok := strings.Cut(line, ": ")
				if !ok {
					t.Fatalf("%s: %q", lines[0], line)
				}
				if !strings.HasPrefix(lines[i], name+": ") {
					delete(h, name)
				}
				if value != "-" {
					h[name] = append(h[name], unquoted(t, value))
				}
			}
			cases = append(cases, hostileCase{lines[0], want[title], q})
		}
	}
	return cases
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

// TestHostileMCP holds each case against a rule that allows what is nearest to it, and the same as a deny rule.
func TestHostileMCP(t *testing.T) {
	r := mcpRule(t, "tools", "search_.*", "tools", "read_issue", "resources", `issue://[A-Z]+/\d+`, "prompts", "triage", "methods", "tools/list")
	cases, names := hostileCases(t), map[string]bool{}
	for _, c := range cases {
		if names[c.name] || c.want == (both{}) {
			t.Errorf("%s: named twice, or of no section", c.name)
		}
		names[c.name] = true
		c.want.check(t, c.name, r, c.request)
	}
	if len(cases) < 140 {
		t.Errorf("%d cases, want 140", len(cases))
	}
	cut, absent := call(read), call(read)
	cut.Body.State, absent.Body = policy.BodyPartial, policy.Body{}
	for name, q := range map[string]*policy.Request{
		"no body": absent, "a cut body": cut, "a name of 70 KB": call(strings.Replace(read, "read_file", strings.Repeat("a", 70_000), 1)),
		"an id of 70 KB": call(strings.Replace(read, "1", `"`+strings.Repeat("a", 70_000)+`"x`, 1)), "nested 100,000 times": call(strings.Repeat("[", 100_000)),
	} {
		unreadableB.check(t, name, r, q)
	}
}

// Only POST has messages; a rule that names another method must not have the condition.
func TestMCPMethods(t *testing.T) {
	any := mcpRule(t, "methods", ".*")
	any.Methods = nil
	for _, m := range []string{"GET", "DELETE", "PUT", "OPTIONS"} {
		both{policy.NoRuleMatched, policy.BodyUnavailable}.check(t, m, any, request(method(m), target("/mcp")))
	}
	w := newWorld(t)
	w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(any, rule(t, "stream", "method", "GET", "path", "/mcp"))}}
	w.want("a rule names GET", request(method("GET"), target("/mcp")), policy.OK)
	w.want("none names DELETE", request(method("DELETE"), target("/mcp")), policy.NoRuleMatched)
}

// Headers alone decide only where the gate says that the server refuses those that disagree, and only about what the
// body can't be read of.
func TestMCPHeadersAlone(t *testing.T) {
	bodiless := func(pairs ...string) *policy.Request {
		q := call("", pairs...)
		q.Body = policy.Body{}
		return q
	}
	w := newWorld(t)
	w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(mcpRule(t, "tools", "read_.*", "resources", "a:.*", "methods", "tools/list"))}}
	w.want("no such gate", bodiless(modern("tools/call", "read_file")...), policy.BodyUnavailable)
	w.gate.MCPValidated = true
	joined := bodiless(modern("tools/call", "read_a,b")...)
	joined.Joined = true
	cut := call(read, modern("tools/call", "read_file")...)
	cut.Body.State = policy.BodyPartial
	for _, c := range []struct {
		name    string
		request *policy.Request
		want    policy.Reason
	}{
		{"allowed", bodiless(modern("tools/call", "read_file")...), policy.OK}, {"a cut body", cut, policy.OK},
		{"encoded", bodiless(modern("tools/call", "=?base64?cmVhZF9maWxl?=")...), policy.OK}, {"a list", bodiless(modern("tools/list", "")...), policy.OK},
		{"lifecycle", bodiless(modern("server/discover", "")...), policy.OK},
		{"another tool", bodiless(modern("tools/call", "delete_file")...), policy.NoRuleMatched}, {"another method", bodiless(modern("prompts/list", "")...), policy.NoRuleMatched},
		{"an old version", bodiless("mcp-protocol-version", "2025-11-25", "mcp-method", "tools/call", "mcp-name", "read_file"), policy.BodyUnavailable},
		{"no version", bodiless("mcp-method", "tools/call", "mcp-name", "read_file"), policy.BodyUnavailable}, {"no name", bodiless(modern("tools/call", "")...), policy.BodyUnavailable},
		{"a look-alike", bodiless(modern("tools/Call", "read_file")...), policy.BodyUnavailable}, {"perhaps two names", joined, policy.BodyUnavailable},
		{"a URI with dots", bodiless(modern("resources/read", "a:/../b")...), policy.BodyUnavailable},
		{"a body that disagrees", call(remove, modern("tools/call", "read_file")...), policy.BodyUnavailable},
	} {
		w.want(c.name, c.request, c.want)
	}
}

// The id of a call that is refused is known only of what was understood, and only to the holder of a good token.
func TestRefusedCall(t *testing.T) {
	allow, deny := mcpRule(t, "tools", "read_file"), mcpRule(t, "tools", "delete_file")
	w := newWorld(t)
	w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(allow)}}
	for _, c := range []struct{ name, body, want string }{
		{"a number", remove, "1"}, {"a text", strings.Replace(remove, "1", `"a\u0022\""`, 1), `"a\u0022\""`}, {"a fraction", strings.Replace(remove, "1", "-1.50e2", 1), "-1.50e2"},
		{"allowed", read, ""}, {"a notification", strings.Replace(remove, `"id":1,`, "", 1), ""}, {"a batch", "[" + remove + "]", ""}, {"a long id", strings.Replace(remove, "1", `"`+strings.Repeat("a", 300)+`"`, 1), ""},
		{"a response", `{"jsonrpc":"2.0","id":1,"result":{}}`, ""},
	} {
		if d := w.ask(call(c.body)); d.Call != c.want || c.want != "" && d.Reason != policy.NoRuleMatched {
			t.Errorf("%s: %q and %v, want %q", c.name, d.Call, d.Reason, c.want)
		}
	}
	if d := w.ask(request(method("POST"), target("/other"), jsonBody(remove))); d.Call != "" {
		t.Errorf("another path: %q", d.Call)
	}
	w.token.Grant = policy.Grant{Unrestricted: true, Policies: []*policy.Policy{denying(deny)}}
	if d := w.ask(call(remove)); d.Call != "1" || d.Reason != policy.RuleDenied {
		t.Errorf("denied: %q and %v", d.Call, d.Reason)
	}
	w.token.Revoked = true
	if d := w.ask(call(remove)); d.Call != "" {
		t.Errorf("revoked: %q", d.Call)
	}
	w.gate.Anonymous = &policy.Grant{Policies: []*policy.Policy{allowing(allow), denying(deny)}}
	if d := w.ask(request(anonymous(), method("POST"), target("/mcp"), jsonBody(remove))); d.Call != "" || d.Reason != policy.RuleDenied {
		t.Errorf("anonymous: %q and %v", d.Call, d.Reason)
	}
}
