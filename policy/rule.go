package policy

import (
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
)

// Source is the place of a manifest, or of a rule in it. The zero value is nowhere.
type Source struct {
	File   string
	Line   int
	Origin string // what the file is read from: directories, or another source
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

	plan atomic.Pointer[plan] // of Allow; see planOf
}

// Rule is one entry of an allow or deny list. Every condition given must hold. What is read of most rules comes first.
type Rule struct {
	Path    *Pattern
	MCP     *MCP // nil: no condition
	JSON    []Node
	Name    string // as given, or its place: allow[2], limitTo[0]
	Policy  string // the TokenPolicy that it belongs to; empty for own rules
	Source  Source
	Methods []string // upper case, compared exactly
	Clients []netip.Prefix
	Query   []Parameter

	// ContentTypes are the media types of bodies that the rule reads, in lower case;
	// empty: application/json.
	ContentTypes []string
}

// verdict is the result of a condition, or a rule, for a request. The zero value fails.
type verdict uint8

const (
	failed    verdict = iota
	undecided         // the value that it checks can't be read
	matches
)

// String returns what the audit calls the verdict.
func (v verdict) String() string { return [...]string{"fails", "undecidable", "matches"}[v] }

// Part is a condition of a rule, in the order in which they are checked. A refusal
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
	PartMCP
)

// String returns what a message calls the part.
func (p Part) String() string {
	return [...]string{"", "method", "path", "address", "query", "json", "mcp"}[p]
}

// outcome is a rule's verdict and the part that failed or could not be decided, with
// the name of its parameter or node. Where it could not be decided, why is the reason.
type outcome struct {
	verdict verdict
	part    Part
	name    string
	why     string
}

// ask checks a rule against the request. A condition that fails decides, even where an
// earlier one could not be decided. all is set for allow rules: every value must match.
func (e *evaluation) ask(r *Rule, all bool) outcome {
	result := e.askMethod(r, all)
	if result.verdict == failed {
		return result
	}
	if r.Path != nil && !e.matchesPath(r.Path, !all) {
		return outcome{verdict: failed, part: PartPath}
	}
	if len(r.Clients) > 0 {
		switch {
		case !e.decision.Client.IsValid():
			result = result.or(PartAddress, "", "")
		case !contains(r.Clients, e.decision.Client):
			return outcome{verdict: failed, part: PartAddress}
		}
	}
	if len(r.Query) > 0 {
		if result = e.askQuery(r, all, result); result.verdict == failed {
			return result
		}
	}
	if r.ReadsBody() {
		return e.askBody(r, all, result)
	}
	return result
}

// askMethod compares the method. It can't be decided where the API may act on another
// one; in an allow rule, only one that is in the list matters.
func (e *evaluation) askMethod(r *Rule, all bool) outcome {
	if len(r.Methods) == 0 {
		return outcome{verdict: matches}
	}
	listed := slices.Contains(r.Methods, e.request.Method)
	if all && !listed {
		return outcome{verdict: failed, part: PartMethod}
	}
	if replaced := e.form.replacesMethod(e, !all); replaced.verdict == undecided { // mutant: form-method-ignored
		return replaced
	}
	if !listed {
		return outcome{verdict: failed, part: PartMethod}
	}
	return outcome{verdict: matches}
}

// askQuery checks the conditions on parameters. result is that of the conditions before.
func (e *evaluation) askQuery(r *Rule, all bool, result outcome) outcome {
	if e.form.addsParameters(e) { // mutant: form-parameters-dont-count
		return result.or(PartQuery, r.Query[0].Name, whyFormQuery)
	}
	e.query.load(e.request.Target.Query) // panic: query
	for i := range r.Query {
		switch v, why := e.query.check(&r.Query[i], all, &e.meter); v {
		case failed:
			return outcome{verdict: failed, part: PartQuery, name: r.Query[i].Name}
		case undecided:
			result = result.or(PartQuery, r.Query[i].Name, why)
		}
	}
	return result
}

// askBody checks the conditions on the body. result is that of the conditions before. Only a
// POST has a message to an MCP server.
func (e *evaluation) askBody(r *Rule, all bool, result outcome) outcome {
	if r.MCP != nil && all && e.request.Method != "POST" {
		return outcome{verdict: failed, part: PartMCP}
	}
	if e.request.Body.Recorded != nil {
		return recorded(e.request.Body.Recorded(r), r, result)
	}
	if len(r.JSON) > 0 {
		if result = e.askNodes(r, all, result); result.verdict == failed {
			return result
		}
	}
	if r.MCP != nil {
		return e.askMCP(r, all, result)
	}
	return result
}

// askNodes checks the conditions on nodes.
func (e *evaluation) askNodes(r *Rule, all bool, result outcome) outcome {
	if problem := e.body.open(e.request, r.BodyTypes()); problem != "" { // panic: body
		return result.or(PartJSON, r.JSON[0].Text, problem)
	}
	for i := range r.JSON {
		switch v, why := e.body.document.check(&r.JSON[i], all, &e.meter); v {
		case failed:
			return outcome{verdict: failed, part: PartJSON, name: r.JSON[i].Text}
		case undecided:
			result = result.or(PartJSON, r.JSON[i].Text, why)
		}
	}
	return result
}

// recorded returns the verdict of its name in an audit log. An unknown name is undecided.
func recorded(verdict string, r *Rule, result outcome) outcome {
	part, name := r.bodyPart()
	switch verdict {
	case matches.String():
		return result
	case failed.String():
		return outcome{verdict: failed, part: part}
	case undecided.String():
		return result.or(part, name, "it could not be when the event was written")
	}
	return result.or(part, name, "the log does not hold the body, nor what the rule made of it")
}

// or notes an undecided part, unless there is one already.
func (o outcome) or(part Part, name, why string) outcome {
	if o.verdict == undecided {
		return o
	}
	return outcome{undecided, part, name, why}
}

// reason is why a rule that could not be decided decides the request.
func (o outcome) reason() Reason {
	switch o.part {
	case PartQuery:
		return QueryUnreadable
	case PartJSON, PartMCP, PartMethod: // a form body may replace the method
		return BodyUnavailable
	}
	return ClientDenied // the address is unknown
}
