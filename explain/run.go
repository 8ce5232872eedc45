package explain

import (
	"fmt"
	"regexp"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// Result is the result of one case.
type Result struct {
	Test     string // the PolicyTest's name
	Name     string // the case's, or its place: cases[2]
	Request  string
	Token    string // the manifest of the token that it presents; empty: none
	User     string // who presents it
	Source   policy.Source
	Want     string
	Got      string
	Passed   bool
	Took     time.Duration
	Why      string // the explanation of a case that failed
	Evidence Explanation
}

// Report is the result of a run.
type Report struct {
	Results []Result
	Failed  int
	Rules   []*policy.Rule // all that there are
	Missed  []*policy.Rule // those that no case matched
}

// Run evaluates every case of the tests whose TEST/CASE matches a pattern. It returns problems
// for cases that can't be evaluated: they refer to names that do not exist.
func Run(rows policy.Rows, tests []*manifest.Document, now time.Time, only *regexp.Regexp) (*Report, []diag.Problem) {
	var problems []diag.Problem
	known, named, anyUser := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, t := range rows.Tokens {
		known[t.Name], anyUser[t.Name] = true, t.AnyUser
	}
	for _, doc := range tests {
		for i := range doc.PolicyTest.Cases {
			c := withDefaults(doc.PolicyTest, i)
			if c.Token.Text == "" {
				continue
			}
			if !known[c.Token.Text] {
				problems = append(problems, doc.Problem(c.Token.At, fmt.Sprintf("spec.cases[%d].token", i), "no token is called %s, %s",
					c.Token.Text, diag.Suggest(c.Token.Text, names(known))))
				continue
			}
			if anyUser[c.Token.Text] && c.User == "" && c.Scheme.Is != policy.Bearer {
				problems = append(problems, doc.Problem(c.At, fmt.Sprintf("spec.cases[%d].user", i), "missing, expected the user who presents %s: it is of any user", c.Token.Text))
			}
			named[c.Token.Text] = true
		}
	}
	sandbox, err := NewSandbox(rows, now, names(named)...)
	if err != nil {
		problems = append(problems, diag.Problem{File: "PolicyTests", Message: err.Error()})
	}
	if len(problems) > 0 {
		return nil, problems
	}
	report := &Report{Rules: allRules(rows)}
	matched := map[*policy.Rule]bool{}
	for _, doc := range tests {
		for i := range doc.PolicyTest.Cases {
			if !only.MatchString(doc.Metadata.Name.Text + "/" + caseName(doc, i)) {
				continue
			}
			r := sandbox.ask(doc, i, rows, now, matched)
			if !r.Passed {
				report.Failed++
			}
			report.Results = append(report.Results, r)
		}
	}
	for _, r := range report.Rules {
		if !matched[r] {
			report.Missed = append(report.Missed, r)
		}
	}
	return report, nil
}

// withDefaults returns a case with the defaults of `given`.
func withDefaults(t *manifest.PolicyTest, i int) manifest.Case {
	c, g := t.Cases[i], t.Given
	if g == nil {
		return c
	}
	if c.Now.IsZero() {
		c.Now = g.Now
	}
	if c.Token.Text == "" {
		c.Token = g.Token
	}
	if c.User == "" {
		c.User = g.User
	}
	if c.Scheme.Is == policy.NoScheme {
		c.Scheme = g.Scheme
	}
	if !c.Client.IsValid() {
		c.Client = g.Client
	}
	if c.TLS == nil {
		c.TLS = g.TLS
	}
	if c.Host == "" {
		c.Host = g.Host
	}
	return c
}

// caseName returns a case's name, or its place.
func caseName(doc *manifest.Document, i int) string {
	if name := doc.PolicyTest.Cases[i].Name; name != "" {
		return name
	}
	return fmt.Sprintf("cases[%d]", i)
}

// ask evaluates one case.
func (a *Sandbox) ask(doc *manifest.Document, i int, rows policy.Rows, now time.Time, matched map[*policy.Rule]bool) Result {
	c := withDefaults(doc.PolicyTest, i)
	q := Request{
		Now: c.Now.Time, Method: c.Request.Method, Target: c.Request.Target, Host: c.Host, TLS: c.TLS == nil || *c.TLS,
		Client: c.Client.Addr, Token: c.Token.Text, User: c.User, Scheme: c.Scheme.Is, Header: map[string][]string{},
	}
	for name, value := range c.Headers {
		q.Header[name] = []string{value}
	}
	if q.Now.IsZero() {
		q.Now = now
	}
	if q.Host == "" {
		q.Host = FirstHost(rows)
	}
	if c.Body != "" {
		q.Body = []byte(c.Body)
	}
	var trace policy.Trace
	start := time.Now()
	d, r := a.Ask(&q, &trace)
	result := Result{
		Test: doc.Metadata.Name.Text, Name: caseName(doc, i), Request: token.Mask(c.Request.Method + " " + c.Request.Target), Source: doc.At(c.At),
		Token: c.Token.Text, User: c.User,
		Want: c.Want.String(), Got: d.Effect.String() + " " + d.Reason.String(), Passed: c.Want.Holds(&d), Took: time.Since(start),
	}
	for _, rule := range trace.Rules {
		if rule.Matched {
			matched[rule.Rule] = true
		}
	}
	if !result.Passed {
		result.Evidence = Explain(r, &d, &trace)
		result.Why = result.Evidence.Text()
	}
	return result
}

// FirstHost returns the host of a request that names none: the first
// gate's first, of a wildcard one below it, and none where it guards every host.
func FirstHost(rows policy.Rows) string {
	if len(rows.Gates) == 0 {
		return ""
	}
	switch host := rows.Gates[0].Hosts[0]; {
	case host == policy.AnyHost:
		return ""
	case host[0] == '*':
		return "any" + host[1:]
	default:
		return host
	}
}

// allRules lists the rules of a revision: those of policies, then those of gates'
// anonymous callers and of tokens.
func allRules(rows policy.Rows) []*policy.Rule {
	var rules []*policy.Rule
	add := func(p *policy.Policy) { rules = append(append(rules, p.Allow...), p.Deny...) }
	for _, p := range rows.Policies {
		add(p)
	}
	for _, g := range rows.Gates {
		if g.Anonymous != nil {
			for _, p := range g.Anonymous.Policies {
				add(p)
			}
		}
	}
	for _, t := range rows.Tokens {
		for _, p := range t.Grant.Policies {
			if p.Name == "" {
				add(p)
			}
		}
	}
	return rules
}
