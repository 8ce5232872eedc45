package report

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// Summary says what a log holds, by token, user, gate, reason and client.
type Summary struct {
	Events       int64      `json:"events"`       // that the filter selects
	SkippedLines int64      `json:"skippedLines"` // that are no event of patgate
	First        *time.Time `json:"first,omitempty"`
	Last         *time.Time `json:"last,omitempty"`

	Tokens  []TokenSummary   `json:"tokens"` // by name
	Reasons map[string]int64 `json:"reasons"`
	Users   []Group          `json:"users"`   // most calls first, as the next two
	Gates   []Group          `json:"gates"`   //
	Clients []Group          `json:"clients"` //

	Canaries []Group  `json:"canaries"` // tokens that no user has a reason to use
	Broken   []Broken `json:"brokenClients"`

	// Shadow counts the calls that were allowed, and that enforcing would refuse: by reason of observing
	// gates, by policy and reason of observing policies, and by token.
	Shadow         map[string]int64 `json:"shadow,omitempty"`
	ShadowPolicies map[string]int64 `json:"shadowPolicies,omitempty"`
	ShadowTokens   []Group          `json:"shadowTokens,omitempty"`

	// Other is how many decisions were counted in no group, as there were too many names.
	Other int64 `json:"other,omitempty"`
}

// Group counts the decisions about one name.
type Group struct {
	Name    string    `json:"name"`
	Allowed int64     `json:"allowed"`
	Denied  int64     `json:"denied"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
}

// TokenSummary counts the decisions about one token.
type TokenSummary struct {
	Token        string           `json:"token"`
	User         string           `json:"user"` // of its last call
	Allowed      int64            `json:"allowed"`
	Denied       int64            `json:"denied"`
	First        time.Time        `json:"first"`
	Last         time.Time        `json:"last"`
	Schemes      map[string]int64 `json:"schemes"`
	Previous     int64            `json:"previous"` // calls with an older value
	PreviousLast *time.Time       `json:"previousLast,omitempty"`
	BasicLast    *time.Time       `json:"basicLast,omitempty"`
	BasicEnds    *time.Time       `json:"basicEnds,omitempty"` // of its last call by basic
	Clients      int              `json:"clients"`             // different addresses, up to MaxClients
	Reasons      map[string]int64 `json:"reasons"`

	clients map[string]struct{}
}

// Broken is a token that is refused for one reason many times: a client that does not notice.
type Broken struct {
	Token  string    `json:"token"`
	User   string    `json:"user"`
	Reason string    `json:"reason"`
	Count  int64     `json:"count"`
	Last   time.Time `json:"last"`
}

const (
	// MaxClients is how many addresses of one token are counted separately.
	MaxClients = 1000
	// MaxGroups is how many users and how many clients are counted separately: callers choose the names that they present.
	MaxGroups = 100_000
	// ManyRefusals of one token for one reason look like a broken client.
	ManyRefusals = 50
)

// Summarize reads logs and counts the events that a filter selects. Progress is called with what was read so far; it may
// be nil. An error beside a summary says that a log is cut: the summary is of what comes before.
func Summarize(ctx context.Context, inputs []audit.Input, f *Filter, progress func(audit.ReadStats)) (*Summary, error) {
	all := newTally()
	work := func(entries []audit.Entry) *tally {
		t := newTally()
		for i := range entries {
			if f.Match(&entries[i].Logged) {
				t.count(&entries[i].Logged)
			}
		}
		return t
	}
	stats, err := audit.Scan(ctx, inputs, work, func(t *tally, s audit.ReadStats) error {
		all.merge(t)
		if progress != nil {
			progress(s)
		}
		return nil
	})
	return all.summary(stats.Skipped), err
}

// tally is a summary in the making.
type tally struct {
	events, other                                    int64
	first, last                                      time.Time
	tokens                                           map[string]*TokenSummary
	reasons, shadow, policies                        map[string]int64
	users, gates, clients, canaries, shadowedByToken map[string]*Group
}

func newTally() *tally {
	return &tally{
		tokens: map[string]*TokenSummary{}, reasons: map[string]int64{}, shadow: map[string]int64{}, policies: map[string]int64{},
		users: map[string]*Group{}, gates: map[string]*Group{}, clients: map[string]*Group{}, canaries: map[string]*Group{},
		shadowedByToken: map[string]*Group{},
	}
}

// count adds one event.
func (t *tally) count(l *audit.Logged) {
	t.events++
	t.first, t.last = earlier(t.first, l.Time), later(t.last, l.Time)
	if l.Kind != audit.Decision {
		return
	}
	one := Group{First: l.Time, Last: l.Time}
	if l.Decision == audit.Allow {
		one.Allowed = 1
	} else {
		one.Denied = 1
	}
	t.reasons[l.Reason]++
	t.group(t.users, l.User, &one)
	t.group(t.gates, l.Gate, &one)
	t.group(t.clients, l.Client, &one)
	if l.Reason == policy.TokenCanary.String() {
		t.group(t.canaries, l.Token, &one)
	}
	t.countShadow(l, &one)
	if l.Token != "" {
		t.token(l.Token).add(oneCall(l, &one))
	}
}

// countShadow counts what enforcing would refuse.
func (t *tally) countShadow(l *audit.Logged, one *Group) {
	if l.Shadow != "" {
		t.shadow[l.Shadow]++
		t.group(t.shadowedByToken, l.Token, one)
	}
	for name, reason := range l.Observed {
		t.policies[name+" "+reason]++
	}
}

// oneCall is the summary of one decision about a token.
func oneCall(l *audit.Logged, one *Group) *TokenSummary {
	s := &TokenSummary{
		User: l.User, Allowed: one.Allowed, Denied: one.Denied, First: l.Time, Last: l.Time,
		Reasons: map[string]int64{l.Reason: 1},
	}
	switch {
	case l.Actor != "":
		s.User = l.Actor
	case l.Reason == policy.UserMismatch.String(), l.Shadow == policy.UserMismatch.String():
		s.User = "" // it is who the caller says they are, and not the token's
	}
	if l.Scheme != "" {
		s.Schemes = map[string]int64{l.Scheme: 1}
	}
	if l.Previous {
		last := l.Time // the event is not kept
		s.Previous, s.PreviousLast = 1, &last
	}
	if l.Scheme == policy.Basic.String() {
		last, ends := l.Time, l.BasicEnds
		if s.BasicLast = &last; !ends.IsZero() {
			s.BasicEnds = &ends
		}
	}
	if l.Client != "" {
		s.clients = map[string]struct{}{l.Client: {}}
	}
	return s
}

func (t *tally) token(name string) *TokenSummary {
	s := t.tokens[name]
	if s == nil {
		name = strings.Clone(name)
		s = &TokenSummary{Token: name, Schemes: map[string]int64{}, Reasons: map[string]int64{}, clients: map[string]struct{}{}}
		t.tokens[name] = s
	}
	return s
}

// add adds what was counted elsewhere about the same token.
func (s *TokenSummary) add(o *TokenSummary) {
	if !o.Last.Before(s.Last) && o.User != "" {
		s.User = o.User
	}
	if o.BasicLast != nil && (s.BasicLast == nil || !o.BasicLast.Before(*s.BasicLast)) {
		s.BasicLast, s.BasicEnds = o.BasicLast, o.BasicEnds
	}
	if o.PreviousLast != nil && (s.PreviousLast == nil || o.PreviousLast.After(*s.PreviousLast)) {
		s.PreviousLast = o.PreviousLast
	}
	s.Allowed += o.Allowed
	s.Denied += o.Denied
	s.Previous += o.Previous
	s.First, s.Last = earlier(s.First, o.First), later(s.Last, o.Last)
	addCounts(s.Schemes, o.Schemes)
	addCounts(s.Reasons, o.Reasons)
	for c := range o.clients {
		if len(s.clients) < MaxClients {
			s.clients[c] = struct{}{}
		}
	}
}

// group adds to the group of a name, which callers may have chosen: their number is bounded.
func (t *tally) group(groups map[string]*Group, name string, g *Group) {
	if name == "" {
		return
	}
	known := groups[name]
	if known == nil {
		if len(groups) >= MaxGroups {
			t.other += g.Allowed + g.Denied
			return
		}
		name = strings.Clone(name) // its line is not kept
		known = &Group{Name: name}
		groups[name] = known
	}
	known.Allowed += g.Allowed
	known.Denied += g.Denied
	known.First, known.Last = earlier(known.First, g.First), later(known.Last, g.Last)
}

// merge adds what was counted in another part of the logs.
func (t *tally) merge(o *tally) {
	t.events += o.events
	t.other += o.other
	if o.events > 0 {
		t.first, t.last = earlier(t.first, o.first), later(t.last, o.last)
	}
	for name, s := range o.tokens {
		t.token(name).add(s)
	}
	addCounts(t.reasons, o.reasons)
	addCounts(t.shadow, o.shadow)
	addCounts(t.policies, o.policies)
	for _, pair := range [...]struct{ to, from map[string]*Group }{
		{t.users, o.users}, {t.gates, o.gates}, {t.clients, o.clients}, {t.canaries, o.canaries}, {t.shadowedByToken, o.shadowedByToken},
	} {
		for name, g := range pair.from {
			t.group(pair.to, name, g)
		}
	}
}

func addCounts(to, from map[string]int64) {
	for name, n := range from {
		to[name] += n
	}
}

func (t *tally) summary(skipped int64) *Summary {
	s := &Summary{
		Events: t.events, SkippedLines: skipped, Reasons: t.reasons, Other: t.other, Tokens: []TokenSummary{}, Broken: []Broken{},
		Users: sorted(t.users), Gates: sorted(t.gates), Clients: sorted(t.clients), Canaries: sorted(t.canaries),
		Shadow: t.shadow, ShadowPolicies: t.policies, ShadowTokens: sorted(t.shadowedByToken),
	}
	if t.events > 0 {
		s.First, s.Last = &t.first, &t.last
	}
	for _, name := range slices.Sorted(maps.Keys(t.tokens)) {
		one := t.tokens[name]
		one.Clients = len(one.clients)
		s.Tokens = append(s.Tokens, *one)
		s.Broken = append(s.Broken, broken(one)...)
	}
	slices.SortStableFunc(s.Broken, func(a, b Broken) int { return cmp.Compare(b.Count, a.Count) })
	return s
}

// broken lists the reasons for which a token is refused again and again.
func broken(s *TokenSummary) (list []Broken) {
	for _, name := range slices.Sorted(maps.Keys(s.Reasons)) {
		reason, known := policy.ParseReason(name)
		if n := s.Reasons[name]; n >= ManyRefusals && known && !reason.Allows() {
			list = append(list, Broken{Token: s.Token, User: s.User, Reason: name, Count: n, Last: s.Last})
		}
	}
	return list
}

// sorted lists groups, those with the most calls first.
func sorted(groups map[string]*Group) []Group {
	list := make([]Group, 0, len(groups))
	for _, g := range groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Allowed+b.Denied, a.Allowed+a.Denied), cmp.Compare(a.Name, b.Name))
	})
	return list
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
