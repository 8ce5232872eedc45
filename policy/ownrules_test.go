package policy_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
)

// bearerGate is a gate of every request.
func bearerGate() *policy.Gate {
	return &policy.Gate{
		Name: "jira", Hosts: []string{policy.AnyHost}, Prefixes: []string{""}, Schemes: policy.Schemes(0).With(policy.Bearer),
		Upstream: policy.NewUpstream("x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "", false),
	}
}

// objectTokens is an index of tokens from objects, each with rules of its own that no other has.
func objectTokens(t testing.TB, tokens int) *policy.Snapshot {
	t.Helper()
	gate := bearerGate()
	x := policy.NewIndex()
	if _, err := x.Replace(policy.Rows{Gates: []*policy.Gate{gate}}, now); err != nil {
		t.Fatal(err)
	}
	var rows policy.Rows
	for i := range tokens {
		tok := row(fmt.Sprint("t", i), fmt.Sprint("value", i))
		tok.Source = policy.Source{File: "APIToken/" + tok.Name, Line: 1, Origin: policy.OriginObjects}
		path, err := policy.CompilePattern(fmt.Sprintf(".*/rest/api/2/issue/P%d-.*", i))
		if err != nil {
			t.Fatal(err)
		}
		tok.Grant = policy.Grant{Policies: []*policy.Policy{{Source: tok.Source, Allow: []*policy.Rule{
			{Name: "limitTo[0]", Source: tok.Source, Path: path, Methods: []string{"GET"}},
			{Name: "limitTo[1]", Source: tok.Source, Methods: []string{"HEAD"}},
		}}}}
		if rows.Tokens = append(rows.Tokens, tok); len(rows.Tokens) < 1000 && i+1 < tokens {
			continue
		}
		if _, err := x.Apply(policy.Changes{Origin: policy.OriginObjects, New: rows}, now); err != nil {
			t.Fatal(err)
		}
		rows = policy.Rows{}
	}
	return x.Snapshot()
}

// TestOwnRulesTakeLittle loads tokens with rules that no other has: compiled, those of one would take some 10 KiB. The
// checks decide by them, and keep those of the last tokens alone.
func TestOwnRulesTakeLittle(t *testing.T) {
	const tokens = 12_000
	before := heap()
	s := objectTokens(t, tokens)
	loaded := heap()
	if each := (loaded - before) / tokens; each > 700 {
		t.Errorf("a token takes %d bytes", each)
	}
	ask := func(i int, method, path string) policy.Decision {
		q := request(with(bearer(fmt.Sprint("value", i))), target(path))
		q.Method = method
		return policy.Evaluate(s, q, nil)
	}
	for i := range tokens {
		issue := fmt.Sprintf("/jira/rest/api/2/issue/P%d-1", i)
		if d := ask(i, "GET", issue); d.Effect != policy.Allow || d.Rule.Name != "limitTo[0]" || d.Rule.Source.File != fmt.Sprint("APIToken/t", i) {
			t.Fatalf("token %d: %s by %+v", i, d.Reason, d.Rule)
		}
		if d := ask(i, "GET", issue[:len(issue)-1]+"0/../../P0-1"); d.Effect == policy.Allow {
			t.Fatalf("token %d leaves its issue", i)
		}
		if d := ask(i, "POST", issue); d.Reason != policy.NoRuleMatched {
			t.Fatalf("token %d: %s", i, d.Reason)
		}
		if d := ask(i, "HEAD", "/anything"); d.Effect != policy.Allow {
			t.Fatalf("token %d: %s", i, d.Reason)
		}
	}
	if kept := heap() - loaded; kept > 80<<20 {
		t.Errorf("checks keep %d MiB", kept>>20)
	}
	q := request(with(bearer("value7")), target("/rest/api/2/issue/P7-1"))
	allocations := testing.AllocsPerRun(100, func() {
		if d := policy.Evaluate(s, q, nil); d.Effect != policy.Allow {
			t.Fatal(d.Reason)
		}
	})
	if allocations > 2 {
		t.Errorf("a decision allocates %v times, want 2 at most", allocations)
	}
}

// TestLargeOwnRules has more rules of a token's own than a row has room for.
func TestLargeOwnRules(t *testing.T) {
	x := policy.NewIndex()
	tok := row("t", "value")
	tok.Source = policy.Source{File: "APIToken/t", Line: 1, Origin: policy.OriginObjects}
	own := &policy.Policy{Source: tok.Source}
	for i := range policy.MaxRules {
		path, err := policy.CompilePattern(fmt.Sprintf("/issue/%d/[%s]", i, strings.Repeat("x", policy.MaxPattern-20)))
		if err != nil {
			t.Fatal(err)
		}
		own.Allow = append(own.Allow, &policy.Rule{Name: fmt.Sprintf("limitTo[%d]", i), Source: tok.Source, Path: path, Methods: []string{"GET", "HEAD", "PROPFIND"}})
	}
	tok.Grant = policy.Grant{Policies: []*policy.Policy{own}}
	if _, err := x.Replace(policy.Rows{Gates: []*policy.Gate{bearerGate()}, Tokens: []*policy.Token{tok}}, now); err != nil {
		t.Fatal(err)
	}
	for i := range policy.MaxRules {
		if d := policy.Evaluate(x.Snapshot(), request(with(bearer("value")), target(fmt.Sprintf("/issue/%d/x", i))), nil); d.Effect != policy.Allow {
			t.Fatalf("rule %d: %s", i, d.Reason)
		}
	}
}

func heap() int {
	runtime.GC()
	runtime.GC() // what the first one has cleaned up
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// BenchmarkOwnRules measures a decision by own rules that are kept as a text: of few tokens, and of more than the cache holds.
func BenchmarkOwnRules(b *testing.B) {
	s := objectTokens(b, 20_000)
	for _, tokens := range []int{100, 20_000} {
		b.Run(fmt.Sprintf("tokens=%d", tokens), func(b *testing.B) {
			requests := make([]*policy.Request, tokens)
			for i := range requests {
				requests[i] = request(with(bearer(fmt.Sprint("value", i))), target(fmt.Sprintf("/rest/api/2/issue/P%d-1", i)))
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
