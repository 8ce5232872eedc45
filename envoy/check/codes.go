package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
)

// Code names a kind of finding. Codes are stable: comments suppress them, programs read them.
type Code = diag.Code

// The codes. table.go and table_service.go say what each means.
const (
	// Whether every request is checked.
	NoExtAuthz       Code = "no-ext-authz"
	SideDoor         Code = "side-door"
	RouteUnchecked   Code = "route-unchecked"
	FilterDisabled   Code = "filter-disabled"
	FilterOptional   Code = "filter-optional"
	FilterEnabled    Code = "filter-enabled"
	DenyAtDisable    Code = "deny-at-disable"
	ConditionalCheck Code = "conditional-check"
	IstioCondition   Code = "istio-condition"
	ShadowMode       Code = "shadow-mode"
	FilterRemoved    Code = "filter-removed"
	ContentBefore    Code = "content-before"
	AnswersBefore    Code = "answers-before"
	Upgrade          Code = "upgrade"
	SettingUnread    Code = "setting-unread"
	PolicyConflict   Code = "policy-conflict"
	RuntimeOpen      Code = "runtime-open"

	// Failures.
	FailureModeAllow Code = "failure-mode-allow"
	FailureHeader    Code = "failure-header"
	StatusOnError    Code = "status-on-error"
	Timeout          Code = "timeout"
	Retry            Code = "retry"
	OneEndpoint      Code = "one-endpoint"
	HealthCheck      Code = "health-check"
	LateHealth       Code = "late-health"
	PanicRouting     Code = "panic-routing"
	RequestTimeout   Code = "request-timeout"
	StatusMapped     Code = "status-mapped"
	InternalRedirect Code = "internal-redirect"

	// What patgate sees, and what the upstream gets.
	NormalizePath   Code = "normalize-path"
	MergeSlashes    Code = "merge-slashes"
	EscapedSlashes  Code = "escaped-slashes"
	Underscores     Code = "underscores"
	HostPort        Code = "host-port"
	HeadersHidden   Code = "headers-hidden"
	RawHeaders      Code = "raw-headers"
	PartialBody     Code = "partial-body"
	BodyText        Code = "body-text"
	BodyMissing     Code = "body-missing"
	BodySize        Code = "body-size"
	RouteCache      Code = "route-cache"
	ChangesAfter    Code = "changes-after"
	HostDot         Code = "host-dot"
	HostRewritten   Code = "host-rewritten"
	HostHeadersKept Code = "host-headers-kept"
	PathRewritten   Code = "path-rewritten"
	RoutedByClient  Code = "routed-by-client"
	RouteChanged    Code = "route-changed"

	// Who calls.
	RemoteAddress     Code = "remote-address"
	TrustedHops       Code = "trusted-hops"
	HopsDiffer        Code = "hops-differ"
	XFFAppend         Code = "xff-append"
	InternalAddress   Code = "internal-address"
	IdentityKept      Code = "identity-kept"
	IdentityForged    Code = "identity-forged"
	CallerForged      Code = "caller-forged"
	MutationRules     Code = "mutation-rules"
	HeaderRefused     Code = "header-refused"
	ValidateMutations Code = "validate-mutations"
	LoopbackPeer      Code = "loopback-peer"

	// The way to patgate.
	HTTPService     Code = "http-service"
	GoogleGRPC      Code = "google-grpc"
	UnknownCluster  Code = "unknown-cluster"
	NotHTTP2        Code = "not-http2"
	NoTLS           Code = "no-tls"
	UnverifiedTLS   Code = "unverified-tls"
	OtherService    Code = "other-service"
	UnknownGate     Code = "unknown-gate"
	UnknownProvider Code = "unknown-provider"

	// Envoy itself.
	AdminOpen      Code = "admin-open"
	OldVersion     Code = "old-version"
	OlderVersion   Code = "older-version"
	UnknownVersion Code = "unknown-version"
	RuntimeGuard   Code = "runtime-guard"

	// What can't be decided.
	NotSeen        Code = "not-seen"
	UnknownFilter  Code = "unknown-filter"
	DuplicateField Code = "duplicate-field"
	UnusedAccept   Code = "unused-accept"
)

// about describes a code: its severity, what to write instead (the fix in
// messages), why it matters, and what else there is to say.
type about struct {
	code      Code
	severity  diag.Severity
	fix       string
	why, more string // for docs/envoy-checks.md
}

// section is a part of docs/envoy-checks.md.
type section struct {
	title string
	codes []about
}

// sections are all codes, in the order of the page.
var sections = []section{askedCodes, failuresCodes, seenCodes, callersCodes, serviceCodes, itselfCodes, undecidedCodes}

var codes = byCode(sections)

func byCode(sections []section) map[Code]about {
	all := map[Code]about{}
	for _, s := range sections {
		for _, a := range s.codes {
			all[a.code] = a
		}
	}
	return all
}

// Page returns the part of docs/envoy-checks.md that says what each code means.
func Page() string {
	var b strings.Builder
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n", s.title)
		for _, a := range s.codes {
			fix := strings.ToUpper(a.fix[:1]) + a.fix[1:] + "."
			why := strings.ToUpper(a.why[:1]) + a.why[1:]
			fmt.Fprintf(&b, "\n### `%s` (%s)\n\n**Why:** %s\n\n**What to do:** %s\n", a.code, a.severity, why, strings.TrimSpace(fix+" "+a.more))
		}
	}
	return b.String()
}

// known lists the codes that a comment may suppress.
func known() []Code {
	var list []Code
	for _, code := range Codes() {
		if code != UnusedAccept {
			list = append(list, code)
		}
	}
	return list
}

// Codes lists the codes, by name.
func Codes() []Code { return slices.Sorted(maps.Keys(codes)) }
