package page

// reasons say why requests are refused.
var reasons = map[string]string{
	"internal":            "a fault of patgate",
	"not_ready":           "no manifests are loaded yet",
	"bad_target":          "the path or host can be read in more than one way",
	"method_override":     "a header names another method or URL than the request",
	"no_gate":             "no Gate guards this host and path",
	"tls_required":        "the Gate requires TLS",
	"client_denied":       "the client’s address is not among the allowed ones",
	"no_credential":       "no token was presented",
	"bad_credential":      "what was presented is no well-formed credential",
	"scheme_denied":       "the Gate or the token does not take this scheme",
	"token_unknown":       "no token has this value",
	"token_canary":        "the token is a canary",
	"token_revoked":       "the token is revoked",
	"token_suspended":     "the token is suspended",
	"token_expired":       "the token has expired",
	"token_not_yet_valid": "the token is not valid yet",
	"user_mismatch":       "the user presented is not the token’s",
	"token_deactivated":   "the user is in none of the Gate’s groups",
	"gate_denied":         "the token is not for this Gate",
	"act_as_denied":       "the token may not act for that user",
	"rule_denied":         "a rule refuses it",
	"no_rule_matched":     "no rule allows it",
	"body_unavailable":    "a rule reads the body, and it could not be read",
	"query_unreadable":    "a rule reads the query, and it could not be read",
	"audit_unavailable":   "the audit could not be written in time",
	"overloaded":          "too many requests at once",
	"gate_invalid":        "the Gate is not accepted as it is written",
}

// reasonText says why a request was refused.
func reasonText(reason string) string {
	if text, known := reasons[reason]; known {
		return text
	}
	return "refused"
}
