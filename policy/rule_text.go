package policy

import (
	"fmt"
	"net/netip"
	"strings"
)

// Text writes the conditions of the rule on one line. It is empty for a rule without any.
func (r *Rule) Text() string {
	var parts []string
	if len(r.Methods) > 0 {
		parts = append(parts, strings.Join(r.Methods, ","))
	}
	if r.Path != nil {
		parts = append(parts, r.Path.String())
	}
	for _, q := range r.Query {
		parts = append(parts, fmt.Sprintf("query %s=%s", q.Name, q.Pattern))
	}
	for _, n := range r.JSON {
		parts = append(parts, fmt.Sprintf("json %s=%s", n.Text, n.Pattern))
	}
	if r.MCP != nil {
		parts = append(parts, "mcp "+r.MCP.Text())
	}
	if len(r.Clients) > 0 {
		parts = append(parts, "from "+prefixesText(r.Clients))
	}
	return strings.Join(parts, "  ")
}

// Text writes the ranges as people do: `10.0.0.0/8, but not 10.1.0.0/16`.
func (r *Ranges) Text() string {
	text := "every address"
	if len(r.Allow) > 0 {
		text = prefixesText(r.Allow)
	}
	if len(r.Deny) > 0 {
		text += ", but not " + prefixesText(r.Deny)
	}
	return text
}

func prefixesText(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}
