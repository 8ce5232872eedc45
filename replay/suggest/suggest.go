// Package suggest reads an audit log and proposes the tightest rules that the recorded calls of tokens need. It also
// lists what is not used. A proposal never allows what the present rules refuse: the linter's search proves this for
// each pattern.
package suggest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// Options of a suggestion.
type Options struct {
	Tokens  []string // by name; none: all
	MinDays int      // of evidence, below which nothing is proposed

	DeadOnly bool // nothing is proposed
}

// Report compares the calls in logs with the rules of manifests.
type Report struct {
	Tokens       []Token    `json:"tokens"`
	Dead         *Dead      `json:"dead,omitempty"`
	Events       int64      `json:"events"`
	SkippedLines int64      `json:"skippedLines"`
	First        *time.Time `json:"first,omitempty"`
	Last         *time.Time `json:"last,omitempty"`
}

// Token holds the rules that one token needs. LimitTo and Allow take the place of all its present grants; both are empty where
// nothing is proposed, and Warnings says why.
type Token struct {
	Token        string   `json:"token"`
	User         string   `json:"user"`
	Days         int      `json:"days"`         // of evidence
	AllowedCalls int64    `json:"allowedCalls"` // in the logs
	Covered      int64    `json:"covered"`      // of them, by the proposal
	LimitTo      []string `json:"limitTo"`      // rules in the one-line form
	Allow        []Rule   `json:"allow,omitempty"`
	Policies     []string `json:"policies,omitempty"` // that stay, as they deny or only observe
	Removes      []string `json:"removes"`            // what the present rules allow and nothing used
	Warnings     []string `json:"warnings"`
}

// Proposed reports whether rules are proposed.
func (t *Token) Proposed() bool { return len(t.LimitTo)+len(t.Allow) > 0 }

// Dead lists what was not used in the time of the logs.
type Dead struct {
	Rules    []string `json:"rules"` // that allow, with their owner and place
	Policies []string `json:"policies"`
	Groups   []string `json:"groups"`
	Gates    []string `json:"gates"`
	Tokens   []string `json:"tokens"`
}

// Logs reads logs and proposes rules for the tokens of manifests. An error beside a report says that a log is cut.
func Logs(ctx context.Context, inputs []audit.Input, rows policy.Rows, o Options, progress func(audit.ReadStats)) (*Report, error) {
	e := newEvidence(rows, &o)
	work := func(entries []audit.Entry) *seen {
		part := newSeen()
		for i := range entries {
			if l := &entries[i].Logged; l.Kind == audit.Decision {
				e.see(part, l)
			}
		}
		return part
	}
	all := newSeen()
	stats, err := audit.Scan(ctx, inputs, work, func(part *seen, s audit.ReadStats) error {
		all.merge(part)
		if progress != nil {
			progress(s)
		}
		return nil
	})
	r := &Report{Tokens: []Token{}, Events: stats.Events, SkippedLines: stats.Skipped}
	if !all.first.IsZero() {
		r.First, r.Last = &all.first, &all.last
	}
	for _, t := range rows.Tokens {
		if e.wanted(t.Name) && !t.Canary && !t.Revoked {
			r.Tokens = append(r.Tokens, e.propose(t, all))
		}
	}
	slices.SortFunc(r.Tokens, func(a, b Token) int { return cmp.Compare(a.Token, b.Token) })
	r.Dead = e.dead(all)
	return r, err
}

// DaysText returns the length of a log, which may be less than a day.
func DaysText(days int) string {
	switch days {
	case 0:
		return "less than a day"
	case 1:
		return "1 day"
	}
	return fmt.Sprintf("%d days", days)
}

// propose makes the proposal for one token.
func (e *evidence) propose(t *policy.Token, all *seen) Token {
	out := Token{Token: t.Name, User: t.User, LimitTo: []string{}, Removes: []string{}, Warnings: []string{}}
	calls := all.tokens[t.Name]
	out.Days = days(t, all)
	if calls == nil {
		out.warn("no call in %s: `suggest --dead` lists unused tokens", DaysText(out.Days))
		return out
	}
	out.AllowedCalls = calls.count
	if out.Days < e.o.MinDays {
		out.warn("the evidence is of %s, expected %s (--min-days)", DaysText(out.Days), DaysText(e.o.MinDays))
		return out
	}
	p := proposal{token: t, days: out.Days, out: &out}
	if !p.make(calls) {
		out.LimitTo, out.Allow, out.Removes = []string{}, nil, []string{}
		return out
	}
	out.Covered = calls.count - p.leftOut
	return out
}

// days is for how long calls of a token would be in the logs.
func days(t *policy.Token, all *seen) int {
	from := all.first
	if t.Issued.After(from) && len(t.Previous) == 0 { // the value of a rotated token is newer than the token
		from = t.Issued
	}
	return max(0, int((all.last.Sub(from)+time.Hour)/(24*time.Hour)))
}

func (t *Token) warn(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(t.Warnings, text) {
		t.Warnings = append(t.Warnings, text)
	}
}
