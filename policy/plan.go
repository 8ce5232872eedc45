package policy

import "strings"

// plan is what the allow rules of a policy require of methods and paths, side by side. Most rules fail on that, and
// those need not be read: with many policies, each rule that is read is several misses of the processor's cache.
type plan []planned

// planned holds the requirements of a rule: 32 bytes, so that two of them are a line of the cache.
type planned struct {
	methods methodSet
	isWhole bool  // the rule has no other conditions than on the method and the path
	length  uint8 // of prefix
	prefix  [29]byte
}

// methodSet is a set of methods. The zero value is the empty set.
type methodSet uint8

const (
	otherMethods methodSet = 1 << 7 // some that have no bit of their own
	anyMethod    methodSet = 1<<8 - 1
)

// methodsOf returns the set of some methods.
func methodsOf(methods ...string) (set methodSet) {
	for _, method := range methods {
		switch method {
		case "GET":
			set |= 1 << 0
		case "HEAD":
			set |= 1 << 1
		case "POST":
			set |= 1 << 2
		case "PUT":
			set |= 1 << 3
		case "PATCH":
			set |= 1 << 4
		case "DELETE":
			set |= 1 << 5
		case "OPTIONS":
			set |= 1 << 6
		default:
			set |= otherMethods
		}
	}
	return set
}

// minPlanned is the minimum number of allow rules of a policy with a plan.
const minPlanned = 3

// planOf returns the policy's plan, which is made when it is needed first, or nil: it has none. Policies without a name,
// such as the own rules of tokens, have none.
func (p *Policy) planOf() plan {
	if p.Name == "" || len(p.Allow) < minPlanned {
		return nil
	}
	if made := p.plan.Load(); made != nil {
		return *made
	}
	made := make(plan, len(p.Allow))
	for i, r := range p.Allow {
		made[i] = r.planned()
	}
	p.plan.Store(&made)
	return made
}

// planOf returns the plan of a policy, or nil where every rule must be asked: a trace shows each.
func (e *evaluation) planOf(p *Policy) plan {
	if e.trace != nil {
		return nil
	}
	return p.planOf()
}

func (r *Rule) planned() (row planned) {
	row.methods, row.isWhole = anyMethod, len(r.Clients)+len(r.Query)+len(r.JSON) == 0 && r.MCP == nil
	if len(r.Methods) > 0 {
		row.methods = methodsOf(r.Methods...)
	}
	isNamed := len(r.Methods) > 0 && row.methods == anyMethod // these are not any: who has another must fail on it first
	if r.Path != nil && !isNamed {
		row.length = uint8(copy(row.prefix[:], r.Path.prefix))
	}
	return row
}

// failing returns the part that an allow rule is sure to fail on, as ask returns it, or NoPart: the
// rule must be asked.
func (row *planned) failing(method methodSet, path string) Part {
	switch {
	case row.methods&method == 0:
		return PartMethod
	case method == otherMethods && row.methods != anyMethod: // which one is not known
		return NoPart
	}
	if !strings.HasPrefix(path, string(row.prefix[:row.length])) { // mutant: plan-skips-rules
		return PartPath
	}
	return NoPart
}

// askPlanned is ask of an allow rule that does not fail by its plan. Of most rules it reads no more than the pattern.
func (e *evaluation) askPlanned(rows plan, i int, r *Rule) outcome {
	if rows == nil || !rows[i].isWhole || e.method == otherMethods || e.gate().FormBodies == FormsMerged {
		return e.ask(r, true)
	}
	if r.Path != nil && !e.matchesPath(r.Path, false) {
		return outcome{verdict: failed, part: PartPath}
	}
	return outcome{verdict: matches}
}
