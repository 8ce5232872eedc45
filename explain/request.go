// Package explain evaluates written requests against manifests: those of PolicyTests and of `patgate explain`. It
// evaluates them as the server does. A request with a token always presents a credential of that token.
package explain

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// Request is a request as people write it.
type Request struct {
	Now    time.Time
	Method string
	Target string // path and query
	Host   string
	Gate   string // that the route names; empty: by host and path
	TLS    bool
	Client netip.Addr // the address already chosen; the zero value is unknown

	Token  string        // the name of a token, of which the run made up the value
	Value  token.Secret  // or a value itself
	User   string        // as presented; empty: the token's
	Scheme policy.Scheme // zero: the first that gate and token take

	Header map[string][]string
	Body   []byte // empty: absent

	Recorded func(*policy.Rule) string // what rules made of a body that an audit log does not hold; see policy.Body
}

// Sandbox is a revision for made-up requests: tokens that they name have values that the run
// made up, as manifests hold digests alone.
type Sandbox struct {
	Snapshot *policy.Snapshot
	values   map[string]token.Secret
}

// NewSandbox makes a revision of rows in which these tokens have made-up values. It returns
// an error for a name that no token has.
func NewSandbox(rows policy.Rows, now time.Time, names ...string) (*Sandbox, error) {
	a := &Sandbox{values: map[string]token.Secret{}}
	rows.Tokens = slices.Clone(rows.Tokens)
	byName := map[string]int{}
	for i, t := range rows.Tokens {
		byName[t.Name] = i
	}
	for _, name := range names {
		i, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("no token is called %s", name)
		}
		if _, done := a.values[name]; done {
			continue
		}
		secret := token.Mint()
		row := *rows.Tokens[i]
		row.Digest = token.Sum(secret)
		rows.Tokens[i], a.values[name] = &row, secret
	}
	index := policy.NewIndex()
	if _, err := index.Replace(rows, now); err != nil {
		return nil, err
	}
	a.Snapshot = index.Snapshot()
	return a, nil
}

// Answer evaluates one request against rows and explains the decision. It returns an error for
// a request that names something that does not exist.
func Answer(rows policy.Rows, q *Request) (*Explanation, error) {
	var named []string
	if q.Token != "" {
		named = append(named, q.Token)
	}
	if err := q.check(rows); err != nil {
		return nil, err
	}
	a, err := NewSandbox(rows, q.Now, named...)
	if err != nil {
		return nil, err
	}
	var trace policy.Trace
	d, r := a.Ask(q, &trace)
	e := Explain(r, &d, &trace)
	if upper := strings.ToUpper(q.Method); upper != q.Method {
		e.Notes = append(e.Notes, fmt.Sprintf("methods are case-sensitive, did you mean %s?", upper))
	}
	return &e, nil
}

// AnswerRequest explains the decision about a request that is written out.
func AnswerRequest(rows policy.Rows, r *policy.Request) (*Explanation, error) {
	a, err := NewSandbox(rows, r.Time)
	if err != nil {
		return nil, err
	}
	var trace policy.Trace
	d := policy.Evaluate(a.Snapshot, r, &trace)
	e := Explain(r, &d, &trace)
	return &e, nil
}

// check reports names in the request that do not exist, and an anyUser token without
// a user.
func (q *Request) check(rows policy.Rows) error {
	var known, gates []string
	digest := token.Sum(q.Value)
	for _, t := range rows.Tokens {
		known = append(known, t.Name)
		asked := t.Name == q.Token || !q.Value.Empty() && t.Digest.Equal(digest)
		if asked && t.AnyUser && q.User == "" && q.Scheme != policy.Bearer {
			return fmt.Errorf("the token %s is of any user, expected the user who presents it", t.Name)
		}
	}
	for _, g := range rows.Gates {
		gates = append(gates, g.Name)
	}
	switch {
	case q.Token != "" && !slices.Contains(known, q.Token):
		return fmt.Errorf("no token is called %s, %s", q.Token, diag.Suggest(q.Token, known))
	case q.Gate != "" && !slices.Contains(gates, q.Gate):
		return fmt.Errorf("no gate is called %s, %s", q.Gate, diag.Suggest(q.Gate, gates))
	}
	return nil
}

// Ask evaluates a request, and fills the trace if there is one.
func (a *Sandbox) Ask(q *Request, trace *policy.Trace) (policy.Decision, *policy.Request) {
	r := a.request(q)
	return policy.Evaluate(a.Snapshot, r, trace), r
}

// request turns a written request into the one that Envoy would send.
func (a *Sandbox) request(q *Request) *policy.Request {
	h := header{}
	for _, name := range slices.Sorted(maps.Keys(q.Header)) {
		lower := strings.ToLower(name)
		h[lower] = append(h[lower], q.Header[name]...)
	}
	r := &policy.Request{
		Time: q.Now, Method: q.Method, Target: policy.NewTarget(q.Target), Host: q.Host, TLS: q.TLS, Header: h,
		Route: q.Gate, RouteNamed: q.Gate != "",
	}
	if len(q.Body) > 0 && !upgrades(h) {
		r.Body = policy.Body{State: policy.BodyWhole, Bytes: q.Body}
		if _, given := h["content-type"]; !given {
			h["content-type"] = []string{"application/json"}
		}
	}
	r.Body.Recorded = q.Recorded
	gate := a.Snapshot.GateOf(r)
	placeClient(r, h, gate, q.Client)
	if value := a.authorization(q, gate); value != "" {
		h["authorization"] = append(h["authorization"], value) // with a header of the request it is the second
	}
	r.Credential = policy.ParseAuthorization(h.Get("authorization"))
	if r.Credential.Secret.Empty() {
		r.Credential.Secret = q.Value // a malformed one is not evaluated, but what is shown must not hold it
	}
	return r
}

// upgrades reports whether a request upgrades to another protocol: Envoy sends no body
// of it then. (It answers h2c as an ordinary request.)
func upgrades(h header) bool {
	value, n := h.Get("upgrade")
	return n > 0 && !strings.EqualFold(value, "h2c")
}

// placeClient puts the chosen address where the gate looks for it.
func placeClient(r *policy.Request, h header, gate *policy.Gate, client netip.Addr) {
	r.Peer = client
	if gate == nil || !client.IsValid() {
		return
	}
	switch ip := gate.ClientIP; ip.Source {
	case policy.FromXFF:
		h["x-forwarded-for"] = []string{client.String() + strings.Repeat(",192.0.2.1", ip.TrustedHops)}
	case policy.FromHeader:
		h[ip.Header] = []string{client.String()}
	}
}

// authorization writes the header that presents the request's credential, or nothing.
func (a *Sandbox) authorization(q *Request, gate *policy.Gate) string {
	value, user, scheme := q.Value, q.User, q.Scheme
	row := a.Snapshot.TokenByName(q.Token)
	if row != nil {
		value = a.values[q.Token]
	} else if digest := token.Sum(value); !value.Empty() {
		row = a.Snapshot.Token(&digest)
	}
	if value.Empty() {
		return ""
	}
	if user == "" && row != nil {
		user = row.User
	}
	if user == "" {
		user = "somebody" // of a canary, or of an unknown value: the value decides
	}
	if scheme == policy.NoScheme {
		scheme = firstScheme(gate, row, q.Now)
	}
	if scheme == policy.Bearer {
		return "Bearer " + value.Reveal()
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+value.Reveal()))
}

// firstScheme returns the first scheme, in the order of the gate, that gate and token accept.
func firstScheme(gate *policy.Gate, t *policy.Token, now time.Time) policy.Scheme {
	order := []policy.Scheme{policy.Basic, policy.Bearer}
	if gate != nil && gate.BearerFirst {
		slices.Reverse(order)
	}
	for _, s := range order {
		if (gate == nil || gate.Accepted(now).Has(s)) && (t == nil || t.Takes(s)) {
			return s
		}
	}
	return policy.Basic
}

// header holds one value a name, in lower case.
type header map[string][]string

// Get implements policy.Header.
func (h header) Get(name string) (value string, count int) {
	values := h[name]
	return strings.Join(values, ","), len(values)
}

// Len implements policy.Header.
func (h header) Len() (n int) {
	for _, values := range h {
		n += len(values)
	}
	return n
}

// At implements policy.Header, in the order of the names.
func (h header) At(i int) (name, value string) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if values := h[name]; i < len(values) {
			return name, values[i]
		}
		i -= len(h[name])
	}
	return "", ""
}

// names lists the keys of a set in their order.
func names(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
