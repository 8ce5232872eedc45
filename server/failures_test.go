package server

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/policy"
)

// guesses is a failures with the test's clock, and its log.
type guesses struct {
	*failures
	now time.Time
	log bytes.Buffer
}

func newGuesses() *guesses {
	g := &guesses{now: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)}
	g.failures = newFailures(func() time.Time { return g.now }, slog.New(slog.NewTextHandler(&g.log, nil)))
	return g
}

func (g *guesses) fail(times int, addr string) {
	for range times {
		parsed, _ := netip.ParseAddr(addr) // an unknown one is the zero address
		g.add(parsed)
	}
}

func (g *guesses) want(t *testing.T, what string, clients, most int) {
	t.Helper()
	if gotClients, gotMost := g.state(); gotClients != clients || gotMost != most {
		t.Errorf("%s: %d clients fail often and the worst %d times, want %d and %d", what, gotClients, gotMost, clients, most)
	}
}

func TestFailuresPerClient(t *testing.T) {
	g := newGuesses()
	g.want(t, "at the start", 0, 0)
	g.fail(failingFrom-1, "192.0.2.7")
	g.want(t, "one less", 0, failingFrom-1)
	g.fail(1, "::ffff:192.0.2.7")
	g.want(t, "the same address in IPv6's form", 1, failingFrom)
	g.fail(5, "2001:db8::1")
	g.fail(7, "2001:db8::ffff:2")
	g.fail(9, "2001:db8:0:1::1")
	g.want(t, "two addresses of one /64", 2, 12)
	g.fail(30, "unknown")
	g.want(t, "no address", 3, 30)
}

func TestFailuresAreForgottenAfterAMinute(t *testing.T) {
	g := newGuesses()
	g.fail(20, "192.0.2.7")
	g.now = g.now.Add(30 * time.Second)
	g.fail(5, "192.0.2.7")
	g.want(t, "half a minute later", 1, 25)
	g.now = g.now.Add(30 * time.Second)
	g.want(t, "a minute later", 0, 5)
	g.fail(1, "192.0.2.8")
	g.now = g.now.Add(45 * time.Second)
	g.want(t, "when only the last is left", 0, 1)
	g.now = g.now.Add(-2 * time.Hour)
	g.want(t, "when the clock went back", 0, 0)
	g.fail(3, "192.0.2.7")
	g.want(t, "and it goes on from there", 0, 3)
}

func TestFailuresAreBounded(t *testing.T) {
	g := newGuesses()
	for i := range uint32(3 * maxFailing) {
		var addr [4]byte
		binary.BigEndian.PutUint32(addr[:], i)
		g.add(netip.AddrFrom4(addr))
		if i%100 == 0 {
			g.fail(1, "2001:db8::1") // who goes on is not forgotten among the others
		}
	}
	if n := len(g.clients); n != maxFailing || g.recent.Len() != n {
		t.Errorf("%d addresses are remembered, in a list of %d, want %d", n, g.recent.Len(), maxFailing)
	}
	g.want(t, "a client among many", 1, (3*maxFailing+99)/100)
}

func TestManyFailuresAreReported(t *testing.T) {
	g := newGuesses()
	lines := func(what string, want ...string) {
		t.Helper()
		got := g.log.String()
		g.log.Reset()
		if strings.Count(got, "\n") != len(want) {
			t.Errorf("%s: the log has\n%swant %q", what, got, want)
		}
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: the log has\n%swant %q", what, got, want)
			}
		}
	}
	g.fail(failingFrom-1, "192.0.2.7")
	lines("few")
	g.fail(500, "192.0.2.7")
	lines("many", `client=192.0.2.7 failures=10 within=1m0s "such clients"=1`)
	g.fail(20, "2001:db8::1")
	lines("another at the same moment")
	g.now = g.now.Add(logEvery)
	g.fail(1, "192.0.2.7")
	lines("the same soon after")
	g.fail(1, "2001:db8::1")
	lines("another", `client=2001:db8::/64 failures=21 within=1m0s "such clients"=2`)
	g.now = g.now.Add(logClientEvery)
	g.fail(12, "192.0.2.7")
	lines("the same a minute later", "client=192.0.2.7 failures=10")
	g.now = g.now.Add(logEvery)
	g.fail(12, "unknown")
	lines("no address", "client=unknown failures=10")
}

// TestWhatCountsAsAFailure checks all reasons: a credential that was given and is not
// good. A good token that lacks permission is not a failure of this kind.
func TestWhatCountsAsAFailure(t *testing.T) {
	want := "bad_credential scheme_denied token_unknown token_canary token_revoked token_suspended token_expired token_not_yet_valid user_mismatch token_deactivated"
	for _, observed := range []bool{false, true} {
		var got []string
		for _, name := range policy.ReasonNames(policy.Deny) {
			reason, _ := policy.ParseReason(name)
			d := policy.Decision{Reason: reason}
			if observed {
				d = policy.Decision{Effect: policy.Allow, Reason: policy.Forwarded, Shadowed: true, Shadow: reason}
			}
			if failed(&d) {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("observed %v: %v count, want %s", observed, got, want)
		}
	}
}
