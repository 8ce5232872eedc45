package policy

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/patgate/patgate/token"
)

// targetProblem returns why a request's method, target or host can't be evaluated: an
// upstream could read them differently. It is empty for good ones. Encoded bytes that a gate
// may permit are no problem here.
func (r *Request) targetProblem() string {
	switch {
	case r.Problem != "":
		return r.Problem
	case r.Method == "":
		return "the method is missing"
	case r.Method == "CONNECT":
		return "CONNECT names no path"
	case !isUpperMethod(r.Method):
		return "the method is not in upper case"
	}
	if problem := r.Target.Problem(); problem != "" {
		return problem
	}
	if _, ok := normalizeHost(r.Host); !ok {
		return "the host is not one host name with at most a port, or has a trailing dot"
	}
	return ""
}

// goodCredential reports whether there is one credential that can be read, of a scheme
// that the gate knows, and notes why not.
func (e *evaluation) goodCredential() bool {
	c := &e.request.Credential
	switch c.State {
	case CredentialPresent:
		return true
	case CredentialForeign:
		e.decision.Detail = e.gate().foreignProblem(c, e.request.Time)
	default:
		e.decision.Detail = c.Detail
	}
	if c.State != CredentialForeign || e.decision.Detail != "" {
		return false
	}
	if c.Scheme == NoScheme {
		e.decision.Foreign = c.Name
	}
	return true
}

// isUpperMethod reports whether a method is the same in upper case, which some upstreams
// turn it into.
func isUpperMethod(method string) bool {
	for i := range len(method) {
		if c := method[i]; 'a' <= c && c <= 'z' || c >= utf8.RuneSelf { // mutant: methods-in-lower-case
			return false
		}
	}
	return true
}

// goodTarget makes the checks that do not depend on the gate.
func (e *evaluation) goodTarget() bool {
	e.decision.Detail = e.request.targetProblem()
	if e.decision.Detail == "" {
		e.destination, e.decision.Detail = e.request.readDestination()
		e.decision.TwoPaths = e.destination.given
	}
	return e.decision.Detail == ""
}

// goodAtGate makes the checks that depend on the gate.
func (e *evaluation) goodAtGate() bool {
	problem := e.request.Target.Closed(e.gate().AllowEncoded)
	if problem == "" {
		problem = e.destinationProblem()
	}
	if problem == "" {
		problem = e.lookAlike()
	}
	e.decision.Detail = problem
	return problem == ""
}

// findGate finds the gate by the route's word, else by host and path.
func (e *evaluation) findGate() bool {
	r := e.request
	if r.RouteNamed {
		e.decision.Gate = e.snapshot.revision.gates.byName[r.Route]
	} else if host, ok := normalizeHost(r.Host); ok {
		e.decision.Gate = e.snapshot.revision.gates.find(host, r.Target.Path)
	}
	g := e.decision.Gate
	if g != nil && r.Credential.Scheme == Basic && r.Time.Before(g.BasicEnds) {
		e.decision.BasicEnds = g.BasicEnds
	}
	return g != nil
}

// findClient finds the client's address by the gate's rule.
func (e *evaluation) findClient() netip.Addr {
	rule := &e.gate().ClientIP
	e.decision.Client, e.decision.ClientBy, e.decision.Located = rule.address(e.request), rule.Source, true
	return e.decision.Client
}

// secure takes Envoy's word alone: a TLS session, or the one x-forwarded-proto that
// Envoy sets. The `scheme` of a request is the client's choice.
func (e *evaluation) secure() bool {
	return e.request.Secure()
}

// Secure reports whether the client used TLS, by Envoy's word alone.
func (r *Request) Secure() bool {
	if r.TLS {
		return true
	}
	value, n := r.Header.Get("x-forwarded-proto")
	return n == 1 && value == "https" // mutant: plain-connection
}

// findToken looks the presented value up: the one look-up of a request. The groups of
// a token of any user are those of the name presented.
func (e *evaluation) findToken() bool {
	c := &e.request.Credential
	t := e.snapshot.Token(&c.Digest)
	if t == nil {
		return false
	}
	e.own = t.Groups
	if t.AnyUser && c.Scheme == Basic {
		e.own = e.snapshot.GroupsIn(t.Namespace, c.User)
	}
	e.span = t.lifetime(c.Digest, e.own)
	e.decision.Token, e.decision.Previous = t, e.span.previous
	e.meter.token = t
	if !t.AnyUser && (c.Scheme != Basic || t.belongsTo(c.User)) {
		e.decision.Principal = Principal{User: t.User}
	}
	if t.NotAccepted {
		e.decision.Detail = detailNotAccepted
	}
	return !t.NotAccepted
}

// detailNotAccepted is the detail of a refusal of a token that is there, and is at fault or names what is.
const detailNotAccepted = "not accepted"

// valueAsUser reports whether the user of an unknown Basic credential is the value of a
// token that we know, as some clients send it. It is a secret then, and no name.
func (e *evaluation) valueAsUser() bool {
	c := &e.request.Credential
	if c.Scheme != Basic {
		return false
	}
	digest := token.Sum(token.NewSecret(c.User))
	if !e.snapshot.holds(&digest) {
		return false
	}
	e.decision.Principal = Principal{}
	return true
}

// claimsActAs reports whether the request is to act for another user. Only a gate that
// names the header listens to it.
func (e *evaluation) claimsActAs() bool {
	if e.gate().ActAsHeader == "" {
		return false
	}
	target, n := e.request.Header.Get(e.gate().ActAsHeader)
	e.decision.ActAs = target
	return n > 0
}

// actAs lets the token speak for another user, if it may: the target must be matched
// by the token's patterns and be in the gate's groups.
func (e *evaluation) actAs() bool {
	if !e.claimsActAs() {
		return true
	}
	target, n := e.request.Header.Get(e.gate().ActAsHeader)
	e.decision.ActAs = target
	if n != 1 || !presentableUser(target) || strings.IndexByte(target, ',') >= 0 {
		return false
	}
	for _, pattern := range e.decision.Token.ActAs {
		if e.meter.allows(pattern, target) && pattern.Match(target) {
			t := e.decision.Token
			e.target = e.snapshot.GroupsIn(t.Namespace, target)
			if !e.snapshot.admits(e.gate(), t.Namespace, target, e.target) {
				return false
			}
			p := &e.decision.Principal
			p.Actor, p.User, p.Groups = p.User, target, e.target
			e.decision.ActAs = ""
			return true
		}
	}
	return false
}
