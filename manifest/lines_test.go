package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/patgate/patgate/manifest"
)

// describe writes a rule in one line: methods, path, query and json conditions.
func describe(r manifest.Rule) string {
	var parts []string
	for _, m := range r.Methods {
		parts = append(parts, string(m))
	}
	parts = append(parts, "path "+r.Path.String())
	for _, q := range r.Query {
		parts = append(parts, fmt.Sprintf("query %s=%s", q.Name, q.Pattern))
	}
	for _, n := range r.JSON {
		parts = append(parts, fmt.Sprintf("json %s=%s", n.Text, n.Pattern))
	}
	if r.MCP != nil {
		parts = append(parts, "mcp "+r.MCP.Row().Text())
	}
	return strings.Join(parts, ", ")
}

func TestLines(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		// The five lines of the seed page.
		{`.*/rest/api/2/issue/JRA.*`, `path .*/rest/api/2/issue/JRA.*`},
		{`[post].*/rest/api/2/issue/KANBAN-100/comment.*`, `POST, path .*/rest/api/2/issue/KANBAN-100/comment.*`},
		{`.*/rest/api/2/filter/.*[QueryParam::expand==permission]`, `path .*/rest/api/2/filter/.*, query expand=permission`},
		{`.*/rest/extender/1.0/worklog/.*[QueryParam::dateFrom==2018-.*][QueryParam::dateTo==2018-.*]`,
			`path .*/rest/extender/1.0/worklog/.*, query dateFrom=2018-.*, query dateTo=2018-.*`},
		{`[post].*/rest/api/2/filter[JsonData::editable==false][JsonData::favourite==false]`,
			`POST, path .*/rest/api/2/filter, json editable=false, json favourite=false`},
		// Methods.
		{`[GET,Post,delete]/a`, `GET, POST, DELETE, path /a`},
		{`(?:[ab])/a`, `path (?:[ab])/a`},
		{`/[ab]/c`, `path /[ab]/c`},
		{`[get]/[ab]`, `GET, path /[ab]`},
		// Brackets, == and :: within patterns.
		{`/a[QueryParam::x==[a-z]+]`, `path /a, query x=[a-z]+`},
		{`/a[QueryParam::x==[a-z]+][QueryParam::y==[0-9]]`, `path /a, query x=[a-z]+, query y=[0-9]`},
		{`/a[QueryParam::x==a==b]`, `path /a, query x=a==b`},
		{`/a[QueryParam::x==a::b]`, `path /a, query x=a::b`},
		{`/a[JsonData::fields.project.key==JRA|KANBAN]`, `path /a, json fields.project.key=JRA|KANBAN`},
		{`/a[JsonData::/fields/0==[[]x]`, `path /a, json /fields/0=[[]x`},
		{`/a[QueryParam::x==[[:alpha:]]+]`, `path /a, query x=[[:alpha:]]+`},
		{`/a[[:digit:]]+`, `path /a[[:digit:]]+`},
		{`/a[[]Word::b`, `path /a[[]Word::b`},
		{`[post]/mcp[Mcp::tools==search_.*]`, `POST, path /mcp, mcp tools=search_.*`},
		{`/mcp[Mcp::methods==tools/list][Mcp::tools==[a-z]+][JsonData::id==\d+]`, `path /mcp, json id=\d+, mcp tools=[a-z]+ methods=tools/list`},
		{`/mcp[Mcp::resources==file:///srv/.*][Mcp::prompts==a::b==c]`, `path /mcp, mcp resources=file:///srv/.* prompts=a::b==c`},
		// A name given twice must match both.
		{`/mcp[Mcp::tools==a.*][Mcp::tools==.*b][Mcp::methods==x]`, `path /mcp, mcp tools=a.* methods=x and tools=.*b`},
		{`/a[QueryParam::x==a.*][QueryParam::x==.*b]`, `path /a, query x=a.*, query x=.*b`},
		{`/a[QueryParam::x==a] `, `path /a, query x=a`},
		// What looks like a host and is none.
		{`.*\.csv`, `path .*\.csv`},
		{`/export/a.com/b`, `path /export/a.com/b`},
		{`.*/a.example.com/b`, `path .*/a.example.com/b`},
		{`.*report.v2/x`, `path .*report.v2/x`},
		{`.*jquery.min.js`, `path .*jquery.min.js`},
		{`.*report.final.pdf`, `path .*report.final.pdf`},
		{`.*data.json/x`, `path .*data.json/x`},
		{`.*http-config/.*`, `path .*http-config/.*`},
		{`/rest/SHORT_URL/.*`, `path /rest/SHORT_URL/.*`},
		{`(/rest|/api)/x`, `path (/rest|/api)/x`},
		{`rest/api/.*`, `path rest/api/.*`},
		{`/a\\?b`, `path /a\\?b`},
		{`/a?b`, `path /a?b`},
		{`(/a|/b)`, `path (/a|/b)`},
		{`.*`, `path .*`},
	} {
		var dec manifest.Decoder
		r, err := dec.ParseLine(strings.TrimSpace(c.line))
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		if got := describe(r); got != c.want {
			t.Errorf("%s: %s, want %s", c.line, got, c.want)
		}
	}
}

func TestLinesThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		line   string
		offset int
		want   string
	}{
		{`http://jira/rest`, 0, "scheme or host"},
		{`https?://.*`, 0, "scheme or host"},
		{`.*https://jira.example.com/rest/.*`, 0, "scheme or host"},
		{`^https://x/`, 0, "scheme or host"},
		{`//jira.example.com/rest`, 0, "scheme or host"},
		{`jira.example.com`, 0, "scheme or host"},
		{`jira\.example\.com/rest/.*`, 0, "scheme or host"},
		{`localhost:2990/jira/rest/.*`, 0, "scheme or host"},
		{`localhost/rest`, 0, "scheme or host"},
		{`.*jira.example.com/rest/.*`, 0, "scheme or host"},
		{`.*\.example\.com/rest/.*`, 0, "scheme or host"},
		{`(jira|wiki)\.example\.com/rest/.*`, 0, "scheme or host"},
		{`.*example.com/rest`, 0, "scheme or host"},
		{`.*http://x`, 0, "scheme or host"},
		{`ftp:\/\/x`, 0, "scheme or host"},
		{`[get]{JIRA_URL}/rest/.*`, 5, "{JIRA_URL} is a placeholder for a URL"},
		{`JIRA_URL/rest/.*`, 0, "JIRA_URL is a placeholder for a URL"},
		{`{CONFLUENCE_URL}/rest/.*`, 0, "{CONFLUENCE_URL} is a placeholder for a URL"},
		{`[get]/a\?b`, 7, `\? in the pattern`},
		{`/a#b`, 2, "`#` in the pattern"},
		{`/a\#b`, 2, "`#` in the pattern"},
		{`[get`, 0, "without its `]`"},
		{`[]/a`, 0, "letters and commas"},
		{`[get, post]/a`, 0, "letters and commas"},
		{`[get,]/a`, 0, "letters and commas"},
		{`[0-9]/a`, 0, "letters and commas"},
		{`[QueryParam::a==b]`, 0, "letters and commas"},
		{`[get]`, 5, "no pattern for the path"},
		{`[get][QueryParam::a==b]`, 5, "no pattern for the path"},
		{`[get]/a(`, 5, "bad regular expression"},
		{`/a[QueryParam::x]`, 2, "expected [QueryParam::NAME==REGEX]"},
		{`/a[QueryParam::x==]`, 2, "expected [QueryParam::NAME==REGEX]"},
		{`/a[QueryParam::==x]`, 2, "expected [QueryParam::NAME==REGEX]"},
		{`/a[QueryParam::x==y`, 2, "without its `]`"},
		{`/a[QueryParam::x==y]z`, 2, "text after"},
		{`/a[QueryParam::x==y]z[QueryParam::x==y]`, 2, "text after"},
		{`/a[Query::x==y]`, 2, "unknown group [Query::"},
		{`/a[queryparam::x==y]`, 2, "did you mean QueryParam?"},
		{`/a[x::y]`, 2, "write [[]"},
		{`/a[JsonData::a..b==c]`, 2, "empty name"},
		{`/a[JsonData::a==(]`, 2, "bad regular expression"},
	} {
		var dec manifest.Decoder
		r, err := dec.ParseLine(c.line)
		if err == nil {
			t.Errorf("%s: %s", c.line, describe(r))
			continue
		}
		if !strings.Contains(err.Message, c.want) || err.Offset != c.offset {
			t.Errorf("%s: at %d: %s, want at %d: %s", c.line, err.Offset, err.Message, c.offset, c.want)
		}
	}
}

// FuzzLine checks that an accepted line has a path, and means the same when it
// is read again.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{`[post].*/a[JsonData::a==b]`, `/a[QueryParam::x==[a-z]+][QueryParam::y==z]`, `[get]`, `/[a`, `{JIRA_URL}/x`, `(_URL}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var dec manifest.Decoder
		r, err := dec.ParseLine(line)
		if err != nil {
			if err.Offset < 0 || err.Offset > len(line) || err.Message == "" {
				t.Fatalf("%q: %+v", line, err)
			}
			return
		}
		if r.Path.Pattern == nil {
			t.Fatalf("%q has no path", line)
		}
		if again, err := dec.ParseLine(line); err != nil || describe(again) != describe(r) {
			t.Fatalf("%q: %s, then %s", line, describe(r), describe(again))
		}
	})
}
