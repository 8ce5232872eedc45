package policy_test

import (
	"testing"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

func TestTheZeroDecisionDenies(t *testing.T) {
	var d policy.Decision
	if d.Effect != policy.Deny || d.Reason != policy.Internal || d.Status() != 500 || d.Identity() != policy.NoIdentity {
		t.Errorf("the zero decision: %v %v %d", d.Effect, d.Reason, d.Status())
	}
	var c policy.Credential
	if c.State == policy.CredentialAbsent {
		t.Error("the zero credential counts as anonymous")
	}
	var s policy.Snapshot
	_ = s
	empty := policy.NewIndex().Snapshot()
	if d := policy.Evaluate(empty, request(), nil); d.Effect != policy.Deny || d.Reason != policy.NotReady {
		t.Errorf("without manifests: %v %v", d.Effect, d.Reason)
	}
	if d := policy.Evaluate(nil, request(), nil); d.Effect != policy.Deny || d.Reason != policy.NotReady {
		t.Errorf("without a snapshot: %v %v", d.Effect, d.Reason)
	}
}

func TestReasonsAreStable(t *testing.T) {
	for name, status := range map[string]int{
		"ok": 0, "anonymous": 0, "forwarded": 0, "not_ready": 503, "bad_target": 400, "method_override": 400,
		"no_gate": 403, "tls_required": 403, "client_denied": 403, "no_credential": 401, "bad_credential": 401,
		"scheme_denied": 401, "token_unknown": 401, "token_canary": 401, "token_revoked": 401,
		"token_suspended": 401, "token_expired": 401, "token_not_yet_valid": 401, "user_mismatch": 401,
		"token_deactivated": 401, "gate_denied": 403, "act_as_denied": 403, "rule_denied": 403,
		"no_rule_matched": 403, "body_unavailable": 403, "query_unreadable": 403, "audit_unavailable": 503,
		"overloaded": 503, "internal": 500,
	} {
		r, ok := policy.ParseReason(name)
		if !ok || r.String() != name || r.Status() != status {
			t.Errorf("%s: %v, status %d, want %d", name, r, r.Status(), status)
		}
		if r.Allows() != (status == 0) {
			t.Errorf("%s allows: %v", name, r.Allows())
		}
	}
	if r := policy.Reason(255); r.String() != "internal" || r.Status() != 500 || r.Allows() {
		t.Errorf("an unknown reason is %v", r)
	}
}

// TestOrder breaks one more thing at a time, from the last check to the first, and
// checks that the earliest failure gives the reason.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	r := request()
	w.want("good", r, policy.OK)
	w.gate.Policies = []*policy.Policy{{Name: "bound", Allow: []*policy.Rule{rule(t, "a", "path", "/other")}}}
	w.want("a level without a match", r, policy.NoRuleMatched)
	w.token.Grant.Policies = []*policy.Policy{denying(rule(t, "d", "method", "GET"))}
	w.want("a deny rule", r, policy.RuleDenied)
	w.gate.ActAsHeader = "x-on-behalf-of"
	header("x-on-behalf-of", "bob")(r)
	w.want("act-as", r, policy.ActAsDenied)
	w.token.Clients.Deny = prefixes("192.0.2.0/24")
	w.want("the token's clients", r, policy.ClientDenied)
	w.token.Gates = []string{"wiki"}
	w.want("the token's gates", r, policy.GateDenied)
	w.gate.Groups = []*policy.Group{w.group("nobody")}
	w.want("the gate's groups", r, policy.TokenDeactivated)
	r.Credential.User = "bob"
	w.want("the user", r, policy.UserMismatch)
	w.token.Schemes = policy.Schemes(0).With(policy.Bearer)
	w.want("the token's schemes", r, policy.SchemeDenied)
	w.token.Expires = now
	w.want("expired", r, policy.TokenExpired)
	w.token.Issued = now.Add(policy.Skew + time.Second)
	w.want("not yet valid", r, policy.TokenNotYetValid)
	w.token.Suspended = true
	w.want("suspended", r, policy.TokenSuspended)
	w.token.Revoked = true
	w.want("revoked", r, policy.TokenRevoked)
	w.gate.BasicEnds = now
	w.want("the gate's schemes", r, policy.SchemeDenied)
	w.token.Canary = true
	w.want("canary", r, policy.TokenCanary)
	r.Credential = basic("bob", "another-value")
	w.want("unknown", r, policy.TokenUnknown)
	r.Credential = policy.Credential{}
	w.want("malformed", r, policy.BadCredential)
	w.gate.Clients.Deny = prefixes("192.0.2.0/24")
	w.want("the gate's clients", r, policy.ClientDenied)
	w.gate.RequireTLS = true
	w.want("TLS", r, policy.TLSRequired)
	header("x.forwarded.user", "root")(r)
	w.want("the target at the gate", r, policy.BadTarget)
	w.gate.Hosts = []string{"other.example.com"}
	w.want("no gate", r, policy.NoGate)
	header("x-original-url", "/admin")(r)
	w.want("override", r, policy.MethodOverride)
	target("/a/../b")(r)
	w.want("target", r, policy.BadTarget)
}

func TestUsersAndSchemes(t *testing.T) {
	type o = func(*policy.Request)
	v := secret.Reveal()
	for _, c := range []struct {
		name  string
		setup func(*world)
		how   o
		want  policy.Reason
		user  string
	}{
		{"basic, own user", nil, with(basic("alice", v)), policy.OK, "alice"},
		{"bearer", nil, with(bearer(v)), policy.OK, "alice"},
		{"basic, another user", nil, with(basic("bob", v)), policy.UserMismatch, "bob"},
		{"basic, another case", nil, with(basic("Alice", v)), policy.UserMismatch, "Alice"},
		{"a login", func(w *world) { w.token.Logins = []string{"a@example.com"} }, with(basic("a@example.com", v)), policy.OK, "alice"},
		{"any user", func(w *world) { w.token.User, w.token.AnyUser = "", true }, with(basic("zoë", v)), policy.OK, "zoë"},
		{"any user as bearer", func(w *world) { w.token.User, w.token.AnyUser = "", true }, with(bearer(v)), policy.SchemeDenied, ""},
		{"any user with a token for a name", func(w *world) { w.token.User, w.token.AnyUser = "", true }, with(basic("patg_x", v)), policy.UserMismatch, "patg_x"},
		{"any user with an outer blank", func(w *world) { w.token.User, w.token.AnyUser = "", true }, with(basic(" bob", v)), policy.UserMismatch, " bob"},
		{"bearer off at the gate", func(w *world) { w.gate.Schemes = policy.Schemes(0).With(policy.Basic) }, with(bearer(v)), policy.SchemeDenied, "alice"},
		{"basic off for the token", func(w *world) { w.token.Schemes = policy.Schemes(0).With(policy.Bearer) }, with(basic("alice", v)), policy.SchemeDenied, "alice"},
		{"basic before its end", func(w *world) { w.gate.BasicEnds = now.Add(time.Second) }, with(basic("alice", v)), policy.OK, "alice"},
		{"basic at its end", func(w *world) { w.gate.BasicEnds = now }, with(basic("alice", v)), policy.SchemeDenied, "alice"},
		{"bearer after basic's end", func(w *world) { w.gate.BasicEnds = now }, with(bearer(v)), policy.OK, "alice"},
	} {
		w := newWorld(t)
		if c.setup != nil {
			c.setup(w)
		}
		if d := w.want(c.name, request(c.how), c.want); d.Principal.User != c.user {
			t.Errorf("%s: user %q, want %q", c.name, d.Principal.User, c.user)
		}
	}
}

func TestLifetimes(t *testing.T) {
	issued := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for _, c := range []struct {
		name    string
		expires time.Duration // after issued; 0: never
		caps    []time.Duration
		after   time.Duration // when it is used, after issued
		want    policy.Reason
		soon    bool
	}{
		{"no end", 0, nil, 10000 * day, policy.OK, false},
		{"before its end", 90 * day, nil, 80 * day, policy.OK, false},
		{"a second more than five days left", 90 * day, nil, 85*day - time.Second, policy.OK, false},
		{"five days left", 90 * day, nil, 85 * day, policy.OK, true},
		{"a second left", 90 * day, nil, 90*day - time.Second, policy.OK, true},
		{"at its end", 90 * day, nil, 90 * day, policy.TokenExpired, false},
		{"capped", 0, []time.Duration{90 * day}, 90 * day, policy.TokenExpired, false},
		{"before the cap", 0, []time.Duration{90 * day}, 89 * day, policy.OK, true},
		{"the longest cap counts", 0, []time.Duration{10 * day, 90 * day}, 60 * day, policy.OK, false},
		{"a group without maxLifetime", 0, []time.Duration{0}, 10000 * day, policy.OK, false},
		{"one group without maxLifetime, one with", 0, []time.Duration{0, 90 * day}, 91 * day, policy.TokenExpired, false},
		{"forever is longest", 0, []time.Duration{policy.Forever, 90 * day}, 91 * day, policy.OK, false},
		{"its own end before the cap", 30 * day, []time.Duration{90 * day}, 30 * day, policy.TokenExpired, false},
		{"five minutes early", 0, nil, -policy.Skew, policy.OK, false},
		{"more than five minutes early", 0, nil, -policy.Skew - time.Second, policy.TokenNotYetValid, false},
	} {
		w := newWorld(t)
		w.token.Issued = issued
		if c.expires != 0 {
			w.token.Expires = issued.Add(c.expires)
		}
		for i, limit := range c.caps {
			w.group("g"+string(rune('a'+i)), "alice").MaxLifetime = limit
		}
		if d := w.want(c.name, request(at(issued.Add(c.after))), c.want); d.ExpiresSoon != c.soon {
			t.Errorf("%s: expires soon %v, want %v", c.name, d.ExpiresSoon, c.soon)
		}
	}
}

func TestPreviousValues(t *testing.T) {
	old := token.NewSecret("the-value-before-the-rotation")
	w := newWorld(t)
	w.token.Issued = now.Add(-time.Hour)
	w.token.Previous = []policy.PreviousValue{{Digest: token.Sum(old), Issued: now.AddDate(0, -2, 0), Until: now.Add(time.Hour)}}
	d := w.want("within its time", request(with(bearer(old.Reveal()))), policy.OK)
	if !d.Previous || d.Token.Name != w.token.Name {
		t.Error("the use of an older value is not marked")
	}
	if d := w.want("the present one", request(), policy.OK); d.Previous {
		t.Error("the present value is marked as an older one")
	}
	w.want("at its end", request(with(bearer(old.Reveal())), at(now.Add(time.Hour))), policy.TokenExpired)
	w.token.Expires = now
	w.want("the token's end is its end too", request(with(bearer(old.Reveal()))), policy.TokenExpired)
	w.token.Expires = time.Time{}
	w.group("capped", "alice").MaxLifetime = 24 * time.Hour
	w.want("the cap counts from its own issue", request(with(bearer(old.Reveal()))), policy.TokenExpired)
	w.want("and not for the new one", request(), policy.OK)
	w.token.Revoked = true
	w.want("revoked with the token", request(with(bearer(old.Reveal()))), policy.TokenRevoked)
}

func TestGroupsOfTheGate(t *testing.T) {
	w := newWorld(t)
	users := w.group("token-users", "alice", "carol")
	w.group("others", "bob")
	w.gate.Groups = []*policy.Group{users}
	w.want("a member", request(), policy.OK)
	users.Members = []string{"carol"}
	w.want("who left", request(), policy.TokenDeactivated)
	users.Members = []string{"carol", "alice"}
	w.want("who came back", request(), policy.OK)
	w.token.User, w.token.AnyUser = "", true
	v := secret.Reveal()
	w.want("any user: the one presented is a member", request(with(basic("carol", v))), policy.OK)
	d := w.want("any user: the one presented is none", request(with(basic("bob", v))), policy.TokenDeactivated)
	if !d.Principal.Asserted {
		t.Error("the user of an any-user token is not marked as asserted")
	}
}

func TestAnonymous(t *testing.T) {
	w := newWorld(t)
	w.want("where a credential is required", request(anonymous()), policy.NoCredential)
	w.gate.Anonymous = &policy.Grant{Policies: []*policy.Policy{allowing(rule(t, "info", "method", "GET", "path", "/info", "query", "a=1"))}}
	w.want("a rule matches", request(anonymous(), target("/info?a=1")), policy.Anonymous)
	w.want("no rule matches", request(anonymous(), target("/other?a=1")), policy.NoCredential)
	w.want("a rule can't be decided", request(anonymous(), target("/info?a=1;b")), policy.NoCredential)
	w.want("a bad credential is not anonymous", request(with(basic("alice", "no such value"))), policy.TokenUnknown)
	w.gate.Policies = []*policy.Policy{denying(rule(t, "no", "path", "/info"))}
	w.want("a bound denies", request(anonymous(), target("/info?a=1")), policy.RuleDenied)
	w.gate.Policies = []*policy.Policy{allowing(rule(t, "only", "path", "/rest/.*"))}
	w.want("a bound does not allow", request(anonymous(), target("/info?a=1")), policy.NoCredential)
	w.gate.Policies = nil
	w.gate.ActAsHeader = "x-on-behalf-of"
	w.want("an anonymous caller who asks to act for another user", request(anonymous(), target("/info?a=1"), header("x-on-behalf-of", "bob")), policy.ActAsDenied)
	w.want("who lacks a credential in the first place", request(anonymous(), target("/other?a=1"), header("x-on-behalf-of", "bob")), policy.NoCredential)
	w.gate.Anonymous = &policy.Grant{Unrestricted: true}
	if d := w.want("unrestricted", request(anonymous()), policy.Anonymous); d.Identity() != policy.NoIdentity {
		t.Error("an anonymous caller has an identity")
	}
}

func TestForwardUnknown(t *testing.T) {
	w := newWorld(t)
	password := with(basic("bob", "his own password"))
	w.want("by default passwords are off", request(password), policy.TokenUnknown)
	w.gate.ForwardUnknown = policy.Schemes(0).With(policy.Basic)
	d := w.want("a password goes to the upstream", request(password), policy.Forwarded)
	if d.Identity() != policy.NoIdentity || d.Principal.User != "bob" || !d.Principal.Asserted {
		t.Errorf("forwarded as %+v", d.Principal)
	}
	w.want("of this scheme alone", request(with(bearer("a.jwt"))), policy.TokenUnknown)
	w.want("a token is a token", request(), policy.OK)
	w.token.Revoked = true
	w.want("also when revoked", request(), policy.TokenRevoked)
	w.want("a well-formed patgate token", request(with(basic("bob", token.Mint().Reveal()))), policy.TokenUnknown)
	w.want("also as the user", request(with(basic(token.Mint().Reveal(), "x"))), policy.TokenUnknown)
	d = w.want("a patgate token as the user name", request(with(basic(secret.Reveal(), "x-oauth-basic"))), policy.TokenUnknown)
	if d.Principal.User != "" {
		t.Error("the value is taken for a name")
	}
	w.gate.Schemes = policy.Schemes(0).With(policy.Bearer)
	w.want("whatever the gate's schemes", request(password), policy.Forwarded)
	w.gate.Policies = []*policy.Policy{denying(rule(t, "no", "method", "GET"))}
	w.want("the bounds hold", request(password), policy.RuleDenied)
	w.gate.Policies = []*policy.Policy{allowing(rule(t, "only", "method", "POST"))}
	w.want("those that allow too", request(password), policy.NoRuleMatched)
	w.gate.Policies = nil
	w.gate.BasicEnds = now
	w.want("until basicEnds", request(password), policy.TokenUnknown)
	w.gate.BasicEnds = time.Time{}
	w.gate.ActAsHeader = "x-on-behalf-of"
	w.want("not for another", request(password, header("x-on-behalf-of", "alice")), policy.ActAsDenied)
}

func TestDeletedTokenIsNeverForwarded(t *testing.T) {
	w := newWorld(t)
	w.gate.ForwardUnknown = policy.Schemes(0).With(policy.Basic)
	x := policy.NewIndex()
	load := func(tokens ...*policy.Token) {
		t.Helper()
		if _, err := x.Replace(policy.Rows{Gates: w.gates, Tokens: tokens}, now); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(want policy.Reason) {
		t.Helper()
		if d := policy.Evaluate(x.Snapshot(), request(), nil); d.Reason != want {
			t.Errorf("%v, want %v", d.Reason, want)
		}
	}
	load()
	ask(policy.Forwarded)
	load(w.token)
	ask(policy.OK)
	load()
	ask(policy.TokenUnknown)
	load()
	ask(policy.TokenUnknown)
	load(w.token)
	ask(policy.OK)
}

func TestActAs(t *testing.T) {
	w := newWorld(t)
	users := w.group("users", "alice", "svc-a", "svc-b")
	w.group("svc", "svc-a").Policies = []*policy.Policy{{Name: "svc", Deny: []*policy.Rule{rule(t, "no", "method", "DELETE")}}}
	w.gate.Groups = []*policy.Group{users}
	w.token.ActAs = []*policy.Pattern{pattern(t, "svc-.*")}
	as := func(values ...string) func(*policy.Request) { return header("x-on-behalf-of", values...) }
	if d := w.want("a gate that names no header", request(as("svc-a")), policy.OK); d.Principal.Actor != "" {
		t.Error("the header means something")
	}
	w.gate.ActAsHeader = "x-on-behalf-of"
	d := w.want("a member that matches", request(as("svc-a")), policy.OK)
	if d.Principal.User != "svc-a" || d.Principal.Actor != "alice" || len(d.Principal.Groups) != 2 {
		t.Errorf("principal %+v", d.Principal)
	}
	w.want("without the header", request(), policy.OK)
	w.want("a user that does not match", request(as("bob")), policy.ActAsDenied)
	w.want("one outside the gate's groups", request(as("svc-x")), policy.ActAsDenied)
	w.want("two values", request(as("svc-a", "svc-b")), policy.ActAsDenied)
	w.want("two values in one", request(as("svc-a,svc-b")), policy.ActAsDenied)
	w.want("an empty one", request(as("")), policy.ActAsDenied)
	w.want("the target's bounds hold", request(as("svc-a"), method("DELETE")), policy.RuleDenied)
	w.want("another's do not", request(as("svc-b"), method("DELETE")), policy.OK)
	users.Members = []string{"svc-a"}
	w.want("own checks come first", request(as("svc-a")), policy.TokenDeactivated)
	w.token.ActAs = nil
	users.Members = []string{"alice", "svc-a"}
	w.want("a token that may not", request(as("svc-a")), policy.ActAsDenied)
}

func TestLevels(t *testing.T) {
	w := newWorld(t)
	get, issue := rule(t, "get", "method", "GET"), rule(t, "issue", "path", "/rest/api/2/issue/.*")
	other := rule(t, "other", "path", "/other")
	w.token.Grant = policy.Grant{Policies: []*policy.Policy{{Name: "p", Allow: []*policy.Rule{other}}, allowing(get)}}
	if d := w.want("one match of all lists is enough", request(), policy.OK); d.Rule != get {
		t.Errorf("decided by %v", d.Rule.Name)
	}
	g := w.group("g", "alice")
	g.Policies = []*policy.Policy{allowing(issue)}
	w.want("every level that has allow rules must match", request(), policy.OK)
	if d := w.want("a group's bound", request(target("/rest/api/2/user")), policy.NoRuleMatched); d.Rule != issue || d.Failed != policy.PartPath {
		t.Errorf("the rule is %v, part %v", d.Rule, d.Failed)
	}
	w.gate.Policies = []*policy.Policy{allowing(rule(t, "put", "method", "PUT"))}
	w.want("the gate's bound", request(), policy.NoRuleMatched)
	w.gate.Policies = []*policy.Policy{{Name: "x", Deny: []*policy.Rule{rule(t, "del", "method", "DELETE")}}}
	w.want("deny rules alone are no list to match", request(), policy.OK)
	w.token.Grant = policy.Grant{Unrestricted: true, Policies: []*policy.Policy{denying(issue)}}
	w.want("an unrestricted token with a deny", request(), policy.RuleDenied)
	w.token.Grant = policy.Grant{}
	w.want("a token without a grant", request(), policy.NoRuleMatched)
	w.token.Grant = policy.Grant{Policies: []*policy.Policy{{Name: "seen", Observe: true, Allow: []*policy.Rule{get}}}}
	w.want("an observing policy grants nothing", request(), policy.NoRuleMatched)
}
