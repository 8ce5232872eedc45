package check

import (
	"maps"
	"slices"

	"github.com/patgate/patgate/diag"
)

// Code names a kind of finding. Codes are stable: comments suppress them, programs read them.
type Code = diag.Code

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
	severity diag.Severity
	fix      string
}{
	NoExtAuthz:       {diag.Error, "put envoy.filters.http.ext_authz into http_filters, before the router, or close the listener"},
	SideDoor:         {diag.Error, "close the listener, or let it speak HTTP with ext_authz"},
	RouteUnchecked:   {diag.Error, "take it out, and let an anonymous rule of the gate open what is public"},
	FilterDisabled:   {diag.Error, "take `disabled` out"},
	FilterOptional:   {diag.Error, "take `is_optional` out"},
	FilterEnabled:    {diag.Error, "take it out"},
	DenyAtDisable:    {diag.Warning, "write `deny_at_disable: {default_value: true, runtime_key: patgate.deny_at_disable}`"},
	ConditionalCheck: {diag.Error, "ask about every request, and let an anonymous rule of the gate open what is public"},
	IstioCondition:   {diag.Warning, "set deny_at_disable by an EnvoyFilter, as envoy/istio.yaml has it, and see that an AuthorizationPolicy with `rules: [{}]` selects the workload"},
	ShadowMode:       {diag.Error, "take it out; a gate with `enforcement: observe` only watches"},
	FilterRemoved:    {diag.Error, "take the patch out"},
	ContentBefore:    {diag.Error, "put it behind ext_authz"},
	AnswersBefore:    {diag.Warning, "put it behind ext_authz, or accept it with its reason"},
	Upgrade:          {diag.Warning, "take it out, or accept it where tunnels are meant"},

	FailureModeAllow: {diag.Error, "write false, or take it out"},
	FailureHeader:    {diag.Warning, "take it out"},
	StatusOnError:    {diag.Warning, "write 503"},
	Timeout:          {diag.Warning, "write 0.5s: more than patgate's --audit-wait (200ms), and short enough to fail"},
	Retry:            {diag.Warning, "write a retry_policy as envoy/standalone.yaml has it"},
	OneEndpoint:      {diag.Warning, "run two replicas or more"},
	HealthCheck:      {diag.Warning, "add a grpc_health_check each second, with `no_traffic_interval: 1s`, and `tls_options: {alpn_protocols: [h2]}` with TLS"},
	LateHealth:       {diag.Warning, "write `common_lb_config: {update_merge_window: 0s}`"},
	PanicRouting:     {diag.Warning, "write `common_lb_config: {healthy_panic_threshold: {value: 1}}`, or 0"},
	RequestTimeout:   {diag.Warning, "write request_headers_timeout: 10s, or what clients need"},

	NormalizePath:  {diag.Warning, "write true"},
	MergeSlashes:   {diag.Warning, "write true"},
	EscapedSlashes: {diag.Warning, "write KEEP_UNCHANGED, in Envoy Gateway KeepUnchanged: patgate refuses what the gate does not take, with words and an event"},
	Underscores:    {diag.Warning, "write REJECT_REQUEST"},
	HostPort:       {diag.Warning, "write `ignore_port_in_host_matching: true` at the routes, or strip_any_host_port, which takes the port from the upstream too"},
	HeadersHidden:  {diag.Error, "take it out: without it patgate sees all headers"},
	RawHeaders:     {diag.Warning, "write true"},
	PartialBody:    {diag.Warning, "write false, or take it out"},
	BodyText:       {diag.Warning, "write true"},
	BodyMissing:    {diag.Error, "write `with_request_body: {max_request_bytes: 65536, pack_as_bytes: true}` where the gate's requests pass, in Istio includeRequestBodyInCheck, in Envoy Gateway bodyToExtAuth"},
	BodySize:       {diag.Warning, "write no more than 1048576, or give `patgate serve` a larger --max-body-bytes and accept it"},
	RouteCache:     {diag.Error, "write false, or take it out"},
	ChangesAfter:   {diag.Warning, "put it before ext_authz, or accept it with its reason"},

	RemoteAddress:     {diag.Error, "write true, and in xff_num_trusted_hops the number of proxies in front"},
	TrustedHops:       {diag.Warning, "give --manifests DIR, which compares it with the gates' clientIP.trustedHops"},
	HopsDiffer:        {diag.Error, "write the same number in both: the proxies in front of this Envoy"},
	XFFAppend:         {diag.Error, "take it out"},
	InternalAddress:   {diag.Warning, "write one unused address: `cidr_ranges: [{address_prefix: 255.255.255.255, prefix_len: 32}]`"},
	IdentityKept:      {diag.Warning, "remove it by a header_mutation filter before ext_authz"},
	IdentityForged:    {diag.Error, "take it out: patgate alone sets this header"},
	CallerForged:      {diag.Error, "take it out: who calls is for the client, or for Envoy, to say"},
	MutationRules:     {diag.Warning, "write decoder_header_mutation_rules as envoy/standalone.yaml has them"},
	HeaderRefused:     {diag.Error, "let the header through in allow_expression"},
	ValidateMutations: {diag.Warning, "write true"},

	HTTPService:     {diag.Error, "write grpc_service"},
	GoogleGRPC:      {diag.Warning, "write envoy_grpc with a cluster"},
	UnknownCluster:  {diag.Error, "add the cluster, or correct the name"},
	NotHTTP2:        {diag.Error, "write http2_protocol_options into its HttpProtocolOptions"},
	NoTLS:           {diag.Warning, "give the cluster a transport_socket with TLS, or accept it where the network encrypts"},
	UnverifiedTLS:   {diag.Error, "write validation_context with a trusted_ca"},
	OtherService:    {diag.Warning, "take it out, or accept it with its reason"},
	UnknownGate:     {diag.Error, "write the name of a Gate"},
	UnknownProvider: {diag.Error, "write a provider as envoy/istio-mesh.yaml has it, and its name in the policy"},

	AdminOpen:      {diag.Error, "let it listen on 127.0.0.1, or limit it by allow_paths"},
	OldVersion:     {diag.Error, "use Envoy 1.40 or later, or 1.38.4"},
	OlderVersion:   {diag.Warning, "use Envoy 1.40 or later"},
	RuntimeGuard:   {diag.Warning, "take it out, or accept it with its reason"},
	UnknownVersion: {diag.Warning, "name a version, such as v1.40.0"},

	NotSeen:        {diag.Warning, "check an answer of the admin's /config_dump?include_eds too"},
	UnknownFilter:  {diag.Warning, "look it up, and accept it with its reason"},
	DuplicateField: {diag.Error, "leave one"},
	UnusedAccept:   {diag.Warning, "write `# patgate:ignore CODE reason` on the line of the finding or the one above, or remove the comment"},
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
