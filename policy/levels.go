package policy

import "slices"

// The rules of a request belong to levels: the gate, each group of the user (and of
// the user that the token acts for), and the grant. Every level that has allow rules must
// have one that matches; the grant must have one in any case, unless it is
// unrestricted. A deny rule that matches refuses, on any level.

// denied checks every deny rule, level by level, in the order of the manifests. OK means that none
// matched and none might have. The user that the token acts for comes last: every check is
// made for its own user first.
func (e *evaluation) denied(grant []*Policy) Reason {
	if reason := e.deniedAt(LevelGate, e.gate().Policies); reason != OK { // mutant: gate-denies-dont-count
		return reason
	}
	if reason := e.deniedByGroups(e.own); reason != OK {
		return reason
	}
	if reason := e.deniedAt(LevelGrant, grant); reason != OK {
		return reason
	}
	return e.deniedByGroups(e.target)
}

func (e *evaluation) deniedByGroups(groups []*Group) Reason {
	for _, g := range groups {
		e.group = g
		if reason := e.deniedAt(LevelGroup, g.Policies); reason != OK {
			return reason
		}
	}
	return OK
}

func (e *evaluation) deniedAt(level Level, policies []*Policy) Reason {
	for _, p := range policies {
		if p.Observe {
			e.observe(p)
			continue
		}
		if reason := e.deniedBy(level, p); reason != OK {
			return reason
		}
	}
	return OK
}

// deniedBy checks one policy's deny rules. One that can't be decided refuses too.
func (e *evaluation) deniedBy(level Level, p *Policy) Reason {
	for _, r := range p.Deny {
		o := e.ask(r, false) // panic: denies
		if e.meter.over {
			return Overloaded
		}
		e.traceRule(level, r, true, o)
		switch o.verdict {
		case matches:
			e.decide(r, outcome{})
			return RuleDenied
		case undecided:
			e.decide(r, o)
			return o.reason() // mutant: undecided-deny
		}
	}
	return OK
}

// allowed checks the allow rules, level by level.
func (e *evaluation) allowed(grant *Grant) Reason {
	if reason := e.bounded(LevelGate, e.gate().Policies); reason != OK {
		return reason
	}
	if reason := e.boundedByGroups(e.own); reason != OK { // mutant: groups-bounds-dont-count
		return reason
	}
	// The grant's rule is the one to name, so it is checked last.
	if reason := e.boundedByGroups(e.target); reason != OK || grant.Unrestricted {
		return reason
	}
	return e.allowedAt(LevelGrant, grant.Policies)
}

func (e *evaluation) boundedByGroups(groups []*Group) Reason {
	for _, g := range groups {
		e.group = g
		if reason := e.bounded(LevelGroup, g.Policies); reason != OK {
			return reason
		}
	}
	return OK
}

// bounded checks a level that restricts only where it has allow rules.
func (e *evaluation) bounded(level Level, policies []*Policy) Reason {
	for _, p := range policies {
		if !p.Observe && len(p.Allow) > 0 {
			return e.allowedAt(level, policies)
		}
	}
	return OK
}

// allowedAt requires one allow rule of a level's policies to match. Where none does, the
// decision names the rule that came nearest; where one could not be decided, that is
// the reason.
func (e *evaluation) allowedAt(level Level, policies []*Policy) Reason {
	var nearest outcome
	var rule *Rule
	for _, p := range policies {
		if p.Observe != (level == LevelObserved) {
			continue
		}
		rows, path := e.planOf(p), e.path()
		for i, r := range p.Allow {
			if rows != nil {
				if part := rows[i].failing(e.method, path); part != NoPart {
					if o := (outcome{verdict: failed, part: part}); rule == nil || o.nearer(nearest) {
						nearest, rule = o, r
					}
					continue
				}
			}
			o := e.askPlanned(rows, i, r) // panic: allows
			if e.meter.over {
				return Overloaded
			}
			e.traceRule(level, r, false, o)
			if o.verdict == matches { // mutant: undecided-allow
				e.decide(r, outcome{})
				return OK
			}
			if rule == nil || o.nearer(nearest) {
				nearest, rule = o, r
			}
		}
	}
	e.decide(rule, nearest)
	if nearest.verdict == undecided {
		return nearest.reason()
	}
	return NoRuleMatched
}

// nearer reports whether o came nearer to a match than other: undecided before
// failed, then by how many conditions held.
func (o outcome) nearer(other outcome) bool {
	if o.verdict != other.verdict {
		return o.verdict == undecided
	}
	return o.verdict == failed && o.part > other.part
}

// decide notes the rule that decided, and its part that did not match.
func (e *evaluation) decide(r *Rule, o outcome) {
	e.decision.Rule, e.decision.Failed, e.decision.PartName, e.decision.Problem = r, o.part, o.name, o.why // panic: decided
}

// observe records what an observing policy would have decided on its own. A policy that
// several levels name is recorded once.
func (e *evaluation) observe(p *Policy) {
	at := slices.IndexFunc(e.decision.Observed, func(o Observation) bool { return o.Policy == p.Name })
	if at >= 0 && (!e.decision.AtDestination || e.decision.Observed[at].Reason != OK) {
		return
	}
	kept := e.decision
	reason := e.deniedBy(LevelObserved, p)
	if reason == OK && len(p.Allow) > 0 {
		reason = e.allowedAt(LevelObserved, []*Policy{p})
	}
	e.decision = kept
	if at >= 0 {
		e.decision.Observed[at].Reason = reason
		return
	}
	e.decision.Observed = append(e.decision.Observed, Observation{Policy: p.Name, Reason: reason})
}

// traceRule records the outcome of a rule in the trace, where there is one.
func (e *evaluation) traceRule(level Level, r *Rule, deny bool, o outcome) {
	e.noteBody(r, o)
	if e.trace == nil {
		return
	}
	e.trace.rule(level, r, deny, o)
	e.trace.Rules[len(e.trace.Rules)-1].Second = e.decision.AtDestination
	if level == LevelGroup {
		e.trace.Rules[len(e.trace.Rules)-1].Group = e.group.Name
	}
}

// noteBody records the outcome of a rule that checked the body. A rule that is checked again,
// at another level or for a Destination, has the same outcome.
func (e *evaluation) noteBody(r *Rule, o outcome) {
	if !r.ReadsBody() || o.part != PartJSON && o.part != PartMCP && o.verdict != matches {
		return
	}
	for i := range e.bodies {
		if e.bodies[i].Rule == r {
			return
		}
	}
	e.bodies = append(e.bodies, BodyVerdict{r, o.verdict.String()})
}
