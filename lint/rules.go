package lint

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// pattern is a pattern with its properties, computed once.
type pattern struct {
	traits
	neverPath  string          // why it matches no path; empty where it may
	neverValue bool            // it matches no text at all
	below      map[string]bool // by prefix: whether it may match a path below
}

func (l *linter) pattern(text string) *pattern {
	p := l.patterns[text]
	if p == nil {
		p = &pattern{traits: traitsOf(text), below: map[string]bool{}}
		_, anyText := search(anyText(), text)
		p.neverValue = anyText == none
		p.neverPath = l.whyNeverPath(text)
		l.patterns[text] = p
	}
	return p
}

// whyNeverPath proves that a pattern matches no path that reaches a rule.
func (l *linter) whyNeverPath(text string) string {
	if _, found := search(pathsBelow("", l.open), text); found != none {
		return ""
	}
	witness, found := search(anyText(), text)
	if found != some {
		return "it matches no text at all"
	}
	target := policy.NewTarget(witness)
	if problem := cmp.Or(target.Problem(), target.Closed(l.open)); problem != "" {
		return fmt.Sprintf("a text that it matches is %q, and every such path is refused before: %s", witness, problem)
	}
	return fmt.Sprintf("a text that it matches is %q, which is no decoded path", witness)
}

// mayMatchBelow reports whether a pattern may match a path at or below a prefix.
func (l *linter) mayMatchBelow(text, prefix string) bool {
	p := l.pattern(text)
	may, known := p.below[prefix]
	if !known {
		_, found := search(pathsBelow(prefix, l.open), text)
		may = found != none
		p.below[prefix] = may
	}
	return may
}

// ruleLint checks one rule.
type ruleLint struct {
	*linter
	doc   *manifest.Document
	steps []any
	rule  *manifest.Rule
	deny  bool
	line  bool           // in the one-line form
	gates []*policy.Gate // where it may be asked
	token policy.Ranges  // whose holder it is asked for
	said  map[Code]bool
}

// rules checks a list of rules: its place, the gates where it may be asked, and
// the ranges of the token that it belongs to.
func (l *linter) rules(d *manifest.Document, at []any, list []manifest.Rule, deny bool, gates []*policy.Gate, token policy.Ranges) {
	for i := range list {
		r := &ruleLint{
			linter: l, doc: d, steps: below(at, i), rule: &list[i], deny: deny, line: at[len(at)-1] == "limitTo",
			gates: gates, token: token, said: map[Code]bool{},
		}
		r.methods()
		r.forms()
		r.path()
		r.clients()
		r.values()
	}
}

// warn adds a warning about a part of the rule, once a code.
func (r *ruleLint) warn(code Code, part []any, format string, args ...any) {
	if r.said[code] {
		return
	}
	r.said[code] = true
	at, steps := r.rule.At, below(r.steps, part...)
	if r.line {
		steps = r.steps
	} else {
		at = r.place(r.doc, steps)
	}
	r.warnAt(code, r.doc, at, steps, format, args...)
	r.warnings[len(r.warnings)-1].rule = r.rule.At.Line
}

// path checks the path's pattern. In a deny rule a wide one is safe.
func (r *ruleLint) path() {
	if r.rule.Path.Pattern == nil {
		return
	}
	text := r.rule.Path.String()
	p := r.pattern(text)
	alone := len(r.rule.Methods)+len(r.rule.Query)+len(r.rule.JSON)+len(r.rule.Clients) == 0 && r.rule.MCP == nil
	at := []any{"path"}
	switch {
	case p.neverPath != "":
		r.warn(NeverMatches, at, "the path pattern %s never matches: %s", text, p.neverPath)
		return
	case p.anyPath && (!r.deny || alone):
		r.warn(MatchesEverything, at, "the path pattern %s matches practically every path", text)
	case r.deny:
		r.caseOfDeny(at, text)
	default:
		if p.leading {
			r.warn(LeadingAny, at, "the path pattern %s begins with any text, so that it matches below every other path too", text)
		}
		if p.crosses {
			r.warn(CrossesSegments, at, "the path pattern %s has any text in the middle, which takes in slashes and so other resources", text)
		}
	}
	r.dot(at, text)
	r.outside(at, text)
}

func (r *ruleLint) dot(at []any, text string) {
	if dot := r.pattern(text).dot; dot != "" && !r.deny {
		r.warn(UnescapedDot, at, "the dot in %s of the pattern %s matches any character", dot, text)
	}
}

// outside warns of a path that no gate guards where the rule is asked. A route that
// names its gate could still bring it there, so this is not never.
func (r *ruleLint) outside(at []any, text string) {
	var prefixes []string
	for _, g := range r.gates {
		for _, prefix := range g.Prefixes {
			if r.mayMatchBelow(text, prefix) {
				return
			}
			if !slices.Contains(prefixes, prefix+"/") {
				prefixes = append(prefixes, prefix+"/")
			}
		}
	}
	if len(prefixes) > 0 {
		r.warn(OutsideGate, at, "the path pattern %s matches nothing that the gate guards (%s)", text, strings.Join(prefixes, ", "))
	}
}

func (r *ruleLint) clients() {
	if len(r.rule.Clients) == 0 {
		return
	}
	list, at := prefixes(r.rule.Clients), []any{"clients"}
	if text := everyAddress(list); text != "" {
		r.warn(EveryAddress, at, "the ranges hold %s", text)
	}
	if r.deny && onlyIPv4(list) {
		r.warn(IPv4OnlyDeny, at, "the ranges are IPv4 only: clients over IPv6 are not denied")
	}
	for _, g := range r.gates {
		if _, ok := address([]policy.Ranges{g.Clients, r.token}, list); ok {
			return
		}
	}
	if len(r.gates) > 0 {
		r.warn(NeverMatches, at, "the rule never matches: no address of these ranges gets past those of its gates and token")
	}
}

func prefixes(list []manifest.CIDR) []netip.Prefix {
	var out []netip.Prefix
	for _, c := range list {
		out = append(out, c.Prefix)
	}
	return out
}

// condition is one on a query parameter or a JSON node.
type condition struct {
	part, name, text string
}

// values checks the conditions on parameters and nodes. An unreadable value satisfies a
// deny rule, so nothing is proven of one.
func (r *ruleLint) values() {
	if r.deny {
		return
	}
	r.mcp()
	var list []condition
	for _, p := range r.rule.Query {
		list = append(list, condition{"query", p.Name, p.Pattern.String()})
	}
	for _, n := range r.rule.JSON {
		list = append(list, condition{"json", n.Text, n.Pattern.String()})
	}
	for i, c := range list {
		at := []any{c.part, c.name}
		p := r.pattern(c.text)
		if p.neverValue {
			r.warn(NeverMatches, at, "the rule never matches: the pattern %s of %s matches no text at all", c.text, c.name)
			return
		}
		if p.anyValue {
			r.warn(MatchesEverything, at, "the pattern %s matches any value of %s: all that counts is that it is there", c.text, c.name)
		}
		r.dot(at, c.text)
		for _, other := range list[:i] {
			r.together(at, c, other)
		}
	}
}

// together proves that two conditions can't hold at once.
func (r *ruleLint) together(at []any, c, other condition) {
	switch {
	case c.part != other.part:
	case c.name == other.name && c.text != other.text:
		if _, found := search(anyText(), c.text, other.text); found == none {
			r.warn(NeverMatches, at, "the rule never matches: no value of %s matches both %s and %s", c.name, other.text, c.text)
		}
	case c.part == "query" && c.name != other.name && policy.LooksLike(c.name, other.name):
		r.warn(NeverMatches, at, "the rule never matches: of the parameters %s and %s each makes the other unreadable, as some servers take them for one",
			other.name, c.name)
	}
}
