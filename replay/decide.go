package replay

import (
	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// answer is what a side decides about an event, or why that can't be known.
type answer struct {
	allowed bool
	reason  policy.Reason
	rule    *policy.Rule
	gate    string
	user    string
	why     string // not replayable
}

func unknown(why string) answer { return answer{why: why} }

// decide evaluates the request of an event again. old are the manifests that decided it, or nil.
func (s *Side) decide(l *audit.Logged, old *Side) answer {
	r, gate, clientWhy := s.request(l)
	credentials, why := s.credentials(l, old)
	early := l.Token == "" && isEarly(effective(l))
	if early {
		credentials, why = []policy.Credential{{State: policy.CredentialAbsent}}, ""
	}
	if why != "" {
		return unknown(why)
	}
	if old != nil && gate != nil {
		if was := old.snapshot.Gate(gate.Name); was != nil && was.ActAsHeader != gate.ActAsHeader {
			return unknown(WhyActAs)
		}
	}
	first := s.ask(l, r, &credentials[0], old)
	for i := 1; i < len(credentials) && first.why == ""; i++ {
		if other := s.ask(l, r, &credentials[i], old); other.why != "" || other.allowed != first.allowed {
			return unknown(WhyUnknown)
		}
	}
	switch {
	case first.why != "":
		return first
	case clientWhy != "" && s.needsClient(gate, l):
		return unknown(clientWhy)
	case early && !isEarly(first.reason.String()):
		return unknown(WhyEarly)
	case effective(l) == policy.BadTarget.String() && first.reason != policy.BadTarget:
		return unknown(WhyBadTarget)
	case first.allowed && unreadable(l):
		return unknown(WhyForm)
	case gate != nil && gate.ActAsHeader != "" && beforeActAs(l) && !beforeActAsReason(first.reason):
		return unknown(WhyActAs)
	}
	return first
}

// needsClient reports whether the address may decide.
func (s *Side) needsClient(gate *policy.Gate, l *audit.Logged) bool {
	t := s.tokens[l.Token]
	if !gate.Clients.Empty() || t != nil && !t.row.Clients.Empty() {
		return true
	}
	for _, list := range policiesOf(gate, t) {
		for _, p := range list {
			for _, rules := range [][]*policy.Rule{p.Allow, p.Deny} {
				for _, r := range rules {
					if len(r.Clients) > 0 {
						return true
					}
				}
			}
		}
	}
	return false
}

// policiesOf are the policies that may be asked.
func policiesOf(gate *policy.Gate, t *armed) [][]*policy.Policy {
	lists := [][]*policy.Policy{gate.Policies}
	if gate.Anonymous != nil {
		lists = append(lists, gate.Anonymous.Policies)
	}
	groups := gate.Groups
	if t != nil {
		lists = append(lists, t.row.Grant.Policies)
		groups = append(groups[:len(groups):len(groups)], t.row.Groups...)
	}
	for _, g := range groups {
		lists = append(lists, g.Policies)
	}
	return lists
}

// isEarly reports whether a refusal comes before the credential is read.
func isEarly(reason string) bool {
	switch r, _ := policy.ParseReason(reason); r {
	case policy.BadTarget, policy.MethodOverride, policy.NoGate, policy.TLSRequired, policy.ClientDenied:
		return true
	}
	return false
}

// beforeActAs reports whether the event was refused before it was known whom the caller asked to act as.
func beforeActAs(l *audit.Logged) bool {
	r, _ := policy.ParseReason(effective(l))
	return r == policy.TokenUnknown || r == policy.NoCredential || beforeActAsReason(r)
}

func beforeActAsReason(r policy.Reason) bool {
	switch r {
	case policy.BadTarget, policy.MethodOverride, policy.NoGate, policy.TLSRequired, policy.ClientDenied, policy.NoCredential, policy.BadCredential,
		policy.SchemeDenied, policy.TokenUnknown, policy.TokenCanary, policy.TokenRevoked, policy.TokenSuspended, policy.TokenExpired,
		policy.TokenNotYetValid, policy.UserMismatch, policy.TokenDeactivated, policy.GateDenied:
		return true
	}
	return false
}

// ask evaluates the request with one credential. If the body may be a form, it is evaluated as one too.
func (s *Side) ask(l *audit.Logged, r *policy.Request, c *policy.Credential, old *Side) answer {
	r.Credential = *c
	first := s.evaluate(l, r, old)
	if first.why != "" || l.BodyState == policy.BodyAbsent.String() || wasRead(l) {
		return first
	}
	form := *r
	h := r.Header.(headers)
	form.Header = append(h[:len(h):len(h)], [2]string{"content-type", "application/x-www-form-urlencoded"})
	form.Body.Bytes = []byte("a=b")
	form.Body.State = policy.BodyWhole
	if other := s.evaluate(l, &form, old); other.why != "" || other.allowed != first.allowed {
		return unknown(WhyForm)
	}
	return first
}

// wasRead reports whether a rule read the body, which then was no form.
func wasRead(l *audit.Logged) bool {
	for _, verdict := range l.BodyVerdicts {
		if verdict == "matches" || verdict == "fails" {
			return true
		}
	}
	return false
}

// unreadable reports whether the event was refused as something of it could not be read, which the event need
// not hold.
func unreadable(l *audit.Logged) bool {
	r, _ := policy.ParseReason(effective(l))
	return r == policy.QueryUnreadable || r == policy.BodyUnavailable
}

// evaluate evaluates the request once. A rule on the body has the result that was recorded.
func (s *Side) evaluate(l *audit.Logged, r *policy.Request, old *Side) answer {
	missing := false
	if l.BodyState != policy.BodyAbsent.String() {
		r.Body.Recorded = func(rule *policy.Rule) string {
			verdict := s.recorded(l, rule, old)
			missing = missing || verdict == ""
			return verdict
		}
	}
	d := policy.Evaluate(s.snapshot, r, nil)
	if missing {
		return unknown(WhyBody)
	}
	a := answer{allowed: d.Effect == policy.Allow, reason: d.Reason, rule: d.Rule, user: d.Principal.User}
	if d.Gate != nil {
		a.gate = d.Gate.Name
	}
	return a
}

// recorded is what a rule made of the body of the event: the verdict of a rule with the same conditions of the
// manifests that decided, or where these are not known, of the rule at the same place.
func (s *Side) recorded(l *audit.Logged, rule *policy.Rule, old *Side) string {
	found := ""
	for text, verdict := range l.BodyVerdicts {
		at, ok := parsePlace(text)
		if !ok {
			continue
		}
		same := at == placeOf(rule)
		if old != nil {
			rules := old.bodies[at]
			same = len(rules) == 1 && bodyText(rules[0]) == bodyText(rule)
		}
		if !same {
			continue
		}
		if found != "" && found != verdict {
			return "" // two files of that name
		}
		found = verdict
	}
	return found
}
