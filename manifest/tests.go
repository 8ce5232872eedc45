package manifest

import (
	"net/netip"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
)

// Address is a client's address. The zero value is none.
type Address struct{ netip.Addr }

func (Address) expects() string { return "an address such as 192.0.2.7 or 2001:db8::1" }

func (v *Address) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		s.problem(n, field, "%q is no address, expected one such as 192.0.2.7 or 2001:db8::1", text)
		return
	}
	v.Addr = a.Unmap()
}

// Body is the body of a request; empty text is none.
type Body string

func (Body) expects() string { return `text ("" for none)` }

func (v *Body) decode(s *scope, n *yaml.Node, field string) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Value == "" {
		return
	}
	if text, ok := s.text(n, field); ok {
		*v = Body(text)
	}
}

// RequestLine is a request's method and target: `GET /rest/api/2/issue/JRA-1?expand=names`.
type RequestLine struct{ Method, Target string }

func (RequestLine) expects() string { return "a method and a target such as GET /rest/api/2/myself" }

func (v *RequestLine) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	method, target, found := strings.Cut(text, " ")
	if !found || !isHTTPToken(method) || target == "" || strings.Contains(target, " ") {
		s.problem(n, field, "%q, expected %s", text, v.expects())
		return
	}
	*v = RequestLine{method, target}
}

// Want is the expected decision: allow or deny, for any reason or for one.
type Want struct {
	Effect    policy.Effect
	Reason    policy.Reason
	AnyReason bool
}

func (Want) expects() string { return "allow or deny, and a reason if it matters" }

func (v *Want) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	effect, name, given := strings.Cut(text, " ")
	w := Want{AnyReason: !given}
	switch effect {
	case "allow":
		w.Effect = policy.Allow
	case "deny":
	default:
		s.problem(n, field, "%q, expected allow, deny, or either with a reason such as `deny no_rule_matched`", text)
		return
	}
	if given {
		reason, known := policy.ParseReason(name)
		if !known || reason.Allows() != (w.Effect == policy.Allow) {
			s.problem(n, field, "%q is no reason to %s, %s", name, effect, diag.Suggest(name, policy.ReasonNames(w.Effect)))
			return
		}
		w.Reason = reason
	}
	*v = w
}

// String returns the want as it is written.
func (v Want) String() string {
	if v.AnyReason {
		return v.Effect.String()
	}
	return v.Effect.String() + " " + v.Reason.String()
}

// Holds reports whether a decision is the wanted one.
func (v Want) Holds(d *policy.Decision) bool {
	return d.Effect == v.Effect && (v.AnyReason || d.Reason == v.Reason)
}
