package check

import "strings"

// rule checks the value of one field.
type rule struct {
	field   string // its path within the message, in snake_case, with dots
	is      want
	code    Code
	follows string // the consequence
}

// want returns what is wrong with a value, or an empty text. It gets nil for an absent
// field.
type want func(*node) string

// connectionRules check HttpConnectionManager.
var connectionRules = []rule{
	{"normalize_path", isOn, NormalizePath, "`..` and `%2e%2e` reach patgate, which refuses them, and Envoy finds routes by a path that the upstream reads in another way"},
	{"merge_slashes", isOn, MergeSlashes, "patgate refuses each path with `//`, and Envoy finds routes by it"},
	{"path_with_escaped_slashes_action", isOneOf(isWord("KEEP_UNCHANGED", 1), isWord("REJECT_REQUEST", 2)), EscapedSlashes, "a `%2f` is one path for routes and another for the upstream"},
	{"skip_xff_append", isOff, XFFAppend, "x-forwarded-for lacks the peer, so a gate reads an entry that the client wrote"},
	{"common_http_protocol_options.headers_with_underscores_action", isWord("REJECT_REQUEST", 1), Underscores, "`x_forwarded_user` reaches filters and upstreams that take it for x-forwarded-user"},
	{"request_headers_timeout", isGiven, RequestTimeout, "a slow client holds a connection before any check"},
	{"upgrade_configs", isNotGiven, Upgrade, "patgate checks a tunnel once, when it opens"},
}

// remoteAddress applies where no extension chooses the client's address.
var remoteAddress = rule{"use_remote_address", isOn, RemoteAddress, "clients choose their own x-forwarded-for and x-forwarded-proto: ranges of addresses and requireTLS have no effect"}

// hostPort applies where the routes do not ignore ports.
var hostPort = rule{"strip_any_host_port", isOn, HostPort, "Envoy finds a virtual host by `example.com:8443`, patgate a gate by `example.com`"}

// authzRules check ExtAuthz.
var authzRules = []rule{
	{"failure_mode_allow", isOff, FailureModeAllow, "every request passes while patgate is down or slow"},
	{"failure_mode_allow_header_add", isOff, FailureHeader, "clients can forge x-envoy-auth-failure-mode-allowed, and it is added only where requests bypass patgate"},
	{"shadow_mode", isOff, ShadowMode, "refused requests pass"},
	{"filter_enabled", isAlways, FilterEnabled, "requests outside the share bypass patgate, and everyone who can set the runtime key can change the share; with deny_at_disable all are refused"},
	{"deny_at_disable.default_value", isOn, DenyAtDisable, "if the filter is off, requests pass"},
	{"clear_route_cache", isOff, RouteCache, "the headers that patgate sets can move a request to another route after the check"},
	{"validate_mutations", isOn, ValidateMutations, "Envoy does not look for bytes that no header may contain"},
	{"encode_raw_headers", isOn, RawHeaders, "patgate sees `!` in place of bytes that the upstream gets, and refuses a path that has one"},
	{"status_on_error", isStatus(true, 4), StatusOnError, asRefusal},
	{"status_on_error", isStatus(true, 2), StatusOnError, asSuccess},
	{"status_on_error", isStatus(true, 0, 1, 3), StatusOnError, asNeither},
	{"allowed_headers", isNotGiven, HeadersHidden, "patgate sees only some headers: authorization, x-forwarded-for, content-type and those that change the method must be among them"},
	{"disallowed_headers", isNotGiven, HeadersHidden, "patgate does not see headers that the upstream acts on"},
	{"http_service", isNotGiven, HTTPService, "patgate serves gRPC only, so every request is refused"},
	{"decoder_header_mutation_rules", isGiven, MutationRules, "an answer may change any header, and Envoy ignores a header that it could not set"},
}

// bodyRules check BufferSettings, if present.
var bodyRules = []rule{
	{"allow_partial_message", isOff, PartialBody, "patgate gets the beginning of a body, and does not read it"},
	{"pack_as_bytes", isOn, BodyText, "Envoy replaces bytes that are not UTF-8, so patgate does not read the body"},
	{"max_request_bytes", isAtMost(1 << 20), BodySize, "patgate accepts at most 1048576 by default: a larger body is refused without an audit event"},
}

// mutationRules check HeaderMutationRules, if present.
var mutationRules = []rule{
	{"disallow_is_error", isOn, MutationRules, "Envoy ignores a header that the rules do not allow: the client's own reaches the upstream in its place"},
	{"disallow_all", isOn, MutationRules, "an answer may change headers that no gate names"},
}

// checkFields applies rules to a message. Of a partial message, as in a patch, only the
// fields that are present are checked.
func (c *checker) checkFields(rules []rule, message *node, part bool) {
	for _, r := range rules {
		names := strings.Split(r.field, ".")
		value := message.get(names...)
		if value == nil && part {
			continue
		}
		if wrong := r.is(value); wrong != "" {
			at := value.spot()
			if value == nil {
				at = message.missing(names...)
			}
			c.find(r.code, at, "%s: %s", wrong, r.follows)
		}
	}
}

func shown(n *node) string {
	if n.kind == scalar {
		return "is " + n.text
	}
	return "is set"
}

// isOn requires a switch that is off by default to be on.
func isOn(n *node) string {
	switch {
	case n == nil:
		return "is missing"
	case !n.isTrue():
		return shown(n)
	}
	return ""
}

// isOff requires a switch to be off, or absent.
func isOff(n *node) string {
	switch {
	case n == nil, n.kind == scalar && (n.text == "" || strings.EqualFold(n.text, "false") || strings.EqualFold(n.text, "no") ||
		strings.EqualFold(n.text, "off") || strings.EqualFold(n.text, "n")):
		return ""
	}
	return shown(n)
}

// isGiven requires a field to be present.
func isGiven(n *node) string {
	if n == nil {
		return "is missing"
	}
	return ""
}

// isNotGiven requires a field to be absent.
func isNotGiven(n *node) string {
	if n == nil || n.kind == list && len(n.items) == 0 {
		return ""
	}
	return "is set"
}

// isAlways requires a RuntimeFractionalPercent to be absent, or all without a key.
func isAlways(n *node) string {
	if n == nil {
		return ""
	}
	share := n.get("default_value")
	of := int64(100)
	switch d := share.get("denominator"); {
	case d.is("TEN_THOUSAND", 1):
		of = 10_000
	case d.is("MILLION", 2):
		of = 1_000_000
	}
	if part, _ := share.get("numerator").number(); part >= of && n.get("runtime_key").str() == "" {
		return ""
	}
	return "is set"
}

// isAtMost requires a number up to the limit.
func isAtMost(limit int64) want {
	return func(n *node) string {
		if i, ok := n.number(); ok && i > limit {
			return shown(n)
		}
		return ""
	}
}

// isOneOf requires one of the conditions to hold, and returns the first one's message otherwise.
func isOneOf(wants ...want) want {
	return func(n *node) string {
		for _, w := range wants {
			if w(n) == "" {
				return ""
			}
		}
		return wants[0](n)
	}
}

// isWord requires this value of an enum.
func isWord(name string, number int64) want {
	return func(n *node) string {
		switch {
		case n == nil:
			return "is missing"
		case !n.is(name, number):
			return shown(n)
		}
		return ""
	}
}
