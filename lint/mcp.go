package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/patgate/patgate/policy"
)

// mcp checks the patterns of an allow rule's condition on MCP messages.
func (r *ruleLint) mcp() {
	condition := r.rule.MCP.Row()
	if condition == nil {
		return
	}
	at := []any{"mcp"}
	if len(r.rule.Methods) > 0 && !slices.Contains(r.rule.Methods, "POST") {
		r.warn(NeverMatches, at, "the rule never matches: messages to MCP servers are sent by POST, which its methods do not have")
		return
	}
	condition.Each(func(list string, p *policy.Pattern) {
		switch text := r.pattern(p.String()); {
		case text.neverValue:
			r.warn(NeverMatches, at, "the pattern %s of %s matches no text at all", p, list)
		case text.anyValue:
			r.warn(MatchesEverything, at, "the pattern %s matches any of the %s", p, list)
		case list == "methods" && condition.Decides(p.String()) != list:
			r.warn(NeverMatches, at, "the pattern %s of methods matches no message: the rule's %s decide about them", p, condition.Decides(p.String()))
		case list == "resources":
			r.dot(at, p.String())
		}
	})
}

// mcpCall is a message that all rules on MCP of a candidate match.
type mcpCall struct{ method, key, name string }

// mcpKinds are the messages that an example may have, by the list that is about them.
var mcpKinds = []struct {
	list    func(*policy.MCP) []*policy.Pattern
	method  string
	key     string
	example string // a name where the rules have none of their own
}{
	{func(c *policy.MCP) []*policy.Pattern { return c.Tools }, "tools/call", "name", "search"},
	{func(c *policy.MCP) []*policy.Pattern { return c.Resources }, "resources/read", "uri", "file:///a"},
	{func(c *policy.MCP) []*policy.Pattern { return c.Prompts }, "prompts/get", "name", "greet"},
}

// chooseCall finds a message that the rules on MCP match, and reports whether there is one, or no such rule.
func (c *candidate) chooseCall(rules []*policy.Rule) bool {
	var conditions []*policy.MCP
	for _, r := range rules {
		for m := r.MCP; m != nil; m = m.Also {
			conditions = append(conditions, m)
		}
	}
	if len(conditions) == 0 {
		return true
	}
	for _, kind := range mcpKinds {
		var patterns []string
		for _, m := range conditions {
			if list := kind.list(m); len(list) > 0 {
				patterns = append(patterns, either(list))
			}
		}
		if name, found := search(anyText(), patterns...); len(patterns) == len(conditions) && found == some {
			c.call = &mcpCall{kind.method, kind.key, name}
			return true
		}
	}
	var methods []string
	for _, m := range conditions {
		methods = append(methods, either(m.Methods))
	}
	method, found := search(anyText(), methods...)
	if found != some {
		return false
	}
	c.call = &mcpCall{method: method}
	for _, kind := range mcpKinds {
		if kind.method == method {
			c.call.key, c.call.name = kind.key, kind.example
		}
	}
	return true
}

// either is a pattern that matches what one of the patterns matches; of none, nothing.
func either(list []*policy.Pattern) string {
	if len(list) == 0 {
		return `[^\x00-\x{10FFFF}]`
	}
	var texts []string
	for _, p := range list {
		texts = append(texts, "(?:"+p.String()+")")
	}
	return strings.Join(texts, "|")
}

// nodes are those of the message's body.
func (m *mcpCall) nodes() []named {
	if m == nil {
		return nil
	}
	list := []named{{"/jsonrpc", "2.0"}, {"/id", "1"}, {"/method", m.method}}
	if m.key != "" {
		list = append(list, named{fmt.Sprintf("/params/%s", m.key), m.name})
	}
	return list
}
