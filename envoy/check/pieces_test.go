package check_test

import (
	"strings"

	"github.com/patgate/patgate/envoy"
)

// guardedListener is the text of the listener to its router.
var guardedListener = piece("  - name: api\n", routerFilter)

// sideListener is a second listener without ext_authz.
func sideListener(direction string) string {
	return `  - {name: side, address: {socket_address: {address: 127.0.0.1, port_value: 8082}}, traffic_direction: ` + direction + `,
     filter_chains: [{filters: [{name: http, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: side,
     route_config: {virtual_hosts: [{name: a, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: upstream}}]}]},
     http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]}]}
`
}

// statusMapper begins the mappers of answers.
var statusMapper = "            mappers:  # the first that fits\n"

// upstreamCluster is the cluster of the API.
var upstreamCluster = piece("  - name: upstream\n", "  - name: patgate\n")

// namedHosts is the text from what hosts are to the first virtual host.
var namedHosts = piece("          strip_trailing_host_dot: true\n", "            - name: api\n")

// trustedRanges takes the client's address from x-forwarded-for, past a range.
func trustedRanges(prefix string) string {
	return `          original_ip_detection_extensions:
          - name: x
            typed_config: {"@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig, skip_xff_append: false, xff_trusted_cidrs: {cidrs: [{address_prefix: ` + prefix + `}]}}
`
}

// ofRoute is what the route of all but JSON says of the check.
var ofRoute = piece("                typed_per_filter_config:\n                  envoy.filters.http.ext_authz:\n", "          http_filters:\n")

// routes and filters are what comes before and after it.
var (
	routes  = piece("              routes:\n", "                typed_per_filter_config:\n                  envoy.filters.http.ext_authz:\n")
	filters = piece("          http_filters:\n", authzFilter)
)

// lateHealth is the text from the setting to the replicas.
var lateHealth = piece("    common_lb_config: ", patgateAt) + patgateAt

var standaloneRetry = piece("                retry_policy:\n", "              failure_mode_allow: false\n")

// piece cuts the text between two lines, the first included.
func piece(from, to string) string {
	start := strings.Index(envoy.Standalone, from)
	if start < 0 {
		panic("standalone.yaml has no line " + from)
	}
	length := strings.Index(envoy.Standalone[start:], to)
	if length < 0 {
		panic("standalone.yaml has no line " + to)
	}
	return envoy.Standalone[start : start+length]
}

// conditional puts a matcher around a filter, which skips it for a header.
func conditional(filter string) string {
	_, config, _ := strings.Cut(filter, "            typed_config:\n")
	return authzFilter + `            typed_config:
              "@type": type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher
              xds_matcher:
                matcher_tree:
                  input:
                    name: header
                    typed_config: {"@type": type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: x-skip}
                  exact_match_map:
                    map:
                      "1": {action: {name: skip, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter}}}
              extension_config:
                name: envoy.filters.http.ext_authz
                typed_config:
` + "    " + strings.TrimSuffix(strings.ReplaceAll(config, "\n", "\n    "), "    ")
}

// afterRoutes cuts the text from a line to the end of the listeners.
func afterRoutes(from string) string { return piece(from, "  clusters:\n") }

func standaloneMutationRules() string {
	return piece("              decoder_header_mutation_rules:\n", routerFilter)
}

func standaloneService() string {
	return piece("              grpc_service:\n", "              failure_mode_allow: false\n")
}

func standaloneRoutes() string {
	return piece("          route_config:\n", "          http_filters:\n")
}

func headerMutation(mutation string) string {
	return `          - name: late
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
              mutations: {request_mutations: [` + mutation + `]}
`
}
