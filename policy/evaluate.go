// Package policy decides whether a request may pass. Evaluate is pure: the same snapshot, request
// and time give the same decision, and the zero value of every type denies. It checks in this
// order, and the first check that fails gives the reason of the refusal:
//
//  1. for every request: manifests are loaded, the target is unambiguous, no header overrides the
//     method or URL, a gate matches the host and path, TLS is used where the gate requires it, and
//     the gate admits the client's address;
//  2. the credential: it is well-formed, and its value is that of a token. Without a credential
//     the gate's rules for anonymous callers decide; an unknown credential is refused unless
//     the gate forwards it;
//  3. the token: it is no canary, the gate takes its scheme, and it is not revoked, suspended, not
//     yet valid or expired; the token takes the scheme, and the user name is its own;
//  4. the gate and the token together: the user is in the gate's groups, the token is valid for
//     the gate and the address, and for the user that it acts for;
//  5. deny rules, then allow rules: of the gate, the user's groups, the grant. What can't be
//     decided refuses.
//
// An Index holds the rows and gives each request one Snapshot of them. The package imports the
// standard library, go-memdb and token only.
package policy

import "time"

// evaluation is one decision in the making. It lives on the stack: Evaluate hands it
// to nothing that keeps it.
type evaluation struct {
	snapshot *Snapshot
	request  *Request
	trace    *Trace
	decision Decision
	span     lifetime // of the value presented
	own      []*Group // of the token's user
	target   []*Group // of the user that the token acts for
	group    *Group   // whose rules are checked, for the trace
	query    query
	body     body
	form     form
	message  mcpMessage
	meter    meter
	method   methodSet // of the request

	bodies      []BodyVerdict
	oddHeaders  bool // some header may be a look-alike
	destination destination
}

// Evaluate decides about one request by one snapshot. It is a pure function: its clock
// is the request's. A trace, where one is given, is filled with every step; the
// decision is the same with and without.
func Evaluate(s *Snapshot, r *Request, t *Trace) Decision {
	e := evaluation{snapshot: s, request: r, trace: t, meter: meter{budget: r.Budget}, method: methodsOf(r.Method)}
	e.decision.Scheme = r.Credential.Scheme // panic: evaluate
	if reason := e.admit(); reason != OK {
		e.decision.Refuse(reason)
		return e.decision
	}
	reason := e.authorize()
	switch {
	case reason.Allows():
		e.decision.Effect, e.decision.Reason = Allow, reason
	case e.decision.Gate.Observe && observable(reason):
		e.shadow(reason)
	default:
		e.decision.Refuse(reason)
		e.decision.Call = e.refusedCall()
	}
	e.decision.Bodies = e.bodies
	if e.decision.Effect == Allow {
		e.decision.Remove = e.snapshot.hiddenTokens(e.request.Header, e.decision.Remove)
	}
	return e.decision
}

// admit makes the checks that do not depend on the caller. OK continues the evaluation.
func (e *evaluation) admit() Reason {
	switch {
	case !e.step(StepReady, e.snapshot.Ready()):
		return NotReady
	case !e.step(StepTarget, e.goodTarget()):
		return BadTarget
	case !e.step(StepMethodOverride, !e.overridden()):
		return MethodOverride
	case !e.step(StepGate, e.findGate()):
		return NoGate
	case !e.step(StepGateValid, !e.gate().Invalid):
		return GateInvalid
	case !e.step(StepGateTarget, e.goodAtGate()):
		return BadTarget
	case !e.step(StepTLS, !e.gate().RequireTLS || e.secure()):
		return TLSRequired
	case !e.step(StepGateClients, e.gate().Clients.Admits(e.findClient())):
		return ClientDenied
	}
	return OK
}

// authorize finds out who calls and what they may do.
func (e *evaluation) authorize() Reason {
	c := &e.request.Credential
	if c.Scheme == Basic {
		e.decision.Principal = Principal{User: c.User, Asserted: c.User != ""}
	}
	if c.State == CredentialAbsent {
		return e.anonymous()
	}
	if !e.step(StepCredential, e.goodCredential()) {
		return BadCredential
	}
	if e.step(StepToken, e.findToken()) {
		return e.token()
	}
	if e.decision.Token != nil {
		return TokenUnknown
	}
	return e.forwarded()
}

// anonymous decides about a caller without a credential. Whatever allow is missing,
// what they lack is a credential; only a deny rule refuses them for good.
func (e *evaluation) anonymous() Reason {
	grant := e.gate().Anonymous
	if !e.step(StepCredential, grant != nil) {
		return NoCredential
	}
	if reason := e.deniedOnBoth(grant.Policies); reason != OK {
		return reason
	}
	switch reason := e.allowedOnBoth(grant); reason {
	case OK:
	case Overloaded:
		return reason
	default:
		return NoCredential
	}
	if !e.step(StepActAs, !e.claimsActAs()) {
		return ActAsDenied
	}
	return Anonymous
}

// forwarded decides a request whose credential is not a patgate token.
func (e *evaluation) forwarded() Reason {
	c := &e.request.Credential
	known := e.valueAsUser() || e.snapshot.Gone(c.Digest)
	if !e.step(StepForward, !known && e.gate().forwards(c, e.request.Time) && !e.snapshot.holdsToken(c)) {
		return TokenUnknown
	}
	if !e.step(StepActAs, !e.claimsActAs()) {
		return ActAsDenied
	}
	if reason := e.deniedOnBoth(nil); reason != OK {
		return reason
	}
	if reason := e.allowedOnBoth(&Grant{Unrestricted: true}); reason != OK {
		return reason
	}
	return Forwarded
}

// token decides about the holder of a token. The order is the reference's.
func (e *evaluation) token() Reason {
	t, now, scheme := e.decision.Token, e.request.Time, e.request.Credential.Scheme
	switch {
	case !e.step(StepCanary, !t.Canary): // mutant: canary-passes
		return TokenCanary
	case !e.step(StepGateSchemes, e.gate().takes(scheme, now)):
		return SchemeDenied
	case !e.step(StepRevoked, !t.Revoked): // mutant: revoked-token-passes
		return TokenRevoked
	case !e.step(StepSuspended, !t.Suspended): // mutant: suspended-token-passes
		return TokenSuspended
	case !e.step(StepNotYetValid, !e.span.notYetValid(now)):
		return TokenNotYetValid
	case !e.step(StepExpired, !e.span.expired(now)): // mutant: expired-token-passes
		return TokenExpired
	case !e.step(StepTokenSchemes, t.Takes(scheme)):
		return SchemeDenied
	case !e.step(StepUser, scheme != Basic || t.belongsTo(e.request.Credential.User)):
		return UserMismatch
	}
	e.identify(now)
	switch {
	case !e.step(StepGateGroups, e.snapshot.admits(e.gate(), t.Namespace, e.decision.Principal.User, e.own)): // mutant: gate-groups-dont-count
		return TokenDeactivated
	case !e.step(StepTokenGates, t.forGate(e.gate())): // mutant: token-gates-dont-count
		return GateDenied
	case !e.step(StepTokenClients, t.Clients.Admits(e.decision.Client)): // mutant: token-addresses-dont-count
		return ClientDenied
	case !e.step(StepActAs, e.actAs()):
		if e.meter.over {
			return Overloaded
		}
		return ActAsDenied
	}
	if reason := e.deniedOnBoth(t.Grant.Policies); reason != OK {
		return reason
	}
	return e.allowedOnBoth(&t.Grant)
}

// observable reports whether a gate with `enforcement: observe` turns a refusal into an allow. A
// canary is refused everywhere: it has no legitimate use.
func observable(r Reason) bool {
	return (r.Status() == statusUnauthorized || r.Status() == statusForbidden) && r != TokenCanary
}

// shadow turns a refusal into the allow of an observing gate, which passes no
// identity to the upstream.
func (e *evaluation) shadow(refusal Reason) {
	d := &e.decision
	d.Effect, d.Shadowed, d.Shadow = Allow, true, refusal
	d.ExpiresSoon = false
	d.Reason = Forwarded
	if !e.request.CredentialGiven() {
		d.Reason = Anonymous
	}
}

// identify fills in the groups of a good token's user, and how long its value lasts.
func (e *evaluation) identify(now time.Time) {
	d := &e.decision // panic: identify
	d.Principal.Groups = e.own
	d.Expires, d.ExpiresSoon = e.span.end, e.span.soon(now)
}

// step notes a check in the trace, where there is one, and returns its result.
func (e *evaluation) step(s Step, passed bool) bool {
	if e.trace != nil { // panic: step
		e.trace.step(s, passed)
	}
	return passed
}

func (e *evaluation) gate() *Gate { return e.decision.Gate }
