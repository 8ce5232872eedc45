package envoy

import (
	"fmt"
	"strings"
)

// reply is the answer to clients when Envoy itself refuses: a problem like patgate's, with
// a reason that begins with envoy_.
type reply struct {
	status int
	flag   string // of Envoy's response; empty: any
	reason string
	title  string
	detail string
}

// replies are matched from first to last.
func (v view) replies() []reply {
	return []reply{
		{400, "", "envoy_bad_request", "Bad Request", "Envoy could not read the request, or refuses it: a header name with _, a malformed path or message."},
		{403, "", "envoy_forbidden", "Forbidden", "Envoy refuses the request, such as an upgrade (WebSocket) that its configuration does not name."},
		{408, "", "envoy_request_timeout", "Request Timeout", "The request did not arrive in time."},
		{413, "", "envoy_request_too_large", "Content Too Large", v.tooLarge()},
		{426, "", "envoy_upgrade_required", "Upgrade Required", "HTTP/1.0 is not spoken here: send HTTP/1.1 (nginx: proxy_http_version 1.1)."},
		{431, "", "envoy_headers_too_large", "Request Header Fields Too Large", "At most 60 KiB of headers and 128 of them are read."},
		{502, "", "envoy_bad_answer", "Bad Gateway", "The API's answer could not be read."},
		{503, "UAEX", "envoy_no_decision", "Service Unavailable", "No decision about the request was possible, and the API did not get it. Try again."},
		{503, "", "envoy_upstream_unavailable", "Service Unavailable", "The API could not be reached, or ended the connection before it answered."},
		{504, "", "envoy_upstream_timeout", "Gateway Timeout", "The API did not answer in time."},
	}
}

// tooLarge names the limit that applies.
func (v view) tooLarge() string {
	if !v.AnyBody {
		return "The body is larger than Envoy takes."
	}
	return fmt.Sprintf("A rule of this API reads JSON bodies, and at most %d bytes of one.", v.MaxRequestBytes)
}

// patgates matches patgate's own answers, which stay unchanged. Over HTTP there is no metadata: they are the
// refusals of ext_authz but for its 503 without a decision.
const patgates = `{metadata_filter: {matcher: {filter: envoy.filters.http.ext_authz, path: [{key: decision}], value: {string_match: {exact: deny}}}, match_if_key_not_found: false}}`

const patgatesHTTP = `{and_filter: {filters: [{response_flag_filter: {flags: [UAEX]}}, {status_code_filter: {comparison: {op: LE, value: {default_value: 499, runtime_key: patgate.none}}}}]}}`

// localReplies writes Envoy's LocalReplyConfig.
func localReplies(indent string, v view) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, indent+format+"\n", args...) }
	line("mappers:  # the first that fits")
	own := patgates
	if v.OverHTTP() {
		own = patgatesHTTP
	}
	line("- filter: %s", own)
	for _, r := range v.replies() {
		filter := fmt.Sprintf("status_code_filter: {comparison: {op: EQ, value: {default_value: %d, runtime_key: patgate.none}}}", r.status)
		if r.flag != "" {
			filter = fmt.Sprintf("and_filter: {filters: [{%s}, {response_flag_filter: {flags: [%s]}}]}", filter, r.flag)
		}
		line("- filter: {%s}", filter)
		line("  body_format_override:")
		line("    content_type: application/problem+json")
		line("    json_format: {type: about:blank, title: %s, status: %d, reason: %s, requestId: \"%%REQ(X-REQUEST-ID)%%\", detail: %s}",
			quote(r.title), r.status, r.reason, quote(r.detail))
	}
	return strings.TrimSuffix(b.String(), "\n")
}
