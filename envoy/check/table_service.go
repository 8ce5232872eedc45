package check

import "github.com/patgate/patgate/diag"

// The codes about callers, outages, the way to patgate and Envoy itself.

var failuresCodes = section{"Failures", []about{
	{FailureModeAllow, diag.Error, "write false, or take it out",
		"`failure_mode_allow` (Istio, Envoy Gateway: `failOpen`) lets every request pass while patgate is down or slow.", ""},
	{FailureHeader, diag.Warning, "take it out",
		"`x-envoy-auth-failure-mode-allowed` is appended to what a client sent, so that it proves nothing, and there is nothing to tell while requests are refused.", ""},
	{StatusOnError, diag.Warning, "write 503",
		"by default an outage is a 403, which clients take for a refusal. Envoy sends whatever status is set there: with one of 2xx clients take an outage for a success, though no upstream was asked.", ""},
	{Timeout, diag.Warning, "write 0.5s: more than patgate's --audit-wait (200ms), and short enough to fail",
		"the time for a check is no more than the 200 ms of patgate's `--audit-wait` (Envoy's default), so that its own refusal is cut off, or so long (Istio's default is 600 s, Envoy Gateway's 10 s) that a patgate that hangs holds every request.", ""},
	{Retry, diag.Warning, "write a retry_policy as envoy/standalone.yaml has it",
		"without retries to another host, after connections that fail or end and after gRPC's `unavailable`, a replica that goes away costs refusals; a `max_interval` of 200 ms or less cuts tries off.", ""},
	{OneEndpoint, diag.Warning, "run two replicas or more",
		"the cluster has one address that is neither loopback nor a unix socket: each restart refuses every request.", ""},
	{HealthCheck, diag.Warning, "add a grpc_health_check each second, with `no_traffic_interval: 1s`, and `tls_options: {alpn_protocols: [h2]}` with TLS",
		"without a health check Envoy asks replicas that drain or are gone; over TLS one without ALPN counts every replica as unhealthy.", ""},
	{LateHealth, diag.Warning, "write `common_lb_config: {update_merge_window: 0s}`",
		"Envoy gathers changes of health that follow each other within a second before its workers learn of them (`update_merge_window`). When one replica is back and the next one goes, the workers ask the one that has gone, and not the one that is back: up to 3 in 100 calls were refused.", ""},
	{PanicRouting, diag.Warning, "write `common_lb_config: {healthy_panic_threshold: {value: 1}}`, or 0",
		"with few healthy replicas left, Envoy asks the others too.", ""},
	{RequestTimeout, diag.Warning, "write request_headers_timeout: 10s, or what clients need",
		"without `request_headers_timeout` a slow client holds a connection before it is asked about. `request_timeout` is not wanted: it counts the whole body, and cuts uploads that flow.", ""},
	{StatusMapped, diag.Warning, "leave the status of refusals as it is; in local_reply_config, let the first mapper take patgate's answers, as envoy/standalone.yaml has it",
		"`local_reply_config`, a custom_response filter, or `responseOverride` in Envoy Gateway, gives refusals and outages another status. patgate never refuses with 2xx, 3xx or 429: a client that gets one of these takes a refusal for a success (measured: patgate's 401 arrives as 200).", ""},
	{InternalRedirect, diag.Warning, "take internal_redirect_policy out, and let clients follow redirects",
		"Envoy follows a redirect of the upstream by itself and asks patgate about the new request, from which patgate has already removed the credential: the second check refuses it, or takes it for an anonymous request.", ""},
}}

var callersCodes = section{"Who calls", []about{
	{RemoteAddress, diag.Error, "write `use_remote_address: true`, in xff_num_trusted_hops the number of proxies in front, and take out what lets clients choose",
		"without `use_remote_address`, with an extension that takes the address from a header, or with trusted ranges that cover everybody, `x-forwarded-for` and `x-forwarded-proto` are the client's own words.", ""},
	{TrustedHops, diag.Warning, "give --manifests DIR, which compares it with the gates' clientIP.trustedHops",
		"proxies in front are believed, and without `--manifests` it can't be told whether the gates count the same. Trusted ranges (`xff_trusted_cidrs`, `trustedCIDRs`) are no number that a gate can count to.", ""},
	{HopsDiffer, diag.Error, "write the same number in both: the proxies in front of this Envoy",
		"`xff_num_trusted_hops` (Istio: `numTrustedProxies`, Envoy Gateway: `numTrustedHops`) and a gate's `clientIP.trustedHops` differ. Who counts too far takes the client's own word.", ""},
	{XFFAppend, diag.Error, "take it out",
		"without the peer at its end `x-forwarded-for` is one entry shorter than a gate counts.", ""},
	{InternalAddress, diag.Warning, "write one unused address: `cidr_ranges: [{address_prefix: 255.255.255.255, prefix_len: 32}]`",
		"clients that count as internal may set `x-envoy-` headers; an empty `{}` makes loopback internal.", ""},
	{IdentityKept, diag.Warning, "remove it by a header_mutation filter before ext_authz",
		"headers that patgate alone may set reach the filters before ext_authz as the client wrote them. (patgate overwrites or removes them for the upstream.)", "In Envoy Gateway: `headers.earlyRequestHeaders.remove`."},
	{IdentityForged, diag.Error, "take it out: patgate alone sets this header",
		"a route or a later filter sets such a header after the request was judged.", ""},
	{CallerForged, diag.Error, "take it out: who calls is for the client, or for Envoy, to say",
		"something before ext_authz sets `authorization`, `x-forwarded-for` or `x-forwarded-proto`: patgate takes it for what every client said.", ""},
	{MutationRules, diag.Warning, "write decoder_header_mutation_rules as envoy/standalone.yaml has them",
		"without `decoder_header_mutation_rules`, `disallow_all` and `disallow_is_error`, an answer may change any header, and a header that could not be set is not noticed.", ""},
	{HeaderRefused, diag.Error, "let the header through in allow_expression",
		"a gate sets or removes a header that the rules leave out: each call fails, or the client's own goes through.", ""},
	{ValidateMutations, diag.Warning, "write true",
		"bytes that no header may hold are not looked for.", ""},
	{LoopbackPeer, diag.Warning, "give the gate `clientIP: {source: peer}`, or write clientIP.trustedHops and xff_num_trusted_hops for the proxy on this machine",
		"a gate takes the client's address from the last entry of x-forwarded-for, and the listener is on loopback. For a peer on loopback Envoy appends this machine's own address, not 127.0.0.1: ranges of addresses and the audit tell of that one.", ""},
}}

var serviceCodes = section{"The way to patgate", []about{
	{HTTPService, diag.Error, "write grpc_service",
		"patgate serves gRPC only.", "Istio: `envoyExtAuthzGrpc`, Envoy Gateway: `grpc`."},
	{GoogleGRPC, diag.Warning, "write envoy_grpc with a cluster",
		"with `google_grpc` there are none of Envoy's health checks, outlier detection and retries to another host.", ""},
	{UnknownCluster, diag.Error, "add the cluster, or correct the name",
		"there is no such cluster: every request is refused.", ""},
	{NotHTTP2, diag.Error, "write http2_protocol_options into its HttpProtocolOptions",
		"gRPC needs HTTP/2: every request is refused.", ""},
	{NoTLS, diag.Warning, "give the cluster a transport_socket with TLS, or accept it where the network encrypts",
		"patgate is neither on loopback nor on a unix socket, and the way there is in the clear: tokens can be read, and anyone on the path can answer allow.", ""},
	{UnverifiedTLS, diag.Error, "write validation_context with a trusted_ca",
		"without a `trusted_ca` anyone who takes patgate's place is trusted.", ""},
	{OtherService, diag.Warning, "take it out, or accept it with its reason",
		"a route asks another server than the filter.", ""},
	{UnknownGate, diag.Error, "write the name of a Gate",
		"`patgate.gate` names a Gate that the manifests do not have: every request is refused.", ""},
	{UnknownProvider, diag.Error, "write a provider as envoy/istio-mesh.yaml has it, and its name in the policy",
		"an AuthorizationPolicy with the action CUSTOM names an extension provider that no mesh configuration which is named together with it has for ext_authz, or a provider's `statusOnError` is no number of a status: Istio refuses every request. Without a mesh configuration nothing is said.", ""},
}}

var itselfCodes = section{"Envoy itself", []about{
	{AdminOpen, diag.Error, "let it listen on 127.0.0.1, or limit it by allow_paths",
		"the admin listens on more than loopback and has no `allow_paths`: who reaches it changes the runtime, reads the configuration and ends Envoy.", ""},
	{OldVersion, diag.Error, "use Envoy 1.40 or later, or 1.38.4",
		"Envoy before 1.38.4, and 1.39, read `..;` in paths otherwise than they forward them, and have known flaws in ext_authz.", ""},
	{OlderVersion, diag.Warning, "use Envoy 1.40 or later",
		"1.38.4 has the fixes, but this project's tests run with 1.40.", ""},
	{UnknownVersion, diag.Warning, "name a version, such as v1.40.0, or look up the Envoy that is in it, and accept it with its reason",
		"an image of Envoy has no version in its tag.", ""},
	{RuntimeGuard, diag.Warning, "take it out, or accept it with its reason",
		"the runtime switches a mended behaviour of Envoy back (`envoy.reloadable_features.…: false`).", ""},
}}

var undecidedCodes = section{"What can't be decided", []about{
	{NotSeen, diag.Warning, "check an answer of the admin's /config_dump?include_eds too",
		"routes, listeners, clusters or filters come from elsewhere, or a SecurityPolicy is here without a ClientTrafficPolicy.", "Or name the files that hold them too."},
	{UnknownFilter, diag.Warning, "look it up, and accept it with its reason",
		"whether a filter answers by itself or changes requests is not known.", ""},
	{DuplicateField, diag.Error, "leave one",
		"a field appears twice, or in both styles of names. Envoy takes one of them without a word.", ""},
	{UnusedAccept, diag.Warning, "write `# patgate:ignore CODE reason` on the line of the finding or the one above, or remove the comment",
		"a comment accepts a finding that is not there, has an unknown code, or no reason.", ""},
}}
