package lint

import (
	"maps"
	"slices"

	"github.com/patgate/patgate/diag"
)

// Code names a kind of warning. Codes are stable: comments suppress them, programs read them.
type Code = diag.Code

// The codes. docs/checks.md explains why each is a risk.
const (
	UnescapedDot      Code = "unescaped-dot"
	MatchesEverything Code = "matches-everything"
	CrossesSegments   Code = "crosses-segments"
	LeadingAny        Code = "leading-any"
	UnknownMethod     Code = "unknown-method"
	GetWithoutHead    Code = "get-without-head"
	NeverMatches      Code = "never-matches"
	OutsideGate       Code = "outside-gate"
	EveryAddress      Code = "every-address"
	NoAddress         Code = "no-address"
	IPv4OnlyDeny      Code = "ipv4-only-deny"
	AnyUser           Code = "any-user"
	Unrestricted      Code = "unrestricted"
	EveryGate         Code = "every-gate"
	Expired           Code = "expired"
	NoEnd             Code = "no-end"
	Deactivated       Code = "deactivated"
	ExpiresSoon       Code = "expires-soon"
	ForwardUnknown    Code = "forward-unknown"
	WeakEveryHost     Code = "weak-every-host"
	Observing         Code = "observing"
	CaseSensitiveDeny Code = "case-sensitive-deny"
	UnknownForms      Code = "form-bodies"
	RegistryChallenge Code = "registry-challenge"
	UnusedPolicy      Code = "unused-policy"
	UnnamedGroup      Code = "unnamed-group"
	UnusedAccept      Code = "unused-accept" // a comment that suppresses nothing
)

// codes hold what to do about each.
var codes = map[Code]struct{ fix string }{
	UnescapedDot:      {`write \. for a dot`},
	MatchesEverything: {"say which ones are meant; in a rule that means every path, leave the path out"},
	CrossesSegments:   {"write [^/]* for text within one segment"},
	LeadingAny:        {"begin the pattern with / and the first segment"},
	UnknownMethod:     {"correct the method, or accept one that your API made up"},
	GetWithoutHead:    {"add HEAD too"},
	NeverMatches:      {"correct the condition, or take the rule out"},
	OutsideGate:       {"correct the path or the gate's paths, or name the gate in Envoy's route"},
	EveryAddress:      {"name the ranges that are meant, or leave the list out"},
	NoAddress:         {"correct the ranges, so that a client is left"},
	IPv4OnlyDeny:      {"add the IPv6 ranges, or list in allow who may pass"},
	AnyUser:           {"make a token for each user"},
	Unrestricted:      {"give it policies or allow rules"},
	EveryGate:         {"name its gates in spec.gates"},
	NoEnd:             {"give it an `expires`, or its user's group a `maxLifetime`"},
	Deactivated:       {"correct the user, add them to one of the groups, or name other gates in spec.gates"},
	Expired:           {"make a new token, and remove this manifest"},
	ExpiresSoon:       {"make a new value in time"},
	ForwardUnknown:    {"leave it out once every client has a token"},
	WeakEveryHost:     {"give it hosts of its own, or make it as strict"},
	Observing:         {"set it to enforce, or take the line out, once the audit shows no surprises"},
	CaseSensitiveDeny: {"set the gate's upstream.routing to exact, or to caseInsensitive where its API ignores case"},
	UnknownForms:      {"say in formBodies of the gate what its API does: merged or separate"},
	RegistryChallenge: {"write `challenge: [basic]`, or accept the warning if no container registry is behind the gate"},
	UnusedPolicy:      {"name it in a gate, group or token, or remove it"},
	UnnamedGroup:      {"name the group in a gate's groups"},
	UnusedAccept:      {"write `# patgate:ignore CODE reason` on the line of the warning or the one above, or remove the comment"},
}

// known lists the codes that a comment may suppress.
func known() []Code {
	var list []Code
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		if code != UnusedAccept {
			list = append(list, code)
		}
	}
	return list
}

// Codes lists the codes.
func Codes() []Code { return slices.Sorted(maps.Keys(codes)) }
