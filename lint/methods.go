package lint

import (
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
)

// knownMethods are those of the HTTP Method Registry (IANA), and further ones that Envoy
// takes. Those that a typing error is likely meant for come first.
var knownMethods = strings.Fields("GET HEAD POST PUT DELETE PATCH OPTIONS TRACE CONNECT QUERY " +
	"COPY MOVE LOCK UNLOCK LINK UNLINK SEARCH REPORT PROPFIND PROPPATCH MKCOL MKCALENDAR MKACTIVITY MKWORKSPACE MKREDIRECTREF " +
	"ACL BIND REBIND UNBIND MERGE LABEL UPDATE UPDATEREDIRECTREF CHECKIN CHECKOUT UNCHECKOUT BASELINE-CONTROL VERSION-CONTROL ORDERPATCH " +
	"PURGE NOTIFY SUBSCRIBE UNSUBSCRIBE M-SEARCH SOURCE")

func (r *ruleLint) methods() {
	for i, m := range r.rule.Methods {
		if slices.Contains(knownMethods, string(m)) {
			continue
		}
		hint := ""
		if likely, near := strings.CutPrefix(diag.Suggest(string(m), knownMethods), "did you mean "); near {
			hint = ", but " + strings.TrimSuffix(likely, "?") + " is"
		}
		r.warn(UnknownMethod, []any{"methods", i}, "%s is no registered HTTP method%s", m, hint)
	}
	if slices.Contains(r.rule.Methods, "GET") && !slices.Contains(r.rule.Methods, "HEAD") {
		if r.deny {
			r.warn(GetWithoutHead, []any{"methods"}, "GET is denied and HEAD is not, which reveals as much except the body")
		} else {
			r.warn(GetWithoutHead, []any{"methods"}, "GET is allowed and HEAD is not: clients that ask for the headers first are refused")
		}
	}
}
