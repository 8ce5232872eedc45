package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
)

// The codes of findings.
const (
	Unguarded      diag.Code = "unguarded"
	PathChanged    diag.Code = "path-changed"
	HostHeader     diag.Code = "host-header"
	IdentityHeader diag.Code = "identity-header"
	CheckHeader    diag.Code = "check-header"
	ContentLength  diag.Code = "content-length"
	FailOpen       diag.Code = "fail-open"
	TrustForward   diag.Code = "trust-forward-header"
	AliasHeaders   diag.Code = "alias-headers"
	CheckQuery     diag.Code = "check-query"
	Connection     diag.Code = "connection-header"
	CheckTimeout   diag.Code = "check-timeout"
	FilterPlace    diag.Code = "filter-place"
	Unread         diag.Code = "unread"
)

// info describes a code.
type info struct {
	severity diag.Severity
	why, fix string
}

var codes = map[diag.Code]info{
	Unguarded: {diag.Error, "Requests to a location that leads to the API without a check bypass patgate. nginx and Caddy choose a location by another spelling of the path than the API reads. A server of nginx or a frontend of HAProxy must call patgate if it serves a host that a Gate names (`--manifests`).",
		"ask patgate there too"},
	PathChanged: {diag.Error, "patgate checks the target as the client sent it. The API gets what the front changes afterwards: measured, `/rest/a%2Fb` was checked and `/rest/a/b` sent.",
		"send on the target as it came: no path in proxy_pass, no rewrite after the check"},
	HostHeader: {diag.Error, "With an absolute request line, `$http_host` may be another host than the one by which nginx chose the server.",
		"use $host"},
	IdentityHeader: {diag.Error, "A header that only patgate may set, and that the front does not take from its answer, reaches the API as the client wrote it.",
		"take each identity header from the answer, in every place (`patgate front-config` prints them)"},
	CheckHeader: {diag.Error, "A header that describes the request to patgate and that the front does not write is the client's to write.",
		"write it as `patgate front-config` prints it"},
	ContentLength: {diag.Error, "nginx sends the length of the body with the check, and no body: every request with one waits for the timeout and ends with 500.",
		`proxy_set_header Content-Length "";`},
	FailOpen: {diag.Error, "A request reaches the API although the check failed or was not required.",
		"let nothing pass that patgate did not allow"},
	TrustForward: {diag.Error, "Traefik passes the client's X-Forwarded-Method, -Uri and -Host on to patgate: the client chooses what is checked.",
		"trustForwardHeader: false"},
	AliasHeaders: {diag.Error, "A front that keeps headers such as `X_Forwarded_User` sends them to APIs, of which some take them for `X-Forwarded-User`.",
		"drop such headers: `aliasHeadersStrategy: delete` in http of Traefik's entry point, `underscores_in_headers off` in nginx"},
	CheckQuery: {diag.Warning, "Caddy appends the client's query to a `uri` without `?`: it is in logs of the check, and what answers there may read it.",
		"uri /check?"},
	Connection: {diag.Error, "Caddy drops headers that the client's Connection names, after the check has set them: the API gets a request without identity.",
		"refuse such requests before forward_auth, as `patgate front-config --for caddy` prints it"},
	CheckTimeout: {diag.Warning, "Without a limit, requests wait for a patgate that hangs for as long as the front waits for an API.",
		"2s, as `patgate front-config` prints it"},
	FilterPlace: {diag.Warning, "The CRD accepts more places for the filter ExternalAuth than implementations follow.",
		"write it once a rule, beside its matches"},
	Unread: {diag.Warning, "Settings in a file that was not given, and that stdin does not hold, are not checked.",
		"name the file of nginx instead, or give the whole configuration (nginx -T)"},
}

// Codes lists the codes in the order of their names.
func Codes() []diag.Code {
	var list []diag.Code
	for code := range codes {
		list = append(list, code)
	}
	slices.Sort(list)
	return list
}

// Page describes the codes in Markdown.
func Page() string {
	var b strings.Builder
	for _, code := range Codes() {
		c := codes[code]
		fmt.Fprintf(&b, "\n### `%s` (%s)\n\n**Why:** %s\n\n**What to do:** %s.\n", code, c.severity, c.why, strings.TrimSuffix(c.fix, "."))
	}
	return b.String()
}
