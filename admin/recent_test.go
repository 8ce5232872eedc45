package admin

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

var recentAt = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func seen(r *Recent, token string, n int, effect policy.Effect, path string) {
	d := &policy.Decision{Effect: effect, Reason: policy.OK, Token: &policy.Token{Name: token}}
	if effect != policy.Allow {
		d.Refuse(policy.NoRuleMatched)
	}
	r.Seen(d, &audit.Event{
		Time: recentAt.Add(time.Duration(n) * time.Second), ID: fmt.Sprint(n), Gate: "jira", Scheme: "bearer", Method: "GET", Path: path,
		Client: netip.MustParseAddr("10.0.0.1"), Unmatched: "path",
	})
}

// TestRecent has more calls than are remembered.
func TestRecent(t *testing.T) {
	r := new(Recent)
	if r.Calls("a") != nil {
		t.Error("something is known of nothing")
	}
	seen(r, "a", 0, policy.Deny, "/x")
	for n := range 250 {
		seen(r, "a", n, policy.Allow, "/rest/"+strings.Repeat("x", 3*n))
	}
	seen(r, "a", 250, policy.Deny, "/admin")
	calls := r.Calls("a")
	if len(calls) != maxCalls || calls[0].Decision != "deny" || calls[0].Reason != "no_rule_matched" || calls[0].Status != 403 || calls[0].Detail != "path" || calls[99].ID != "151" {
		t.Errorf("%d %+v", len(calls), calls[0])
	}
	for _, c := range calls {
		if len(c.Path) > maxCallText+3 {
			t.Errorf("a path of %d bytes", len(c.Path))
		}
	}
}

// TestRecentHoldsNoValues has the value that was presented, and another one, in the path.
func TestRecentHoldsNoValues(t *testing.T) {
	r := new(Recent)
	other, own := token.Mint(), token.NewSecret("an-imported-value")
	d := &policy.Decision{Effect: policy.Allow, Reason: policy.OK, Token: &policy.Token{Name: "a"}}
	r.Seen(d, &audit.Event{Time: recentAt, Path: "/x/" + other.Reveal() + "/" + own.Reveal(), Secret: own})
	if text := fmt.Sprint(r.Calls("a")); strings.Contains(text, other.Reveal()) || strings.Contains(text, own.Reveal()) || !strings.Contains(text, "/x/") {
		t.Error(text)
	}
}

// TestRecentIsBounded has more tokens than there is room for the calls of.
func TestRecentIsBounded(t *testing.T) {
	r := new(Recent)
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for n := range 20_000 {
				seen(r, fmt.Sprintf("t-%d-%d", w, n), n, policy.Allow, "/rest/"+strings.Repeat("x", 150))
			}
		})
	}
	all.Wait()
	if held := r.bytes.Load(); held > maxCallsBytes+maxCallsBytes/8 || held < 0 {
		t.Errorf("%d bytes", held)
	}
	if len(r.Calls("t-0-19999")) != 1 {
		t.Error("the latest call is forgotten")
	}
}

// BenchmarkSeen is what a check pays for it.
func BenchmarkSeen(b *testing.B) {
	r := new(Recent)
	d := &policy.Decision{Effect: policy.Allow, Reason: policy.OK, Token: &policy.Token{Name: "a"}}
	e := &audit.Event{Time: recentAt, ID: "x", Gate: "jira", Scheme: "bearer", Method: "GET", Path: "/rest/api/2/issue/X-1", Client: netip.MustParseAddr("10.0.0.1"), Secret: token.Mint()}
	b.ReportAllocs()
	for b.Loop() {
		r.Seen(d, e)
	}
}
