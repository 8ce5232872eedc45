package policy_test

import (
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
)

// verdicts checks one rule as an allow rule and as a deny rule.
func verdicts(t *testing.T, r *policy.Rule, request *policy.Request) (allow, deny policy.Reason) {
	t.Helper()
	w := newWorld(t)
	w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(r)}}
	allow = w.ask(request).Reason
	w.token.Grant = policy.Grant{Unrestricted: true, Policies: []*policy.Policy{denying(r)}}
	deny = w.ask(request).Reason
	return allow, deny
}

// What a rule is in both lists: it matches, it fails, or it can't be decided.
type both struct{ allow, deny policy.Reason }

var (
	yes         = both{policy.OK, policy.RuleDenied}
	no          = both{policy.NoRuleMatched, policy.OK}
	some        = both{policy.NoRuleMatched, policy.RuleDenied} // one of several matches
	unreadableQ = both{policy.QueryUnreadable, policy.QueryUnreadable}
	unreadableB = both{policy.BodyUnavailable, policy.BodyUnavailable}
	container   = both{policy.NoRuleMatched, policy.BodyUnavailable} // where a plain value is meant
	unknownAddr = both{policy.ClientDenied, policy.ClientDenied}
)

func (b both) check(t *testing.T, name string, r *policy.Rule, request *policy.Request) {
	t.Helper()
	allow, deny := verdicts(t, r, request)
	if allow != b.allow || deny != b.deny {
		t.Errorf("%s: allow %v, deny %v, want %v, %v", name, allow, deny, b.allow, b.deny)
	}
}

func TestMethodAndPath(t *testing.T) {
	r := rule(t, "r", "method", "GET", "method", "PATCH", "path", "/rest/a|/rest/b")
	for _, c := range []struct {
		method, target string
		want           both
	}{
		{"GET", "/rest/a", yes}, {"PATCH", "/rest/b", yes}, {"HEAD", "/rest/a", no}, {"get", "/rest/a", both{policy.BadTarget, policy.BadTarget}},
		{"GET", "/rest/a/c", no}, {"GET", "/x/rest/b", no}, {"GET", "/rest/a?/rest/b", yes}, {"GET", "/c?/rest/a", no},
		{"GET", "/rest/%61", yes}, {"GET", "/REST/a", no}, {"GET", "/rest/a%0A", both{policy.BadTarget, policy.BadTarget}},
	} {
		c.want.check(t, c.method+" "+c.target, r, request(method(c.method), target(c.target)))
	}
}

func TestAddressInARule(t *testing.T) {
	r := rule(t, "r", "path", "/rest/.*", "client", "10.0.0.0/8", "client", "2001:db8::/32")
	yes.check(t, "within", r, request(from("10.1.2.3")))
	yes.check(t, "IPv4 in IPv6", r, request(from("::ffff:10.1.2.3")))
	yes.check(t, "IPv6", r, request(from("2001:db8::1")))
	no.check(t, "outside", r, request(from("11.1.2.3")))
	unknown := request()
	unknown.Peer = unknown.Peer.Prev()
	unknown.Peer = policy.Request{}.Peer
	unknownAddr.check(t, "unknown", r, unknown)
	no.check(t, "unknown, and the path fails", rule(t, "r", "path", "/x", "client", "10.0.0.0/8"), unknown)
}

func TestQuery(t *testing.T) {
	r := rule(t, "r", "query", "jql=project = [A-Z]+", "query", "max.Results=\\d+")
	for _, c := range []struct {
		query string
		want  both
	}{
		{"jql=project%20=%20JRA&max.Results=5", yes},
		{"jql=project+=+JRA&max.Results=5&other=x", yes},
		{"%6aql=project+=+JRA&max.Results=5", yes},
		{"&&jql=project+=+JRA&&max.Results=5&", yes},
		{"max.Results=5", no},
		{"", no},
		{"jql=project+=+JRA&max.Results=", no},
		{"jql=project+=+JRA&max.Results", no},
		{"jql=project+=+JRA&max.Results=5&max.Results=x", some},
		{"jql=project+=+JRA&max.Results=x&max.Results=5", some},
		{"jql=project+=+JRA+OR+1=1&max.Results=5", no},
		{"jql=project+=+JRA%0a&max.Results=5", no},
		{"jql=project+=+JRA%26max.Results=5&max.Results=5", no},
		{"jql=project+=+JRA&max.Results=5;x=1", unreadableQ},
		{"jql=project+=+JRA&max.Results=5#x", unreadableQ},
		{"jql=project+=+JRA&max.Results=5&x=%zz", unreadableQ},
		{"jql=project+=+JRA&max.Results=5&%=x", unreadableQ},
		{"jql=project+=+JRA&max.Results=5&x=%ff", unreadableQ},
		{"jql=project+=+JRA&max.Results=5&JQL=x", unreadableQ},
		{"jql=project+=+JRA&max.Results=5&jql[]=x", unreadableQ},
		{"jql=project+=+JRA&max.Results=5&jql%00=x", unreadableQ},
		{"jql=project+=+JRA&max.Results=5&+jql=x", unreadableQ},
		{"jql=project+=+JRA&max.Results=5&j.ql=x", unreadableQ},
		{"jql=project+=+JRA&max.Results=5&maxresults=x", unreadableQ},
		{"jql=project+=+JRA&max.Results=5&[]=x", yes},
		{"jql=x&max.Results=5&MAXRESULTS=6", no}, // the other condition fails: that decides
		{"jql=project+=+JRA&max.Results=5" + strings.Repeat("&", 998), yes},
		{"jql=project+=+JRA&max.Results=5" + strings.Repeat("&", 999), unreadableQ}, // some servers count empty fields
		{strings.Repeat("&", 1000) + "jql=project+=+JRA&max.Results=5", unreadableQ},
		{"jql=project+=+JRA&max.Results=5" + strings.Repeat("&a=1", 998), yes},
		{"jql=project+=+JRA&max.Results=5" + strings.Repeat("&a=1", 999), unreadableQ},
	} {
		c.want.check(t, c.query, r, request(target("/s?"+c.query)))
	}
}

func TestJSONBody(t *testing.T) {
	r := rule(t, "r", "json", "editable=false", "json", "fields.project.key=JRA|KANBAN")
	good := `{"editable":false,"fields":{"project":{"key":"JRA"}}}`
	for _, c := range []struct {
		body string
		want both
	}{
		{good, yes},
		{" \n\t" + good + "\r\n", yes},
		{`{"editable":"false","fields":{"project":{"key":"JRA"}}}`, yes},
		{`{"editable":false,"fields":{"project":{"key":"\u004aRA"}}}`, yes},
		{`{"edit\u0061ble":false,"fields":{"project":{"key":"JRA"}}}`, yes},
		{`{"editable":true,"fields":{"project":{"key":"JRA"}}}`, no},
		{`{"fields":{"project":{"key":"JRA"}}}`, no},
		{`{"editable":null,"fields":{"project":{"key":"JRA"}}}`, no},
		{`{"editable":false,"fields":{"project":{"key":"JRAX"}}}`, no},
		{`{"editable":false,"fields":{"project":"JRA"}}`, no},
		{`{"editable":false,"fields":{"project":{"key":["JRA"]}}}`, container},
		{`{"editable":false,"fields.project.key":"JRA","fields":{"project":{"key":"HR"}}}`, no},
		{`{"x":` + good + `}`, no},
		{`[` + good + `]`, container},
		{`{"editable":true,"fields":{"project":{"key":["JRA"]}}}`, no}, // the other condition fails: that decides
		{`"editable"`, no},
		{``, unreadableB},
		{`{"editable":false,"fields":{"project":{"key":"JRA"}}`, unreadableB},
		{good + good, unreadableB},
		{good + "x", unreadableB},
		{"\xef\xbb\xbf" + good, unreadableB},
		{`{"editable":false,"editable":false,"fields":{"project":{"key":"JRA"}}}`, unreadableB},
		{`{"editable":false,"edit\u0061ble":true,"fields":{"project":{"key":"JRA"}}}`, unreadableB},
		{`{"editable":false,"x":{"a":1,"a":1},"fields":{"project":{"key":"JRA"}}}`, unreadableB},
		{`{"editable":false,"Editable":true,"fields":{"project":{"key":"JRA"}}}`, unreadableB},
		{`{"editable":false,"fields":{"project":{"key":"JRA","KEY":"HR"}}}`, unreadableB},
		{`{"editable":false,"fields":{"project":{"key":"JRA","\u212aey":"HR"}}}`, unreadableB},
		{`{"editable":false,"x":{"a":1,"A":2},"fields":{"project":{"key":"JRA"}}}`, yes},
		{`{"editable":true,"fields":{"project":{"key":"JRA","KEY":"HR"}}}`, no},
		{`{/*x*/"editable":false,"fields":{"project":{"key":"JRA"}}}`, unreadableB},
		{`{"editable":false,"fields":{"project":{"key":"JRA"}},}`, unreadableB},
		{`{"editable":false,"n":"` + "\xff" + `","fields":{"project":{"key":"JRA"}}}`, unreadableB},
		{`{"editable":false,"n":"\ud800","fields":{"project":{"key":"JRA"}}}`, unreadableB},
		{`{"editable":false,"n":01,"fields":{"project":{"key":"JRA"}}}`, unreadableB},
		{`{"editable":false,"n":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `,"fields":{"project":{"key":"JRA"}}}`, yes},
		{`{"editable":false,"n":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `,"fields":{"project":{"key":"JRA"}}}`, unreadableB},
	} {
		c.want.check(t, c.body, r, request(jsonBody(c.body)))
	}
}

func TestBodiesThatAreNotRead(t *testing.T) {
	r := rule(t, "r", "json", "a=1")
	with := func(options ...func(*policy.Request)) *policy.Request {
		return request(append([]func(*policy.Request){jsonBody(`{"a":1}`)}, options...)...)
	}
	yes.check(t, "whole", r, with())
	for _, media := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\"", "application/json;  charset=UTF-8", "application/json ; charset=utf-8"} {
		yes.check(t, media, r, with(header("content-type", media)))
	}
	for _, media := range []string{"", "text/json", "application/problem+json", "application/vnd.x+json", "application/json;",
		"application/json; charset=utf-8; charset=utf-8", "application/json; charset=utf-8;", "application/json; charset=utf8", "application/json; charset='utf-8'",
		"application/json; q=1", "application/json; charset=utf-8, text/plain", " application/json", "application/json ", "application/j\u017fon", "application/+json", "application/jsonx", "application/json, application/json",
		"application/json; charset=latin1", "application/json; charset=utf-16", "application/json;;", "application/json; charset*=utf-16''utf-16", "application/x-www-form-urlencoded"} {
		unreadableB.check(t, media, r, with(header("content-type", media)))
	}
	unreadableB.check(t, "no type", r, with(header("content-type")))
	unreadableB.check(t, "two types", r, with(header("content-type", "application/json", "text/plain")))
	unreadableB.check(t, "in an encoding", r, with(header("content-encoding", "gzip")))
	unreadableB.check(t, "cut", r, with(func(r *policy.Request) { r.Body.State = policy.BodyPartial }))
	unreadableB.check(t, "absent", r, with(func(r *policy.Request) { r.Body = policy.Body{} }))
	no.check(t, "absent, and the method fails", rule(t, "r", "method", "PUT", "json", "a=1"), with(func(r *policy.Request) { r.Body = policy.Body{} }))
	both{policy.QueryUnreadable, policy.QueryUnreadable}.check(t, "query and body unreadable",
		rule(t, "r", "query", "q=1", "json", "a=1"), with(target("/?q=1;"), func(r *policy.Request) { r.Body = policy.Body{} }))
	no.check(t, "query unreadable, the body fails", rule(t, "r", "query", "q=1", "json", "a=2"), with(target("/?q=1;")))
}

func TestContentTypesOfARule(t *testing.T) {
	r := rule(t, "r", "json", "a=1")
	r.ContentTypes = []string{"application/vnd.x+json", "application/problem+json"}
	for media, want := range map[string]both{
		"application/vnd.x+json": yes, "application/vnd.x+json; charset=utf-8": yes, "Application/Problem+JSON": yes,
		"application/json": unreadableB, "application/vnd.y+json": unreadableB, "application/vnd.x+json; v=1": unreadableB,
		"application/vnd.x+json, application/problem+json": unreadableB,
	} {
		want.check(t, media, r, request(jsonBody(`{"a":1}`), header("content-type", media)))
	}
	// Each rule has its own list.
	w := newWorld(t)
	w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(rule(t, "plain", "json", "a=1"), r)}}
	for _, media := range []string{"application/json", "application/vnd.x+json"} {
		w.want(media, request(jsonBody(`{"a":1}`), header("content-type", media)), policy.OK)
	}
	w.want("another", request(jsonBody(`{"a":1}`), header("content-type", "application/vnd.y+json")), policy.BodyUnavailable)
}

func TestNodes(t *testing.T) {
	body := `{"labels":["a","b"],"objects":[{"k":"a"},{"k":"b"},{}],"a.b":"dot","":"empty","n":-12345678901234567890.50e+1,` +
		`"deep":[["x","y"],["x"]],"none":[],"mixed":["a",{"k":1}],"*":"star","a/b":"slash","m~n":"tilde","0":"zero"}`
	for _, c := range []struct {
		node, pattern string
		want          both
	}{
		{"labels.*", "a|b", yes},
		{"labels.*", "a", some},
		{"labels.*", "c", no},
		{"labels.0", "a", yes},
		{"labels.2", "a", no},
		{"labels.00", "a", container},
		{"labels", "a", container},
		{"none.*", ".*", no},
		{"mixed.*", "a", container},
		{"objects.*.k", "a|b", some}, // one has none
		{"objects.*.x", ".*", no},
		{"objects.k", "a", container},
		{"objects.0", ".*", container},
		{"objects.7", ".*", no},
		{"n.k", ".*", no},
		{"missing", ".*", no},
		{"deep.*.*", "x|y", yes},
		{"deep.*.0", "x", yes},
		{`a\.b`, "dot", yes},
		{"a.b", "dot", no},
		{`\*`, "star", yes},
		{"*", ".*", no},
		{"0", "zero", yes},
		{"n", `-12345678901234567890\.50e\+1`, yes},
		{"/labels/1", "b", yes},
		{"/labels/-", "b", container},
		{"/a~1b", "slash", yes},
		{"/m~0n", "tilde", yes},
		{"/", "empty", yes},
		{"/*", "star", yes},
		{"/labels/*", "a|b", container},
	} {
		c.want.check(t, c.node+" "+c.pattern, rule(t, "r", "json", c.node+"="+c.pattern), request(jsonBody(body)))
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", `a\`, `a\x`, "/a~", "/a~2"} {
		if _, err := policy.NewNode(bad, pattern(t, "x")); err == nil {
			t.Errorf("%q names a node", bad)
		}
	}
}

func TestRefusalsNameThePartThatCameNearest(t *testing.T) {
	w := newWorld(t)
	w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(
		rule(t, "other method", "method", "PUT", "path", "/a"),
		rule(t, "query", "method", "GET", "path", "/a", "query", "q=1"),
		rule(t, "other path", "method", "GET", "path", "/b"),
	)}}
	d := w.want("query", request(target("/a?q=2")), policy.NoRuleMatched)
	if d.Rule.Name != "query" || d.Failed != policy.PartQuery || d.PartName != "q" {
		t.Errorf("%s: %v %q", d.Rule.Name, d.Failed, d.PartName)
	}
	if got, want := d.Where(), `rule "query"`; got != want {
		t.Errorf("where: %s, want %s", got, want)
	}
	d = w.want("method", request(target("/a"), method("PATCH")), policy.NoRuleMatched)
	if d.Rule.Name != "other method" || d.Failed != policy.PartMethod {
		t.Errorf("%s: %v", d.Rule.Name, d.Failed)
	}
}

// TestRefusalsNameRulesInWords checks that a caller, who has not seen the manifests, reads
// no index of a list in them.
func TestRefusalsNameRulesInWords(t *testing.T) {
	for _, c := range []struct{ name, policy, want string }{
		{"read issues", "", `rule "read issues"`},
		{"read issues", "board", `rule "read issues" of policy board`},
		{"limitTo[0]", "", "line 1 of the token's limits"},
		{"limitTo[11]", "", "line 12 of the token's limits"},
		{"allow[2]", "", "allow rule 3 of the token"},
		{"allow[0]", "board", "allow rule 1 of policy board"},
		{"deny[1]", "board", "deny rule 2 of policy board"},
		{"deny[1]x", "board", `rule "deny[1]x" of policy board`},
		{"deny[x]", "", `rule "deny[x]"`},
		{"deny[1", "", `rule "deny[1"`},
		{"[1]", "", `rule "[1]"`},
		{"", "", `rule ""`},
	} {
		d := policy.Decision{Token: &policy.Token{}, Rule: &policy.Rule{Name: c.name, Policy: c.policy}}
		if got := d.Where(); got != c.want {
			t.Errorf("%s of %q is called %s, want %s", c.name, c.policy, got, c.want)
		}
	}
	for name, want := range map[string]string{"deny[1]": "deny rule 2 for anonymous callers", "no": `rule "no"`} {
		d := policy.Decision{Rule: &policy.Rule{Name: name}}
		if got := d.Where(); got != want {
			t.Errorf("%s of a gate is called %s, want %s", name, got, want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"/a|/b", "/a", true}, {"/a|/b", "/ab", false}, {"/a|/b", "/x/b", false},
		{"^/a$", "/a", true}, {"^/a$", "/a\n", false}, {"/a", "/a", true}, {"/a", "/ab", false},
		{"(?i)/a", "/A", true}, {"/k", "/K", false}, {"/a.c", "/abc", true}, {"/a.c", "/a\nc", false},
		{"", "", true}, {"", "a", false}, {"a*", "", true}, {`/a\.csv`, "/a.csv", true}, {`/a\.csv`, "/aXcsv", false},
		{"(?m)^a$", "a", true}, {"(?m)^a$\nb", "a\nb", true}, {"(?m)a$", "a\nb", false}, {`\Aa\z`, "a", true},
	} {
		if got := pattern(t, c.pattern).Match(c.text); got != c.want {
			t.Errorf("%q against %q: %v", c.pattern, c.text, got)
		}
	}
	for _, bad := range []string{"(", "/a)|(?:.*", "[", "a{2,1}", "a{1001}", `\8`, "(?=a)", "(?<!a)", "*", `\Qa`, "a\xff",
		strings.Repeat("a", 1025), "((a{100}){100}){10}"} {
		if p, err := policy.CompilePattern(bad); err == nil {
			t.Errorf("%.40q compiles: %v", bad, p.Match(""))
		}
	}
	var none *policy.Pattern
	if none.Match("") || (&policy.Pattern{}).Match("") {
		t.Error("the zero pattern matches")
	}
}
