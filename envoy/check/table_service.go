package check

import "github.com/patgate/patgate/diag"

// The codes about callers, outages, the way to patgate and Envoy itself.

var failuresCodes = section{"Failures", []about{
	{FailureModeAllow, diag.Error, "write false, or take it out",
		"`failure_mode_allow` (Istio, Envoy Gateway: `failOpen`) lets every request pass while patgate is down or slow.", ""},
	{FailureHeader, diag.Warning, "take it out",
		"Envoy adds `x-envoy-auth-failure-mode-allowed` beside what a client sent, so the header proves nothing. Envoy adds it only where a failure of patgate lets requests pass.", ""},
	{StatusOnError, diag.Warning, "write 503",
		"by default an outage is a 403, which clients take for a refusal. Envoy sends any status that is set here: with a 2xx clients take an outage for a success, although no upstream got the request.", ""},
	{Timeout, diag.Warning, "write 0.5s: more than patgate's --audit-wait (200ms), and short enough to fail",
		"the timeout is too short or too long. With at most the 200 ms of patgate's `--audit-wait` (Envoy's default is 200 ms), Envoy cuts off patgate's own refusal. With a long one (Istio's default is 600 s, Envoy Gateway's 10 s), a patgate that hangs holds every request.", ""},
	{Retry, diag.Warning, "write a retry_policy as in envoy/standalone.yaml",
		"a replica that stops costs refusals unless Envoy tries another host, after connections that fail or end and after gRPC's `unavailable`. A `max_interval` of 200 ms or less cuts tries off.", ""},
	{OneEndpoint, diag.Warning, "run at least two replicas",
		"the cluster has one address, and it is neither loopback nor a unix socket: each restart refuses every request.", ""},
	{HealthCheck, diag.Warning, "add a grpc_health_check each second, with `no_traffic_interval: 1s`, and `tls_options: {alpn_protocols: [h2]}` with TLS",
		"without a health check Envoy sends checks to replicas that drain or are gone. Over TLS, a health check without ALPN counts every replica as unhealthy.", ""},
	{LateHealth, diag.Warning, "write `common_lb_config: {update_merge_window: 0s}`",
		"Envoy collects changes of health for a second before its workers see them (`update_merge_window`). If one replica returns and the next one stops within that second, the workers call the stopped one and not the one that returned: up to 3 in 100 calls were refused.", ""},
	{PanicRouting, diag.Warning, "write `common_lb_config: {healthy_panic_threshold: {value: 1}}`, or 0",
		"when few replicas are healthy, Envoy calls the unhealthy ones too.", ""},
	{RequestTimeout, diag.Warning, "write request_headers_timeout: 10s, or the time that clients need",
		"without `request_headers_timeout` a slow client holds a connection before any check. Do not use `request_timeout`: it includes the whole body, and cuts off uploads in progress.", ""},
	{StatusMapped, diag.Warning, "leave the status of refusals as it is; in local_reply_config, let the first mapper match patgate's answers, as in envoy/standalone.yaml",
		"`local_reply_config`, a custom_response filter, or `responseOverride` in Envoy Gateway, gives refusals and outages another status. patgate never refuses with 2xx, 3xx or 429: a client that gets one of these takes a refusal for a success (measured: patgate's 401 arrives as 200).", ""},
	{InternalRedirect, diag.Warning, "take internal_redirect_policy out, and let clients follow redirects",
		"Envoy follows a redirect of the upstream itself, and patgate checks the new request. The first check has already removed the credential, so the second one refuses the request or takes it for an anonymous one.", ""},
}}

var callersCodes = section{"Who calls", []about{
	{RemoteAddress, diag.Error, "write `use_remote_address: true`, set xff_num_trusted_hops to the number of proxies in front, and take out what lets clients choose",
		"clients choose their own `x-forwarded-for` and `x-forwarded-proto` without `use_remote_address`, with an extension that takes the address from a header, or with trusted ranges that contain every address.", ""},
	{TrustedHops, diag.Warning, "give --manifests DIR, which compares it with the gates' clientIP.trustedHops",
		"Envoy trusts proxies in front of it, and without `--manifests` their number can't be compared with the gates' number. Trusted ranges (`xff_trusted_cidrs`, `trustedCIDRs`) have no number, so they can't be compared with a gate's.", ""},
	{HopsDiffer, diag.Error, "write the same number in both: the proxies in front of this Envoy",
		"`xff_num_trusted_hops` (Istio: `numTrustedProxies`, Envoy Gateway: `numTrustedHops`) and a gate's `clientIP.trustedHops` differ. The side with the larger number may use an address that the client wrote.", ""},
	{XFFAppend, diag.Error, "take it out",
		"Envoy does not append the peer to `x-forwarded-for`, so the header is one entry shorter than a gate counts.", ""},
	{InternalAddress, diag.Warning, "write one unused address: `cidr_ranges: [{address_prefix: 255.255.255.255, prefix_len: 32}]`",
		"clients with an internal address may set `x-envoy-` headers. An empty `{}` makes loopback internal.", ""},
	{IdentityKept, diag.Warning, "remove it by a header_mutation filter before ext_authz",
		"headers that only patgate may set reach the filters before ext_authz as the client wrote them. (For the upstream, patgate overwrites or removes them.)", "In Envoy Gateway: `headers.earlyRequestHeaders.remove`."},
	{IdentityForged, diag.Error, "take it out: only patgate may set this header",
		"a route or a later filter sets a header of patgate's after the check.", ""},
	{CallerForged, diag.Error, "take it out: only the client, or Envoy, may set it",
		"something before ext_authz sets `authorization`, `x-forwarded-for` or `x-forwarded-proto`. patgate then reads that value for every client.", ""},
	{MutationRules, diag.Warning, "write decoder_header_mutation_rules as in envoy/standalone.yaml",
		"without `decoder_header_mutation_rules`, `disallow_all` and `disallow_is_error`, an answer may change any header, and Envoy ignores a header that it could not set.", ""},
	{HeaderRefused, diag.Error, "allow the header in allow_expression",
		"a gate sets or removes a header that the rules do not allow: each call fails, or the client's own header reaches the upstream.", ""},
	{ValidateMutations, diag.Warning, "write true",
		"Envoy does not look for bytes that no header may contain.", ""},
	{LoopbackPeer, diag.Warning, "give the gate `clientIP: {source: peer}`, or set clientIP.trustedHops and xff_num_trusted_hops for the proxy on this machine",
		"a gate takes the client's address from the last entry of x-forwarded-for, and the listener is on loopback. For a peer on loopback Envoy appends this machine's own address, not 127.0.0.1. Ranges of addresses and the audit log then use that address.", ""},
}}

var serviceCodes = section{"The way to patgate", []about{
	{HTTPService, diag.Error, "write grpc_service",
		"patgate serves gRPC only.", "Istio: `envoyExtAuthzGrpc`, Envoy Gateway: `grpc`."},
	{GoogleGRPC, diag.Warning, "write envoy_grpc with a cluster",
		"Envoy's health checks, outlier detection and retries to another host do not work with `google_grpc`.", ""},
	{UnknownCluster, diag.Error, "add the cluster, or correct the name",
		"no cluster has this name: every request is refused.", ""},
	{NotHTTP2, diag.Error, "write http2_protocol_options into its HttpProtocolOptions",
		"gRPC needs HTTP/2: every request is refused.", ""},
	{NoTLS, diag.Warning, "give the cluster a transport_socket with TLS, or accept it where the network encrypts",
		"patgate is neither on loopback nor on a unix socket, and the connection to it is not encrypted. Everyone on the network path can read tokens and answer allow.", ""},
	{UnverifiedTLS, diag.Error, "write validation_context with a trusted_ca",
		"without a `trusted_ca` Envoy trusts any server in patgate's place.", ""},
	{OtherService, diag.Warning, "take it out, or accept it with its reason",
		"a route calls another authorization server than the filter.", ""},
	{UnknownGate, diag.Error, "write the name of a Gate",
		"`patgate.gate` names a Gate that is not in the manifests: every request is refused.", ""},
	{UnknownProvider, diag.Error, "write a provider as in envoy/istio-mesh.yaml, and its name in the policy",
		"an AuthorizationPolicy with the action CUSTOM names an extension provider that the mesh configuration does not have for ext_authz, or a provider's `statusOnError` is not the number of a status. Istio then refuses every request. This is reported only if a mesh configuration is among the files.", ""},
}}

var itselfCodes = section{"Envoy itself", []about{
	{AdminOpen, diag.Error, "let it listen on 127.0.0.1, or limit it by allow_paths",
		"the admin interface listens on more than loopback and has no `allow_paths`. Everyone who reaches it can change the runtime, read the configuration and stop Envoy.", ""},
	{OldVersion, diag.Error, "use Envoy 1.40 or later, or 1.38.4",
		"Envoy before 1.38.4, and 1.39, read `..;` in a path in one way and forward it in another, and have known flaws in ext_authz.", ""},
	{OlderVersion, diag.Warning, "use Envoy 1.40 or later",
		"1.38.4 has the fixes, but this project's tests run with 1.40.", ""},
	{UnknownVersion, diag.Warning, "name a version, such as v1.40.0, or find out which Envoy it contains, and accept it with its reason",
		"the tag of an Envoy image does not contain a version.", ""},
	{RuntimeGuard, diag.Warning, "take it out, or accept it with its reason",
		"the runtime turns a fix of Envoy off (`envoy.reloadable_features.…: false`).", ""},
}}

var undecidedCodes = section{"What can't be decided", []about{
	{NotSeen, diag.Warning, "check an answer of the admin's /config_dump?include_eds too",
		"routes, listeners, clusters or filters are not in these files, or a SecurityPolicy is here without a ClientTrafficPolicy.", "Or name the files that contain them too."},
	{UnknownFilter, diag.Warning, "find out what it does, and accept it with its reason",
		"patgate does not know whether this filter answers requests itself or changes them.", ""},
	{DuplicateField, diag.Error, "keep one",
		"a field appears twice, or in both styles of names. Envoy uses one of them without a warning.", ""},
	{UnusedAccept, diag.Warning, "write `# patgate:ignore CODE reason` on the line of the finding or the one above, or remove the comment",
		"a comment accepts a finding that does not exist, has an unknown code, or gives no reason.", ""},
}}
