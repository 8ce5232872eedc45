package usage

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// ruleOf makes a rule as a load of the manifests does.
func ruleOf(t testing.TB, policyName, name, path string) *policy.Rule {
	t.Helper()
	p, err := policy.CompilePattern(path)
	if err != nil {
		t.Fatal(err)
	}
	return &policy.Rule{Policy: policyName, Name: name, Methods: []string{"GET"}, Path: p}
}

// by is a call that a rule allowed.
func by(r *policy.Rule) func(*policy.Decision, *audit.Event) {
	return func(d *policy.Decision, _ *audit.Event) { d.Rule = r }
}

// ruleText writes the uses of rules.
func ruleText(u *Token) string {
	var list []string
	for _, r := range u.Rules {
		list = append(list, strings.TrimSpace(fmt.Sprint(r.Policy, " ", r.Rule, " ", r.Text, " ", r.Count, " ", r.Last.Format("15:04"))))
	}
	return strings.Join(list, "; ")
}

// TestRulesAreCounted loads rules anew, moves them in their list and changes one.
func TestRulesAreCounted(t *testing.T) {
	var c Counters
	read := func(name string) *policy.Rule { return ruleOf(t, "", name, "/read") }
	first := read("allow[1]")
	seen(&c, "a", noon, by(first))
	seen(&c, "a", noon.Add(time.Minute), by(first))
	seen(&c, "a", noon.Add(time.Minute), by(ruleOf(t, "shared", "read", "/read")))
	seen(&c, "a", noon.Add(2*time.Minute), by(read("allow[0]"))) // loaded anew, after a rule before it was taken out
	seen(&c, "a", noon.Add(3*time.Minute), by(ruleOf(t, "", "allow[0]", "/read/less")))
	seen(&c, "a", noon.Add(4*time.Minute), nil) // an unrestricted token has no rule
	seen(&c, "a", noon, func(d *policy.Decision, _ *audit.Event) { d.Rule = first; d.Refuse(policy.NoRuleMatched) })
	seen(&c, "b", noon, by(first))
	want := "allow[0] GET  /read 3 12:02; allow[0] GET  /read/less 1 12:03; shared read GET  /read 1 12:01"
	got := c.Rules("a")
	if ruleText(&got) != want || got.OtherRules != 0 {
		t.Errorf("%s, other %d; want %s", ruleText(&got), got.OtherRules, want)
	}
	for _, e := range c.List(0) {
		if e.Token.Token == "a" && ruleText(&e.Token) != want {
			t.Errorf("listed: %s; want %s", ruleText(&e.Token), want)
		}
	}
	if nothing := c.Rules("unknown"); len(nothing.Rules) != 0 {
		t.Errorf("%+v", nothing)
	}
}

// TestACounterHoldsNoRule counts the call of a rule that goes: its program, of some KiB, goes with it, and its count stays.
func TestACounterHoldsNoRule(t *testing.T) {
	var c Counters
	held := func() weak.Pointer[policy.Rule] {
		r := ruleOf(t, "", "allow[0]", "/read")
		seen(&c, "a", noon, by(r))
		return weak.Make(r)
	}()
	for deadline := time.Now().Add(10 * time.Second); held.Value() != nil; {
		if runtime.GC(); time.Now().After(deadline) {
			t.Fatal("the counter holds the rule")
		}
	}
	seen(&c, "a", noon, by(ruleOf(t, "", "allow[0]", "/read")))
	if got := c.Rules("a"); len(got.Rules) != 1 || got.Rules[0].Count != 2 {
		t.Errorf("%+v, want one rule and two calls", got.Rules)
	}
}

// TestRulesAreBounded uses more rules than are counted apart, from several goroutines: no call is lost, and a rule
// that has its count keeps it.
func TestRulesAreBounded(t *testing.T) {
	var c Counters
	const workers, calls = 4, 50
	var rules []*policy.Rule
	for i := range maxRulesCounted + 10 {
		rules = append(rules, ruleOf(t, "", fmt.Sprintf("allow[%d]", i), fmt.Sprint("/", i)))
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range calls {
				for _, r := range rules {
					seen(&c, "a", noon, by(r))
				}
			}
		})
	}
	all.Wait()
	got := c.Rules("a")
	total := got.OtherRules
	for _, r := range got.Rules {
		if r.Count != workers*calls {
			t.Errorf("%+v, want %d", r, workers*calls)
		}
		total += r.Count
	}
	if len(got.Rules) != maxRulesCounted || total != int64(workers*calls*len(rules)) {
		t.Errorf("%d rules and %d calls, want %d and %d", len(got.Rules), total, maxRulesCounted, workers*calls*len(rules))
	}
}

// TestRulesOfServersAreSummed merges what two servers say, of which one has another order of rules.
func TestRulesOfServersAreSummed(t *testing.T) {
	all := Uses{}
	for i, name := range []string{"allow[0]", "allow[1]"} {
		var c Counters
		seen(&c, "a", noon.Add(time.Duration(i)*time.Hour), by(ruleOf(t, "", name, "/read")))
		for _, e := range c.List(0) {
			all.Add(&e.Token)
		}
	}
	if got, want := ruleText(all["a"]), "allow[1] GET  /read 2 13:00"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// BenchmarkSeenByRule is what a check pays for the count of its rule: with no rule, the only one, and that of 20 which
// was used first.
func BenchmarkSeenByRule(b *testing.B) {
	for _, used := range []int{0, 1, 20} {
		b.Run(fmt.Sprint(used, " used"), func(b *testing.B) {
			var c Counters
			var first *policy.Rule
			for i := range used {
				r := ruleOf(b, "", fmt.Sprintf("allow[%d]", i), fmt.Sprint("/", i))
				if first == nil {
					first = r
				}
				seen(&c, "a", noon, by(r))
			}
			d := &policy.Decision{Effect: policy.Allow, Reason: policy.OK, Scheme: policy.Bearer, Token: &policy.Token{Name: "a"}, Rule: first}
			e := &audit.Event{Time: noon, Gate: "jira"}
			b.ReportAllocs()
			for b.Loop() {
				c.Seen(d, e)
			}
		})
	}
}
