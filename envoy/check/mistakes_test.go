package check_test

import (
	"strings"

	"github.com/patgate/patgate/envoy/check"
)

// mistake is one edit of standalone.yaml, and the codes of its findings.
type mistake struct {
	name     string
	old, new string // a part of the text, and its replacement
	want     []check.Code
}

func codes(list ...check.Code) []check.Code { return list }

// The places where edits insert lines.
const (
	inConnection  = "          stat_prefix: api\n"
	inAuthz       = "              failure_mode_allow: false\n"
	secondMatch   = "              - match: {prefix: \"/\"}\n"
	inRoute       = "              - match: {prefix: \"/\"}\n                route: {cluster: upstream, timeout: 0s}\n"
	inHost        = "              domains: [\"*\"]\n"
	authzFilter   = "          - name: envoy.filters.http.ext_authz\n"
	routerFilter  = "          - name: envoy.filters.http.router\n"
	patgateHTTP2  = "          http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 5s}}\n"
	patgateAt     = "        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9191}}}  # PATGATE\n"
	denyAtDisable = "              deny_at_disable:\n                default_value: true\n                runtime_key: patgate.deny_at_disable\n"
	perRoute      = "\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
	filterConfig  = "\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig"
	lua           = `          - name: script
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
              default_source_code: {inline_string: "function envoy_on_request(h) end"}
`
	transport = `    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: patgate
`
)

// after puts lines behind a piece of the text.
func after(place, lines string, name string, want ...check.Code) mistake {
	return mistake{name, place, place + lines, want}
}

// before puts lines in front of a piece of the text.
func before(place, lines string, name string, want ...check.Code) mistake {
	return mistake{name, place, lines + place, want}
}

// without removes a part of the text.
func without(piece, name string, want ...check.Code) mistake { return mistake{name, piece, "", want} }

// mistakes are common errors, each accepted by a real Envoy
// (TestMistakesAreConfigurations).
var mistakes = []mistake{
	// Whether every request is checked.
	{"true", "failure_mode_allow: false", "failure_mode_allow: true", codes(check.FailureModeAllow)},
	{"a word of YAML 1.1", "failure_mode_allow: false", "failure_mode_allow: On", codes(check.FailureModeAllow)},
	{"a text", "failure_mode_allow: false", `failure_mode_allow: "true"`, codes(check.FailureModeAllow)},
	after(inAuthz, "              failureModeAllow: true\n", "both spellings", check.DuplicateField, check.FailureModeAllow),
	after(inAuthz, "              failure_mode_allow_header_add: true\n", "header add", check.FailureHeader),
	after(inAuthz, "              shadow_mode: true\n", "shadow mode", check.ShadowMode),
	after(inAuthz, "              filter_enabled: {default_value: {numerator: 50}}\n", "half of the requests", check.FilterEnabled),
	{"none of the requests", denyAtDisable, "              filter_enabled: {default_value: {numerator: 0}}\n", codes(check.FilterEnabled, check.DenyAtDisable)},
	after(inAuthz, "              filter_enabled: {default_value: {numerator: 10000, denominator: TEN_THOUSAND}}\n", "all of the requests"),
	after(inAuthz, "              filter_enabled: {runtime_key: patgate.asked, default_value: {numerator: 100}}\n", "all of the requests, by a key", check.FilterEnabled),
	after(inAuthz, "              filter_enabled_metadata: {filter: some, path: [{key: check}], value: {bool_match: true}}\n", "by metadata, or refused"),
	{"by metadata", denyAtDisable, "              filter_enabled_metadata: {filter: some, path: [{key: check}], value: {bool_match: true}}\n",
		codes(check.ConditionalCheck, check.DenyAtDisable)},
	{"by Istio's metadata", denyAtDisable, "              filter_enabled_metadata: {filter: envoy.filters.http.rbac, path: [{key: id}], value: {string_match: {prefix: istio}}}\n",
		codes(check.IstioCondition, check.DenyAtDisable)},
	without(denyAtDisable, "no deny_at_disable", check.DenyAtDisable),
	{"deny_at_disable false", "default_value: true", "default_value: false", codes(check.DenyAtDisable)},
	after("  layers:\n", "  - {name: more, static_layer: {patgate.deny_at_disable: false}}\n", "the runtime says otherwise", check.DenyAtDisable),
	{"filter disabled", ofRoute + filters + authzFilter, filters + authzFilter + "            disabled: true\n", codes(check.FilterDisabled)},
	{"filter disabled, and turned on by the route of all but JSON", authzFilter, authzFilter + "            disabled: true\n", codes(check.RouteUnchecked)},
	{"filter disabled, one of two routes turns it on", afterRoutes("              - match: {prefix: \"/\"}\n"), `              - match: {path: "/open"}
                route: {cluster: upstream}
              - match: {prefix: "/"}
                route: {cluster: upstream}
                typed_per_filter_config: {gate: {` + perRoute + `, check_settings: {}}}
              - {match: {prefix: "/old"}, redirect: {https_redirect: true}}
` + strings.Replace(afterRoutes("          http_filters:\n"), authzFilter, "          - name: gate\n            disabled: true\n", 1) + `  - name: redirects
    address: {socket_address: {address: 127.0.0.1, port_value: 8082}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: side
          route_config: {virtual_hosts: [{name: a, domains: ["*"], routes: [{match: {prefix: /}, redirect: {https_redirect: true}}, {match: {prefix: /x}, direct_response: {status: 404}}]}]}
          http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`, codes(check.RouteUnchecked)},
	{"filter optional", authzFilter, authzFilter + "            is_optional: true\n", codes(check.FilterOptional)},
	{"route disabled", ofRoute, "                typed_per_filter_config: {envoy.filters.http.ext_authz: {" + perRoute + ", disabled: true}}\n", codes(check.RouteUnchecked)},
	{"virtual host disabled", inHost + routes + ofRoute, inHost + "              typed_per_filter_config: {envoy.filters.http.ext_authz: {" + perRoute + ", disabled: true}}\n" + routes, codes(check.RouteUnchecked)},
	{"disabled by FilterConfig", ofRoute, "                typed_per_filter_config: {envoy.filters.http.ext_authz: {" + filterConfig + ", disabled: true}}\n", codes(check.RouteUnchecked)},
	{"disabled within FilterConfig", ofRoute, "                typed_per_filter_config: {envoy.filters.http.ext_authz: {" + filterConfig + ", config: {" + perRoute + ", disabled: true}}}\n",
		codes(check.RouteUnchecked)},
	{"optional setting", ofRoute, "                typed_per_filter_config: {envoy.filters.http.ext_authz: {" + filterConfig + ", is_optional: true, config: {" + perRoute + ", check_settings: {}}}}\n",
		codes(check.FilterOptional)},
	{"one of several clusters disabled", inRoute, "              - match: {prefix: \"/\"}\n                route: {weighted_clusters: {clusters: [{name: upstream, weight: 1, typed_per_filter_config: {envoy.filters.http.ext_authz: {" +
		perRoute + ", disabled: true}}}]}}\n", codes(check.RouteUnchecked)},
	{"a condition around the filter", piece(authzFilter, routerFilter), conditional(piece(authzFilter, routerFilter)), codes(check.ConditionalCheck)},
	{"one of two filters", `            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
`, `            typed_config:
              "@type": type.googleapis.com/xds.type.v3.TypedStruct
              type_url: type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              value: {failure_mode_allow: true, transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: patgate}, timeout: 0.5s}}
          - name: another
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
`, codes(check.FailureModeAllow, check.DenyAtDisable, check.ValidateMutations, check.RawHeaders, check.StatusOnError, check.MutationRules, check.Retry)},
	after("  listeners:\n", `  - name: side
    address: {socket_address: {address: 127.0.0.1, port_value: 8082}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: side
          route_config: {virtual_hosts: [{name: a, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: upstream}}]}]}
          http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`, "a second listener without", check.NoExtAuthz),
	{"a gateway's listener without, as Istio directs it", guardedListener, strings.Replace(strings.Replace(guardedListener, piece(authzFilter, routerFilter), "", 1), "  - name: api\n", "  - name: api\n    traffic_direction: OUTBOUND\n", 1), codes(check.NoExtAuthz)},
	{"a gateway's listener with failures allowed", piece("  - name: api\n", inAuthz) + inAuthz, strings.Replace(strings.Replace(piece("  - name: api\n", inAuthz)+inAuthz, "allow: false", "allow: true", 1), "  - name: api\n", "  - name: api\n    traffic_direction: OUTBOUND\n", 1), codes(check.FailureModeAllow)},
	after("  listeners:\n", sideListener("OUTBOUND, bind_to_port: false"), "a sidecar's way out"),
	after("  listeners:\n", sideListener("OUTBOUND, use_original_dst: true"), "a sidecar's way out, to where clients meant"),
	after("  listeners:\n", sideListener("OUTBOUND"), "a front proxy that calls its clients outbound", check.NoExtAuthz),
	after("  listeners:\n", `  - name: side
    address: {socket_address: {address: 127.0.0.1, port_value: 8082}}
    filter_chains:
    - filters:
      - {name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: s, cluster: upstream}}
`, "a tunnel to the API", check.SideDoor),
	after("  listeners:\n", `  - name: side
    address: {socket_address: {address: 127.0.0.1, port_value: 8082}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: s
          weighted_clusters: {clusters: [{name: upstream, weight: 1}]}
`, "a tunnel to the API by weight", check.SideDoor),
	before(authzFilter, lua, "lua before", check.AnswersBefore),
	before(authzFilter, `          - name: cache
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.cache.v3.CacheConfig
              typed_config: {"@type": type.googleapis.com/envoy.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig}
`, "a cache before", check.ContentBefore),
	before(authzFilter, "          - {name: fault, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}}\n", "fault before", check.AnswersBefore),
	before(routerFilter, lua, "lua after", check.ChangesAfter),
	before(routerFilter, "          - {name: g, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config}}\n", "a harmless one after"),
	before(routerFilter, `          - name: g
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config
              on_request_headers: [{object_key: envoy.network.upstream_server_name, format_string: {text_format_source: {inline_string: "%REQ(x-to)%"}}}]
`, "set_filter_state after", check.RouteChanged),
	before(authzFilter, `          - name: g
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config
              on_request_headers: [{object_key: envoy.network.upstream_server_name, format_string: {text_format_source: {inline_string: a}}}]
`, "set_filter_state before"),
	before(routerFilter, "          - {name: g, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.OnDemand}}\n", "on_demand after", check.RouteChanged),
	before(routerFilter, "          - {name: g, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.mcp.v3.Mcp, clear_route_cache: true}}\n", "mcp after", check.RouteChanged),
	before(routerFilter, headerMutation("{append: {header: {key: x-original-url, value: /}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}"), "another path set after", check.ChangesAfter),
	after(inHost, "              typed_per_filter_config: {patgate: {"+perRoute+", disabled: true}}\n", "a setting under a name that no filter has", check.SettingUnread),
	{"the gate under a name that no filter has", ofRoute, "                typed_per_filter_config: {ext_authz: {" + perRoute + ", check_settings: {context_extensions: {patgate.gate: admin}}}}\n", codes(check.SettingUnread)},
	after("  layers:\n", "  - {name: admin, admin_layer: {}}\n", "a runtime that the admin changes", check.RuntimeOpen),
	{"a runtime that an admin of some paths does not change", "# The expressions below are longer than the 100 instructions that Envoy takes by default.\nlayered_runtime:\n  layers:\n",
		"  allow_paths: [{exact: /ready}]\nlayered_runtime:\n  layers:\n  - {name: admin, admin_layer: {}}\n", nil},

	// Where requests go.
	{"the cluster by a header", secondMatch + "                route: {cluster: upstream, timeout: 0s}\n                typed", secondMatch + "                route: {cluster_header: x-cluster, timeout: 0s}\n                typed", codes(check.RoutedByClient)},
	{"a mirror by a header", secondMatch + "                route: {cluster: upstream, timeout: 0s}\n                typed", secondMatch + "                route: {cluster: upstream, timeout: 0s, request_mirror_policies: [{cluster_header: x-cluster}]}\n                typed", codes(check.RoutedByClient)},
	{"one of the clusters by a header", secondMatch + "                route: {cluster: upstream, timeout: 0s}\n                typed", secondMatch + "                route: {weighted_clusters: {header_name: x-share, clusters: [{name: upstream, weight: 1}]}}\n                typed", codes(check.RoutedByClient)},
	{"the address by a header", upstreamCluster, "  - name: upstream\n    type: ORIGINAL_DST\n    lb_policy: CLUSTER_PROVIDED\n    connect_timeout: 1s\n    original_dst_lb_config: {use_http_header: true}\n", codes(check.RoutedByClient)},
	{"the host by a header", secondMatch + "                route: {cluster: upstream, timeout: 0s}\n                typed", secondMatch + "                route: {cluster: upstream, timeout: 0s, host_rewrite_header: x-tenant}\n                typed", codes(check.HostRewritten)},
	{"the host by the path", secondMatch + "                route: {cluster: upstream, timeout: 0s}\n                typed", secondMatch + "                route: {cluster: upstream, timeout: 0s, host_rewrite_path_regex: {pattern: {regex: \"^/([^/]+).*\"}, substitution: \"\\\\1\"}}\n                typed", codes(check.HostRewritten)},
	after(inRoute, "                request_headers_to_add: [{header: {key: x-forwarded-host, value: \"%REQ(x-tenant)%\"}}]\n", "a forwarded host from another header", check.HostRewritten),
	after(inRoute, "                request_headers_to_add: [{header: {key: x-forwarded-host, value: \"%REQ(:AUTHORITY)%\"}}]\n", "a forwarded host from the host"),
	{"the cluster by a plugin", secondMatch + "                route: {cluster: upstream, timeout: 0s}\n                typed", secondMatch + `                route:
                  inline_cluster_specifier_plugin:
                    extension:
                      name: m
                      typed_config:
                        "@type": type.googleapis.com/envoy.extensions.router.cluster_specifiers.lua.v3.LuaConfig
                        source_code: {inline_string: "function envoy_on_route(route_handle) return 'upstream' end"}
                        default_cluster: upstream
                  timeout: 0s
                typed`, codes(check.NotSeen)},
	{"one host for all", secondMatch + "                route: {cluster: upstream, timeout: 0s}\n                typed", secondMatch + "                route: {cluster: upstream, timeout: 0s, host_rewrite_literal: api.internal}\n                typed", nil},
	{"another path", secondMatch + "                route: {cluster: upstream, timeout: 0s}\n                typed", secondMatch + "                route: {cluster: upstream, timeout: 0s, prefix_rewrite: /api/}\n                typed", codes(check.PathRewritten)},
	{"another path by a pattern", secondMatch + "                route: {cluster: upstream, timeout: 0s}\n                typed", secondMatch + "                route: {cluster: upstream, timeout: 0s, regex_rewrite: {pattern: {regex: \"/v1/.*\"}, substitution: /}}\n                typed", codes(check.PathRewritten)},
	after("              routes:\n", "              - {match: {prefix: /old}, redirect: {prefix_rewrite: /new}}\n", "a redirect to another path"),
	{"internal redirects", secondMatch + "                route: {cluster: upstream, timeout: 0s}\n                typed", secondMatch + "                route: {cluster: upstream, timeout: 0s, internal_redirect_policy: {}}\n                typed", codes(check.InternalRedirect)},
	{"a host with a dot", namedHosts, strings.Replace(namedHosts, "          strip_trailing_host_dot: true\n", "", 1) + "            - {name: wiki, domains: [wiki.example.com], routes: [{match: {prefix: /}, route: {cluster: upstream}}]}\n", codes(check.HostDot)},
	without("          strip_trailing_host_dot: true\n", "every host, with a dot too"),
	without("                - {remove: x-forwarded-host}\n", "a forwarded host kept", check.HostHeadersKept),
	without("                - {remove: \"forwarded\"}\n", "forwarded kept", check.HostHeadersKept),
	{"a forwarded host written anew", "                - {remove: x-forwarded-host}\n", "                - {append: {header: {key: x-forwarded-host, value: \"%REQ(:AUTHORITY)%\"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}\n", nil},
	after(inConnection, "          upgrade_configs: [{upgrade_type: websocket}]\n", "upgrades", check.Upgrade),
	after(inConnection, "          upgrade_configs: [{upgrade_type: websocket, filters: [{name: r, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}]\n",
		"upgrades with filters of their own", check.Upgrade, check.NoExtAuthz),
	{"CONNECT", "match: {prefix: \"/\"}", "match: {connect_matcher: {}}", codes(check.Upgrade)},
	{"upgrade at the route", secondMatch + "                route: {cluster: upstream, timeout: 0s}\n                typed", secondMatch + "                route: {cluster: upstream, timeout: 0s, upgrade_configs: [{upgrade_type: websocket}]}\n                typed", codes(check.Upgrade)},

	// Failures.
	without("              status_on_error: {code: ServiceUnavailable}\n", "no status_on_error", check.StatusOnError),
	{"status_on_error 403", "code: ServiceUnavailable", "code: Forbidden", codes(check.StatusOnError)},
	{"status_on_error 200", "code: ServiceUnavailable", "code: OK", codes(check.StatusOnError)},
	{"status_on_error 204 by number", "code: ServiceUnavailable", "code: 204", codes(check.StatusOnError)},
	{"status_on_error 302", "code: ServiceUnavailable", "code: Found", codes(check.StatusOnError)},
	{"status_on_error 500, in small letters", "code: ServiceUnavailable", "code: internalservererror", nil},
	{"status_on_error 403 by number", "code: ServiceUnavailable", "code: 403", codes(check.StatusOnError)},
	without("                timeout: 0.5s\n", "no timeout", check.Timeout),
	{"no longer than the audit waits", "timeout: 0.5s", "timeout: 0.2s", codes(check.Timeout)},
	{"a minute", "timeout: 0.5s", "timeout: 60s", codes(check.Timeout)},
	{"for ever", "timeout: 0.5s", "timeout: 0s", codes(check.Timeout)},
	{"no retry", standaloneRetry, "", codes(check.Retry)},
	{"short tries", "max_interval: 0.25s", "max_interval: 0.1s", codes(check.Retry)},
	without("                  retry_on: unavailable,connect-failure,refused-stream,reset\n", "retry on nothing", check.Retry),
	{"retries after answers alone", "retry_on: unavailable,connect-failure,refused-stream,reset", "retry_on: unavailable,deadline-exceeded", codes(check.Retry)},
	{"retries before a connection alone", "retry_on: unavailable,connect-failure,refused-stream,reset", "retry_on: connect-failure", codes(check.Retry)},
	{"retries without unavailable", "retry_on: unavailable,connect-failure,refused-stream,reset", "retry_on: reset", codes(check.Retry)},
	{"refusals as success", statusMapper, "            mappers:\n            - {status_code: 200, filter: {status_code_filter: {comparison: {op: GE, value: {default_value: 401, runtime_key: k}}}}}\n", codes(check.StatusMapped)},
	{"outages as refusals", statusMapper, "            mappers:\n            - {status_code: 403, filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 503, runtime_key: k}}}}}\n", codes(check.StatusMapped)},
	{"timeouts as outages", statusMapper, "            mappers:\n            - {status_code: 503, filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 504, runtime_key: k}}}}}\n", nil},
	{"one replica elsewhere", patgateAt, strings.ReplaceAll(patgateAt, "127.0.0.1", "10.0.0.1"), codes(check.OneEndpoint, check.NoTLS)},
	{"a bare IPv6 address elsewhere", patgateAt, strings.ReplaceAll(patgateAt, "127.0.0.1", `"2001:db8::1"`), codes(check.OneEndpoint, check.NoTLS)},
	without(piece("    health_checks:\n", "    load_assignment:\n      cluster_name: patgate\n"), "no health check", check.HealthCheck),
	{"two replicas whose health counts late", lateHealth, strings.Replace(lateHealth, ", update_merge_window: 0s", "", 1) + strings.Replace(patgateAt, "9191", "9193", 1), codes(check.LateHealth)},
	{"two replicas whose health counts later", lateHealth, strings.Replace(lateHealth, "window: 0s", "window: 2s", 1) + strings.Replace(patgateAt, "9191", "9193", 1), codes(check.LateHealth)},
	{"panic routing", "healthy_panic_threshold: {value: 1}", "healthy_panic_threshold: {value: 50}", codes(check.PanicRouting)},
	without("healthy_panic_threshold: {value: 1}, ", "panic routing by default", check.PanicRouting),
	after("          request_headers_timeout: 10s\n", "          request_timeout: 30s\n", "a request_timeout"),
	without("          request_headers_timeout: 10s\n", "no request_headers_timeout", check.RequestTimeout),

	// What patgate sees, and what the upstream gets.
	without("          normalize_path: true\n", "no normalize_path", check.NormalizePath),
	{"normalize_path off", "normalize_path: true", "normalize_path: false", codes(check.NormalizePath)},
	{"normalize_path null", "normalize_path: true", "normalize_path:", codes(check.NormalizePath)},
	{"normalize_path ignored", "normalize_path: true", "!ignore normalize_path: true", codes(check.NormalizePath)},
	without("          merge_slashes: true\n", "no merge_slashes", check.MergeSlashes),
	{"escaped slashes by default", "path_with_escaped_slashes_action: KEEP_UNCHANGED", "path_with_escaped_slashes_action: 0", codes(check.EscapedSlashes)},
	{"escaped slashes decoded", "path_with_escaped_slashes_action: KEEP_UNCHANGED", "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD", codes(check.EscapedSlashes)},
	{"escaped slashes sent back, by number", "path_with_escaped_slashes_action: KEEP_UNCHANGED", "path_with_escaped_slashes_action: 3", codes(check.EscapedSlashes)},
	{"escaped slashes refused by Envoy", "path_with_escaped_slashes_action: KEEP_UNCHANGED", "path_with_escaped_slashes_action: REJECT_REQUEST", nil},
	without("            headers_with_underscores_action: REJECT_REQUEST\n", "underscores", check.Underscores),
	{"underscores dropped", "headers_with_underscores_action: REJECT_REQUEST", "headers_with_underscores_action: DROP_HEADER", codes(check.Underscores)},
	without("            ignore_port_in_host_matching: true\n", "host with port", check.HostPort),
	{"host without port", hostLines, "          strip_any_host_port: true\n" + strings.Replace(hostLines, "            ignore_port_in_host_matching: true\n", "", 1), nil},
	after(inAuthz, "              allowed_headers: {patterns: [{exact: authorization}]}\n", "some headers", check.HeadersHidden),
	after(inAuthz, "              disallowed_headers: {patterns: [{exact: x-original-url}]}\n", "not all headers", check.HeadersHidden),
	without("              encode_raw_headers: true\n", "no raw headers", check.RawHeaders),
	{"partial bodies", "allow_partial_message: false", "allow_partial_message: true", codes(check.PartialBody)},
	without("                pack_as_bytes: true\n", "bodies as text", check.BodyText),
	{"bodies as text at a route", ofRoute, "                typed_per_filter_config: {envoy.filters.http.ext_authz: {" + perRoute + ", check_settings: {with_request_body: {max_request_bytes: 9}}}}\n", codes(check.BodyText)},
	{"large bodies", "max_request_bytes: 65536", "max_request_bytes: 4194304", codes(check.BodySize)},
	{"route cache", "clear_route_cache: false", "clear_route_cache: true", codes(check.RouteCache)},

	// Who calls.
	without("          use_remote_address: true\n", "no use_remote_address", check.RemoteAddress),
	{"PROXY protocol from anybody", "    per_connection_buffer_limit_bytes: 1048576\n", "    listener_filters: [{name: p, typed_config: {\"@type\": type.googleapis.com/" +
		"envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, allow_requests_without_proxy_protocol: true}}]\n", codes(check.RemoteAddress)},
	{"trusted hops", "xff_num_trusted_hops: 0", "xff_num_trusted_hops: 1", codes(check.TrustedHops)},
	after(inConnection, "          skip_xff_append: true\n", "no peer in x-forwarded-for", check.XFFAppend),
	{"empty internal addresses", "          internal_address_config:\n            cidr_ranges: [{address_prefix: 255.255.255.255, prefix_len: 32}]\n", "          internal_address_config: {}\n", codes(check.InternalAddress)},
	{"wide internal addresses", "address_prefix: 255.255.255.255, prefix_len: 32", "address_prefix: 10.0.0.0, prefix_len: 8", codes(check.InternalAddress)},
	{"the address from a header", "          use_remote_address: true\n          xff_num_trusted_hops: 0", `          original_ip_detection_extensions:
          - name: x
            typed_config: {"@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig, header_name: x-real-ip}
`, codes(check.RemoteAddress)},
	{"the address from x-forwarded-for, unappended", "          use_remote_address: true\n          xff_num_trusted_hops: 0", `          original_ip_detection_extensions:
          - name: x
            typed_config: {"@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig, xff_num_trusted_hops: 1}
`, codes(check.TrustedHops, check.XFFAppend)},
	{"trusted ranges", "          use_remote_address: true\n          xff_num_trusted_hops: 0", trustedRanges("10.0.0.0, prefix_len: 8"), codes(check.TrustedHops)},
	{"everybody's range is trusted", "          use_remote_address: true\n          xff_num_trusted_hops: 0", trustedRanges("0.0.0.0, prefix_len: 0"), codes(check.RemoteAddress)},
	without("                - {remove: x-forwarded-user}\n", "identity kept", check.IdentityKept),
	without(piece("          - name: envoy.filters.http.header_mutation\n", authzFilter), "identity kept whole", check.IdentityKept, check.HostHeadersKept),
	before(routerFilter, headerMutation("{append: {header: {key: X-Forwarded-User, value: admin}}}"), "identity set after", check.IdentityForged),
	before(routerFilter, headerMutation("{remove: x-forwarded-user}"), "identity removed after", check.ChangesAfter),
	after(inRoute, "                request_headers_to_add: [{header: {key: x-forwarded-user, value: \"%REQ(x-user)%\"}}]\n", "identity set by the route", check.IdentityForged),
	after(inHost, "              request_headers_to_add: [{header: {key: x_forwarded_groups, value: admins}}]\n", "identity set by the virtual host, otherwise spelt", check.IdentityForged),
	before(authzFilter, headerMutation("{append: {header: {key: Authorization, value: Basic YTpi}}}"), "a credential for everybody", check.CallerForged),
	after(inConnection, `          early_header_mutation_extensions:
          - name: m
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
              mutations: [{append: {header: {key: x-forwarded-proto, value: https}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]
`, "https for everybody", check.CallerForged),
	without("              validate_mutations: true\n", "mutations not validated", check.ValidateMutations),
	{"no mutation rules", standaloneMutationRules(), "", codes(check.MutationRules)},
	without("                disallow_is_error: true\n", "refused mutations pass over", check.MutationRules),
	without("                disallow_all: true\n", "other headers may change", check.MutationRules),

	// The way to patgate.
	{"HTTP service", standaloneService(), "              http_service: {server_uri: {uri: \"http://p\", cluster: patgate, timeout: 0.5s}}\n", codes(check.HTTPService)},
	{"Google's gRPC", standaloneService(), "              grpc_service: {google_grpc: {target_uri: \"patgate:9191\", stat_prefix: p}, timeout: 0.5s}\n", codes(check.GoogleGRPC, check.NoTLS)},
	{"HTTP/1.1 to patgate", piece(patgateHTTP2, "    load_assignment:\n      cluster_name: patgate\n"), "          http_protocol_options: {}\n",
		codes(check.NotHTTP2, check.HealthCheck, check.PanicRouting)},
	after(patgateAt, transport, "TLS without a CA", check.UnverifiedTLS),
	{"another server for a route", ofRoute, "                typed_per_filter_config: {envoy.filters.http.ext_authz: {" + perRoute + ", check_settings: {grpc_service: {envoy_grpc: {cluster_name: upstream}, timeout: 0.5s}}}}\n",
		codes(check.OtherService, check.NotHTTP2, check.HealthCheck, check.PanicRouting, check.Retry)},

	// Envoy itself.
	before("# The expressions", "  allow_paths: [{exact: /stats/prometheus}]\n", "the admin for loopback, limited"),
	{"the admin for everybody", "address: 127.0.0.1, port_value: 9901", "address: 0.0.0.0, port_value: 9901", codes(check.AdminOpen)},

	after("  layers:\n", "  - {name: guards, static_layer: {envoy: {\"reloadable_features\": {\"http_reject_path_with_fragment\": false}}}}\n", "a runtime guard", check.RuntimeGuard),
	after("  layers:\n", "  - {name: guards, static_layer: {envoy.reloadable_features.http_reject_path_with_fragment: false}}\n", "a runtime guard in one word", check.RuntimeGuard),

	// What can't be decided.
	{"routes from elsewhere", standaloneRoutes(), "          rds: {route_config_name: r, config_source: {path_config_source: {path: /dev/null}}}\n", codes(check.NotSeen)},
	before("static_resources:\n", "dynamic_resources: {lds_config: {path_config_source: {path: /dev/null}}}\n", "listeners from elsewhere", check.NotSeen),
	{"an unused acceptance", "failure_mode_allow: false", "failure_mode_allow: false  # patgate:accept shadow-mode no longer", codes(check.UnusedAccept)},
}

// hostLines is the text from what hosts are to the virtual hosts.
var hostLines = piece("          strip_trailing_host_dot: true\n", "            virtual_hosts:\n")
