package suggest

import (
	"fmt"
	"testing"
)

// TestFewRulesAreCompared drops a rule that another one covers, unless there are too many rules to compare each with each.
func TestFewRulesAreCompared(t *testing.T) {
	for _, n := range []int{2, 2 * maxRules, 2*maxRules + 1} {
		p := proposal{rules: []Rule{{Path: "/a/[0-9]"}, {Path: "/a/[0-9]+"}}}
		for i := len(p.rules); i < n; i++ {
			p.rules = append(p.rules, Rule{Path: fmt.Sprint("/b/", i)})
		}
		want := n - 1
		if n > 2*maxRules {
			want = n
		}
		if p.dropCovered(); len(p.rules) != want {
			t.Errorf("%d of %d rules are left, want %d", len(p.rules), n, want)
		}
	}
}
