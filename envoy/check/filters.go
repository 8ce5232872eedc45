package check

import "strings"

// trait is a capability of a kind of HTTP filter that matters for its place in the chain.
type trait uint8

const (
	answers  trait = 1 << iota // may answer a request by itself
	content                    // answers with content from behind the gate
	changes                    // may change what the upstream will act on: path, method, headers, body
	gives                      // gives requests a credential
	reroutes                   // may move a request to another route or upstream
	whatever = answers | changes
	neither  = 0
)

// filterTraits lists the HTTP filters of Envoy 1.40 by the package of their message.
var filterTraits = map[string]trait{
	"cache": content, "cache_v2": content, "file_server": content,
	"fault": answers, "credential_injector": gives,
	"lua": whatever, "wasm": whatever, "ext_proc": whatever, "dynamic_modules": whatever, "golang": whatever,
	"mcp_router": whatever, "mcp_json_rest_bridge": whatever, "mcp": reroutes, "a2a": neither, "ai_protocol_manager": neither,
	"grpc_json_transcoder": changes, "grpc_json_reverse_transcoder": changes, "grpc_http1_reverse_bridge": changes,
	"connect_grpc_bridge": changes, "transform": changes, "jwt_authn": changes, "oauth2": changes, "basic_auth": changes, "api_key_auth": changes,
	"composite": whatever, "filter_chain": whatever,

	"adaptive_concurrency": neither, "admission_control": neither, "alternate_protocols_cache": neither,
	"aws_eventstream_parser": neither, "aws_lambda": neither, "aws_request_signing": neither, "bandwidth_limit": neither,
	"bandwidth_share": neither, "body_size_limit": neither, "buffer": neither, "cdn_loop": neither, "compressor": neither,
	"cors": neither, "csrf": neither, "custom_response": neither, "decompressor": neither,
	"dynamic_forward_proxy": neither, "ext_authz": neither, "file_system_buffer": neither, "gcp_authn": neither, "geoip": neither,
	"grpc_field_extraction": neither, "grpc_http1_bridge": neither, "grpc_stats": neither, "grpc_web": neither, "gzip": neither,
	"header_mutation": neither, "header_to_metadata": neither, "health_check": neither, "ip_tagging": reroutes,
	"json_to_metadata": reroutes, "kill_request": neither, "local_ratelimit": neither, "on_demand": reroutes, "original_src": neither,
	"proto_api_scrubber": neither, "proto_message_extraction": neither, "rate_limit_quota": neither, "ratelimit": neither,
	"rbac": neither, "router": neither, "set_filter_state": reroutes, "set_metadata": neither, "sse_to_metadata": neither,
	"stateful_session": neither, "tap": neither, "thrift_to_metadata": reroutes, "upstream_codec": neither,
	// Istio's own.
	"alpn": neither, "metadata_exchange": neither, "peer_metadata": neither, "stats": neither,
}

// traitOf looks up a filter by its message's full name, as in
// envoy.extensions.filters.http.lua.v3.Lua.
func traitOf(message string) (t trait, short string, known bool) {
	parts := strings.Split(message, ".")
	for i := len(parts) - 2; i >= 0; i-- { // the last is the message itself
		if t, known = filterTraits[parts[i]]; known {
			return t, parts[i], true
		}
	}
	return neither, message, false
}

// httpFilter is one filter of a chain.
type httpFilter struct {
	node    *node  // its entry in http_filters
	message string // full name; empty where it can't be seen
	body    *node
}

func (f *httpFilter) name() string { return f.node.get("name").str() }

// httpFilters resolves the filters of a connection manager, including those of ECDS
// that are known.
func (c *checker) httpFilters(s *scope, chain *node) []*httpFilter {
	var filters []*httpFilter
	for _, n := range chain.elements() {
		f := &httpFilter{node: n}
		config := n.get("typed_config")
		if discovery := n.get("config_discovery"); discovery != nil {
			config = s.filters[f.name()]
			if config == nil {
				config = c.loose.filters[f.name()]
			}
			if config == nil {
				c.find(NotSeen, discovery.spot(), "the filter's configuration is not in these files (ECDS)")
				config = discovery.get("default_config")
			}
			for _, url := range discovery.get("type_urls").elements() {
				f.message = messageName(url.str())
			}
		}
		if config != nil {
			f.message, f.body = typed(config)
		}
		filters = append(filters, f)
	}
	return filters
}

// order checks the places of the other filters of a chain around ext_authz, the first at
// one index and the last at another.
func (c *checker) order(filters []*httpFilter, first, last int) {
	for i, f := range filters {
		if f.message == "" || f.message == typeExtAuthz {
			continue
		}
		t, short, known := traitOf(f.message)
		at := f.node.spot()
		switch {
		case !known:
			c.find(UnknownFilter, at, "%s is not known: it may answer requests before the check, or change them after it", short)
		case i < first && t&content != 0:
			c.find(ContentBefore, at, "%s is before ext_authz: it sends protected content without a check", short)
		case i < first && t&gives != 0:
			c.find(CallerForged, at, "%s is before ext_authz: patgate takes the credential that it sets for the client's", short)
		case i < first && t&answers != 0:
			c.find(AnswersBefore, at, "%s is before ext_authz: it may answer requests without a check and without an audit event", short)
		case i > last:
			c.behind(f, t, short)
		}
	}
}

// behind checks a filter that comes after ext_authz.
func (c *checker) behind(f *httpFilter, t trait, short string) {
	switch {
	case t&changes != 0:
		c.find(ChangesAfter, f.node.spot(), "%s is after ext_authz: it may change the request after the check", short)
	case f.reroutes(t, short):
		c.find(RouteChanged, f.node.spot(), "%s is after ext_authz: it may move the request to another route or upstream after the check", short)
	}
}

// reroutes reports whether a filter can move a request to another route or upstream.
func (f *httpFilter) reroutes(t trait, short string) bool {
	for _, clears := range f.body.within("clear_route_cache") {
		if clears.isTrue() {
			return true
		}
	}
	if short == "set_filter_state" && f.body != nil {
		return len(f.body.get("on_request_headers").elements()) > 0
	}
	return t&reroutes != 0
}
