package policy_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// now is when the requests of these tests are made.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// headers is the simplest policy.Header: names in lower case, values in their order.
type headers map[string][]string

func (h headers) Get(name string) (string, int) {
	return strings.Join(h[name], ","), len(h[name])
}

func (h headers) Len() (n int) {
	for _, values := range h {
		n += len(values)
	}
	return n
}

func (h headers) At(i int) (name, value string) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if values := h[name]; i < len(values) {
			return name, values[i]
		}
		i -= len(h[name])
	}
	return "", ""
}

// world is a revision in the making: what a test changes before it evaluates requests.
type world struct {
	t        *testing.T
	gate     *policy.Gate
	gates    []*policy.Gate
	token    *policy.Token
	tokens   []*policy.Token
	groups   []*policy.Group
	policies []*policy.Policy
}

// secret is the value of the world's token.
var secret = token.NewSecret("qt3sumg4gd8r47n98tcnmuarnfufviog")

// newWorld has one gate for everything, Basic and Bearer, and alice's unrestricted token.
func newWorld(t *testing.T) *world {
	w := &world{t: t}
	w.gate = &policy.Gate{
		Name: "jira", Hosts: []string{policy.AnyHost}, Prefixes: []string{""},
		Schemes:  policy.Schemes(0).With(policy.Basic).With(policy.Bearer),
		Upstream: policy.NewUpstream("x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "", false),
	}
	w.token = &policy.Token{
		Name: "ci", User: "alice", Digest: token.Sum(secret), Issued: now.AddDate(0, -1, 0),
		Grant: policy.Grant{Unrestricted: true},
	}
	w.gates, w.tokens = []*policy.Gate{w.gate}, []*policy.Token{w.token}
	return w
}

// group adds a group, and puts the token's user among its members' groups.
func (w *world) group(name string, members ...string) *policy.Group {
	g := &policy.Group{Name: name, Members: members}
	w.groups = append(w.groups, g)
	return g
}

func (w *world) snapshot() *policy.Snapshot {
	w.t.Helper()
	for _, tok := range w.tokens {
		tok.Groups = nil
		for _, g := range w.groups {
			for _, m := range g.Members {
				if !tok.AnyUser && m == tok.User {
					tok.Groups = append(tok.Groups, g)
				}
			}
		}
		policy.SortGroups(tok.Groups)
	}
	x := policy.NewIndex()
	if _, err := x.Replace(policy.Rows{Gates: w.gates, Tokens: w.tokens, Groups: w.groups, Policies: w.policies}, now); err != nil {
		w.t.Fatal(err)
	}
	return x.Snapshot()
}

// ask evaluates a request with and without a trace and checks that both decisions are equal.
func (w *world) ask(r *policy.Request) policy.Decision {
	w.t.Helper()
	s := w.snapshot()
	d := policy.Evaluate(s, r, nil)
	var trace policy.Trace
	traced := policy.Evaluate(s, r, &trace)
	if traced.Reason != d.Reason || traced.Effect != d.Effect || traced.Rule != d.Rule || traced.Failed != d.Failed {
		w.t.Errorf("traced: %v %v, untraced: %v %v", traced.Effect, traced.Reason, d.Effect, d.Reason)
	}
	if len(trace.Steps) == 0 {
		w.t.Error("the trace is empty")
	}
	return d
}

// want evaluates and compares the reason; effect and status follow from it.
func (w *world) want(name string, r *policy.Request, reason policy.Reason) policy.Decision {
	w.t.Helper()
	d := w.ask(r)
	if d.Reason != reason {
		w.t.Errorf("%s: %v, want %v", name, d.Reason, reason)
	}
	if allowed := d.Effect == policy.Allow; allowed != d.Reason.Allows() {
		w.t.Errorf("%s: effect %v with reason %v", name, d.Effect, d.Reason)
	}
	return d
}

// request is a good one by alice with her token as Basic, changed by the options.
func request(options ...func(*policy.Request)) *policy.Request {
	r := &policy.Request{
		Time: now, Method: "GET", Target: policy.NewTarget("/rest/api/2/issue/JRA-1"),
		Host: "jira.example.com", Peer: netip.MustParseAddr("192.0.2.7"), Header: headers{},
		Credential: basic("alice", secret.Reveal()),
	}
	for _, o := range options {
		o(r)
	}
	return r
}

func basic(user, value string) policy.Credential {
	s := token.NewSecret(value)
	return policy.Credential{State: policy.CredentialPresent, Scheme: policy.Basic, User: user, Secret: s, Digest: token.Sum(s)}
}

func bearer(value string) policy.Credential {
	c := basic("", value)
	c.Scheme = policy.Bearer
	return c
}

func with(c policy.Credential) func(*policy.Request) {
	return func(r *policy.Request) { r.Credential = c }
}
func anonymous() func(*policy.Request) {
	return with(policy.Credential{State: policy.CredentialAbsent})
}
func method(m string) func(*policy.Request) {
	return func(r *policy.Request) { r.Method = m }
}
func target(s string) func(*policy.Request) {
	return func(r *policy.Request) { r.Target = policy.NewTarget(s) }
}
func host(s string) func(*policy.Request) {
	return func(r *policy.Request) { r.Host = s }
}
func at(t time.Time) func(*policy.Request) {
	return func(r *policy.Request) { r.Time = t }
}
func from(addr string) func(*policy.Request) {
	return func(r *policy.Request) { r.Peer = netip.MustParseAddr(addr) }
}
func header(name string, values ...string) func(*policy.Request) {
	return func(r *policy.Request) { r.Header.(headers)[name] = values }
}
func jsonBody(text string) func(*policy.Request) {
	return func(r *policy.Request) {
		r.Method = "POST"
		r.Header.(headers)["content-type"] = []string{"application/json"}
		r.Body = policy.Body{State: policy.BodyWhole, Bytes: []byte(text)}
	}
}

func pattern(t *testing.T, text string) *policy.Pattern {
	t.Helper()
	p, err := policy.CompilePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// rule makes one from pairs: method, path, client, query NAME=PATTERN, json NODE=PATTERN.
func rule(t *testing.T, name string, pairs ...string) *policy.Rule {
	t.Helper()
	r := &policy.Rule{Name: name, Source: policy.Source{File: "t.yaml", Line: 1}}
	for i := 0; i+1 < len(pairs); i += 2 {
		key, value := pairs[i], pairs[i+1]
		left, right, _ := strings.Cut(value, "=")
		switch key {
		case "method":
			r.Methods = append(r.Methods, value)
		case "path":
			r.Path = pattern(t, value)
		case "client":
			r.Clients = append(r.Clients, netip.MustParsePrefix(value))
		case "query":
			r.Query = append(r.Query, policy.NewParameter(left, pattern(t, right)))
		case "json":
			n, err := policy.NewNode(left, pattern(t, right))
			if err != nil {
				t.Fatal(err)
			}
			r.JSON = append(r.JSON, n)
		default:
			t.Fatalf("no such condition: %s", key)
		}
	}
	return r
}

func allowing(rules ...*policy.Rule) *policy.Policy { return &policy.Policy{Allow: rules} }
func denying(rules ...*policy.Rule) *policy.Policy  { return &policy.Policy{Deny: rules} }
