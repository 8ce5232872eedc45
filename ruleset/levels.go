package ruleset

import (
	"fmt"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// checkLevels reports levels whose patterns could cost too much for one request, so that no manifest can keep a processor
// busy. The levels are a gate (its policies and anonymous rules), a group, and a token (its rules, policies and actAs).
func (s *Set) checkLevels() {
	c := s.levelCosts()
	for _, doc := range s.Gates {
		l := level{costs: c, doc: doc}
		l.policies(doc.Gate.Policies)
		if a := doc.Gate.Anonymous; a != nil {
			l.rules("spec.anonymous.allow", a.Allow)
			l.rules("spec.anonymous.deny", a.Deny)
		}
		l.check()
	}
	for _, doc := range s.Groups {
		l := level{costs: c, doc: doc}
		l.policies(doc.UserGroup.Policies)
		l.check()
	}
}

// checkTokenLevel is checkLevels for the level of a token.
func (s *Set) checkTokenLevel(doc *manifest.Document) {
	spec := doc.APIToken
	l := level{costs: s.levelCosts(), doc: doc}
	l.policies(spec.Policies)
	l.rules("spec.allow", spec.Allow)
	l.rules("spec.limitTo", spec.LimitTo)
	l.actAs(spec.ActAs)
	l.check()
}

// levelCosts returns the known costs of the set's policies.
func (s *Set) levelCosts() *costs {
	if s.policyCosts == nil {
		s.policyCosts = map[string]int{}
	}
	return &costs{Set: s, named: s.policyCosts}
}

// costs remembers how many instructions the rules of each TokenPolicy have.
type costs struct {
	*Set
	named map[string]int
}

func (c *costs) of(name string) int {
	n, known := c.named[name]
	if !known {
		if doc := c.names[manifest.KindTokenPolicy+"/"+name]; doc != nil && doc.TokenPolicy != nil {
			n = instructions(doc.TokenPolicy.Allow) + instructions(doc.TokenPolicy.Deny)
		}
		c.named[name] = n
	}
	return n
}

func instructions(rules []manifest.Rule) int {
	n := 0
	for i := range rules {
		r := policy.Rule{Path: rules[i].Path.Pattern, Query: rules[i].Query, JSON: rules[i].JSON, MCP: rules[i].MCP.Row()}
		n += r.Instructions()
	}
	return n
}

// level adds up what one level of a document costs.
type level struct {
	*costs
	doc     *manifest.Document
	total   int
	largest share
}

// share is the part that one field adds to a level.
type share struct {
	field string
	index int // in the list; -1 for the whole
	at    diag.Pos
	cost  int
}

func (s *share) path() string {
	if s.index < 0 {
		return s.field
	}
	return fmt.Sprintf("%s[%d]", s.field, s.index)
}

func (l *level) add(s share) {
	l.total += s.cost
	if s.cost > l.largest.cost {
		l.largest = s
	}
}

func (l *level) policies(refs []manifest.Ref) {
	for i, ref := range refs {
		l.add(share{"spec.policies", i, ref.At, l.of(l.doc.Resolve(ref))})
	}
}

func (l *level) rules(field string, rules []manifest.Rule) {
	if len(rules) > 0 {
		l.add(share{field, -1, rules[0].At, instructions(rules)})
	}
}

func (l *level) actAs(patterns []manifest.Pattern) {
	s := share{field: "spec.actAs", index: -1}
	for i, p := range patterns {
		if i == 0 {
			s.at = p.At
		}
		s.cost += p.Instructions()
	}
	l.add(s)
}

// check reports a level that costs too much, at the field that costs most.
func (l *level) check() {
	if l.total <= policy.MaxLevel { // mutant: patterns-cost-anything
		return
	}
	what := map[string]string{
		manifest.KindGate: "the gate's policies and anonymous rules", manifest.KindUserGroup: "the group's policies",
		manifest.KindAPIToken: "the token's policies, rules and actAs",
	}[l.doc.Kind]
	own := ""
	if l.largest.cost < l.total {
		own = fmt.Sprintf(", %d of them here", l.largest.cost)
	}
	l.problem(l.doc, l.largest.at, l.largest.path(), "the patterns of %s have %d instructions%s, expected at most %d for one request: use smaller repeat counts or fewer rules",
		what, l.total, own, policy.MaxLevel)
}
