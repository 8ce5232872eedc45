package suggest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

func pattern(t *testing.T, text string) *policy.Pattern {
	t.Helper()
	p, err := policy.CompilePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// proposed is what is proposed for a token with some rules, of which the log has calls.
func proposed(t *testing.T, grant policy.Grant, calls ...audit.Event) Token {
	t.Helper()
	var log []byte
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range calls {
		e := &calls[i]
		e.Time, e.Kind, e.Decision, e.Reason, e.Token = start.AddDate(0, 0, 40*i), audit.Decision, audit.Allow, "ok", "a"
		if e.Method == "" {
			e.Method = "GET"
		}
		if e.BodyState == "" {
			e.BodyState = "absent"
		}
		log = audit.AppendLine(log, e, "i", uint64(i+1))
	}
	rows := policy.Rows{Tokens: []*policy.Token{{Name: "a", User: "alice", Grant: grant}}}
	r, err := Logs(context.Background(), []audit.Input{{Name: "log", Reader: strings.NewReader(string(log))}}, rows, Options{MinDays: 30}, nil)
	if err != nil || len(r.Tokens) != 1 {
		t.Fatalf("%v: %+v", err, r)
	}
	return r.Tokens[0]
}

// TestProposals has tokens of which something is special.
func TestProposals(t *testing.T) {
	rule := func(name string, methods []string, path string) *policy.Rule {
		return &policy.Rule{Name: name, Methods: methods, Path: pattern(t, path)}
	}
	own := func(rules ...*policy.Rule) policy.Grant {
		return policy.Grant{Policies: []*policy.Policy{{Allow: rules}}}
	}
	conditional := rule("other", nil, `/x.*`)
	conditional.Query = []policy.Parameter{policy.NewParameter("v", pattern(t, "1"))}
	var many []audit.Event
	for i := range maxRules + 1 {
		many = append(many, audit.Event{Path: fmt.Sprintf("/x%s", strings.Repeat("/y", i)), Rule: "a"})
	}
	get := audit.Event{Path: "/x/1", Rule: "a"}
	for _, c := range []struct {
		name  string
		grant policy.Grant
		calls []audit.Event
		want  string // lines, and a part of the warnings
	}{
		{"the rule that the log names", own(rule("b", nil, `/x.*`), rule("a", nil, `/x/\d`)), []audit.Event{get, get}, `[get]/x/1 | `},
		{"a rule with another name now", own(rule("c", nil, `/x.*`)), []audit.Event{get, get}, `[get]/x/1 | `},
		{"a rule that may be meant, with a condition", own(conditional), []audit.Event{get, get}, ` | which rule allowed GET /x/1 can't be told`},
		{"calls that are refused by now", own(rule("a", nil, `/x.*`)), []audit.Event{get, {Path: "/y"}, get}, `[get]/x/1 | 1 calls such as GET /y are not allowed by the present rules any more`},
		{"a pattern that can't be kept within", own(rule("a", nil, `/x/\d{3}`)), []audit.Event{{Path: "/x/100", Rule: "a"}, {Path: "/x/200", Rule: "a"}},
			`[get]/x/\d{3} | /x/\d+ is too long, or not proven`},
		{"another method in a parameter", own(rule("a", []string{"GET", "POST"}, `/x.*`)), []audit.Event{{Path: "/x", Query: "_method=put", Rule: "a"}, get},
			"[get,post]/x\n[get]/x/1 | calls of /x name another method"},
		{"too many rules", policy.Grant{Unrestricted: true}, many, ` | 65 rules`},
		{"no path in the log", policy.Grant{Unrestricted: true}, []audit.Event{{Path: "/" + strings.Repeat("x", 5000)}, get}, ` | 1 calls have a path that was cut`},
	} {
		got := proposed(t, c.grant, c.calls...)
		lines, warning, _ := strings.Cut(c.want, " | ")
		if strings.Join(got.LimitTo, "\n") != lines || !strings.Contains(strings.Join(got.Warnings, "\n"), warning) || warning == "" && len(got.Warnings) > 0 {
			t.Errorf("%s: %+v\nwant %s", c.name, got, c.want)
		}
		if got.Proposed() != (lines != "") || !got.Proposed() && got.Covered > 0 {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
