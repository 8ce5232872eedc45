package manifest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// celRule is a rule in CEL of a definition: the API server refuses an object that does not meet it.
type celRule struct {
	Rule    string `json:"rule"`
	Message string `json:"message,omitempty"` // none: the error of the rule itself says what is wrong
	Field   string `json:"fieldPath,omitempty"`
}

// denyRule is an additional rule for the entries of deny lists.
var denyRule = celRule{
	Rule: "!has(self.json) && !has(self.mcp) || has(self.methods)", Message: "json or mcp without methods, expected the methods that have a body: the rule would deny every request without one",
}

// celRules are the checks of one document in checks.go, as far as CEL can express them.
func celRules(t reflect.Type) []celRule {
	switch t {
	case reflect.TypeFor[Pattern]():
		return []celRule{{Rule: `"".matches(self) in [true, false]`}} // its error is that of the regular expression
	case reflect.TypeFor[CIDR]():
		return []celRule{{
			Rule:    `isIP(self) || isCIDR(self) && cidr(self).masked() == cidr(self) || self.lowerAscii().startsWith("::ffff:")`, // CEL has no IPv4 in IPv6: its faults show in the status
			Message: "no range of addresses, expected one such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7, without host bits",
		}}
	case reflect.TypeFor[Digest]():
		return []celRule{{
			Rule:    `self.matches("` + digestSyntax + `")`,
			Message: "not a digest, expected sha256: and 64 hexadecimal digits in lower case: `patgate token create` makes one, never put a token's value here",
		}}
	case reflect.TypeFor[HeaderName]():
		return []celRule{{
			Rule: `!(self.lowerAscii() in ["` + strings.Join(notOurs, `", "`) + `"])`, Message: "it has a meaning of its own, expected another header's name",
		}}
	case reflect.TypeFor[Rule]():
		return []celRule{
			{Rule: hasAny("methods", "path", "query", "json", "clients", "mcp"), Message: "a rule without a condition, expected at least one of methods, path, query, json, clients, mcp"},
			{Rule: "!has(self.contentTypes) || has(self.json)", Message: "without json, expected it with json alone: it limits which bodies json reads", Field: ".contentTypes"},
		}
	case reflect.TypeFor[Anonymous]():
		return []celRule{{
			Rule:    "(has(self.unrestricted) && self.unrestricted) != has(self.allow)",
			Message: "expected either allow rules or `unrestricted: true`, or no `anonymous` at all",
		}}
	case reflect.TypeFor[ClientIP]():
		return clientIPRules
	case reflect.TypeFor[Previous]():
		return []celRule{{Rule: "self.until > self.issued", Message: "not after issued, expected a later time", Field: ".until"}}
	case reflect.TypeFor[TokenPolicy]():
		return []celRule{{Rule: hasAny("allow", "deny"), Message: "no rules, expected allow or deny"}}
	case reflect.TypeFor[Gate]():
		return gateRules
	case reflect.TypeFor[APIToken]():
		return tokenRules()
	}
	return nil
}

func hasAny(keys ...string) string { return "has(self." + strings.Join(keys, ") || has(self.") + ")" }

var clientIPRules = []celRule{
	{Rule: "has(self.source)", Message: "missing, expected peer, xff or header"},
	{
		Rule:    `has(self.header) == (has(self.source) && self.source == "header")`,
		Message: "expected `header`, the name of the header that holds the address, with `source: header` and with it alone",
	},
	{Rule: `!has(self.trustedHops) || has(self.source) && self.source == "xff"`, Message: "expected with `source: xff` alone", Field: ".trustedHops"},
}

// header is a gate's header in CEL, or its default, as it is compared.
func celHeader(at, otherwise string) string {
	parent := at[:strings.LastIndex(at, ".")]
	return fmt.Sprintf(`(has(%s) && has(%s) ? %s.lowerAscii() : %q)`, parent, at, at, otherwise)
}

var gateRules = []celRule{
	{
		Rule:    fmt.Sprintf("(has(self.hosts) ? size(self.hosts) : 1) * (has(self.paths) ? size(self.paths) : 1) <= %d", maxPairs),
		Message: fmt.Sprintf("too many hosts and paths, expected at most %s pairs of them: use wildcards, or shorter paths", thousands(maxPairs)),
	},
	{
		Rule: "has(self.clientIP) || !has(self.clients) && !(has(self.anonymous) && (has(self.anonymous.allow) && self.anonymous.allow.exists(r, has(r.clients)) || " +
			"has(self.anonymous.deny) && self.anonymous.deny.exists(r, has(r.clients))))",
		Message: "clientIP is missing, expected where client addresses come from, as ranges of them count at this gate",
	},
	{
		Rule: "[" + strings.Join([]string{
			celHeader("self.upstream.userHeader", "x-forwarded-user"), celHeader("self.upstream.groupsHeader", "x-forwarded-groups"),
			celHeader("self.upstream.tokenHeader", "x-patgate-token"), celHeader("self.actAs.header", ""),
		}, ", ") + "].all(h, [" + strings.Join([]string{
			celHeader("self.upstream.userHeader", "x-forwarded-user"), celHeader("self.upstream.groupsHeader", "x-forwarded-groups"),
			celHeader("self.upstream.tokenHeader", "x-patgate-token"), celHeader("self.actAs.header", ""),
		}, ", ") + "].exists_one(other, other == h))",
		Message: "a header has two meanings, expected one of its own for each of userHeader, groupsHeader, tokenHeader and actAs",
	},
}

// isMeant is true in CEL where a field is there and true.
func isMeant(key string) string { return "has(self." + key + ") && self." + key }

// inCanary are the fields that a canary may have.
var inCanary = []string{"canary", "digest", "issued", "displayName", "description"}

func tokenRules() []celRule {
	unlessCanary := func(rule string) string { return "(" + isMeant("canary") + ") || (" + rule + ")" }
	var others []string
	for _, key := range keysOf(reflect.TypeFor[APIToken]()) {
		if !slices.Contains(inCanary, key) {
			others = append(others, key)
		}
	}
	return []celRule{
		{
			Rule: "!(" + isMeant("canary") + ") || !(" + hasAny(others...) + ")", Field: ".canary",
			Message: "given together with other fields, expected nothing but digest, issued, displayName and description: a canary is always refused",
		},
		{
			Rule:    unlessCanary("has(self.user) != (" + isMeant("anyUser") + ")"),
			Message: "expected either user, or `anyUser: true` for a token of any user",
		},
		{
			Rule: "!(" + isMeant("anyUser") + ") || !has(self.schemes) || self.schemes.exists(s, s == \"basic\")", Field: ".schemes",
			Message: "without basic, expected it: a token of any user works with Basic alone",
		},
		{
			Rule: "!(" + isMeant("anyUser") + ") || !has(self.actAs) && !has(self.logins)", Field: ".anyUser",
			Message: "given together with actAs or logins, expected them on a token of one user alone",
		},
		{
			Rule: "!(" + isMeant("unrestricted") + ") || !has(self.allow) && !has(self.limitTo)", Field: ".unrestricted",
			Message: "given together with rules that allow, expected one of the two",
		},
		{
			Rule: unlessCanary("(" + isMeant("unrestricted") + ") || " + hasAny("allow", "limitTo") + " || has(self.policies) && size(self.policies) > 0"), Field: ".allow",
			Message: "missing, expected allow, limitTo, policies or `unrestricted: true`: the token may do nothing",
		},
		{
			Rule: "has(self.digest) || has(self.secret)", Field: ".digest",
			Message: "missing, expected sha256: and 64 hexadecimal digits, as `patgate token create` makes them; or secret, for a value that the controller makes",
		},
		{Rule: "has(self.issued) || has(self.secret)", Message: "missing, expected a time, as `patgate token create` writes it", Field: ".issued"},
		{
			Rule: "!has(self.secret) || !(" + hasAny("digest", "issued", "previous") + ")", Field: ".secret",
			Message: "given together with digest, issued or previous, expected one of the two: the controller makes the value",
		},
		{
			Rule: "!has(self.secret) || !(" + isMeant("anyUser") + ")", Field: ".secret",
			Message: "on a token of any user, expected it on a token of one user alone",
		},
		{
			Rule: "has(self.secret) == has(oldSelf.secret) && (!has(self.secret) || self.secret.name == oldSelf.secret.name)", Field: ".secret",
			Message: "changed, expected its name to stay, as its values belong to it: make another token",
		},
		{
			Rule: "!has(self.previous) || !has(self.digest) || self.previous.all(p, p.digest != self.digest)", Field: ".previous",
			Message: "it has the present digest too, expected values of their own",
		},
		{Rule: "!has(self.expires) || !has(self.issued) || self.expires > self.issued", Message: "not after issued, expected a later time", Field: ".expires"},
		{
			Rule: "!has(oldSelf.revoked) || has(self.revoked)", Field: ".revoked",
			Message: "removed, expected it to stay: a revoked token never works again, make another one",
		},
		{
			Rule: "has(self.user) == has(oldSelf.user) && (!has(self.user) || self.user == oldSelf.user)", Field: ".user",
			Message: "changed, expected it to stay: a token belongs to its user for good, make another one",
		},
	}
}

// digestSyntax is the form of a digest.
const digestSyntax = `^sha256:[0-9a-f]{64}$`
