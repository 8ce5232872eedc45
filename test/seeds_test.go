package test

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/test/golden"
	"github.com/patgate/patgate/token"
)

// TestSeeds tries the claims of the five product pages that the ideas come from: each
// sentence of them that a request can try is one, and its verdict is in
// testdata/seeds.golden.
func TestSeeds(t *testing.T) {
	day := func(n int) string { return time.Now().AddDate(0, 0, n).UTC().Format(time.RFC3339) }
	secrets := map[string]string{"jsm": "user_api_token"} // the page's own
	names := []string{"jra", "comment", "filters", "worklogs", "create-filter", "uneditable", "anybody", "stelin", "fresh", "old", "soon", "office", "gone", "pat"}
	for _, name := range names {
		secrets[name] = token.Mint().Reveal()
	}
	tok := func(name, spec string) string {
		return kind(name, "APIToken", fmt.Sprintf("digest: %s\n", digestOf(secrets[name]))+spec)
	}
	limited := func(name, line string) string {
		return tok(name, "user: admin\nissued: "+day(-1)+"\nlimitTo: |\n  "+line+"\n")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "seeds.yaml"), strings.Join([]string{
		kind("jira", "Gate", "schemes: [basic, bearer]\ngroups: [token-users, contractors]\nclientIP: {source: xff}\nanonymous:\n  allow:\n  - {methods: [GET], path: /rest/api/2/serverInfo}\n"),
		kind("token-users", "UserGroup", "members: [admin, user@example.com, alice, anna, ben]\n"),
		kind("contractors", "UserGroup", "members: [carl]\ntokens: {maxLifetime: 90d}\n"),
		tok("jsm", "user: user@example.com\nissued: "+day(-1)+"\nlimitTo: '[get]/jsm/ops/api/[^/]+/v1/schedules/[^/]+'\n"),
		limited("jra", `.*/rest/api/2/issue/JRA.*`),
		limited("comment", `[post].*/rest/api/2/issue/KANBAN-100/comment.*`),
		limited("filters", `.*/rest/api/2/filter/.*[QueryParam::expand==permission]`),
		limited("worklogs", `.*/rest/extender/1.0/worklog/.*[QueryParam::dateFrom==2018-.*][QueryParam::dateTo==2018-.*]`),
		limited("uneditable", `[post].*/rest/api/2/filter[JsonData::editable==false]`),
		limited("create-filter", `[post].*/rest/api/2/filter[JsonData::editable==false][JsonData::favourite==false]`),
		tok("anybody", "anyUser: true\nissued: "+day(-1)+"\nunrestricted: true\n"),
		tok("stelin", "user: stelin\nissued: "+day(-1)+"\nunrestricted: true\n"),
		tok("fresh", "user: carl\nissued: "+day(-80)+"\nunrestricted: true\n"),
		tok("old", "user: carl\nissued: "+day(-91)+"\nunrestricted: true\n"),
		tok("soon", "user: alice\nissued: "+day(-85)+"\nexpires: "+day(4)+"\nunrestricted: true\n"),
		tok("office", "user: alice\nissued: "+day(-1)+"\nclients: {allow: [10.0.0.0/8]}\nunrestricted: true\n"),
		tok("gone", "user: alice\nissued: "+day(-9)+"\nrevoked: "+day(-1)+"\nunrestricted: true\n"),
		tok("pat", "user: alice\nissued: "+day(-1)+"\nunrestricted: true\n"),
	}, ""))
	s := startSystem(t, dir, nil)
	filter := func(favourite, editable string) string {
		return `{ "name": "All Open Bugs", "description": "Lists all open bugs", "jql": "type = Bug and resolution is empty", "favourite": ` + favourite + `, "editable": ` + editable + ` }`
	}
	basic := func(user, name string) string { return basicAuth(user, secrets[name]) }
	bearer := func(name string) string { return "Bearer " + secrets[name] }
	encoded := "Bearer " + base64.StdEncoding.EncodeToString([]byte(secrets["pat"]))
	var b strings.Builder
	for _, c := range []struct {
		page, says string
		ask        ask
	}{
		{"JSM operations", "Basic with the header of the page", ask{path: "/jsm/ops/api/c1/v1/schedules/s1", authorization: "Basic dXNlckBleGFtcGxlLmNvbTp1c2VyX2FwaV90b2tlbg=="}},
		{"JSM operations", "without logging in you are anonymous", ask{path: "/rest/api/2/serverInfo"}},
		{"JSM operations", "and may not do what needs a login", ask{path: "/jsm/ops/api/c1/v1/schedules/s1"}},
		{"JSM operations", "passwords have been deprecated", ask{path: "/jsm/ops/api/c1/v1/schedules/s1", authorization: basicAuth("user@example.com", "my-password")}},
		{"Extender", "limit: JRA project issues", ask{path: "/rest/api/2/issue/JRA-1", authorization: basic("admin", "jra")}},
		{"Extender", "limit: other issues are outside", ask{path: "/rest/api/2/issue/AAA-1", authorization: basic("admin", "jra")}},
		{"Extender", "limit: text in the query does not satisfy it", ask{path: "/rest/api/2/issue/AAA-1?x=/rest/api/2/issue/JRA-1", authorization: basic("admin", "jra")}},
		{"Extender", "limit: POST a comment", ask{method: "POST", path: "/rest/api/2/issue/KANBAN-100/comment", authorization: basic("admin", "comment"), body: `{"body":"Comment text"}`}},
		{"Extender", "limit: but not GET", ask{path: "/rest/api/2/issue/KANBAN-100/comment", authorization: basic("admin", "comment")}},
		{"Extender", "limit: filters with permission", ask{path: "/rest/api/2/filter/favourite?expand=permission", authorization: basic("admin", "filters")}},
		{"Extender", "limit: and no other expand", ask{path: "/rest/api/2/filter/favourite?expand=subscriptions", authorization: basic("admin", "filters")}},
		{"Extender", "limit: nor both", ask{path: "/rest/api/2/filter/favourite?expand=permission&expand=subscriptions", authorization: basic("admin", "filters")}},
		{"Extender", "limit: worklogs of 2018", ask{path: "/rest/extender/1.0/worklog/all?dateFrom=2018-01-01&dateTo=2018-12-01", authorization: basic("admin", "worklogs")}},
		{"Extender", "limit: not of 2019", ask{path: "/rest/extender/1.0/worklog/all?dateFrom=2018-01-01&dateTo=2019-01-01", authorization: basic("admin", "worklogs")}},
		{"Extender", "limit: both dates are required", ask{path: "/rest/extender/1.0/worklog/all?dateFrom=2018-01-01", authorization: basic("admin", "worklogs")}},
		{"Extender", "limit: a new filter, uneditable", ask{method: "POST", path: "/rest/api/2/filter", authorization: basic("admin", "uneditable"), body: filter("true", "false")}},
		{"Extender", "limit: not an editable one", ask{method: "POST", path: "/rest/api/2/filter", authorization: basic("admin", "uneditable"), body: filter("true", "true")}},
		{"Extender", "limit: uneditable, not a favourite", ask{method: "POST", path: "/rest/api/2/filter", authorization: basic("admin", "create-filter"), body: filter("false", "false")}},
		{"Extender", "limit: not a favourite one", ask{method: "POST", path: "/rest/api/2/filter", authorization: basic("admin", "create-filter"), body: filter("true", "false")}},
		{"Extender", "a token of a user: only that user can use it", ask{path: "/rest/api/2/issue/JRA-1", authorization: basic("anna", "jra")}},
		{"Extender", "no user: any user, with Basic", ask{path: "/rest/api/2/issue/AAA-1", authorization: basic("anna", "anybody")}},
		{"Extender", "another one", ask{path: "/rest/api/2/issue/AAA-1", authorization: basic("ben", "anybody")}},
		{"Extender", "no user: not with Bearer", ask{path: "/rest/api/2/issue/AAA-1", authorization: bearer("anybody")}},
		{"Kantega", "curl -u username:my-api-token", ask{path: "/rest/", authorization: basic("alice", "pat")}},
		{"Kantega", "IP restriction", ask{path: "/rest/", authorization: basic("alice", "office")}},
		{"Kantega", "stelin is not a member of token-users", ask{path: "/rest/", authorization: basic("stelin", "stelin")}},
		{"Kantega", "90 days at most: on day 80", ask{path: "/rest/", authorization: basic("carl", "fresh")}},
		{"Kantega", "90 days at most: on day 91", ask{path: "/rest/", authorization: basic("carl", "old")}},
		{"Red Hat", "Authorization: Bearer <yourToken>", ask{path: "/rest/api/2/myself", authorization: bearer("pat")}},
		{"Red Hat", "encoded with base64 it won't work", ask{path: "/rest/api/2/myself", authorization: encoded}},
		{"Red Hat", "EXPIRES SOON, 5 days before", ask{path: "/rest/api/2/myself", authorization: bearer("soon")}},
		{"Ativo", "the token is revoked immediately", ask{path: "/rest/api/1/team", authorization: bearer("gone")}},
	} {
		got := s.http(t, c.ask)
		note := ""
		if got.header.Get("x-patgate-token-expires") != "" {
			note = ", x-patgate-token-expires"
		}
		if rule := got.event.Rule; rule != "" {
			note += ", " + rule
		}
		fmt.Fprintf(&b, "%-14s | %-45s | %d %s%s\n", c.page, c.says, got.status, got.event.Reason, note)
	}
	golden.File(t, "testdata/seeds.golden", b.String())
	s.oneEventACheck(t)
	delete(secrets, "jsm") // no secret: it is on a public page
	s.holdsNo(secrets)
}
