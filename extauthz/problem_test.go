package extauthz

import "testing"

func TestProblemsInJSON(t *testing.T) {
	for _, detail := range []string{"", "Plain text: it's <the> same & more.", "\"quoted\"", "back\\slash", "caf\u00e9", "\u2028", "a\xff", "\x00", "\x7f", "\t", "~ "} {
		for _, messages := range [][]string{nil, {detail}} {
			p := problem{Type: "about:blank", Title: "Forbidden", Status: 403, Detail: detail, Reason: "no_rule_matched", ID: "ABC", ErrorMessages: messages}
			ofMCP := p
			ofMCP.Version, ofMCP.Error = "2.0", &callFault{Code: refusedCallCode, Message: detail}
			for _, p := range []problem{p, ofMCP} {
				if got, want := p.json(), p.encoded(); got != want {
					t.Errorf("%q, want %q", got, want)
				}
			}
		}
	}
}
