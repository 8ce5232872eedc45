package lookalikes

import (
	"fmt"
	"strings"
)

// contentTypes are types under which some API parses a body as JSON, or does not.
var contentTypes = []struct{ name, fault string }{
	{"application/json", ""}, {"application/json; charset=utf-8", ""}, {"application/json;charset=UTF-8", ""}, {"application/json; charset=\"utf-8\"", ""},
	{"APPLICATION/JSON", ""}, {"application/vnd.x+json", "A5"}, {"application/problem+json", "A5"}, {"application/ld+json; charset=utf-8", "A5"},
	{"text/json", ""}, {"application/x-json", ""}, {"application/json-seq", ""}, {"application/jsonp", ""}, {"text/plain", ""}, {"*/*", ""},
	{"application/json; charset=utf-16", ""}, {"application/json; charset=latin1", ""}, {"application/json; charset=utf-8; charset=utf-16", ""},
	{"application/json; q=1", ""}, {"application/json;", ""}, {"application/json, text/plain", ""}, {"text/plain, application/json", ""},
	{" application/json", ""}, {"application /json", ""}, {"application/json\t", ""}, {"application/x-www-form-urlencoded", ""}, {"json", ""}, {"", ""},
	{"application/json ; charset=utf-8", ""}, {"application/json; charset=utf8", ""}, {"application/json; boundary=b", ""},
}

// bodies are texts that parsers read differently, with the member N at stake.
var bodies = []struct{ name, text string }{
	{"twice, false last", `{"N":true,"N":false}`}, {"twice, true last", `{"N":false,"N":true}`}, {"other case", `{"n":true}`}, {"both cases", `{"N":true,"n":false}`},
	{"other case first", `{"n":false,"N":true}`}, {"escaped name", `{"\u004E":true}`}, {"a string", `{"N":"true"}`}, {"1", `{"N":1}`}, {"an array", `{"N":[true]}`},
	{"an object", `{"N":{"x":1}}`}, {"in an array", `[{"N":true}]`}, {"in two arrays", `[[{"N":true}]]`}, {"a BOM", "\uFEFF" + `{"N":true}`},
	{"text after it", `{"N":true} x`}, {"two values", `{"N":true}{"N":false}`}, {"a comment", `{"N":true/**/}`}, {"a line comment", "{\"N\":true//\n}"},
	{"a comma too many", `{"N":true,}`}, {"a name without quotes", `{N:true}`}, {"single quotes", `{'N':true}`}, {"NaN", `{"N":true,"a":NaN}`},
	{"a lone surrogate", `{"N":true,"a":"\ud800"}`}, {"a NUL", "{\"N\":true,\"a\":\"\x00\"}"}, {"invalid UTF-8", "{\"N\":true,\"a\":\"\xff\"}"}, {"-0", `{"N":true,"a":-0}`},
	{"__proto__", `{"__proto__":{"N":true}}`}, {"constructor.prototype", `{"constructor":{"prototype":{"N":true}}}`}, {"null", `{"N":null}`},
	{"deep", `{"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `,"N":true}`}, {"a NUL in the name", `{"N\u0000":true}`}, {"a blank in the name", `{"N ":true}`},
	{"a long number", `{"N":true,"a":12345678901234567890123456789}`}, {"TRUE", `{"N":TRUE}`}, {"leading zero", `{"N":01}`}, {"hex", `{"N":0x1}`}, {"vertical tab", "\v{\"N\":true}"},
}

func namedJSON() (list []Request) {
	for _, c := range contentTypes {
		q := Request{Kind: "json", Method: "POST", Target: "/rest/x", Host: Host}
		allow, deny := q, q
		allow.Rule, deny.Rule = "json-allow", "json-deny"
		list = append(list, allow.with(post(c.name, `{"dryRun":true}`), found(c.fault), named(typed(c.name))),
			deny.with(post(c.name, `{"admin":true}`), aside, named(typed(c.name)+", denied")))
	}
	for _, b := range bodies {
		fault := ""
		switch b.name {
		case "an array", "an object", "in an array":
			fault = "A8"
		}
		q := Request{Kind: "json", Method: "POST", Target: "/rest/x", Host: Host}
		allow, deny := q, q
		allow.Rule, deny.Rule = "json-allow", "json-deny"
		list = append(list, allow.with(post("application/json", member(b.text, "dryRun")), named("`dryRun`: "+b.name)),
			deny.with(post("application/json", member(b.text, "admin")), aside, found(fault), named("`admin`: "+b.name)))
	}
	twice := Request{Kind: "json", Rule: "json-allow", Method: "POST", Target: "/rest/x", Host: Host}
	return append(list,
		twice.with(named("`Content-Type` twice, JSON first"), post("application/json", `{"dryRun":true}`), header("Content-Type", "text/plain")),
		twice.with(named("`Content-Type` twice, JSON last"), post("text/plain", `{"dryRun":true}`), header("Content-Type", "application/json")),
		twice.with(named("`Content-Encoding: gzip`"), post("application/json", `{"dryRun":true}`), header("Content-Encoding", "gzip")),
		twice.with(named("`Content-Encoding: identity`"), post("application/json", `{"dryRun":true}`), header("Content-Encoding", "identity")),
		twice.with(named("`content.type: text/plain` beside it"), post("application/json", `{"dryRun":true}`), header("content.type", "text/plain")),
		twice.with(named("`content_type: text/plain` beside it"), post("application/json", `{"dryRun":true}`), header("content_type", "text/plain")),
		twice.with(named("no body")))
}

// member puts a name into a body for N, in another case for n, escaped for its escape.
func member(text, name string) string {
	other := strings.ToUpper(name[:1]) + name[1:]
	escaped := fmt.Sprintf(`"\u%04X%s"`, name[0], name[1:])
	return strings.NewReplacer(`"\u004E"`, escaped, `"N`, `"`+name, `'N'`, `'`+name+`'`, `{N:`, `{`+name+`:`, `"n"`, `"`+other+`"`).Replace(text)
}
