package policy_test

import (
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

// Each is undecidable, also with headers and bodies that are all right but for one thing.
func TestHostileMCP(t *testing.T) {
	r := mcpRule(t, "tools", "read_file", "resources", "file:///srv/.*", "methods", "tools/list")
	edit := func(old, new string) string {
		t.Helper()
		if !strings.Contains(read, old) {
			t.Fatalf("%q is not in %s", old, read)
		}
		return strings.Replace(read, old, new, 1)
	}
	resource := func(uri string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"` + uri + `"}}`
	}
	typed := func(body, contentType string) *policy.Request {
		q := call(body)
		q.Header.(headers)["content-type"] = []string{contentType}
		return q
	}
	cut, absent, coded := call(read), call(read), call(read)
	cut.Body.State, absent.Body = policy.BodyPartial, policy.Body{}
	coded.Header.(headers)["content-encoding"] = []string{"gzip"}
	cases := []struct {
		name    string
		request *policy.Request
	}{
		{"a batch", call("[" + remove + "]")}, {"a batch of two", call("[" + read + "," + remove + "]")}, {"an empty batch", call("[]")},
		{"two messages", call(read + remove)}, {"lines", call(read + "\n" + remove)}, {"no JSON", call("tools/call")}, {"a BOM", call("\ufeff" + read)},
		{"not UTF-8", call(edit("read_file", "read_file\xff"))}, {"a text", call(`"tools/call"`)}, {"nothing but null", call("null")},
		{"no version", call(edit(`"jsonrpc":"2.0",`, ""))}, {"another version", call(edit("2.0", "1.0"))}, {"a version that is a number", call(edit(`"2.0"`, "2.0"))},
		{"the method twice", call(edit(`"method"`, `"method":"tools/list","method"`))}, {"the method in another case too", call(edit(`"method"`, `"Method":"tools/list","method"`))},
		{"the method twice, one escaped", call(edit(`"method"`, `"m\u0065thod":"tools/list","method"`))},
		{"only Method", call(edit(`"method"`, `"Method"`))}, {"a method that is a list", call(edit(`"tools/call"`, `["tools/call"]`))}, {"a method that is null", call(edit(`"tools/call"`, `null`))},
		{"a method that looks like tools/call", call(edit("tools/call", "Tools/Call"))}, {"with a blank", call(edit("tools/call", "tools/call "))}, {"with a dot", call(edit("tools/call", "tools.call"))},
		{"the params twice", call(edit(`"params"`, `"params":{"name":"delete_file"},"params"`))}, {"Params too", call(edit(`"params"`, `"Params":{"name":"delete_file"},"params"`))},
		{"params that are a list", call(edit(`{"name":"read_file","arguments":{"path":"/a"}}`, `["read_file"]`))}, {"no params", call(edit(`,"params":{"name":"read_file","arguments":{"path":"/a"}}`, ""))},
		{"the name twice", call(edit(`"name"`, `"name":"delete_file","name"`))}, {"Name too", call(edit(`"name"`, `"Name":"delete_file","name"`))},
		{"no name", call(edit(`"name"`, `"title"`))}, {"only Name", call(edit(`"name"`, `"Name"`))}, {"a name that is a number", call(edit(`"read_file"`, "7"))}, {"a name in a list", call(edit(`"read_file"`, `["read_file"]`))},
		{"a name that is null", call(edit(`"read_file"`, `null`))}, {"a lone surrogate", call(edit("read_file", `read_file\ud800`))},
		{"a request and a response", call(edit(`"id":1`, `"id":1,"result":{}`))}, {"a response with Method", call(`{"jsonrpc":"2.0","id":1,"result":{},"Method":"tools/call"}`)},
		{"an id that is null", call(edit(`"id":1`, `"id":null`))}, {"an id that is a list", call(edit(`"id":1`, `"id":[1]`))}, {"an id that is true", call(edit(`"id":1`, `"id":true`))}, {"ID too", call(edit(`"id":1`, `"id":1,"ID":2`))},
		{"nested too deep", call(edit(`"/a"`, strings.Repeat("[", 70)+strings.Repeat("]", 70)))}, {"a name of 70 KB", call(edit("read_file", strings.Repeat("a", 70_000)))},
		{"no body", absent}, {"a cut body", cut}, {"a content encoding", coded}, {"a form", typed(read, "application/x-www-form-urlencoded")}, {"text/plain", typed(read, "text/plain")}, {"UTF-16", typed(read, "application/json; charset=utf-16")},

		{"dots in a URI", call(resource("file:///srv/../etc/passwd"))}, {"escaped dots", call(resource("file:///srv/%2e%2e/etc/passwd"))}, {"an escaped slash", call(resource("file:///srv/..%2fetc/passwd"))},
		{"a backslash", call(resource(`file:///srv/..\\etc`))}, {"escaped twice", call(resource("file:///srv/%252e%252e/etc"))}, {"escaped NUL", call(resource("file:///srv/a%00.txt"))}, {"a letter that is escaped", call(resource("file:///%65tc/passwd"))},
		{"an upper-case scheme", call(resource("FILE:///etc/passwd"))}, {"a host of a file", call(resource("file://localhost/etc/passwd"))}, {"one slash", call(resource("file:/etc/passwd"))}, {"no scheme", call(resource("/etc/passwd"))},
		{"a blank in front of the URI", call(resource(" file:///etc/passwd"))}, {"a tab in a URI", call(resource(`file:///e\ttc/passwd`))}, {"an overlong escape", call(resource("file:///srv/%c0%ae%c0%ae/etc"))}, {"a half escape", call(resource("file:///srv/%2"))}, {"an upper-case host of the web", call(resource("https://API.example.com/a"))},

		{"modern without Mcp-Method", call(read, "mcp-protocol-version", "2026-07-28", "mcp-name", "read_file")}, {"modern without Mcp-Name", call(read, modern("tools/call", "")...)},
		{"two versions", call(read, "mcp-protocol-version", "2025-11-25|2026-07-28")}, {"versions that are joined", call(read, "mcp-protocol-version", "2025-11-25,2026-07-28")}, {"a version that is no date", call(read, "mcp-protocol-version", "latest")}, {"an empty version", call(read, "mcp-protocol-version", "")},
		{"another method", call(remove, modern("tools/list", "")...)}, {"another method and name", call(remove, modern("tools/call", "read_file")...)}, {"a name without need", call(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, modern("tools/list", "delete_file")...)},
		{"two methods", call(read, "mcp-protocol-version", "2026-07-28", "mcp-method", "tools/call|tools/list", "mcp-name", "read_file")}, {"two names", call(read, modern("tools/call", "read_file|delete_file")...)}, {"names that are joined", call(read, modern("tools/call", "read_file,read_file")...)},
		{"another name of an old version", call(remove, "mcp-protocol-version", "2025-11-25", "mcp-name", "read_file")}, {"another method without a version", call(remove, "mcp-method", "tools/list")},
		{"bad base64", call(read, modern("tools/call", "=?base64?cmVhZF9maWxl=?=")...)}, {"base64 that does not end", call(read, modern("tools/call", "=?base64?cmVhZF9maWxl")...)}, {"BASE64", call(read, modern("tools/call", "=?BASE64?cmVhZF9maWxl?=")...)},
		{"base64 of no UTF-8", call(read, modern("tools/call", "=?base64?/w==?=")...)}, {"encoded twice", call(read, modern("tools/call", "=?base64?PT9iYXNlNjQ/Y21WaFpGOW1hV3hsPz0=?=")...)}, {"loose bits", call(read, modern("tools/call", "=?base64?cmVhZF9maWxm?=")...)},
		{"a name with raw bytes", call(read, modern("tools/call", "read_file\xc3\xa9")...)}, {"a method in another case", call(read, modern("Tools/Call", "read_file")...)}, {"an empty name", call(read, "mcp-protocol-version", "2026-07-28", "mcp-method", "tools/call", "mcp-name", "")},
		{"a look-alike of Mcp-Method", call(read, append(modern("tools/call", "read_file"), "mcp_method", "tools/list")...)}, {"a look-alike of Mcp-Name", call(read, append(modern("tools/call", "read_file"), "mcp.name", "delete_file")...)},
	}
	if len(cases) < 40 {
		t.Errorf("%d cases, want 40", len(cases))
	}
	for _, c := range cases {
		unreadableB.check(t, c.name, r, c.request)
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
