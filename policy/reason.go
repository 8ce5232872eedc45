package policy

// The HTTP statuses of refusals.
const (
	statusBadRequest    = 400
	statusUnauthorized  = 401
	statusForbidden     = 403
	statusInternalError = 500
	statusUnavailable   = 503
)

// Effect is the effect of a decision on a request. The zero value denies.
type Effect uint8

// The effects.
const (
	Deny Effect = iota // mutant: zero-effect-allows
	Allow
)

// String returns `deny` or `allow`.
func (e Effect) String() string {
	if e == Allow {
		return "allow"
	}
	return "deny"
}

// Reason is the reason of a decision. Its strings are stable: the audit, the metrics and
// PolicyTests use them. The zero value is an internal error, and denies.
type Reason uint8

// The reasons, those of an allow first.
const (
	Internal Reason = iota // an internal error
	OK
	Anonymous
	Forwarded
	NotReady
	BadTarget
	MethodOverride
	NoGate
	TLSRequired
	ClientDenied
	NoCredential
	BadCredential
	SchemeDenied
	TokenUnknown
	TokenCanary
	TokenRevoked
	TokenSuspended
	TokenExpired
	TokenNotYetValid
	UserMismatch
	TokenDeactivated
	GateDenied
	ActAsDenied
	RuleDenied
	NoRuleMatched
	BodyUnavailable
	QueryUnreadable
	AuditUnavailable
	Overloaded
	GateInvalid
	reasonCount
)

// reasons holds each reason's name and the HTTP status of its refusal, 0 for an allow.
var reasons = [reasonCount]struct {
	name   string
	status int
}{
	Internal:         {"internal", statusInternalError},
	OK:               {"ok", 0},
	Anonymous:        {"anonymous", 0},
	Forwarded:        {"forwarded", 0},
	NotReady:         {"not_ready", statusUnavailable},
	BadTarget:        {"bad_target", statusBadRequest},
	MethodOverride:   {"method_override", statusBadRequest},
	NoGate:           {"no_gate", statusForbidden},
	TLSRequired:      {"tls_required", statusForbidden},
	ClientDenied:     {"client_denied", statusForbidden},
	NoCredential:     {"no_credential", statusUnauthorized},
	BadCredential:    {"bad_credential", statusUnauthorized},
	SchemeDenied:     {"scheme_denied", statusUnauthorized},
	TokenUnknown:     {"token_unknown", statusUnauthorized},
	TokenCanary:      {"token_canary", statusUnauthorized},
	TokenRevoked:     {"token_revoked", statusUnauthorized},
	TokenSuspended:   {"token_suspended", statusUnauthorized},
	TokenExpired:     {"token_expired", statusUnauthorized},
	TokenNotYetValid: {"token_not_yet_valid", statusUnauthorized},
	UserMismatch:     {"user_mismatch", statusUnauthorized},
	TokenDeactivated: {"token_deactivated", statusUnauthorized},
	GateDenied:       {"gate_denied", statusForbidden},
	ActAsDenied:      {"act_as_denied", statusForbidden},
	RuleDenied:       {"rule_denied", statusForbidden},
	NoRuleMatched:    {"no_rule_matched", statusForbidden},
	BodyUnavailable:  {"body_unavailable", statusForbidden},
	QueryUnreadable:  {"query_unreadable", statusForbidden},
	AuditUnavailable: {"audit_unavailable", statusUnavailable},
	Overloaded:       {"overloaded", statusUnavailable},
	GateInvalid:      {"gate_invalid", statusUnavailable},
}

// String returns the reason's stable name.
func (r Reason) String() string {
	if r >= reasonCount {
		r = Internal
	}
	return reasons[r].name
}

// Status returns the HTTP status that a refusal for this reason has, and 0 for
// the reasons of an allow.
func (r Reason) Status() int {
	if r >= reasonCount {
		r = Internal
	}
	return reasons[r].status
}

// Allows reports whether a decision with this reason lets the request through.
func (r Reason) Allows() bool { return r == OK || r == Anonymous || r == Forwarded } // mutant: unknown-reason-allows

// ParseReason finds a reason by its name.
func ParseReason(name string) (Reason, bool) {
	for r := range reasonCount {
		if reasons[r].name == name {
			return r, true
		}
	}
	return Internal, false
}

// ReasonNames lists the reasons that a decision with this effect may have.
func ReasonNames(e Effect) []string {
	var names []string
	for r := range reasonCount {
		if r.Allows() == (e == Allow) {
			names = append(names, r.String())
		}
	}
	return names
}
