package policy_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/patgate/patgate/policy"
)

// TestPlans decides random requests by random policies twice: with their plans, and with every rule asked, as a trace
// has it. The decisions must be equal, the rule that came nearest included.
func TestPlans(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	one := func(list ...string) string { return list[random.IntN(len(list))] }
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "COPY"}
	long := "/a/path/that/is/longer/than/what/a/plan/holds/of/it"
	paths := []string{"/", "/a", "/a/b", "/A", "/é", long, long[:30], long[:31], long + "/x", "/rest/1", "/rest/12/x"}
	patterns := []string{"/", "/a", "/a/b", "(?i)/a", "/é", ".*", "/rest/[0-9]+", "/rest/\\d+/.*", long, long + "/.", long[:30], long[:30] + ".*", "/a|/b", "^/a$", "(/rest)/1"}
	seen := map[string]int{}
	for range 3000 {
		w := newWorld(t)
		w.gate.FormBodies = policy.FormBodies(random.IntN(3))
		w.gate.IgnoreCase = random.IntN(4) == 0
		w.token.Grant = policy.Grant{}
		for i := range 1 + random.IntN(3) {
			p := &policy.Policy{Name: one("", fmt.Sprint("p", i)), Observe: random.IntN(6) == 0}
			for k := range random.IntN(8) {
				var conditions []string
				listed := random.Perm(len(methods))[:random.IntN(3)]
				if random.IntN(6) == 0 {
					listed = random.Perm(len(methods) - 1) // all that have names of their own, and one that has none
				}
				for _, at := range listed {
					conditions = append(conditions, "method", methods[at])
				}
				if random.IntN(5) > 0 {
					conditions = append(conditions, "path", one(patterns...))
				}
				switch random.IntN(6) {
				case 0:
					conditions = append(conditions, "query", "q=1")
				case 1:
					conditions = append(conditions, "json", "a=1")
				case 2:
					conditions = append(conditions, "client", "192.0.2.0/24")
				}
				p.Allow = append(p.Allow, rule(t, fmt.Sprint("r", k), conditions...))
			}
			w.token.Grant.Policies = append(w.token.Grant.Policies, p)
		}
		if random.IntN(3) == 0 {
			w.gate.Policies = w.token.Grant.Policies[:1]
		}
		s := w.snapshot()
		for range 10 {
			r := request(method(one(methods...)))
			r.Target = policy.NewTarget(one(paths...) + one("", "", "?q=1", "?_method=PUT"))
			if random.IntN(3) == 0 {
				r.Body = policy.Body{State: policy.BodyState(random.IntN(3)), Bytes: []byte(one(`{"a": "1"}`, "_method=PUT", "{"))}
			}
			if random.IntN(8) == 0 {
				r.Header = headers{"destination": {one(paths...)}}
			}
			var trace policy.Trace
			got, want := policy.Evaluate(s, r, nil), policy.Evaluate(s, r, &trace)
			got.Token, want.Token = nil, nil // unpacked for each
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s %s:\n%+v, with every rule asked\n%+v", r.Method, r.Target.Raw, got, want)
			}
			seen[got.Reason.String()]++
		}
	}
	for _, reason := range []string{"ok", "no_rule_matched", "body_unavailable", "query_unreadable"} {
		if seen[reason] < 20 {
			t.Errorf("of %v, only %d have the reason %s", seen, seen[reason], reason)
		}
	}
}
