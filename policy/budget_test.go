package policy_test

import (
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
)

// budget lets that many pieces of work pass.
type budget struct {
	left, asked int
	token       *policy.Token
}

func (e *budget) MayContinue(t *policy.Token) bool {
	e.asked++
	e.left--
	e.token = t
	return e.left >= 0
}

const costlyPattern = `/([a-z]{0,110}[a-y]?){4}A0`

func TestCostlyRulesUseTheBudget(t *testing.T) {
	long := target("/" + strings.Repeat("x", 4000) + "?q=/" + strings.Repeat("x", 4000))
	list := `{"a":["` + strings.Repeat(`/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","`, 100) + `/x"]}`
	for name, c := range map[string]struct {
		rule func() *policy.Rule
		how  func(*policy.Request)
	}{
		"path":  {func() *policy.Rule { return rule(t, "r", "path", costlyPattern) }, long},
		"query": {func() *policy.Rule { return rule(t, "r", "query", "q="+costlyPattern) }, long},
		"json":  {func() *policy.Rule { return rule(t, "r", "method", "POST", "json", "a.*="+costlyPattern) }, jsonBody(list)},
	} {
		w := newWorld(t)
		for kind, change := range map[string]func(){
			"deny of the token":  func() { w.token.Grant.Policies = []*policy.Policy{denying(c.rule())} },
			"allow of the token": func() { w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(c.rule())}} },
			"bound of the gate":  func() { w.gate.Policies = []*policy.Policy{allowing(c.rule())} },
			"observing gate":     func() { w.gate.Observe = true; w.gate.Policies = []*policy.Policy{allowing(c.rule())} },
		} {
			change()
			asked := &budget{left: 1 << 30}
			r := request(c.how)
			r.Budget = asked
			policy.Evaluate(w.snapshot(), r, nil)
			if asked.asked == 0 || asked.token == nil || asked.token.Name != "ci" {
				t.Errorf("%s, %s: asked %d times, for %v", name, kind, asked.asked, asked.token)
			}
			r = request(c.how)
			r.Budget = &budget{left: asked.asked - 1}
			if d := policy.Evaluate(w.snapshot(), r, nil); d.Reason != policy.Overloaded || d.Effect != policy.Deny || d.Status() != 503 {
				t.Errorf("%s, %s: %v %v %d", name, kind, d.Effect, d.Reason, d.Status())
			}
		}
	}
}

func TestCostlyRulesOfCallersWithoutAToken(t *testing.T) {
	w := newWorld(t)
	w.gate.Anonymous = &policy.Grant{Policies: []*policy.Policy{allowing(rule(t, "r", "path", costlyPattern))}}
	r := request(anonymous(), target("/"+strings.Repeat("x", 4000)))
	e := &budget{}
	r.Budget = e
	if d := policy.Evaluate(w.snapshot(), r, nil); d.Reason != policy.Overloaded || e.token != nil {
		t.Errorf("%v, asked for %v", d.Reason, e.token)
	}
}

func TestCostlyActAs(t *testing.T) {
	w := newWorld(t)
	w.gate.ActAsHeader = "x-on-behalf-of"
	for range 10 {
		w.token.ActAs = append(w.token.ActAs, pattern(t, costlyPattern))
	}
	r := request(header("x-on-behalf-of", "/"+strings.Repeat("x", 200)))
	r.Budget = &budget{}
	if d := policy.Evaluate(w.snapshot(), r, nil); d.Reason != policy.Overloaded {
		t.Errorf("%v", d.Reason)
	}
}

// Ordinary requests never ask: nothing is locked on their way.
func TestOrdinaryRulesUseNoBudget(t *testing.T) {
	w := newWorld(t)
	w.token.Grant = policy.Grant{Policies: []*policy.Policy{tenRules()}}
	e := &budget{}
	r := request(target("/rest/api/2/issue9/JRA-123?" + strings.Repeat("a=1&", 100)))
	r.Budget = e
	if d := policy.Evaluate(w.snapshot(), r, nil); d.Reason != policy.OK || e.asked > 0 {
		t.Errorf("%v, asked %d times", d.Reason, e.asked)
	}
}
