package policy

import "strings"

// MCP is a rule's condition on a message of the Model Context Protocol: on the tool that it
// calls, the resource that it reads, the prompt that it gets, or its method. Each pattern
// matches in full. The zero value allows lifecycle methods alone.
type MCP struct {
	Tools, Resources, Prompts, Methods []*Pattern

	Also *MCP // of whose lists, where they are not empty, a pattern must match too; nil: none
}

// mcpList is a list of an MCP condition.
type mcpList uint8

const (
	mcpMethods mcpList = iota // the zero value: the method names nothing
	mcpTools
	mcpResources
	mcpPrompts
)

// String returns the list's key in manifests.
func (l mcpList) String() string {
	return [...]string{"methods", "tools", "resources", "prompts"}[l]
}

// mcpMethod describes a method.
type mcpMethod struct {
	method    string
	list      mcpList // that names what it is about
	lifecycle bool    // every client needs it
	header    bool    // it has Mcp-Name from 2026-07-28 on
}

// knownMethods are the methods that name something, and those that every client needs.
var knownMethods = []mcpMethod{
	{method: "tools/call", list: mcpTools, header: true},
	{method: "resources/read", list: mcpResources, header: true},
	{method: "resources/subscribe", list: mcpResources},
	{method: "resources/unsubscribe", list: mcpResources},
	{method: "prompts/get", list: mcpPrompts, header: true},
	{method: "server/discover", lifecycle: true},
	{method: "initialize", lifecycle: true},
	{method: "notifications/initialized", lifecycle: true},
	{method: "ping", lifecycle: true},
}

// mcpResponse is the name in `methods` for the client's answer to a request of the server, which has
// no method.
const mcpResponse = "response"

var mcpMethodTable = func() map[string]mcpMethod {
	table := map[string]mcpMethod{}
	for _, m := range knownMethods {
		table[m.method] = m
	}
	return table
}()

// lists returns the condition's lists in the order of manifests.
func (c *MCP) lists() [4]struct {
	list     mcpList
	patterns []*Pattern
} {
	return [4]struct {
		list     mcpList
		patterns []*Pattern
	}{{mcpTools, c.Tools}, {mcpResources, c.Resources}, {mcpPrompts, c.Prompts}, {mcpMethods, c.Methods}}
}

// Each calls f for every pattern, with the key of its list.
func (c *MCP) Each(f func(list string, p *Pattern)) {
	if c == nil {
		return
	}
	for _, l := range c.lists() {
		for _, p := range l.patterns {
			f(l.list.String(), p)
		}
	}
	c.Also.Each(f)
}

// Text writes the condition on one line.
func (c *MCP) Text() string {
	var parts []string
	for _, l := range c.lists() {
		var texts []string
		for _, p := range l.patterns {
			texts = append(texts, p.String())
		}
		if len(texts) > 0 {
			parts = append(parts, l.list.String()+"="+strings.Join(texts, ","))
		}
	}
	if c.Also != nil {
		parts = append(parts, "and "+c.Also.Text())
	}
	return strings.Join(parts, " ")
}

// patterns returns one of the condition's lists.
func (c *MCP) patterns(list mcpList) []*Pattern {
	switch list {
	case mcpTools:
		return c.Tools
	case mcpResources:
		return c.Resources
	case mcpPrompts:
		return c.Prompts
	}
	return c.Methods
}

// Decides returns the list that decides about messages with a method; `methods` where the rule
// does not have the list of what they name.
func (c *MCP) Decides(method string) string {
	list, _ := c.deciding(&mcpMessage{mcpMethod: methodCalled(method)})
	return list.String()
}

// deciding returns the list that decides about a message, and the text that its patterns are
// matched against. Where the rule has the list of what the method names, that list decides,
// and `methods` does not.
func (c *MCP) deciding(m *mcpMessage) (list mcpList, text string) {
	if m.list != mcpMethods && len(c.patterns(m.list)) > 0 {
		return m.list, m.name
	}
	return mcpMethods, m.method
}

// check matches a message. An allow rule, for which all is true, matches what the client
// wrote; a deny rule also what a server may read instead.
func (c *MCP) check(m *mcpMessage, all bool, meter *meter) (v verdict, problem string) {
	list, text := c.deciding(m)
	if list != mcpMethods && m.nameProblem != "" { // mutant: odd-name-matches
		return undecided, m.nameProblem
	}
	v = c.matches(list, text, meter)
	if v == failed && !all && list != mcpMethods && m.folded != "" { // mutant: folded-host-ignored
		v = c.matches(list, m.folded, meter)
	}
	return v, unclearBudget.String()
}

// matches matches a text against the patterns of a list.
func (c *MCP) matches(list mcpList, text string, meter *meter) verdict {
	for also := c; also != nil; also = also.Also {
		patterns := also.patterns(list)
		if also != c && len(patterns) == 0 {
			continue
		}
		if v := matchAny(patterns, text, meter); v != matches {
			return v
		}
	}
	return matches
}

func matchAny(patterns []*Pattern, text string, meter *meter) verdict {
	for _, p := range patterns {
		if !meter.allows(p, text) {
			return undecided
		}
		if p.Match(text) {
			return matches
		}
	}
	return failed // mutant: unnamed-tool-passes
}

// askMCP checks the condition on the message. result is that of the conditions before.
func (e *evaluation) askMCP(r *Rule, all bool, result outcome) outcome {
	m := &e.message
	if !m.read {
		*m = e.readMessage()
		m.read = true
	}
	switch {
	case m.problem != "":
		return result.or(PartMCP, "", m.problem)
	case all && m.lifecycle:
		return result
	}
	switch v, problem := r.MCP.check(m, all, &e.meter); v {
	case matches:
		return result
	case undecided:
		return result.or(PartMCP, m.list.String(), problem)
	}
	return outcome{verdict: failed, part: PartMCP, name: m.list.String()}
}

// refusedCall returns the id of the call that a rule on MCP refused to the holder of a good
// token, as JSON, or nothing: the message was not understood, or has no id.
func (e *evaluation) refusedCall() string {
	d := &e.decision
	if !d.RefusesMessage() || d.Reason == BodyUnavailable || d.Token == nil || !e.message.read || e.message.problem != "" {
		return ""
	}
	return e.message.id
}

// RefusesMessage reports whether a rule on MCP refused the request for its message.
func (d *Decision) RefusesMessage() bool {
	switch d.Reason {
	case NoRuleMatched, BodyUnavailable:
		return d.Failed == PartMCP
	case RuleDenied:
		return d.Rule != nil && d.Rule.MCP != nil
	}
	return false
}

// ReadsBody reports whether the rule has a condition on the body.
func (r *Rule) ReadsBody() bool { return len(r.JSON) > 0 || r.MCP != nil }

// bodyPart names the first condition on the body.
func (r *Rule) bodyPart() (part Part, name string) {
	if len(r.JSON) > 0 {
		return PartJSON, r.JSON[0].Text
	}
	return PartMCP, ""
}
