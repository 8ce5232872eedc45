package manifest

import (
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/policy"
)

// Pattern is a regular expression that matches in full, and its place.
type Pattern struct {
	*policy.Pattern
	At Pos
}

func (Pattern) expects() string { return "a regular expression (RE2)" }

func (v *Pattern) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok || !s.onOneLine(n, field) {
		return
	}
	p, err := s.decoder.pattern(text)
	if err != nil {
		s.problem(n, field, "%v", err)
		return
	}
	*v = Pattern{p, s.pos(n)}
}

// Parameters are conditions on query parameters.
type Parameters []policy.Parameter

func (Parameters) expects() string { return "parameter names and their regular expressions" }

func (v *Parameters) decode(s *scope, n *yaml.Node, field string) {
	s.patterns(n, field, func(name string, _ *yaml.Node, p *policy.Pattern) {
		*v = append(*v, policy.NewParameter(name, p))
	})
}

// Nodes are conditions on the nodes of a JSON body.
type Nodes []policy.Node

func (Nodes) expects() string { return "node paths and their regular expressions" }

func (v *Nodes) decode(s *scope, n *yaml.Node, field string) {
	s.patterns(n, field, func(name string, key *yaml.Node, p *policy.Pattern) {
		node, err := policy.NewNode(name, p)
		if err != nil {
			s.problem(key, child(field, name), "%v", err)
			return
		}
		*v = append(*v, node)
	})
}

// MediaType is a media type of JSON bodies, in lower case.
type MediaType string

func (MediaType) expects() string { return "a media type such as application/vnd.x+json" }

func (v *MediaType) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	major, minor, _ := strings.Cut(text, "/")
	switch {
	case !isHTTPToken(major) || !isHTTPToken(minor) || strings.Contains(text, "*"):
		s.problem(n, field, "%q, expected %s, without parameters", text, v.expects())
	case policy.IsForm(text):
		s.problem(n, field, "%q is a form, expected the type of JSON bodies", text)
	default:
		*v = MediaType(strings.ToLower(text))
	}
}

// Row returns the condition as decisions have it.
func (v *MCP) Row() *policy.MCP {
	if v == nil {
		return nil
	}
	return &policy.MCP{Tools: rows(v.Tools), Resources: rows(v.Resources), Prompts: rows(v.Prompts), Methods: rows(v.Methods), Also: v.Also.Row()}
}

func rows(list []Pattern) (rows []*policy.Pattern) {
	for _, p := range list {
		rows = append(rows, p.Pattern)
	}
	return rows
}

// check is called for every condition on MCP when its fields are decoded.
func (v *MCP) check(s *scope, n *yaml.Node, field string) {
	for _, l := range v.lists() {
		s.checkCount(n, field, l.key, len(*l.patterns), policy.MaxRules, "patterns")
	}
}

// mcpListOf is a list of a condition on MCP and its key.
type mcpListOf struct {
	key      string
	patterns *[]Pattern
}

func (v *MCP) lists() []mcpListOf {
	return []mcpListOf{{"tools", &v.Tools}, {"resources", &v.Resources}, {"prompts", &v.Prompts}, {"methods", &v.Methods}}
}

// patterns decodes a mapping of names to regular expressions, in its order.
func (s *scope) patterns(n *yaml.Node, field string, add func(name string, key *yaml.Node, p *policy.Pattern)) {
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		s.problem(n, field, "%s, expected at least one name and its regular expression", emptyOr(n))
		return
	}
	s.pairs(n, field, func(name string, key, value *yaml.Node) {
		if name == "" {
			s.problem(key, field, "an empty name, expected some text")
			return
		}
		var p Pattern
		before := len(s.problems)
		if value.Kind == yaml.ScalarNode && value.ShortTag() == "!!null" {
			s.problem(value, child(field, name), "nothing after the key (null), expected %s", p.expects())
		} else if value.Kind != yaml.AliasNode {
			p.decode(s, value, child(field, name))
		}
		if len(s.problems) == before && p.Pattern != nil {
			add(name, key, p.Pattern)
		}
	})
}

func emptyOr(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		return "empty"
	}
	return got(n)
}
