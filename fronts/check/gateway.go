package check

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
)

// gateway checks HTTPRoutes of the Gateway API whose filter ExternalAuth asks.
func (c *checker) gateway() error {
	documents, err := yamlDocuments(c.file)
	if err != nil {
		return err
	}
	for _, n := range documents {
		if scalarOf(n, "kind") == "HTTPRoute" {
			for _, rule := range orEmpty(at(n, "spec", "rules")).Content {
				c.judged++
				c.gatewayRule(rule)
			}
		}
	}
	return nil
}

// gatewayRule checks a rule: it has the filter once, and no backend has one of its own.
func (c *checker) gatewayRule(rule *yaml.Node) {
	where := func(n *yaml.Node) diag.Pos { return diag.Pos{Line: n.Line, Column: n.Column} }
	asks := c.externalAuths(rule)
	for _, backend := range orEmpty(child(rule, "backendRefs")).Content {
		for _, filter := range c.externalAuths(backend) {
			c.find(where(filter), FilterPlace, "backendRefs", "the CRD accepts an ExternalAuth within a backendRef, and implementations need not follow it")
		}
	}
	if len(asks) == 0 {
		c.find(where(rule), Unguarded, "rules", "the rule has no filter ExternalAuth")
	}
	for i, filter := range asks {
		if i > 0 {
			c.find(where(filter), FilterPlace, "filters", "the CRD accepts a second ExternalAuth in a rule, and implementations take one of them")
		}
		auth := child(filter, "externalAuth")
		allowed := at(auth, strings.ToLower(scalarOf(auth, "protocol")), "allowedHeaders")
		if allowed != nil && !slices.ContainsFunc(texts(allowed), func(name string) bool { return strings.EqualFold(name, "authorization") }) {
			c.find(where(allowed), CheckHeader, "allowedHeaders", "authorization is not in it: every caller is one without a credential")
		}
		if i := slices.IndexFunc(orEmpty(child(rule, "filters")).Content, func(f *yaml.Node) bool { return scalarOf(f, "type") == "URLRewrite" }); i >= 0 {
			c.find(where(child(rule, "filters").Content[i]), PathChanged, "filters", "URLRewrite changes the path after the check")
		}
	}
}

// externalAuths lists the filters of a rule or a backend that ask.
func (c *checker) externalAuths(n *yaml.Node) (list []*yaml.Node) {
	for _, filter := range orEmpty(child(n, "filters")).Content {
		if scalarOf(filter, "type") == "ExternalAuth" {
			list = append(list, filter)
		}
	}
	return list
}
