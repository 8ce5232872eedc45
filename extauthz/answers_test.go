package extauthz

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// gateOf changes the gate and the token of a server that newServer made.
func gateOf(t *testing.T, p *parts, change func(*policy.Gate, *policy.Token)) {
	t.Helper()
	gate, tok := *p.index.Snapshot().Gate("jira"), *p.index.Snapshot().TokenByName("ci")
	change(&gate, &tok)
	if _, err := p.index.Replace(policy.Rows{Gates: []*policy.Gate{&gate}, Tokens: []*policy.Token{&tok}}, time.Now()); err != nil {
		t.Fatal(err)
	}
}

func basicHeader(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func body(t *testing.T, r *authv3.CheckResponse) map[string]any {
	t.Helper()
	var problem map[string]any
	if err := json.Unmarshal([]byte(r.GetDeniedResponse().GetBody()), &problem); err != nil {
		t.Fatal(err)
	}
	return problem
}

// TestMetadataHoldsProvenIdentityAlone sends every kind of request that does not prove who
// calls, and checks that the metadata for later filters names no user.
func TestMetadataHoldsProvenIdentityAlone(t *testing.T) {
	s, p := newServer(t)
	gateOf(t, p, func(g *policy.Gate, tok *policy.Token) {
		g.Anonymous, g.ForwardUnknown = &policy.Grant{Unrestricted: true}, policy.Schemes(0).With(policy.Basic)
	})
	ask := func(authorization ...string) *authv3.CheckResponse {
		t.Helper()
		in := request()
		if len(authorization) > 0 {
			in = request("authorization", authorization[0])
		}
		out, err := check(s, in)
		if err != nil || out.GetOkResponse() == nil {
			t.Fatalf("%v, %v", out, err)
		}
		return out
	}
	want := func(name string, out *authv3.CheckResponse, reason, user, tokenName string) {
		t.Helper()
		fields := out.GetDynamicMetadata().GetFields()
		got := []string{fields["reason"].GetStringValue(), fields["user"].GetStringValue(), fields["token"].GetStringValue(), fields["actor"].GetStringValue()}
		if !slices.Equal(got, []string{reason, user, tokenName, ""}) {
			t.Errorf("%s: reason, user, token, actor are %q", name, got)
		}
		for _, h := range out.GetOkResponse().GetHeaders() {
			if name := h.GetHeader().GetKey(); user == "" && name != policy.HeaderID {
				t.Errorf("%s: the header %s is set", name, name)
			}
		}
	}
	want("a token", ask("Bearer "+secret.Reveal()), "ok", "alice", "ci")
	want("anonymous", ask(), "anonymous", "", "")
	want("forwarded", ask(basicHeader("mallory", "her own password")), "forwarded", "", "")
	gateOf(t, p, func(g *policy.Gate, tok *policy.Token) {
		g.Observe, g.Anonymous, g.ForwardUnknown = true, nil, 0
		tok.Revoked = true
	})
	want("shadowed, no credential", ask(), "anonymous", "", "")
	want("shadowed, an unknown password", ask(basicHeader("mallory", "her own password")), "forwarded", "", "")
	// The token is named, for the access log; its user is not, as it is refused.
	want("shadowed, a revoked token", ask("Bearer "+secret.Reveal()), "forwarded", "", "ci")
}

// TestRefusedAuditClearsShadow makes the audit fail for an allow of an observing gate: it
// is a refusal then, and no shadow of one.
func TestRefusedAuditClearsShadow(t *testing.T) {
	s, p := newServer(t)
	gateOf(t, p, func(g *policy.Gate, _ *policy.Token) { g.Observe = true })
	p.recorded = errors.New("planted")
	out, err := check(s, request("authorization", "Bearer nobody's-value"))
	if err != nil || out.GetDeniedResponse().GetStatus().GetCode() != 503 || reasonOf(out) != "audit_unavailable" {
		t.Fatalf("%v, %v", out, err)
	}
	var d policy.Decision
	d.Effect, d.Reason, d.Shadowed, d.Shadow = policy.Allow, policy.Forwarded, true, policy.TokenUnknown
	d.Refuse(policy.AuditUnavailable)
	if d.Shadowed || d.Shadow != policy.Internal {
		t.Errorf("%+v", d)
	}
}

// TestOneAnswerToEveryBadCredential checks that all 401s to a credential are the same bytes
// except for their ids, at gates with and without a `problem` of their own.
func TestOneAnswerToEveryBadCredential(t *testing.T) {
	ends := time.Now().Add(time.Hour) // one time: the answer has its second
	for name, change := range map[string]func(*policy.Gate){
		"plain":     func(*policy.Gate) {},
		"basicEnds": func(g *policy.Gate) { g.BasicEnds = ends },
		"words": func(g *policy.Gate) {
			g.Challenge, g.Contact, g.ErrorMessages = policy.Schemes(0).With(policy.Basic), "https://wiki.example.com/tokens", true
		},
		"forwarding": func(g *policy.Gate) { g.ForwardOther = []string{"jwt"} },
	} {
		s, p := newServer(t)
		answers := map[string]string{}
		for _, state := range []func(*policy.Token){
			func(*policy.Token) {}, func(tok *policy.Token) { tok.Revoked = true }, func(tok *policy.Token) { tok.Suspended = true },
			func(tok *policy.Token) { tok.Canary = true }, func(tok *policy.Token) { tok.Expires = time.Now().Add(-time.Hour) },
			func(tok *policy.Token) { tok.Issued = time.Now().Add(time.Hour) }, func(tok *policy.Token) { tok.Schemes = tok.Schemes.With(policy.Basic) },
		} {
			gateOf(t, p, func(g *policy.Gate, tok *policy.Token) { change(g); state(tok) })
			for _, value := range []string{
				"Bearer " + secret.Reveal(), basicHeader("mallory", secret.Reveal()), basicHeader("alice", "x"), "Bearer nobody", "Bearer patg_x",
				"", "Basic", "Negotiate YII=", "JWT a,Basic YTpi", "JWT " + token.Mint().Reveal(), "Bearer " + strings.Repeat("a", 5000), "Bearer a,Bearer b",
			} {
				out, err := check(s, request("authorization", value))
				if err != nil || out.GetOkResponse() != nil {
					continue // alice's good token
				}
				id := out.GetDynamicMetadata().GetFields()["id"].GetStringValue()
				text := strings.ReplaceAll(fmt.Sprint(out.GetDeniedResponse()), id, "ID")
				answers[text] = reasonOf(out)
				if out.GetDeniedResponse().GetStatus().GetCode() != 401 {
					t.Errorf("%s: %v for %.20s", name, reasonOf(out), value)
				}
			}
			gateOf(t, p, func(g *policy.Gate, tok *policy.Token) {
				*tok = policy.Token{Name: "ci", User: "alice", Digest: token.Sum(secret), Grant: policy.Grant{Unrestricted: true}}
			})
		}
		if len(answers) != 1 {
			t.Errorf("%s: %d different answers: %v", name, len(answers), answers)
		}
	}
}

func TestWordsOfAGate(t *testing.T) {
	s, p := newServer(t)
	out, _ := check(s, request("authorization", "Bearer nobody"))
	if problem := body(t, out); !strings.Contains(problem["detail"].(string), "Ask the owner of jira") || problem["errorMessages"] != nil {
		t.Errorf("%v", problem)
	}
	gateOf(t, p, func(g *policy.Gate, tok *policy.Token) {
		g.Contact, g.ErrorMessages, g.Challenge = "https://wiki.example.com/tokens", true, policy.Schemes(0).With(policy.Basic)
		g.BasicEnds = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	})
	for _, in := range []*authv3.CheckRequest{request(), request("authorization", "Bearer nobody")} {
		out, _ = check(s, in)
		problem := body(t, out)
		if list, _ := problem["errorMessages"].([]any); len(list) != 1 || list[0] != problem["detail"] {
			t.Errorf("%v", problem)
		}
		var challenges, ends []string
		for _, h := range out.GetDeniedResponse().GetHeaders() {
			switch h.GetHeader().GetKey() {
			case "www-authenticate":
				challenges = append(challenges, h.GetHeader().GetValue())
			case policy.HeaderBasicEnds:
				ends = append(ends, h.GetHeader().GetValue())
			}
		}
		if len(challenges) != 1 || !strings.HasPrefix(challenges[0], "Basic ") || !slices.Equal(ends, []string{"2099-01-01T00:00:00Z"}) {
			t.Errorf("challenges %q, basicEnds %q", challenges, ends)
		}
	}
	if problem := body(t, out); !strings.Contains(problem["detail"].(string), "https://wiki.example.com/tokens") || strings.Contains(problem["detail"].(string), "owner") {
		t.Errorf("%v", problem)
	}
	if out, _ = check(s, request()); !strings.Contains(body(t, out)["detail"].(string), "basic or bearer") {
		t.Errorf("%v", body(t, out)) // what is accepted, not what is advertised
	}
}

// TestForwardedCallersSeeNoRule sends requests to a gate whose bounds refuse: only the holder
// of a good token sees which rule refused.
func TestForwardedCallersSeeNoRule(t *testing.T) {
	s, p := newServer(t)
	bound := func(allow, deny []*policy.Rule) func(*policy.Gate, *policy.Token) {
		return func(g *policy.Gate, _ *policy.Token) {
			g.ForwardUnknown = policy.Schemes(0).With(policy.Basic)
			g.Policies = []*policy.Policy{{Name: "bounds", Allow: allow, Deny: deny}}
		}
	}
	posts := []*policy.Rule{{Name: "posts", Policy: "bounds", Methods: []string{"POST"}}}
	gateOf(t, p, bound(posts, nil))
	detail := func(authorization string) string {
		t.Helper()
		out, _ := check(s, request("authorization", authorization))
		if out.GetDeniedResponse().GetStatus().GetCode() != 403 {
			t.Fatalf("%v", out)
		}
		return body(t, out)["detail"].(string)
	}
	if got := detail("Bearer " + secret.Reveal()); !strings.Contains(got, "posts") || !strings.Contains(got, "method") {
		t.Errorf("a token: %s", got)
	}
	if got := detail(basicHeader("bob", "his own password")); strings.Contains(got, "posts") || strings.Contains(got, "bounds") {
		t.Errorf("a forwarded caller: %s", got)
	}
	gateOf(t, p, bound(nil, []*policy.Rule{{Name: "no reading", Policy: "bounds", Methods: []string{"GET"}}}))
	if got := detail(basicHeader("bob", "his own password")); !strings.Contains(got, "no reading") {
		t.Errorf("a deny rule: %s", got)
	}
}

// TestHiddenTokensAreRemoved sends values of tokens in other headers, also under the names that
// patgate itself sets.
func TestHiddenTokensAreRemoved(t *testing.T) {
	s, _ := newServer(t)
	minted := token.Mint().Reveal()
	out, err := check(s, request("authorization", "Bearer "+secret.Reveal(), "private-token", minted, "x-api-key", secret.Reveal(), "x-forwarded-user", minted, "cookie", minted))
	if err != nil || out.GetOkResponse() == nil {
		t.Fatalf("%v, %v", out, err)
	}
	removed := out.GetOkResponse().GetHeadersToRemove()
	for name, want := range map[string]bool{"private-token": true, "x-api-key": true, "x-forwarded-user": false, "cookie": false} {
		if slices.Contains(removed, name) != want {
			t.Errorf("%s is removed: %v", name, !want)
		}
	}
}

func TestEventOfARefusedCredential(t *testing.T) {
	s, p := newServer(t)
	_, _ = check(s, request("authorization", "Bearer patg_mistyped"))
	if e := p.events[0]; e.Decision != audit.Deny || e.Detail != "the value is mistyped or cut off: its checksum is wrong" {
		t.Errorf("%+v", e)
	}
}

// TestEventHoldsWhatExplainNeeds checks that an event records what can't be learned later.
func TestEventHoldsWhatExplainNeeds(t *testing.T) {
	s, p := newServer(t)
	tell := func(in *authv3.CheckRequest) *audit.Event {
		t.Helper()
		if _, err := check(s, in); err != nil {
			t.Fatal(err)
		}
		return p.events[len(p.events)-1]
	}
	good := "Bearer " + secret.Reveal()
	e := tell(request("authorization", good, "user-agent", "curl/8", "x-forwarded-proto", "https"))
	if !e.TLS || e.UserAgent != "curl/8" || e.RouteNamed || e.BodyState != "absent" || e.Credential.Reveal() != secret.Reveal() || e.ActAs+e.Unmatched+e.Detail != "" {
		t.Errorf("%+v", e)
	}
	in := request("authorization", good)
	in.Attributes.ContextExtensions = map[string]string{gateExtension: "jira"}
	if e = tell(in); !e.RouteNamed || e.TLS {
		t.Errorf("%+v", e)
	}
	gateOf(t, p, func(g *policy.Gate, tok *policy.Token) {
		g.ActAsHeader = "x-on-behalf-of"
		g.ForwardOther = []string{"jwt"}
	})
	if e = tell(request("authorization", good, "x-on-behalf-of", "bob")); e.Reason != "act_as_denied" || e.ActAs != "bob" || e.User != "alice" {
		t.Errorf("%+v", e)
	}
	if e = tell(request("authorization", "JWT a.b.c")); e.Reason != "forwarded" || e.Scheme != "jwt" {
		t.Errorf("%+v", e)
	}
	if e = tell(request("authorization", "Secret-word x")); e.Reason != "bad_credential" || e.Scheme != "" || e.Detail == "" {
		t.Errorf("%+v", e) // the name of an unknown scheme may be part of a secret
	}
	pattern, err := policy.CompilePattern("1")
	if err != nil {
		t.Fatal(err)
	}
	node, err := policy.NewNode("a", pattern)
	if err != nil {
		t.Fatal(err)
	}
	gateOf(t, p, func(g *policy.Gate, tok *policy.Token) {
		tok.Grant = policy.Grant{Policies: []*policy.Policy{{Allow: []*policy.Rule{
			{Name: "r", Source: policy.Source{File: "m.yaml", Line: 7}, Methods: []string{"POST"}, JSON: []policy.Node{node}},
			{Name: "other", Methods: []string{"DELETE"}, JSON: []policy.Node{node}},
		}}}}
	})
	for content, want := range map[string]string{`{"a":1}`: "matches", `{"a":2}`: "fails", `{"a":`: "undecidable"} {
		in := request("authorization", good, "content-type", "application/json")
		http := in.Attributes.Request.Http
		http.Method, http.RawBody, http.Size = "POST", []byte(content), int64(len(content))
		e := tell(in)
		if len(e.BodyVerdicts) != 1 || e.BodyVerdicts[0] != (audit.BodyVerdict{Rule: "m.yaml:7", Verdict: want}) || e.BodyState != "whole" {
			t.Errorf("%s: %+v, %s", content, e.BodyVerdicts, e.BodyState)
		}
		if unmatched := e.Unmatched; (unmatched == `json "a"`) != (want != "matches") {
			t.Errorf("%s: unmatched %q", content, unmatched)
		}
	}
}

// TestEncodedRemovals compares what is encoded once with the lists.
func TestEncodedRemovals(t *testing.T) {
	for i := range 50 {
		up := policy.NewUpstream("x-user", "x-groups", "x-token", "", i%2 == 0)
		for identity := range policy.IdentityCount {
			for _, consumed := range []bool{false, true} {
				var want message
				for _, name := range up.Remove(identity, consumed) {
					want = want.name(okRemove, name)
				}
				if got := message(nil).removed(up, identity, consumed); string(got) != string(want) {
					t.Fatalf("%q, want %q", got, want)
				}
			}
		}
	}
	full := *encodedRemovals.Load()
	for len(full) < maxEncoded {
		full[policy.NewUpstream("a", "b", "c", "", false)] = &removals{}
	}
	up := policy.NewUpstream("x-user", "x-groups", "x-token", "", false)
	if got := message(nil).removed(up, policy.NoIdentity, true); len(got) == 0 || len(*encodedRemovals.Load()) > 2 {
		t.Errorf("%q; %d gates are kept", got, len(*encodedRemovals.Load()))
	}
}
