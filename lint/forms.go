package lint

import (
	"slices"
	"strings"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// forms warns of rules that a form body may get around, or that refuse every form, where
// a gate does not say what its API does with them.
func (r *ruleLint) forms() {
	var gates []string
	for _, g := range r.gates {
		if g.FormBodies == policy.FormsUnknown {
			gates = append(gates, g.Name)
		}
	}
	if len(gates) == 0 {
		return
	}
	where := strings.Join(gates[:min(len(gates), 3)], ", ")
	if len(gates) > 3 {
		where += ", …"
	}
	switch {
	case r.deny && (len(r.rule.JSON) > 0 || r.rule.MCP != nil) && slices.Contains(r.rule.Methods, "POST"): // a form is no JSON: denied
	case r.deny && len(r.rule.Methods) > 0:
		r.warn(UnknownForms, []any{"methods"}, "many APIs take the method from _method in a form body, and a form that Envoy "+
			"does not hand over passes the rule (Gate %s)", where)
	case len(r.rule.Query) > 0 && slices.ContainsFunc(r.rule.Methods, sendsForms):
		r.warn(UnknownForms, []any{"query"}, "many APIs take parameters from form bodies too, so that the rule can't be decided "+
			"of a request with one (Gate %s)", where)
	}
}

// sendsForms reports whether clients send forms by a method.
func sendsForms(m manifest.Method) bool { return m == "POST" || m == "PUT" || m == "PATCH" }
