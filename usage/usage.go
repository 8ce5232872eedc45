// Package usage counts how tokens are used. Counters count in a running server, a Token holds the counts of one token,
// and Merge combines those of several servers and logs. A refused call does not count as a use, nor does one that
// enforcing would refuse.
package usage

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/audit"
)

// Token holds the uses of one token.
type Token struct {
	Token      string    `json:"token"`
	User       string    `json:"user"` // in person, of its last call
	Count      int64     `json:"count"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	LastClient string    `json:"lastClient,omitempty"`
	LastScheme string    `json:"lastScheme,omitempty"`
	LastGate   string    `json:"lastGate,omitempty"`

	PreviousLast *time.Time `json:"previousLast,omitempty"` // an older value was used
	BasicLast    *time.Time `json:"basicLast,omitempty"`
	BasicEnds    *time.Time `json:"basicEnds,omitempty"` // at the gate of the last call by basic

	Uses []audit.Use `json:"uses,omitempty"` // by scheme and value

	Rules      []RuleUse `json:"rules,omitempty"`      // which of them allowed the calls, where that is known
	OtherRules int64     `json:"otherRules,omitempty"` // calls that further rules allowed
}

// Of returns the use by one allowed call, and false where the event is none.
func Of(l *audit.Logged) (Token, bool) {
	if l.Kind != audit.Decision || l.Decision != audit.Allow || l.Shadow != "" || l.Token == "" {
		return Token{}, false
	}
	t := Token{Token: l.Token, User: cmp.Or(l.Actor, l.User), LastClient: l.Client, LastScheme: l.Scheme, LastGate: l.Gate}
	if l.Scheme == basic && !l.BasicEnds.IsZero() {
		ends := l.BasicEnds // the event is not kept
		t.BasicEnds = &ends
	}
	t.Uses = []audit.Use{{Scheme: l.Scheme, Previous: l.Previous, Count: 1, First: l.Time, Last: l.Time}}
	t.total()
	return t, true
}

// Reported returns what a server reports of a token in a `token.usage` event: all uses since it started.
func Reported(l *audit.Logged) (Token, bool) {
	if l.Kind != audit.TokenUsage || l.Token == "" || len(l.Uses) == 0 {
		return Token{}, false
	}
	t := Token{Token: l.Token, User: l.User, LastClient: l.Client, LastScheme: l.Scheme, LastGate: l.Gate, Uses: l.Uses}
	if !l.BasicEnds.IsZero() {
		ends := l.BasicEnds
		t.BasicEnds = &ends
	}
	t.total()
	return t, true
}

const basic = "basic"

// total sets what follows from Uses.
func (t *Token) total() {
	if len(t.Uses) == 0 {
		return
	}
	t.Count, t.First, t.Last, t.PreviousLast, t.BasicLast = 0, time.Time{}, time.Time{}, nil, nil
	for i := range t.Uses {
		u := &t.Uses[i]
		t.Count += u.Count
		if t.First.IsZero() || u.First.Before(t.First) {
			t.First = u.First
		}
		t.Last = later(t.Last, u.Last)
		if u.Previous {
			t.PreviousLast = latest(t.PreviousLast, u.Last)
		}
		if u.Scheme == basic {
			t.BasicLast = latest(t.BasicLast, u.Last)
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func latest(a *time.Time, b time.Time) *time.Time {
	if a == nil || b.After(*a) {
		return &b
	}
	return a
}

// Merge adds what was seen elsewhere of the same token: other calls.
func (t *Token) Merge(o *Token) {
	if o.BasicLast != nil && (t.BasicLast == nil || !o.BasicLast.Before(*t.BasicLast)) && o.BasicEnds != nil {
		t.BasicEnds = o.BasicEnds
	}
	if t.Count == 0 || o.Last.After(t.Last) {
		t.User, t.LastClient, t.LastScheme, t.LastGate = o.User, o.LastClient, o.LastScheme, o.LastGate
	}
	for i := range o.Uses {
		t.addUse(&o.Uses[i])
	}
	for i := range o.Rules {
		t.AddRule(&o.Rules[i])
	}
	t.OtherRules += o.OtherRules
	t.total()
}

func (t *Token) addUse(o *audit.Use) {
	i := slices.IndexFunc(t.Uses, func(u audit.Use) bool { return u.Scheme == o.Scheme && u.Previous == o.Previous })
	if i < 0 {
		t.Uses = append(t.Uses[:len(t.Uses):len(t.Uses)], *o)
		slices.SortFunc(t.Uses, compareUses)
		return
	}
	u := &t.Uses[i]
	u.Count += o.Count
	if o.First.Before(u.First) {
		u.First = o.First
	}
	u.Last = later(u.Last, o.Last)
}

func compareUses(a, b audit.Use) int {
	if a.Previous != b.Previous {
		if a.Previous {
			return 1
		}
		return -1
	}
	return cmp.Compare(a.Scheme, b.Scheme)
}

// Uses is a set of tokens by name.
type Uses map[string]*Token

// Add adds calls of a token, which it may keep.
func (s Uses) Add(o *Token) {
	if t := s[o.Token]; t != nil {
		t.Merge(o)
		return
	}
	own := *o
	own.Token, own.Uses, own.Rules = strings.Clone(o.Token), slices.Clone(o.Uses), nil
	for i := range own.Uses {
		own.Uses[i].Scheme = strings.Clone(own.Uses[i].Scheme)
	}
	for i := range o.Rules {
		own.AddRule(&o.Rules[i])
	}
	own.total()
	s[own.Token] = &own
}

// List returns the tokens by name.
func (s Uses) List() []Token {
	list := make([]Token, 0, len(s))
	for _, t := range s {
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b Token) int { return cmp.Compare(a.Token, b.Token) })
	return list
}
