package usage

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"weak"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// RuleUse counts the calls of one token that a rule allowed.
type RuleUse struct {
	Policy string    `json:"policy,omitempty"` // empty: a rule of the token itself
	Rule   string    `json:"rule"`             // its name
	Text   string    `json:"text,omitempty"`   // in the one-line form; logs do not have it
	Count  int64     `json:"count"`
	Last   time.Time `json:"last"`
}

// same reports whether two uses are of one rule. A rule whose text changed is another one, and one that moved in its
// list is the same.
func (u *RuleUse) same(o *RuleUse) bool {
	if u.Policy != o.Policy || u.Text != o.Text {
		return false
	}
	return u.Text != "" || u.Rule == o.Rule
}

// RuleOf returns the use of a rule by one call, and false where the event has none.
func RuleOf(l *audit.Logged) (RuleUse, bool) {
	if l.Rule == "" {
		return RuleUse{}, false
	}
	return RuleUse{Policy: l.Policy, Rule: l.Rule, Count: 1, Last: l.Time}, true
}

// AddRule adds the use of a rule, which it may keep.
func (t *Token) AddRule(o *RuleUse) {
	i := slices.IndexFunc(t.Rules, func(u RuleUse) bool { return u.same(o) })
	if i >= 0 {
		u := &t.Rules[i]
		u.Count += o.Count
		if o.Last.After(u.Last) {
			u.Last, u.Rule = o.Last, strings.Clone(o.Rule)
		}
		return
	}
	own := *o
	own.Policy, own.Rule, own.Text = strings.Clone(o.Policy), strings.Clone(o.Rule), strings.Clone(o.Text)
	t.Rules = append(t.Rules[:len(t.Rules):len(t.Rules)], own)
	slices.SortFunc(t.Rules, compareRules)
}

func compareRules(a, b RuleUse) int {
	return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Text, b.Text))
}

// maxRulesCounted is the maximum number of rules of one token that are counted separately. The calls that others allowed are
// counted together.
const maxRulesCounted = 128

// ruleCounter counts the calls of one token that one rule allowed. It is an element of a list to which elements are
// added at the head, and from which none is removed, so that readers need no lock.
type ruleCounter struct {
	rule  atomic.Pointer[knownRule] // as the last load made it
	count atomic.Int64
	last  atomic.Int64 // Unix microseconds, exact to the minute
	next  *ruleCounter
	size  int // of the list from here
}

// knownRule is the part of a rule that a counter keeps. It does not hold the rule: one that was loaded anew, or that is compiled
// only for a while, goes.
type knownRule struct {
	rule               weak.Pointer[policy.Rule]
	policy, name, text string
}

func know(r *policy.Rule) *knownRule {
	return &knownRule{weak.Make(r), strings.Clone(r.Policy), strings.Clone(r.Name), r.Text()}
}

// is reports whether it is this very rule.
func (k *knownRule) is(r *policy.Rule) bool {
	return k.rule.Value() == r
}

// same reports whether two loads of the manifests made these of one rule.
func (k *knownRule) same(o *knownRule) bool { return k.policy == o.policy && k.text == o.text }

// allowedBy counts a call that a rule allowed.
func (k *counter) allowedBy(r *policy.Rule, now int64) {
	u := k.rules.Load()
	for u != nil && !u.rule.Load().is(r) {
		u = u.next
	}
	if u == nil {
		if u = k.ruleCounter(r); u == nil {
			k.otherRules.Add(1)
			return
		}
	}
	if now/microsPerMinute > u.last.Load()/microsPerMinute {
		u.last.Store(now)
	}
	u.count.Add(1)
}

// ruleCounter returns the counter of a rule that is new, or that was loaded anew; nil: there are too many.
func (k *counter) ruleCounter(r *policy.Rule) *ruleCounter {
	known := know(r)
	for {
		head := k.rules.Load()
		for u := head; u != nil; u = u.next {
			if u.rule.Load().same(known) {
				u.rule.Store(known)
				return u
			}
		}
		fresh := &ruleCounter{next: head, size: 1}
		if head != nil {
			if fresh.size = head.size + 1; fresh.size > maxRulesCounted {
				return nil
			}
		}
		fresh.rule.Store(known)
		if k.rules.CompareAndSwap(head, fresh) {
			return fresh
		}
	}
}

// addRules adds to t how rules were used.
func (k *counter) addRules(t *Token) {
	for u := k.rules.Load(); u != nil; u = u.next {
		if n := u.count.Load(); n > 0 {
			r := u.rule.Load()
			t.Rules = append(t.Rules, RuleUse{Policy: r.policy, Rule: r.name, Text: r.text, Count: n, Last: instant(u.last.Load())})
		}
	}
	slices.SortFunc(t.Rules, compareRules)
	t.OtherRules = k.otherRules.Load()
}

// Rules returns how rules of a token were used since the server started, in Rules and OtherRules.
func (c *Counters) Rules(name string) Token {
	t := Token{Token: name}
	if k := c.find(name); k != nil {
		k.addRules(&t)
	}
	return t
}
