package explain

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// Explanation explains a decision step by step and rule by rule. It never holds a value.
type Explanation struct {
	Decision string        `json:"decision"`
	Reason   string        `json:"reason"`
	Status   int           `json:"status,omitempty"`
	Shadow   string        `json:"shadow,omitempty"`
	Detail   string        `json:"detail,omitempty"` // which cause bad_credential or bad_target had
	Request  string        `json:"request"`
	Host     string        `json:"host,omitempty"`
	Time     time.Time     `json:"time"`
	Gate     string        `json:"gate,omitempty"`
	Scheme   string        `json:"scheme,omitempty"`
	User     string        `json:"user,omitempty"`
	Actor    string        `json:"actor,omitempty"`
	Groups   []string      `json:"groups,omitempty"`
	Token    string        `json:"token,omitempty"`
	Client   string        `json:"client,omitempty"`
	Expires  *time.Time    `json:"expires,omitempty"`
	Steps    []StepResult  `json:"steps"`
	Rules    []RuleResult  `json:"rules,omitempty"`
	Observed []Observation `json:"observed,omitempty"`
	Event    *EventOutcome `json:"event,omitempty"` // that is explained, and how it was decided
	Notes    []string      `json:"notes,omitempty"` // remarks on the request
}

// StepResult is the result of one check.
type StepResult struct {
	Step   string `json:"step"`
	Passed bool   `json:"passed"`
	Note   string `json:"note,omitempty"`
}

// RuleResult is one rule that was checked.
type RuleResult struct {
	Level  string `json:"level"`
	Group  string `json:"group,omitempty"` // at the level of groups
	Kind   string `json:"kind"`            // allow or deny
	Policy string `json:"policy,omitempty"`
	Rule   string `json:"rule"`
	Source string `json:"source"`
	Text   string `json:"text"`   // its conditions
	Result string `json:"result"` // matched, unmatched or unclear
	Part   string `json:"part,omitempty"`
	Path   string `json:"path,omitempty"` // Destination: checked against that header's path
	Why    string `json:"why,omitempty"`  // why it was unclear
}

// Observation is the decision that an observing policy would have made.
type Observation struct {
	Policy string `json:"policy"`
	Reason string `json:"reason"`
}

// Explain puts a decision and its trace into words.
func Explain(r *policy.Request, d *policy.Decision, trace *policy.Trace) Explanation {
	e := Explanation{
		Decision: d.Effect.String(), Reason: d.Reason.String(), Status: d.Status(), Detail: d.Detail, Request: masked(r, r.Method+" "+r.Target.Raw),
		Host: masked(r, r.Host), Time: r.Time.UTC(), Scheme: d.Scheme.String(), User: masked(r, d.Principal.User), Actor: masked(r, d.Principal.Actor),
	}
	if r.Target.HasQuery {
		e.Request += "?" + masked(r, audit.MaskQuery(r.Target.Query))
	}
	if d.Shadowed {
		e.Shadow = d.Shadow.String()
	}
	if d.Gate != nil {
		e.Gate = d.Gate.Name
		if d.Client.IsValid() {
			e.Client = d.Client.String()
		}
	}
	if d.Token != nil {
		e.Token = d.Token.Name
	}
	for _, g := range d.Principal.Groups {
		e.Groups = append(e.Groups, g.Name)
	}
	if !d.Expires.IsZero() {
		end := d.Expires.UTC()
		e.Expires = &end
	}
	for _, s := range trace.Steps {
		e.Steps = append(e.Steps, StepResult{s.Step.String(), s.Passed, note(s.Step, s.Passed, r, d)})
	}
	for _, rule := range trace.Rules {
		e.Rules = append(e.Rules, ruleResult(rule))
	}
	for _, o := range d.Observed {
		e.Observed = append(e.Observed, Observation{o.Policy, o.Reason.String()})
	}
	return e
}

// minSecret is the length from which a presented value is looked for in other texts, as
// in the audit: shorter ones would mask ordinary ones.
const minSecret = 8

// masked hides minted values in a text of the request, and the one that it presents.
func masked(r *policy.Request, text string) string {
	if secret := r.Credential.Secret; len(secret.Reveal()) >= minSecret {
		text = token.MaskValue(text, secret)
	}
	return token.Mask(text)
}

func ruleResult(rule policy.TraceRule) RuleResult {
	r := RuleResult{
		Level: rule.Level.String(), Group: rule.Group, Kind: "allow", Policy: rule.Rule.Policy, Rule: rule.Rule.Name,
		Source: rule.Rule.Source.String(), Text: rule.Rule.Text(), Result: "unmatched",
	}
	if rule.Deny {
		r.Kind = "deny"
	}
	switch {
	case rule.Matched:
		r.Result = "matched"
	case rule.Unclear:
		r.Result = "unclear"
	}
	if rule.Second {
		r.Path = "Destination"
	}
	if rule.Failed != policy.NoPart {
		r.Part = rule.Failed.String()
		if rule.Name != "" {
			r.Part += " " + rule.Name
		}
		r.Why = rule.Why
	}
	return r
}

// Text writes an explanation for people, line by line.
func (e *Explanation) Text() string {
	var b strings.Builder
	if e.Event != nil && !e.Event.Same {
		fmt.Fprintf(&b, "the event records %s; evaluated again: ", plain(e.Event.text()))
	}
	fmt.Fprintf(&b, "%s %s", e.Decision, e.Reason)
	if e.Status > 0 {
		fmt.Fprintf(&b, " (%d)", e.Status)
	}
	if e.Shadow != "" {
		fmt.Fprintf(&b, ", where an enforcing gate would refuse: %s", e.Shadow)
	}
	fmt.Fprintf(&b, "\n%s", plain(e.Request))
	if e.Host != "" {
		fmt.Fprintf(&b, " at %s", plain(e.Host))
	}
	fmt.Fprintf(&b, ", %s\n", e.Time.Format(time.RFC3339))
	for _, s := range e.Steps {
		line(&b, mark(s.Passed), s.Step, s.Note)
	}
	for _, r := range e.Rules {
		line(&b, r.mark(), r.Level+" "+r.Kind, r.text())
		if r.Text != "" {
			line(&b, "  ", "", "  "+r.Text)
		}
	}
	for _, o := range e.Observed {
		line(&b, "--", "observing policy", o.Policy+" would say "+o.Reason)
	}
	for _, n := range e.Notes {
		fmt.Fprintf(&b, "note: %s\n", plain(n))
	}
	return b.String()
}

// plain replaces control characters: anyone can write the text of a request. It also
// replaces the ends of lines, or the text could pass for patgate's own lines.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}

func line(b *strings.Builder, mark, what, note string) {
	b.WriteString(strings.TrimRight(fmt.Sprintf("  %s  %-22s %s", mark, what, plain(note)), " ") + "\n")
}

// Allowed reports whether the request is allowed, and was allowed by the event that is explained, if any.
func (e *Explanation) Allowed() bool {
	return e.Decision == policy.Allow.String() && (e.Event == nil || e.Event.Same)
}

// mark shows what a rule does to the request: it lets it go on, stops it, or neither.
func (r *RuleResult) mark() string {
	switch {
	case r.Kind == "allow" && r.Result != "matched":
		return "--" // another one may match
	case r.Kind == "deny" && r.Result != "unmatched":
		return "NO"
	}
	return "ok"
}

func (r *RuleResult) text() string {
	text := r.Rule
	if r.Policy != "" {
		text += " of policy " + r.Policy
	}
	if r.Group != "" {
		text += " of group " + r.Group
	}
	text += " (" + r.Source + ")"
	if r.Path != "" {
		text += ", for the " + r.Path
	}
	text += ": "
	switch {
	case r.Result == "matched":
		return text + "matches"
	case r.Result == "unclear":
		text += "can't be decided: " + r.Part
		if r.Why != "" {
			text += ", " + r.Why
		}
		return text
	}
	return text + "does not match: " + r.Part
}

// mark shows whether a check lets the request go on.
func mark(passed bool) string {
	if passed {
		return "ok"
	}
	return "NO"
}
