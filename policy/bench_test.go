package policy_test

import (
	"fmt"
	"testing"

	"github.com/patgate/patgate/policy"
)

// BenchmarkEvaluate measures a decision with the snapshot in hand: ten rules of which
// the last matches, at several numbers of tokens.
func BenchmarkEvaluate(b *testing.B) {
	for _, tokens := range []int{1_000, 100_000} {
		x := policy.NewIndex()
		t := &testing.T{}
		rows := policy.Rows{Gates: []*policy.Gate{{
			Name: "jira", Hosts: []string{policy.AnyHost}, Prefixes: []string{""}, Schemes: policy.Schemes(0).With(policy.Bearer),
			Upstream: policy.NewUpstream("x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "", false),
		}}}
		var rules []*policy.Rule
		for i := range 10 {
			rules = append(rules, rule(t, fmt.Sprint("r", i), "method", "GET", "path", fmt.Sprintf("/rest/api/2/issue%d/[A-Z]+-\\d+", i)))
		}
		p := &policy.Policy{Name: "p", Allow: rules}
		for i := range tokens {
			tok := row(fmt.Sprint("t", i), fmt.Sprint("value", i))
			tok.Grant.Policies = []*policy.Policy{p}
			rows.Tokens = append(rows.Tokens, tok)
		}
		if _, err := x.Replace(rows, now); err != nil {
			b.Fatal(err)
		}
		s := x.Snapshot()
		b.Run(fmt.Sprintf("tokens=%d", tokens), func(b *testing.B) {
			b.ReportAllocs()
			requests := make([]*policy.Request, 997)
			for i := range requests {
				requests[i] = request(with(bearer(fmt.Sprint("value", i*(tokens/997)))), target("/rest/api/2/issue9/JRA-123"))
			}
			for i := 0; b.Loop(); i++ {
				if d := policy.Evaluate(s, requests[i%len(requests)], nil); d.Effect != policy.Allow {
					b.Fatal(d.Reason)
				}
			}
		})
	}
}

// BenchmarkBody measures what a rule on a JSON body of 1 KiB adds.
func BenchmarkBody(b *testing.B) {
	t := &testing.T{}
	body := `{"editable":false,"favourite":false,"fields":{"project":{"key":"JRA"}},"items":[`
	for len(body) < 1000 {
		body += fmt.Sprintf(`{"id":%d,"name":"item"},`, len(body))
	}
	body += `{}]}`
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprintf("rule=%v", with), func(b *testing.B) {
			b.ReportAllocs()
			w := newWorld(t)
			r := rule(t, "r", "path", "/rest/.*")
			if with {
				r = rule(t, "r", "path", "/rest/.*", "json", "editable=false", "json", "favourite=false")
			}
			w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(r)}}
			s, q := w.snapshot(), request(jsonBody(body))
			for b.Loop() {
				if d := policy.Evaluate(s, q, nil); d.Effect != policy.Allow {
					b.Fatal(d.Reason)
				}
			}
		})
	}
}
