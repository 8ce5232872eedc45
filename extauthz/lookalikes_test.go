package extauthz

import (
	"slices"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

// TestSpellingsInAnswers checks that an allow removes the spellings that a request has, in
// both forms of headers, and that a look-alike is refused with its cause in the event.
func TestSpellingsInAnswers(t *testing.T) {
	s, p := newServer(t)
	in := request("authorization", "Bearer "+secret.Reveal(), "x_forwarded_user", "root", "X-Patgate_Token", "x", "accept", "*/*")
	joined := request()
	joined.Attributes.Request.Http.HeaderMap = nil
	joined.Attributes.Request.Http.Headers = map[string]string{
		"authorization": "Bearer " + secret.Reveal(), "x_forwarded_user": "root", "x-patgate_token": "x", "accept": "*/*",
	}
	for name, in := range map[string]*authv3.CheckRequest{"raw": in, "joined": joined} {
		out, err := check(s, in)
		if err != nil {
			t.Fatal(err)
		}
		removed := out.GetOkResponse().GetHeadersToRemove()
		for _, spelling := range []string{"x_forwarded_user", "x-patgate_token"} {
			if !slices.Contains(removed, spelling) {
				t.Errorf("%s: %s stays: %q", name, spelling, removed)
			}
		}
		if slices.Contains(removed, "accept") || len(removed) > 20 {
			t.Errorf("%s: removes %q", name, removed)
		}
	}
	out, err := check(s, request("authorization", "Bearer "+secret.Reveal(), "x.forwarded.user", "root"))
	if err != nil || out.GetDeniedResponse().GetStatus().GetCode() != 400 {
		t.Errorf("a look-alike: %v, %v", out, err)
	}
	if e := p.events[len(p.events)-1]; e.Reason != "bad_target" || e.Detail == "" {
		t.Errorf("its event: %s, detail %q", e.Reason, e.Detail)
	}
}
