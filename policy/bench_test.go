package policy_test

import (
	"fmt"
	"testing"

	"github.com/patgate/patgate/policy"
)

// manyTokens is an index of that many tokens with one policy.
func manyTokens(b testing.TB, tokens int, p *policy.Policy) *policy.Snapshot {
	b.Helper()
	rows := policy.Rows{Policies: []*policy.Policy{p}, Gates: []*policy.Gate{{
		Name: "jira", Hosts: []string{policy.AnyHost}, Prefixes: []string{""}, Schemes: policy.Schemes(0).With(policy.Bearer),
		Upstream: policy.NewUpstream("x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "", false),
	}}}
	for i := range tokens {
		tok := row(fmt.Sprint("t", i), fmt.Sprint("value", i))
		tok.Grant.Policies = []*policy.Policy{p}
		rows.Tokens = append(rows.Tokens, tok)
	}
	x := policy.NewIndex()
	if _, err := x.Replace(rows, now); err != nil {
		b.Fatal(err)
	}
	return x.Snapshot()
}

// tenRules are rules of which the last matches.
func tenRules() *policy.Policy {
	p := &policy.Policy{Name: "p"}
	for i := range 10 {
		p.Allow = append(p.Allow, rule(&testing.T{}, fmt.Sprint("r", i), "method", "GET", "path", fmt.Sprintf("/rest/api/2/issue%d/[A-Z]+-\\d+", i)))
	}
	return p
}

// BenchmarkEvaluate measures a decision with the snapshot in hand: ten rules of which
// the last matches, at several numbers of tokens. Each request presents another token.
func BenchmarkEvaluate(b *testing.B) {
	for _, tokens := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("tokens=%d", tokens), func(b *testing.B) {
			s := manyTokens(b, tokens, tenRules())
			requests := make([]*policy.Request, 997)
			for i := range requests {
				requests[i] = request(with(bearer(fmt.Sprint("value", i*(tokens/997)))), target("/rest/api/2/issue9/JRA-123"))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if d := policy.Evaluate(s, requests[i%len(requests)], nil); d.Effect != policy.Allow {
					b.Fatal(d.Reason)
				}
			}
		})
	}
}

// TestAllocations holds what a decision allocates: the look-up of the token and nothing else, also with the headers
// that Envoy sends. An evaluation that escapes to the heap, or a closure for each header, is more than all the rest.
func TestAllocations(t *testing.T) {
	s := manyTokens(t, 100, tenRules())
	q := request(with(bearer("value7")), target("/rest/api/2/issue9/JRA-123"))
	q.Header = list{{":authority", "jira.example.com"}, {":method", "GET"}, {"user-agent", "curl/8.5.0"}, {"accept", "*/*"},
		{"x-forwarded-for", "192.0.2.1"}, {"x-forwarded-proto", "https"}, {"x-request-id", "0198c1f2-7a1f-7bbd-9bd5-cf1d4f7ad2a8"},
		{"authorization", "Bearer value7"}, {"x-team", "ops"}}
	allocations := testing.AllocsPerRun(100, func() {
		if d := policy.Evaluate(s, q, nil); d.Effect != policy.Allow {
			t.Fatal(d.Reason)
		}
	})
	if allocations > 2 {
		t.Errorf("a decision allocates %v times, want 2 at most", allocations)
	}
}

// list is headers in their order.
type list [][2]string

func (l list) Get(name string) (value string, count int) {
	for _, h := range l {
		if h[0] == name {
			value, count = h[1], count+1
		}
	}
	return value, count
}

func (l list) Len() int { return len(l) }

func (l list) At(i int) (name, value string) { return l[i][0], l[i][1] }

// BenchmarkRefusal measures refusals of a given credential by its reason. Who presents values
// should not learn from the time whether there is such a token.
func BenchmarkRefusal(b *testing.B) {
	x := policy.NewIndex()
	rows := policy.Rows{Gates: []*policy.Gate{{
		Name: "jira", Hosts: []string{policy.AnyHost}, Prefixes: []string{""}, Schemes: policy.Schemes(0).With(policy.Bearer).With(policy.Basic),
		Upstream: policy.NewUpstream("x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "", false),
	}}}
	for i := range 100_000 {
		tok := row(fmt.Sprint("t", i), fmt.Sprint("value", i))
		tok.Grant.Unrestricted, tok.Revoked = true, i == 5
		rows.Tokens = append(rows.Tokens, tok)
	}
	if _, err := x.Replace(rows, now); err != nil {
		b.Fatal(err)
	}
	s := x.Snapshot()
	for _, c := range []struct {
		name       string
		credential policy.Credential
		reason     policy.Reason
	}{
		{"unknown", bearer("value of nobody"), policy.TokenUnknown},
		{"revoked", bearer("value5"), policy.TokenRevoked},
		{"another user's", basic("nobody", "value6"), policy.UserMismatch},
	} {
		b.Run(c.name, func(b *testing.B) {
			q := request(with(c.credential))
			b.ReportAllocs()
			for b.Loop() {
				if d := policy.Evaluate(s, q, nil); d.Reason != c.reason {
					b.Fatal(d.Reason)
				}
			}
		})
	}
}

// BenchmarkRules measures rules by what they ask for: ten of a kind, of which the last
// matches.
func BenchmarkRules(b *testing.B) {
	for _, c := range []struct {
		name, target string
		conditions   func(i int) []string
	}{
		{"path, literal prefix", "/rest/api/2/issue9/JRA-123", func(i int) []string { return []string{"path", fmt.Sprintf("/rest/api/2/issue%d/[A-Z]+-\\d+", i)} }},
		{"path, .* first", "/rest/api/2/issue9/JRA-123", func(i int) []string { return []string{"path", fmt.Sprintf(".*/api/2/issue%d/[A-Z]+-\\d+.*", i)} }},
		{"query", "/rest/worklog?user=alice&from=2018-03-01&n=9", func(i int) []string {
			return []string{"path", "/rest/worklog", "query", "from=2018-(0[1-9]|1[0-2])-\\d\\d", "query", fmt.Sprintf("n=%d", i)}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := &policy.Policy{Name: "p"}
			for i := range 10 {
				p.Allow = append(p.Allow, rule(&testing.T{}, fmt.Sprint("r", i), c.conditions(i)...))
			}
			s := manyTokens(b, 1_000, p)
			q := request(with(bearer("value7")), target(c.target))
			b.ReportAllocs()
			for b.Loop() {
				if d := policy.Evaluate(s, q, nil); d.Effect != policy.Allow {
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
