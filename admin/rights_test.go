package admin_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/admin"
)

// callers are everybody who may ask, in the order of the table's columns.
var callers = []struct {
	name string
	who  func(g *rig) as
}{
	{"anonymous", func(*rig) as { return as{} }},
	{"user", func(*rig) as { return as{header: "alice"} }},
	{"other", func(*rig) as { return as{header: "bob"} }},
	{"leaver", func(*rig) as { return as{header: "leaver"} }}, // may create none
	{"admin", func(*rig) as { return as{header: "root"} }},
	{"limited", func(*rig) as { return as{token: "limited"} }}, // a token of alice's that does less than her others
	{"canary", func(*rig) as { return as{token: "honey"} }},
	{"expired", func(g *rig) as { return as{raw: http.Header{"Cookie": {g.expired}}} }},
}

// create is the body of a new token.
const create = `{"displayName": "New one", "limitTo": ["[get]/rest/x"], "expiresIn": "7d"}`

// calls is every call, on a token of alice's where it is about one, and what becomes of it for each
// of the callers.
var calls = []struct {
	method, path, body string
	want               string // statuses by caller
}{
	{"GET", "/api/v1/me", "", "401 200 200 200 200 200 401 401"},
	{"GET", "/api/v1/tokens", "", "401 200 200 200 200 200 401 401"},
	{"GET", "/api/v1/tokens/mine", "", "401 200 404 404 200 200 401 401"},
	{"GET", "/api/v1/tokens/honey", "", "401 404 404 404 200 404 401 401"},
	{"GET", "/api/v1/tokens/mine/snippets", "", "401 200 404 404 200 200 401 401"},
	{"GET", "/api/v1/tokens/mine/events", "", "401 200 404 404 200 200 401 401"},
	{"POST", "/api/v1/tokens", create, "401 201 201 403 201 403 401 401"},
	{"POST", "/api/v1/tokens", `{"displayName": "X", "limitTo": ["[get]/rest/own"], "expiresIn": "7d"}`, "401 201 201 403 201 201 401 401"},
	{"POST", "/api/v1/tokens", `{"displayName": "X", "limitTo": ["[get]/rest/own"], "expiresIn": "60d"}`, "401 201 201 403 201 403 401 401"},
	{"POST", "/api/v1/tokens", `{"displayName": "X", "unrestricted": true}`, "401 201 201 403 201 403 401 401"},
	{"POST", "/api/v1/tokens", `{"displayName": "X", "policies": ["read"], "user": "alice"}`, "401 201 403 403 201 403 401 401"},
	{"POST", "/api/v1/tokens", `{"displayName": "X", "policies": ["read"], "anyUser": true, "schemes": ["basic"]}`, "401 403 403 403 201 403 401 401"},
	{"POST", "/api/v1/tokens", `{"displayName": "X", "policies": ["read"], "forever": true}`, "401 400 400 403 201 400 401 401"},
	{"POST", "/api/v1/tokens", `{"displayName": "X", "policies": ["read"], "actAs": ["bob"]}`, "401 403 403 403 201 403 401 401"},
	{"POST", "/api/v1/tokens", `{"displayName": "X", "policies": ["read"], "logins": ["x"]}`, "401 403 403 403 201 403 401 401"},
	{"POST", "/api/v1/tokens", `{"displayName": "X", "canary": true}`, "401 403 403 403 201 403 401 401"},
	{"POST", "/api/v1/tokens:preview", `{"displayName": "X", "canary": true}`, "401 403 403 403 200 403 401 401"},
	{"POST", "/logout", "", "303 303 303 303 303 303 303 303"},
	{"GET", "/api/v1/openapi.json", "", "200 200 200 200 200 200 200 200"},
	{"POST", "/api/v1/tokens:preview", create, "401 200 200 403 200 403 401 401"},
	{"PATCH", "/api/v1/tokens/mine", `{"displayName": "Other"}`, "401 200 404 404 200 200 401 401"},
	{"PATCH", "/api/v1/tokens/mine", `{"suspended": true}`, "401 200 404 404 200 200 401 401"},
	{"PATCH", "/api/v1/tokens/mine", `{"limitTo": ["/.*"]}`, "401 403 404 404 200 403 401 401"},
	{"PATCH", "/api/v1/tokens/mine", `{"unrestricted": true, "limitTo": null, "policies": null}`, "401 403 404 404 200 403 401 401"},
	{"PATCH", "/api/v1/tokens/mine", `{"gates": null}`, "401 403 404 404 200 403 401 401"},
	{"PATCH", "/api/v1/tokens/mine", `{"expires": "2026-06-20T00:00:00Z"}`, "401 200 404 404 200 200 401 401"},
	{"PATCH", "/api/v1/tokens/mine", `{"expires": "2026-07-29T00:00:00Z"}`, "401 403 404 404 200 403 401 401"},
	{"PATCH", "/api/v1/tokens/mine", `{"expires": null}`, "401 400 404 404 400 400 401 401"},
	{"PATCH", "/api/v1/tokens/stopped", `{"suspended": false}`, "401 403 404 404 200 403 401 401"},
	{"POST", "/api/v1/tokens/mine:rotate", `{"overlap": "1h"}`, "401 200 404 404 200 403 401 401"},
	{"POST", "/api/v1/tokens/limited:rotate", ``, "401 200 404 404 200 200 401 401"},
	{"POST", "/api/v1/tokens/mine:revoke", "", "401 200 404 404 200 200 401 401"},
	{"POST", "/api/v1/tokens/honey:revoke", "", "401 404 404 404 409 404 401 401"},
	{"POST", "/api/v1/tokens:revoke", `{"user": "alice", "expect": 3}`, "401 403 403 403 200 403 401 401"},
	{"POST", "/api/v1/tokens:revoke", `{"user": "alice", "dryRun": true}`, "401 403 403 403 200 403 401 401"},
	{"POST", "/api/v1/tokens:revoke", `{"user": "alice", "expect": 2}`, "401 403 403 403 409 403 401 401"},
	{"GET", "/rest/pat/latest/tokens", "", "401 200 200 200 200 200 401 401"},
	{"GET", "/rest/pat/1.0/tokens", "", "401 200 200 200 200 200 401 401"},
	{"POST", "/rest/pat/latest/tokens", `{"name": "x", "expirationDuration": 400}`, "401 201 201 403 201 403 401 401"},
	{"POST", "/rest/pat/latest/tokens/search", `{}`, "401 403 403 403 200 403 401 401"},
	{"DELETE", fmt.Sprintf("/rest/pat/latest/tokens/%d", admin.ID("mine")), "", "401 204 404 404 404 204 401 401"},
	{"DELETE", fmt.Sprintf("/rest/pat/latest/tokens/%d", admin.ID("honey")), "", "401 404 404 404 404 404 401 401"},
}

// newOffice is a rig with tokens.
func newOffice(t *testing.T, change func(*admin.Options)) *rig {
	g := newRig(t, change)
	g.put("mine", "  user: alice\n  policies: [read]\n  gates: [jira]\n  expires: 2026-07-01T00:00:00Z\n")
	g.put("limited", "  user: alice\n  expires: 2026-06-21T00:00:00Z\n  policies: [read]\n  gates: [tokens]\n  limitTo: |\n    [get]/rest/own\n    /api/v1/.*\n    /rest/pat/.*\n")
	g.put("stopped", "  user: alice\n  policies: [read]\n  suspended: true\n")
	g.put("honey", "  canary: true\n")
	return g
}

// TestRightsByCalls is the table of who may do what.
func TestRightsByCalls(t *testing.T) {
	for _, call := range calls {
		wants := strings.Fields(call.want)
		for i, caller := range callers {
			g := newOffice(t, nil)
			before := g.Store.Text()
			answer := g.do(caller.who(g), call.method, call.path, call.body)
			if fmt.Sprint(answer.StatusCode) != wants[i] {
				t.Errorf("%s %s %s as %s: %d, want %s: %s", call.method, call.path, call.body, caller.name, answer.StatusCode, wants[i], textOf(t, answer))
				continue
			}
			refused := answer.StatusCode >= 400
			if refused && g.Store.Text() != before {
				t.Errorf("%s %s as %s: refused, and something is written", call.method, call.path, caller.name)
			}
			if kinds := g.Log.Take(); refused && !slices.Contains(kinds, "manage.refused") {
				t.Errorf("%s %s as %s: refused without an event: %v", call.method, call.path, caller.name, kinds)
			}
		}
	}
}

// TestSecureMode tries every write while secure mode is on.
func TestSecureMode(t *testing.T) {
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/api/v1/tokens", create, 201},
		{"POST", "/api/v1/tokens/mine:rotate", "", 200},
		{"POST", "/api/v1/tokens/mine:revoke", "", 200},
		{"POST", "/api/v1/tokens:revoke", `{"names": ["mine"], "expect": 1}`, 200},
		{"POST", "/rest/pat/latest/tokens", `{"name": "x"}`, 201},
		{"POST", "/api/v1/tokens:preview", create, 200},
		{"POST", "/api/v1/tokens:preview", `{"displayName": "X", "policies": ["read"], "user": "bob"}`, 409},
		{"POST", "/api/v1/tokens:preview", `{"displayName": "X", "policies": ["read"], "anyUser": true}`, 409},
		{"PATCH", "/api/v1/tokens/mine", `{"displayName": "Other"}`, 409},
		{"PATCH", "/api/v1/tokens/mine", `{"description": "Other"}`, 409},
		{"PATCH", "/api/v1/tokens/mine", `{"suspended": true}`, 409},
		{"PATCH", "/api/v1/tokens/mine", `{"suspended": false}`, 409},
		{"PATCH", "/api/v1/tokens/mine", `{"policies": null, "unrestricted": true}`, 409},
		{"PATCH", "/api/v1/tokens/mine", `{"expires": "2026-06-20T00:00:00Z"}`, 409},
		{"PATCH", "/api/v1/tokens/mine", `{"gates": ["tokens"]}`, 409},
		{"PATCH", "/api/v1/tokens/mine", `{"schemes": ["bearer"]}`, 409},
		{"PATCH", "/api/v1/tokens/mine", `{"clients": {"allow": ["10.0.0.0/8"]}}`, 409},
		{"PATCH", "/api/v1/tokens/mine", `{"allow": [{"path": "/rest/x"}]}`, 409},
		{"PATCH", "/api/v1/tokens/mine", `{"limitTo": ["/rest/x"]}`, 409},
		{"PATCH", "/api/v1/tokens/mine", `{}`, 409},
		{"GET", "/api/v1/tokens/mine/snippets", "", 409},
		{"GET", "/api/v1/tokens/mine", "", 200},
	} {
		g := newOffice(t, func(o *admin.Options) { o.Secure = true })
		answer := g.do(as{header: "root"}, c.method, c.path, c.body)
		if c.path == "/api/v1/tokens" || strings.HasPrefix(c.path, "/rest") {
			answer = g.do(as{header: "alice"}, c.method, c.path, c.body)
		}
		got := textOf(t, answer)
		if answer.StatusCode != c.want || c.want == 409 && !strings.Contains(got, `"reason":"secure_mode"`) {
			t.Errorf("%s %s %s: %d, want %d: %s", c.method, c.path, c.body, answer.StatusCode, c.want, got)
		}
	}
}

// TestAtlassianAnswers has the shapes of their API.
func TestAtlassianAnswers(t *testing.T) {
	g := newOffice(t, nil)
	made := read(t, g.do(as{header: "alice"}, "POST", "/rest/pat/latest/tokens", `{"name": "tokenName", "expirationDuration": 400}`))
	for name, want := range map[string]any{"name": "tokenName", "createdAt": "2026-06-01T12:00:00.000+0000", "expiringAt": "2026-08-30T12:00:00.000+0000"} {
		if made[name] != want {
			t.Errorf("%s is %v, want %v: a longer life becomes the cap", name, made[name], want)
		}
	}
	if longest := read(t, g.do(as{header: "root"}, "POST", "/rest/pat/latest/tokens", `{"name": "longest", "expirationDuration": 900000000}`)); longest["id"] == nil {
		t.Errorf("a duration beyond every cap: %v", longest)
	}
	if raw, _ := made["rawToken"].(string); !strings.HasPrefix(raw, "patg_") {
		t.Errorf("%v", made)
	}
	for body, want := range map[string]int{
		`{"name": "tokenName"}`: 400, `{"name": ""}`: 400, `{}`: 400, `{"name": "` + strings.Repeat("x", 41) + `"}`: 400,
		`{"name": "y", "expirationDuration": 0}`: 400, "{\"name\": \"\xff\"}": 400, `{"name": "y", "expirationDuration": null}`: 400, `{"name": 5}`: 400, `[]`: 400, `{`: 400,
	} {
		answer := g.do(as{header: "alice"}, "POST", "/rest/pat/latest/tokens", body)
		got := read(t, answer)
		if answer.StatusCode != want || len(got["errorMessages"].([]any)) != 1 || got["errors"] == nil || got["status"] != float64(want) {
			t.Errorf("%s: %d %v", body, answer.StatusCode, got)
		}
	}
	path := fmt.Sprintf("/rest/pat/latest/tokens/%d", int64(made["id"].(float64)))
	for _, want := range []int{204, 404} {
		if answer := g.do(as{header: "alice"}, "DELETE", path, ""); answer.StatusCode != want {
			t.Errorf("deleted: %d, want %d", answer.StatusCode, want)
		}
	}
	if text := textOf(t, g.do(as{header: "alice"}, "GET", "/rest/pat/latest/tokens", "")); strings.Contains(text, "tokenName") || strings.Contains(text, "rawToken") || !strings.HasPrefix(text, "[") {
		t.Errorf("%s", text)
	}
	if got := read(t, g.do(as{header: "alice"}, "GET", "/api/v1/tokens/tokenname", "")); got["state"] != "revoked" {
		t.Errorf("%v", got)
	}
	for range 3 { // with mine, limited and stopped they are five
		g.do(as{header: "alice"}, "POST", "/rest/pat/latest/tokens", `{"name": "n`+fmt.Sprint(time.Now().UnixNano())+`"}`)
	}
	if answer := g.do(as{header: "alice"}, "POST", "/rest/pat/latest/tokens", `{"name": "too many"}`); answer.StatusCode != 400 {
		t.Errorf("beyond max: %d", answer.StatusCode)
	}
	page := read(t, g.do(as{header: "root"}, "POST", "/rest/pat/latest/tokens/search", `{"page": 0, "limit": 2, "userKeys": ["alice"]}`))
	if page["size"] != 2.0 || page["isLastPage"] != false || page["values"].([]any)[0].(map[string]any)["userProfileResource"].(map[string]any)["username"] != "alice" {
		t.Errorf("%v", page)
	}
	alone := read(t, g.do(as{header: "root"}, "POST", "/rest/pat/latest/tokens", `{"name": "mine"}`))
	if alone["expiringAt"] != "9999-12-31T23:59:59.000+0000" {
		t.Errorf("%v", alone)
	}
}

// TestETags has two people change a token at once.
func TestETags(t *testing.T) {
	g := newOffice(t, nil)
	tag := g.do(as{header: "alice"}, "GET", "/api/v1/tokens/mine", "").Header.Get("ETag")
	change := func(must, name string) int {
		return g.do(as{header: "alice", raw: http.Header{"If-Match": {must}}}, "PATCH", "/api/v1/tokens/mine", `{"displayName": "`+name+`"}`).StatusCode
	}
	if got := []int{change(tag, "A"), change(tag, "B"), change("*", "C"), change(`"x"`, "D")}; !slices.Equal(got, []int{200, 412, 200, 412}) {
		t.Errorf("%v", got)
	}
	tag = g.do(as{header: "alice"}, "GET", "/api/v1/tokens/mine", "").Header.Get("ETag")
	if got := []int{change("W/"+tag, "E"), change(`"x", `+tag, "C")}; !slices.Equal(got, []int{412, 200}) {
		t.Errorf("a weak tag, and a list: %v", got)
	}
	if got := read(t, g.do(as{header: "alice"}, "GET", "/api/v1/tokens/mine", "")); got["displayName"] != "C" {
		t.Errorf("%v", got)
	}
}

// TestLists has filters, orders and cursors.
func TestLists(t *testing.T) {
	g := newOffice(t, nil)
	g.put("gone", "  user: bob\n  policies: [read]\n  revoked: 2026-05-03T00:00:00Z\n")
	names := func(who, query string) string {
		var list []string
		next := ""
		for range 9 {
			got := read(t, g.do(as{header: who}, "GET", "/api/v1/tokens?limit=2&"+query+next, ""))
			items, ok := got["items"].([]any)
			if !ok {
				return fmt.Sprint(got["reason"], " ", got["field"])
			}
			for _, item := range items {
				list = append(list, item.(map[string]any)["name"].(string))
			}
			if got["next"] == nil {
				break
			}
			next = "&cursor=" + got["next"].(string)
		}
		return strings.Join(list, " ")
	}
	for _, c := range [][3]string{
		{"alice", "", "limited mine stopped"}, {"bob", "", "gone"}, {"leaver", "", ""}, {"root", "", "gone honey limited mine stopped"},
		{"root", "user=alice", "limited mine stopped"}, {"bob", "user=alice", ""}, {"root", "group=users&state=revoked", "gone"},
		{"alice", "sort=-name", "stopped mine limited"}, {"alice", "sort=expires", "limited mine stopped"}, {"alice", "sort=-expires", "stopped mine limited"},
		{"alice", "gate=tokens&gate=x", "limited stopped"}, {"alice", "q=STOP", "stopped"}, {"alice", "state=suspended,revoked", "stopped"},
		{"alice", "expiresBefore=2026-06-25T00:00:00Z", "limited"}, {"alice", "unusedSince=2026-06-25T00:00:00Z", "limited mine stopped"},
		{"alice", "state=x", "invalid state"}, {"alice", "sort=x", "invalid sort"}, {"alice", "cursor=x", "invalid cursor"}, {"alice", "limit=0", "limited mine stopped"},
		{"alice", "expiresBefore=x", "invalid expiresBefore"},
	} {
		if got := names(c[0], c[1]); got != c[2] && c[1] != "limit=0" {
			t.Errorf("%s %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
}
