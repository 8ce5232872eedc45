package check

import (
	"maps"
	"slices"
)

// Code names a kind of finding. Codes are stable: comments accept them, programs read them.
type Code string

// Severity tells how much a finding matters.
type Severity uint8

// The severities.
const (
	Warning Severity = iota // weakens the gate
	Error                   // opens it, or nothing works
)

// String returns `warning` or `error`.
func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// The codes. docs/envoy-checks.md tells what each means.
const (
	// Whether everybody is asked.
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

	// What patgate sees, and what the upstream gets.
	NormalizePath  Code = "normalize-path"
	MergeSlashes   Code = "merge-slashes"
	EscapedSlashes Code = "escaped-slashes"
	Underscores    Code = "underscores"
	HostPort       Code = "host-port"
	HeadersHidden  Code = "headers-hidden"
	RawHeaders     Code = "raw-headers"
	PartialBody    Code = "partial-body"
	BodyText       Code = "body-text"
	BodyMissing    Code = "body-missing"
	BodySize       Code = "body-size"
	RouteCache     Code = "route-cache"
	ChangesAfter   Code = "changes-after"

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

// codes hold how much each matters, and what to do about it.
var codes = map[Code]struct {
	severity Severity
	fix      string
}{
	NoExtAuthz:       {Error, "put envoy.filters.http.ext_authz into http_filters, before the router, or close the listener"},
	SideDoor:         {Error, "close the listener, or let it speak HTTP with ext_authz"},
	RouteUnchecked:   {Error, "take it out, and let an anonymous rule of the gate open what is public"},
	FilterDisabled:   {Error, "take `disabled` out"},
	FilterOptional:   {Error, "take `is_optional` out"},
	FilterEnabled:    {Error, "take it out"},
	DenyAtDisable:    {Warning, "write `deny_at_disable: {default_value: true, runtime_key: patgate.deny_at_disable}`"},
	ConditionalCheck: {Error, "ask about every request, and let an anonymous rule of the gate open what is public"},
	IstioCondition:   {Warning, "set deny_at_disable by an EnvoyFilter, as envoy/istio.yaml has it, and see that an AuthorizationPolicy with `rules: [{}]` selects the workload"},
	ShadowMode:       {Error, "take it out; a gate with `enforcement: observe` only watches"},
	FilterRemoved:    {Error, "take the patch out"},
	ContentBefore:    {Error, "put it behind ext_authz"},
	AnswersBefore:    {Warning, "put it behind ext_authz, or accept it with its reason"},
	Upgrade:          {Warning, "take it out, or accept it where tunnels are meant"},

	FailureModeAllow: {Error, "write false, or take it out"},
	FailureHeader:    {Warning, "take it out"},
	StatusOnError:    {Warning, "write 503"},
	Timeout:          {Warning, "write 0.5s: more than patgate's --audit-wait (200ms), and short enough to fail"},
	Retry:            {Warning, "write a retry_policy as envoy/standalone.yaml has it"},
	OneEndpoint:      {Warning, "run two replicas or more"},
	HealthCheck:      {Warning, "add a grpc_health_check each second, with `no_traffic_interval: 1s`, and `tls_options: {alpn_protocols: [h2]}` with TLS"},
	LateHealth:       {Warning, "write `common_lb_config: {update_merge_window: 0s}`"},
	PanicRouting:     {Warning, "write `common_lb_config: {healthy_panic_threshold: {value: 1}}`, or 0"},
	RequestTimeout:   {Warning, "write request_headers_timeout: 10s, or what clients need"},

	NormalizePath:  {Warning, "write true"},
	MergeSlashes:   {Warning, "write true"},
	EscapedSlashes: {Warning, "write KEEP_UNCHANGED, in Envoy Gateway KeepUnchanged: patgate refuses what the gate does not take, with words and an event"},
	Underscores:    {Warning, "write REJECT_REQUEST"},
	HostPort:       {Warning, "write `ignore_port_in_host_matching: true` at the routes, or strip_any_host_port, which takes the port from the upstream too"},
	HeadersHidden:  {Error, "take it out: without it patgate sees all headers"},
	RawHeaders:     {Warning, "write true"},
	PartialBody:    {Warning, "write false, or take it out"},
	BodyText:       {Warning, "write true"},
	BodyMissing:    {Error, "write `with_request_body: {max_request_bytes: 65536, pack_as_bytes: true}` where the gate's requests pass, in Istio includeRequestBodyInCheck, in Envoy Gateway bodyToExtAuth"},
	BodySize:       {Warning, "write no more than 1048576, or give `patgate serve` a larger --max-body-bytes and accept it"},
	RouteCache:     {Error, "write false, or take it out"},
	ChangesAfter:   {Warning, "put it before ext_authz, or accept it with its reason"},

	RemoteAddress:     {Error, "write true, and in xff_num_trusted_hops the number of proxies in front"},
	TrustedHops:       {Warning, "give --manifests DIR, which compares it with the gates' clientIP.trustedHops"},
	HopsDiffer:        {Error, "write the same number in both: the proxies in front of this Envoy"},
	XFFAppend:         {Error, "take it out"},
	InternalAddress:   {Warning, "write one unused address: `cidr_ranges: [{address_prefix: 255.255.255.255, prefix_len: 32}]`"},
	IdentityKept:      {Warning, "remove it by a header_mutation filter before ext_authz"},
	IdentityForged:    {Error, "take it out: patgate alone sets this header"},
	CallerForged:      {Error, "take it out: who calls is for the client, or for Envoy, to say"},
	MutationRules:     {Warning, "write decoder_header_mutation_rules as envoy/standalone.yaml has them"},
	HeaderRefused:     {Error, "let the header through in allow_expression"},
	ValidateMutations: {Warning, "write true"},

	HTTPService:     {Error, "write grpc_service"},
	GoogleGRPC:      {Warning, "write envoy_grpc with a cluster"},
	UnknownCluster:  {Error, "add the cluster, or correct the name"},
	NotHTTP2:        {Error, "write http2_protocol_options into its HttpProtocolOptions"},
	NoTLS:           {Warning, "give the cluster a transport_socket with TLS, or accept it where the network encrypts"},
	UnverifiedTLS:   {Error, "write validation_context with a trusted_ca"},
	OtherService:    {Warning, "take it out, or accept it with its reason"},
	UnknownGate:     {Error, "write the name of a Gate"},
	UnknownProvider: {Error, "write a provider as envoy/istio-mesh.yaml has it, and its name in the policy"},

	AdminOpen:      {Error, "let it listen on 127.0.0.1, or limit it by allow_paths"},
	OldVersion:     {Error, "use Envoy 1.40 or later, or 1.38.4"},
	OlderVersion:   {Warning, "use Envoy 1.40 or later"},
	RuntimeGuard:   {Warning, "take it out, or accept it with its reason"},
	UnknownVersion: {Warning, "name a version, such as v1.40.0"},

	NotSeen:        {Warning, "check an answer of the admin's /config_dump?include_eds too"},
	UnknownFilter:  {Warning, "look it up, and accept it with its reason"},
	DuplicateField: {Error, "leave one"},
	UnusedAccept:   {Warning, "write `# patgate:accept CODE reason` on the line of the finding or the one above, or remove the comment"},
}

// names lists the codes that a comment may accept.
func names() []string {
	var list []string
	for _, code := range Codes() {
		if code != UnusedAccept {
			list = append(list, string(code))
		}
	}
	return list
}

// Codes lists the codes, by name.
func Codes() []Code { return slices.Sorted(maps.Keys(codes)) }
