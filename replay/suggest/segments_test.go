package suggest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// TestPatternsOfPaths has paths of one present rule, and the proposed lines.
func TestPatternsOfPaths(t *testing.T) {
	repeat := func(path string, n int) (list []string) {
		for range n {
			list = append(list, path)
		}
		return list
	}
	number := func(format string, n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf(format, 100+i))
		}
		return list
	}
	for _, c := range []struct {
		name  string
		paths []string
		want  string
	}{
		{"numbers", number("/issue/%d/comment", 3), `[get]/issue/\d+/comment`},
		{"one number, seen once", []string{"/board/42"}, `[get]/board/\d+`},
		{"one number, again and again", repeat("/board/42", 30), `[get]/board/42`},
		{"a version is a text", []string{"/api/2/x", "/api/3/x"}, `[get]/api/(?:2|3)/x`},
		{"keys of a project", []string{"/issue/JRA-1", "/issue/JRA-2"}, `[get]/issue/JRA-\d+`},
		{"keys of two projects", []string{"/issue/JRA-1", "/issue/OPS-2"}, `[get]/issue/(?:JRA|OPS)-\d+`},
		{"keys of many projects", []string{"/i/AA-1", "/i/AB-1", "/i/AC-1", "/i/AD-1", "/i/AE-1", "/i/AF-1"}, `[get]/i/[A-Z][A-Z0-9_]+-\d+`},
		{"hashes", []string{"/commit/0123456789abcdef", "/commit/fedcba9876543210"}, `[get]/commit/(?:[0-9a-f]{12,}|[0-9A-F]{12,})`},
		{"names that vary", number("/user/u%d", 8), `[get]/user/[a-z0-9]+`},
		{"more names than are kept", number("/user/u.%d_x", 50), `[get]/user/[a-z0-9_.]+`},
		{"names of other letters", number("/user/ü%d", 50), `[get]/user/[^/\n]+`},
		{"operations come again and again", append(repeat("/a/search", 9), append(repeat("/a/user", 9), repeat("/a/field", 9)...)...), `[get]/a/(?:field|search|user)`},
		{"two places that vary together", []string{"/a/x/b", "/a/y/c"}, "[get]/a/x/b\n[get]/a/y/c"},
		{"two places that vary apart", []string{"/a/x/b", "/a/y/b", "/a/x/c", "/a/y/c"}, `[get]/a/(?:x|y)/(?:b|c)`},
		{"characters of patterns", []string{"/a.b+c"}, `[get]/a\.b\+c`},
		{"the root", []string{"/"}, `[get]/`},
	} {
		all := &calls{kinds: map[kindKey]*kind{}}
		for _, path := range c.paths {
			all.see(&audit.Logged{Method: "GET", Path: path, BodyState: "absent"}, path)
		}
		var lines []string
		for _, n := range needsOf(all.kinds) {
			rule := Rule{Methods: n.methods, Path: n.path()}
			line, ok := rule.Line()
			if !ok {
				t.Errorf("%s: %+v has no line", c.name, rule)
			}
			lines = append(lines, line)
		}
		if got := strings.Join(lines, "\n"); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// TestConditionsOnParameters has the queries of calls, and the conditions that are proposed.
func TestConditionsOnParameters(t *testing.T) {
	for _, c := range []struct {
		name, want string
		query      func(i int) audit.Logged
	}{
		{"one value", "view==all ", func(int) audit.Logged { return audit.Logged{Query: "view=all"} }},
		{"a few values", "v==(?:0|1|2) ", func(i int) audit.Logged { return audit.Logged{Query: fmt.Sprint("v=", i%3)} }},
		{"numbers", `at==\d+ `, func(i int) audit.Logged { return audit.Logged{Query: fmt.Sprint("at=", i%15)} }},
		{"any text", "", func(i int) audit.Logged { return audit.Logged{Query: fmt.Sprint("q=a", i)} }},
		{"not in every call", "", func(i int) audit.Logged { return audit.Logged{Query: []string{"", "v=1"}[i%2]} }},
		{"masked", "", func(int) audit.Logged { return audit.Logged{Query: "v=1&key=REDACTED"} }},
		{"cut", "", func(int) audit.Logged { return audit.Logged{Query: "v=1", QueryBytes: 9000} }},
		{"a semicolon", "", func(int) audit.Logged { return audit.Logged{Query: "v=1;w=2"} }},
		{"look-alikes", "", func(int) audit.Logged { return audit.Logged{Query: "v=1&V=1"} }},
		{"a list", "v[]==1 ", func(int) audit.Logged { return audit.Logged{Query: "v[]=1"} }},
		{"a body, which may be a form", "", func(int) audit.Logged { return audit.Logged{Query: "v=1", BodyState: "whole"} }},
	} {
		all := &calls{kinds: map[kindKey]*kind{}}
		for i := range 40 {
			l := c.query(i)
			if l.Method, l.Path = "GET", "/x"; l.BodyState == "" {
				l.BodyState = "absent"
			}
			all.see(&l, l.Path)
		}
		got := ""
		for _, n := range needsOf(all.kinds) {
			for _, q := range n.query() {
				got += q.Name + "==" + q.Pattern + " "
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestKindsAreBounded has more kinds of requests than are told apart.
func TestKindsAreBounded(t *testing.T) {
	a, b := &calls{kinds: map[kindKey]*kind{}}, &calls{kinds: map[kindKey]*kind{}}
	for i := range 2 * maxKinds {
		path := fmt.Sprintf("/x%d/y", i)
		a.see(&audit.Logged{Method: "GET", Path: path, BodyState: "absent"}, path)
		b.see(&audit.Logged{Method: "PUT", Path: path, BodyState: "absent"}, path)
	}
	a.merge(b)
	if len(a.kinds) != maxKinds || a.lost != 3*maxKinds {
		t.Errorf("%d kinds, %d lost", len(a.kinds), a.lost)
	}
}

// A proposal keeps what a rule says of MCP messages: without it the rule would allow every tool.
func TestConditionsOnMCPStay(t *testing.T) {
	pattern, err := policy.CompilePattern("search_.*")
	if err != nil {
		t.Fatal(err)
	}
	rule := Rule{Methods: []string{"POST"}, Path: "/mcp"}
	rule.conditionsOf(&policy.Rule{MCP: &policy.MCP{Tools: []*policy.Pattern{pattern}}})
	if got := rule.MCP["tools"]; len(got) != 1 || got[0] != "search_.*" {
		t.Errorf("%v", rule)
	}
	if line, ok := rule.Line(); ok {
		t.Errorf("a line without the condition: %s", line)
	}
}
