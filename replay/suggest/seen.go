package suggest

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// The bounds on what is remembered of a token's calls, so that a log of any size takes constant memory.
const (
	maxKinds  = 500 // kinds of requests
	maxValues = 20  // values of one segment, or of one parameter
	maxParams = 16
)

// evidence is what the manifests have, and what of it was used.
type evidence struct {
	o      *Options
	rows   policy.Rows
	tokens map[string]*policy.Token
	gates  map[string]*policy.Gate
	used   map[*policy.Rule]*atomic.Bool // allow rules
}

func newEvidence(rows policy.Rows, o *Options) *evidence {
	e := &evidence{o: o, rows: rows, tokens: map[string]*policy.Token{}, gates: map[string]*policy.Gate{}, used: map[*policy.Rule]*atomic.Bool{}}
	for _, t := range rows.Tokens {
		e.tokens[t.Name] = t
	}
	for _, g := range rows.Gates {
		e.gates[g.Name] = g
	}
	count := func(rules []*policy.Rule) {
		for _, r := range rules {
			e.used[r] = new(atomic.Bool)
		}
	}
	for _, p := range rows.Policies {
		count(p.Allow)
	}
	for _, t := range rows.Tokens {
		count(ownRules(t.Grant.Policies))
	}
	for _, g := range rows.Gates {
		if g.Anonymous != nil {
			count(ownRules(g.Anonymous.Policies))
		}
	}
	return e
}

func (e *evidence) wanted(token string) bool {
	return !e.o.DeadOnly && (len(e.o.Tokens) == 0 || slices.Contains(e.o.Tokens, token))
}

// seen holds the counts from logs.
type seen struct {
	first, last time.Time
	gates       map[string]bool // with a decision
	tokens      map[string]*calls
}

func newSeen() *seen { return &seen{gates: map[string]bool{}, tokens: map[string]*calls{}} }

// calls are the allowed calls of one token.
type calls struct {
	count   int64
	kinds   map[kindKey]*kind
	lost    int64  // calls of further kinds
	unclear int64  // calls of which the log does not hold the whole request
	why     string // the last of those
}

// kindKey is what the requests of a kind have in common. Shape is the path, with marks in place of identifiers.
type kindKey struct{ gate, policy, rule, method, shape string }

// kind is one kind of requests.
type kind struct {
	count    int64
	segments []segment
	params   map[string]*param
	noQuery  bool // no condition on parameters can be known to hold
	override bool // a parameter names another method
}

// param is one parameter of the query.
type param struct {
	calls int64 // that have it
	values
}

// values are those that were seen, up to maxValues.
type values struct {
	set  []string // sorted
	more bool
}

func (v *values) add(text string) {
	at, known := slices.BinarySearch(v.set, text)
	switch {
	case known || v.more:
	case len(v.set) == maxValues:
		v.more = true
	default:
		v.set = slices.Insert(v.set, at, strings.Clone(text))
	}
}

func (v *values) merge(o *values) {
	v.more = v.more || o.more
	for _, text := range o.set {
		v.add(text)
	}
}

// see notes one decision.
func (e *evidence) see(part *seen, l *audit.Logged) {
	if part.first.IsZero() || l.Time.Before(part.first) {
		part.first = l.Time
	}
	if l.Time.After(part.last) {
		part.last = l.Time
	}
	if e.gates[l.Gate] != nil {
		part.gates[e.gates[l.Gate].Name] = true
	}
	target := policy.NewTarget(l.Path)
	e.useRules(l, target.Path)
	t := e.tokens[l.Token]
	if t == nil || l.Decision != audit.Allow || l.Shadow != "" {
		return
	}
	c := part.tokens[t.Name]
	if c == nil {
		c = &calls{kinds: map[kindKey]*kind{}}
		part.tokens[t.Name] = c
	}
	c.count++
	if why := unclear(l); why != "" {
		c.unclear++
		c.why = why
		return
	}
	if e.wanted(t.Name) {
		c.see(l, target.Path)
	}
}

// unclear says why an event does not hold the path of its request; empty: it does.
func unclear(l *audit.Logged) string {
	switch {
	case l.PathBytes > 0:
		return "a path that was cut"
	case strings.Contains(l.Path, "REDACTED"), strings.Contains(l.Method, "REDACTED"):
		return "a path that was masked"
	case strings.Contains(l.Path, "\uFFFD"), l.Path == "", l.Method == "":
		return "a path that the log does not hold"
	case l.Destination:
		return "a Destination header, whose path the log does not hold"
	}
	return ""
}

func (c *calls) see(l *audit.Logged, path string) {
	segments, shape := split(path)
	key := kindKey{l.Gate, l.Policy, l.Rule, l.Method, shape}
	k := c.kinds[key]
	if k == nil {
		if len(c.kinds) >= maxKinds {
			c.lost++
			return
		}
		k = &kind{segments: segments, params: map[string]*param{}}
		c.kinds[kindKey{strings.Clone(l.Gate), strings.Clone(l.Policy), strings.Clone(l.Rule), strings.Clone(l.Method), shape}] = k
	} else {
		for i := range segments {
			k.segments[i].join(&segments[i])
		}
	}
	k.count++
	k.query(l)
}

// query notes the parameters of a call.
func (k *kind) query(l *audit.Logged) {
	if strings.Contains(strings.ToLower(l.Query), "method") { // such as _method, in any spelling
		k.override = true
	}
	if l.BodyState != policy.BodyAbsent.String() || l.QueryBytes > 0 || strings.Contains(l.Query, "REDACTED") || !utf8.ValidString(l.Query) {
		k.noQuery = true // a form body may hold parameters too
	}
	if l.Query == "" || k.noQuery {
		return
	}
	query, err := url.ParseQuery(l.Query)
	if err != nil || len(query) > maxParams || strings.Contains(l.Query, "#") {
		k.noQuery = true
		return
	}
	for name, list := range query {
		p := k.params[name]
		if p == nil {
			if len(k.params) >= maxParams {
				k.noQuery = true
				return
			}
			p = &param{}
			k.params[strings.Clone(name)] = p
		}
		p.calls++
		for _, value := range list {
			p.add(value)
		}
	}
}

func (s *seen) merge(part *seen) {
	if s.first.IsZero() || !part.first.IsZero() && part.first.Before(s.first) {
		s.first = part.first
	}
	if part.last.After(s.last) {
		s.last = part.last
	}
	for name := range part.gates {
		s.gates[name] = true
	}
	for name, from := range part.tokens {
		if to := s.tokens[name]; to != nil {
			to.merge(from)
		} else {
			s.tokens[name] = from
		}
	}
}

func (c *calls) merge(o *calls) {
	c.count, c.lost, c.unclear, c.why = c.count+o.count, c.lost+o.lost, c.unclear+o.unclear, cmp.Or(c.why, o.why)
	for key, from := range o.kinds {
		to := c.kinds[key]
		switch {
		case to != nil:
			to.merge(from)
		case len(c.kinds) >= maxKinds:
			c.lost += from.count
		default:
			c.kinds[key] = from
		}
	}
}

func (k *kind) merge(o *kind) {
	k.count += o.count
	k.noQuery, k.override = k.noQuery || o.noQuery, k.override || o.override
	for i := range o.segments {
		k.segments[i].join(&o.segments[i])
	}
	for name, from := range o.params {
		if to := k.params[name]; to != nil {
			to.calls += from.calls
			to.merge(&from.values)
		} else {
			k.params[name] = from
		}
	}
}
