package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/patgate/patgate/policy"
)

func TestObservingPolicies(t *testing.T) {
	w := newWorld(t)
	w.gate.Policies = []*policy.Policy{
		{Name: "would-deny", Observe: true, Deny: []*policy.Rule{rule(t, "d", "method", "GET")}},
		{Name: "would-miss", Observe: true, Allow: []*policy.Rule{rule(t, "a", "method", "PUT")}},
		{Name: "would-match", Observe: true, Allow: []*policy.Rule{rule(t, "a", "method", "GET")}},
		{Name: "unclear", Observe: true, Allow: []*policy.Rule{rule(t, "a", "json", "a=1")}},
	}
	d := w.want("only audited", request(), policy.OK)
	want := []policy.Observation{{"would-deny", policy.RuleDenied}, {"would-miss", policy.NoRuleMatched},
		{"would-match", policy.OK}, {"unclear", policy.BodyUnavailable}}
	if !slices.Equal(d.Observed, want) {
		t.Errorf("observed %v, want %v", d.Observed, want)
	}
	if d.Rule != nil {
		t.Errorf("an observing rule decided: %v", d.Rule.Name)
	}
	w.group("g", "alice").Policies = w.gate.Policies[:1]
	if d := w.want("named by two levels", request(), policy.OK); len(d.Observed) != len(want) {
		t.Errorf("observed %v", d.Observed)
	}
}

func TestBasicEndsIsAnnounced(t *testing.T) {
	w := newWorld(t)
	w.gate.BasicEnds = now.Add(time.Hour)
	offersBasic := func(name string, want bool, options ...func(*policy.Request)) {
		t.Helper()
		if d := w.ask(request(options...)); d.BasicEnds.IsZero() == want {
			t.Errorf("%s: %v", name, d.BasicEnds)
		}
	}
	offersBasic("Basic", true)
	offersBasic("Bearer", false, with(bearer(secret.Reveal())))
	offersBasic("nothing", false, anonymous())
	offersBasic("Basic, refused before the credential", true, func(r *policy.Request) { w.gate.RequireTLS = true })
	offersBasic("after the sunset", false, at(now.Add(time.Hour)))
}

func TestAnObservingGate(t *testing.T) {
	w := newWorld(t)
	w.gate.Observe = true
	w.gate.RequireTLS = true
	w.want("what comes before the credential still refuses", request(), policy.TLSRequired)
	w.gate.RequireTLS = false
	w.gate.Clients.Deny = prefixes("192.0.2.0/24")
	w.want("the gate's clients too", request(), policy.ClientDenied)
	w.gate.Clients = policy.Ranges{}
	for _, c := range []struct {
		name   string
		r      *policy.Request
		reason policy.Reason
		shadow policy.Reason
	}{
		{"no credential", request(anonymous()), policy.Anonymous, policy.NoCredential},
		{"malformed", request(with(policy.Credential{})), policy.Forwarded, policy.BadCredential},
		{"unknown", request(with(bearer("x"))), policy.Forwarded, policy.TokenUnknown},
		{"another user", request(with(basic("bob", secret.Reveal()))), policy.Forwarded, policy.UserMismatch},
	} {
		d := w.want(c.name, c.r, c.reason)
		if !d.Shadowed || d.Shadow != c.shadow || d.Identity() != policy.NoIdentity {
			t.Errorf("%s: shadow %v, identity %v", c.name, d.Shadow, d.Identity())
		}
	}
	w.token.Clients.Deny = prefixes("192.0.2.0/24")
	if d := w.want("the token's clients come after it", request(), policy.Forwarded); d.Shadow != policy.ClientDenied {
		t.Errorf("shadow %v", d.Shadow)
	}
	w.token.Clients = policy.Ranges{}
	w.token.Canary = true
	w.want("a canary is refused everywhere", request(), policy.TokenCanary)
	w.token.Canary = false
	if d := w.want("a good request", request(), policy.OK); d.Shadowed || d.Identity() == policy.NoIdentity {
		t.Error("a good request is shadowed")
	}
}

func TestStates(t *testing.T) {
	w := newWorld(t)
	check := func(want policy.State) {
		t.Helper()
		if got := w.snapshot().State(w.token, now); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	check(policy.StateActive)
	w.token.Expires = now.Add(policy.SoonSpan)
	check(policy.StateExpiresSoon)
	w.gate.Groups = []*policy.Group{w.group("g")}
	check(policy.StateDeactivated)
	w.gates = append(w.gates, &policy.Gate{Name: "open", Hosts: []string{"open"}, Prefixes: []string{""}})
	check(policy.StateExpiresSoon)
	w.token.Gates = []string{"jira"}
	check(policy.StateDeactivated)
	w.token.Expires = now
	check(policy.StateExpired)
	w.token.Issued = now.Add(time.Hour)
	check(policy.StateNotYetValid)
	w.token.Canary = true
	check(policy.StateCanary)
	w.token.Suspended = true
	check(policy.StateSuspended)
	w.token.Revoked = true
	check(policy.StateRevoked)
}
