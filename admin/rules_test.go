package admin_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/usage"
)

// TestRulesShowTheirUses has a rule of a policy that was used, own rules of which one was.
func TestRulesShowTheirUses(t *testing.T) {
	used := usage.Token{Rules: []usage.RuleUse{
		{Policy: "read", Rule: "read all", Text: "GET,HEAD  /rest/.*", Count: 7, Last: now.Add(-time.Hour)},
		{Rule: "allow[3]", Text: "POST  /a", Count: 2, Last: now},   // it was moved since
		{Rule: "allow[1]", Text: "POST  /old", Count: 9, Last: now}, // it was changed since
	}}
	g := newRig(t, func(o *admin.Options) {
		o.Rules = func(string) usage.Token { return used }
	})
	blind := newRig(t, nil)
	spec := "  user: alice\n  policies: [read]\n  allow: [{methods: [POST], path: /a}, {methods: [POST], path: /b}]\n"
	g.put("ci", spec)
	blind.put("ci", spec)
	uses := func(g *rig) string {
		text := ""
		for _, r := range read(t, g.do(as{header: "alice"}, "GET", "/api/v1/tokens/ci", ""))["rules"].([]any) {
			rule := r.(map[string]any)
			line, err := json.Marshal([]any{rule["text"], rule["uses"], rule["lastUsed"]})
			if err != nil {
				t.Fatal(err)
			}
			text += string(line)
		}
		return text
	}
	for _, c := range []struct {
		name string
		rig  *rig
		more int64
		want string
	}{
		{"counted", g, 0, `["GET,HEAD  /rest/.*",7,"2026-06-01T11:00:00Z"]["POST  /a",2,"2026-06-01T12:00:00Z"]["POST  /b",0,null]`},
		{"more rules than are counted", g, 1, `["GET,HEAD  /rest/.*",7,"2026-06-01T11:00:00Z"]["POST  /a",2,"2026-06-01T12:00:00Z"]["POST  /b",null,null]`},
		{"not counted here", blind, 0, `["GET,HEAD  /rest/.*",null,null]["POST  /a",null,null]["POST  /b",null,null]`},
	} {
		used.OtherRules = c.more
		if got := uses(c.rig); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
	}
}
