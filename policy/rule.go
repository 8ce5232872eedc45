package policy

import (
	"net/netip"
	"slices"
	"strconv"
)

// Source is the place of a manifest, or of a rule in it. The zero value is nowhere.
type Source struct {
	File string
	Line int
}

// String returns `file:line`, or nothing.
func (s Source) String() string {
	if s.File == "" {
		return ""
	}
	return s.File + ":" + strconv.Itoa(s.Line)
}

// Policy is a TokenPolicy, or the own rules of a token or of a gate's anonymous
// callers, which have no name. The zero value has no rules.
type Policy struct {
	Name        string
	Source      Source
	Fingerprint Fingerprint
	Observe     bool // counts as absent at its level; its verdict is only audited
	Allow       []*Rule
	Deny        []*Rule
}

// Rule is one entry of an allow or deny list. Every condition given must hold.
type Rule struct {
	Name    string // as given, or its place: allow[2], limitTo[0]
	Policy  string // the TokenPolicy it stands in; empty for own rules
	Source  Source
	Methods []string // upper case, compared exactly
	Path    *Pattern
	Clients []netip.Prefix
	Query   []Parameter
	JSON    []Node
}

// verdict is what a condition, or a rule, makes of a request. The zero value fails.
type verdict uint8

const (
	failed    verdict = iota
	undecided         // what it asks for can't be read
	matches
)

// String returns what the audit calls the verdict.
func (v verdict) String() string { return [...]string{"fails", "undecidable", "matches"}[v] }

// Part is a condition of a rule, in the order in which they are asked. A refusal
// names the part that failed.
type Part uint8

// The parts of a rule.
const (
	NoPart Part = iota
	PartMethod
	PartPath
	PartAddress
	PartQuery
	PartJSON
)

// String returns what a message calls the part.
func (p Part) String() string {
	return [...]string{"", "method", "path", "address", "query", "json"}[p]
}

// outcome is a rule's verdict and the part that failed or could not be decided, with
// the name of its parameter or node.
type outcome struct {
	verdict verdict
	part    Part
	name    string
}

// ask asks a rule about the request. A condition that fails decides, even where an
// earlier one could not be decided.
func (e *evaluation) ask(r *Rule, all bool) outcome {
	if len(r.Methods) > 0 && !slices.Contains(r.Methods, e.request.Method) {
		return outcome{failed, PartMethod, ""}
	}
	if r.Path != nil && !r.Path.Match(e.request.Target.Path) {
		return outcome{failed, PartPath, ""}
	}
	result := outcome{verdict: matches}
	if len(r.Clients) > 0 {
		switch {
		case !e.decision.Client.IsValid():
			result = outcome{undecided, PartAddress, ""}
		case !contains(r.Clients, e.decision.Client):
			return outcome{failed, PartAddress, ""}
		}
	}
	if len(r.Query) > 0 {
		e.query.load(e.request.Target.Query)
	}
	for i := range r.Query {
		if v := e.query.check(&r.Query[i], all); v != matches {
			if v == failed {
				return outcome{failed, PartQuery, r.Query[i].Name}
			}
			result = result.or(PartQuery, r.Query[i].Name)
		}
	}
	if len(r.JSON) > 0 {
		e.body.load(e.request)
	}
	for i := range r.JSON {
		if v := e.body.check(&r.JSON[i], all); v != matches {
			if v == failed {
				return outcome{failed, PartJSON, r.JSON[i].Text}
			}
			result = result.or(PartJSON, r.JSON[i].Text)
		}
	}
	return result
}

// or notes an undecided part, unless there is one already.
func (o outcome) or(part Part, name string) outcome {
	if o.verdict == undecided {
		return o
	}
	return outcome{undecided, part, name}
}

// reason is why a rule that could not be decided decides the request.
func (o outcome) reason() Reason {
	switch o.part {
	case PartQuery:
		return QueryUnreadable
	case PartJSON:
		return BodyUnavailable
	}
	return ClientDenied // the address is unknown
}
