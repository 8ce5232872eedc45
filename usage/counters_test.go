package usage

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// seen counts a call.
func seen(c *Counters, name string, at time.Time, edit func(*policy.Decision, *audit.Event)) {
	d := &policy.Decision{Effect: policy.Allow, Reason: policy.OK, Scheme: policy.Bearer, Token: &policy.Token{Name: name}}
	d.Principal.User = "alice"
	e := &audit.Event{Time: at, Gate: "jira", Client: netip.MustParseAddr("10.0.0.1")}
	if edit != nil {
		edit(d, e)
	}
	c.Seen(d, e)
}

func TestWhatCountsAsUse(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*policy.Decision, *audit.Event)
		want int64
	}{
		{"an allow", nil, 1},
		{"a refusal", func(d *policy.Decision, _ *audit.Event) { d.Refuse(policy.NoRuleMatched) }, 0},
		{"one that enforcing would refuse", func(d *policy.Decision, _ *audit.Event) { d.Shadowed = true }, 0},
		{"no token", func(d *policy.Decision, _ *audit.Event) { d.Token = nil }, 0},
	} {
		var counters Counters
		seen(&counters, "a", noon, c.edit)
		if got := counters.Token("a"); (got == nil) != (c.want == 0) || got != nil && got.Count != c.want {
			t.Errorf("%s: %+v, want %d", c.name, got, c.want)
		}
	}
}

func TestCountersKeepSchemesAndValuesApart(t *testing.T) {
	var c Counters
	ends := noon.AddDate(0, 6, 0)
	older := func(d *policy.Decision, e *audit.Event) {
		d.Scheme, d.Previous, e.BasicEnds = policy.Basic, true, ends
		d.Principal.User, d.Principal.Actor = "bob", "alice"
	}
	seen(&c, "a", noon, older)
	seen(&c, "a", noon.Add(10*time.Second), nil)
	seen(&c, "a", noon.Add(2*time.Hour), func(_ *policy.Decision, e *audit.Event) { e.Client, e.Gate = netip.MustParseAddr("10.0.0.2"), "wiki" })
	got := c.Token("a")
	if got.Count != 3 || !got.First.Equal(noon) || !got.Last.Equal(noon.Add(2*time.Hour)) || got.LastClient != "10.0.0.2" || got.LastGate != "wiki" ||
		got.LastScheme != "bearer" || got.User != "alice" || !got.PreviousLast.Equal(noon) || !got.BasicLast.Equal(noon) || !got.BasicEnds.Equal(ends) {
		t.Errorf("%+v", got)
	}
	want := "[{bearer false 2 2026-06-01 12:00:10 +0000 UTC 2026-06-01 14:00:00 +0000 UTC} {basic true 1 2026-06-01 12:00:00 +0000 UTC 2026-06-01 12:00:00 +0000 UTC}]"
	if fmt.Sprint(got.Uses) != want {
		t.Errorf("%v, want %s", got.Uses, want)
	}
}

// TestCountersAreExact counts from many goroutines, over more tokens than a table begins with.
func TestCountersAreExact(t *testing.T) {
	var c Counters
	const workers, tokens, calls = 4, 500, 40
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := range calls {
				for n := range tokens {
					seen(&c, fmt.Sprint("t", n), noon.Add(time.Duration(i)*time.Second), nil)
				}
			}
		})
	}
	var cursor uint64
	known := map[string]int64{}
	follow := func() {
		for _, e := range c.List(cursor) {
			if e.Cursor <= cursor || e.Count <= known[e.Token.Token] {
				t.Errorf("%+v after cursor %d, with %d before", e, cursor, known[e.Token.Token])
			}
			cursor, known[e.Token.Token] = e.Cursor, e.Count
		}
	}
	for range 20 {
		follow()
	}
	all.Wait()
	follow()
	if len(known) != tokens || len(c.List(0)) != tokens || len(c.List(cursor)) != 0 {
		t.Errorf("%d tokens, %d listed, %d after the last cursor", len(known), len(c.List(0)), len(c.List(cursor)))
	}
	for name, n := range known {
		if n != workers*calls {
			t.Errorf("%s: %d", name, n)
		}
	}
}

// TestReportRepeatsNothing reports what changed, and again what could not be written.
func TestReportRepeatsNothing(t *testing.T) {
	var c Counters
	report := func(fails string) string {
		var names []string
		_ = c.Report(func(u *Token) error {
			if u.Token == fails {
				return audit.ErrUnavailable
			}
			names = append(names, fmt.Sprint(u.Token, u.Count))
			return nil
		})
		return strings.Join(names, " ")
	}
	seen(&c, "b", noon, nil)
	seen(&c, "a", noon, nil)
	seen(&c, "c", noon, nil)
	for _, step := range []struct{ fails, want string }{{"b", "a1"}, {"", "b1 c1"}, {"", ""}} {
		if got := report(step.fails); got != step.want {
			t.Errorf("%q, want %q", got, step.want)
		}
	}
	seen(&c, "a", noon, nil)
	if got := report(""); got != "a2" {
		t.Errorf("after another call: %q", got)
	}
}

// BenchmarkSeen is what a check pays: another token each time, of ten thousand.
func BenchmarkSeen(b *testing.B) {
	var c Counters
	var names [10_000]policy.Token
	for i := range names {
		names[i].Name = fmt.Sprint("token-of-a-service-", i)
	}
	d := &policy.Decision{Effect: policy.Allow, Reason: policy.OK, Scheme: policy.Bearer}
	e := &audit.Event{Time: noon, Gate: "jira", Client: netip.MustParseAddr("10.0.0.1")}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		d.Token = &names[i%len(names)]
		e.Time = e.Time.Add(50 * time.Microsecond)
		c.Seen(d, e)
	}
}
