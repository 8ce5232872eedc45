package replay

import (
	"net/netip"
	"strings"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// The reasons for which an event cannot be replayed.
const (
	WhyServer        = "decided by the state of the server"
	WhyMaskedPath    = "masked path"
	WhyMaskedQuery   = "masked query"
	WhyMaskedName    = "masked user, host or method"
	WhyCutPath       = "truncated path"
	WhyCutQuery      = "truncated query"
	WhyCutName       = "truncated user, host or method"
	WhyNotUTF8       = "text that is not UTF-8"
	WhyBadTarget     = "a bad target for a reason that the event does not hold"
	WhyOverride      = "a header that names another method, URL or host"
	WhyDestination   = "a Destination header"
	WhyRoute         = "the gate that the route named"
	WhyEarly         = "refused before its credential was read"
	WhyForeign       = "a credential that is no token, of which the event does not hold the form"
	WhyUnknown       = "a value that is no token's, and may be forwarded"
	WhyTokenGone     = "a token that no longer exists"
	WhyPrevious      = "an older value that the manifests do not have"
	WhyUser          = "the user that was presented"
	WhyActAs         = "the act-as header"
	WhyClient        = "the client's address by another source"
	WhyBody          = "a body rule without a verdict"
	WhyForm          = "a body that may be a form"
	WhyIncomplete    = "an event without its request"
	nameCapAlmost    = 240 // names are cut at 256 bytes
	maskedText       = "REDACTED"
	replacedNoneUTF8 = "\uFFFD"
)

// incomplete says why the event alone does not say what the request was; empty: it does.
func incomplete(l *audit.Logged) string {
	masked := func(texts ...string) bool { return strings.Contains(strings.Join(texts, " "), maskedText) }
	cut := func(texts ...string) bool {
		for _, t := range texts {
			if l.Truncated && len(t) >= nameCapAlmost {
				return true
			}
		}
		return false
	}
	switch reason, known := policy.ParseReason(effective(l)); {
	case !known, reason == policy.Internal, reason == policy.NotReady, reason == policy.AuditUnavailable, reason == policy.Overloaded:
		return WhyServer
	case reason == policy.MethodOverride:
		return WhyOverride
	case l.Path == "" || l.Method == "":
		return WhyIncomplete
	case l.PathBytes > 0:
		return WhyCutPath
	case l.QueryBytes > 0:
		return WhyCutQuery
	case cut(l.User, l.Actor, l.ActAs, l.Host, l.Method):
		return WhyCutName
	case masked(l.Path):
		return WhyMaskedPath
	case masked(l.Query):
		return WhyMaskedQuery
	case masked(l.User, l.Actor, l.ActAs, l.Host, l.Method):
		return WhyMaskedName
	case strings.Contains(l.Path+l.Query+l.User+l.Actor+l.ActAs+l.Host+l.Method, replacedNoneUTF8):
		return WhyNotUTF8
	case l.Destination:
		return WhyDestination
	case l.RouteNamed && l.Gate == "":
		return WhyRoute
	case reason == policy.ActAsDenied && l.ActAs == "":
		return WhyActAs
	}
	return ""
}

// effective is the reason of a decision, or of the refusal that an observing gate let through.
func effective(l *audit.Logged) string {
	if l.Shadow != "" {
		return l.Shadow
	}
	return l.Reason
}

// person is the user in person.
func person(l *audit.Logged) string {
	if l.Actor != "" {
		return l.Actor
	}
	return l.User
}

// headers are a few headers of a request, in lower case, each of them once.
type headers [][2]string

// Get implements policy.Header.
func (h headers) Get(name string) (value string, count int) {
	for _, pair := range h {
		if pair[0] == name {
			return pair[1], 1
		}
	}
	return "", 0
}

// Len implements policy.Header.
func (h headers) Len() int { return len(h) }

// At implements policy.Header.
func (h headers) At(i int) (name, value string) { return h[i][0], h[i][1] }

// request is what the event says of the request, but for its credential. gate is the gate that decides it.
func (s *Side) request(l *audit.Logged) (r *policy.Request, gate *policy.Gate, why string) {
	target := l.Path
	if l.Query != "" {
		target += "?" + l.Query
	}
	r = &policy.Request{Time: l.Time, Method: l.Method, Target: policy.NewTarget(target), Host: l.Host}
	r.TLS = l.TLS != nil && *l.TLS || l.TLS == nil && effective(l) != policy.TLSRequired.String()
	if l.RouteNamed || l.TLS == nil && s.snapshot.Gate(l.Gate) != nil { // an older event does not say whether the route named it
		r.Route, r.RouteNamed = l.Gate, true
	}
	r.Header = headers{}
	gate = s.snapshot.GateOf(r)
	if gate == nil {
		return r, nil, ""
	}
	h, why := clientHeaders(l, r, gate)
	if asked := askedFor(l); asked != "" && gate.ActAsHeader != "" {
		h = append(h, [2]string{gate.ActAsHeader, asked})
	}
	r.Header = h
	return r, gate, why
}

// askedFor is the user that the caller asked to act as; empty: none that the event holds.
func askedFor(l *audit.Logged) string {
	if l.Actor != "" {
		return l.User
	}
	return l.ActAs
}

// clientHeaders puts the client's address where the gate looks for it.
func clientHeaders(l *audit.Logged, r *policy.Request, gate *policy.Gate) (h headers, why string) {
	r.Peer, _ = netip.ParseAddr(l.Peer)
	client, err := netip.ParseAddr(l.Client)
	source := gate.ClientIP.Source
	if source == policy.FromPeer {
		if l.Peer == "" && (l.ClientSource == "" || l.ClientSource == source.String()) {
			r.Peer = client
		}
		return nil, ""
	}
	if l.ClientSource != source.String() {
		return nil, WhyClient
	}
	if err != nil {
		return nil, "" // there was none
	}
	if source == policy.FromXFF {
		return headers{{"x-forwarded-for", client.String() + strings.Repeat(",192.0.2.1", gate.ClientIP.TrustedHops)}}, ""
	}
	return headers{{gate.ClientIP.Header, client.String()}}, ""
}

// credentials are those that the event may have had: the decision is known where all lead to the same one.
func (s *Side) credentials(l *audit.Logged, old *Side) (list []policy.Credential, why string) {
	scheme := schemeOf(l.Scheme)
	switch {
	case l.Token != "":
		c, why := s.tokenCredential(l, old, scheme)
		return []policy.Credential{c}, why
	case effective(l) == policy.BadCredential.String():
		if strings.HasPrefix(l.Detail, "the scheme") || strings.HasPrefix(l.Detail, "longer") {
			return nil, WhyForeign // a gate may forward it
		}
		return []policy.Credential{{State: policy.CredentialMalformed, Scheme: scheme}}, ""
	case l.Scheme == "":
		return []policy.Credential{{State: policy.CredentialAbsent}}, ""
	case scheme == policy.NoScheme: // another one, that the gate forwards
		return []policy.Credential{{State: policy.CredentialForeign, Name: l.Scheme, Secret: token.NewSecret("x")}}, ""
	}
	minted := present(scheme, l.User, token.Mint())
	plain := present(scheme, l.User, token.NewSecret(strings.TrimPrefix(token.Mint().Reveal(), token.Prefix)))
	if effective(l) == policy.Forwarded.String() {
		return []policy.Credential{plain}, "" // what looks minted is never forwarded
	}
	return []policy.Credential{minted, plain}, ""
}

func schemeOf(name string) policy.Scheme {
	for _, s := range []policy.Scheme{policy.Basic, policy.Bearer} {
		if s.String() == name {
			return s
		}
	}
	return policy.NoScheme
}

func present(scheme policy.Scheme, user string, value token.Secret) policy.Credential {
	c := policy.Credential{State: policy.CredentialPresent, Scheme: scheme, Name: scheme.String(), Secret: value, Digest: token.Sum(value)}
	if scheme == policy.Basic {
		c.User = user
	}
	return c
}

// tokenCredential presents the event's token.
func (s *Side) tokenCredential(l *audit.Logged, old *Side, scheme policy.Scheme) (policy.Credential, string) {
	a := s.tokens[l.Token]
	if a == nil {
		return policy.Credential{}, WhyTokenGone
	}
	c := policy.Credential{State: policy.CredentialPresent, Scheme: scheme, Name: scheme.String(), Secret: a.value, Digest: a.digest}
	if c.Scheme == policy.Basic {
		if c.User = person(l); !s.sureOfUser(l, a.row, old) {
			return c, WhyUser
		}
	}
	if !l.Previous && !a.row.Issued.After(l.Time.Add(policy.Skew)) || effective(l) == policy.TokenNotYetValid.String() {
		return c, ""
	}
	// An older value now: it was one then, or the token was rotated since.
	at := -1
	for i, p := range a.row.Previous {
		if p.Issued.After(l.Time.Add(policy.Skew)) {
			continue
		}
		switch {
		case at < 0 || !l.Previous && p.Issued.After(a.row.Previous[at].Issued):
			at = i
		case l.Previous:
			return c, WhyPrevious // which of them, the event does not say
		}
	}
	if at < 0 {
		return c, WhyPrevious
	}
	c.Digest = a.previous[at]
	return c, ""
}

// sureOfUser reports whether the name that was presented is known: the event has the user whose token it is,
// and a token may have further names.
func (s *Side) sureOfUser(l *audit.Logged, t *policy.Token, old *Side) bool {
	if l.UserAsserted || t.AnyUser || t.User == person(l) {
		return true
	}
	if old == nil {
		return false
	}
	before := old.tokens[l.Token]
	return before != nil && before.row.User == person(l) && len(before.row.Logins) == 0
}
