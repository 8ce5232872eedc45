package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// world are rows with a gate and tokens t0 to t9, each with one rule.
func world(t *testing.T, edit func(*policy.Rows)) *Side {
	t.Helper()
	gate := &policy.Gate{Name: "api", Hosts: []string{policy.AnyHost}, Prefixes: []string{""}, Schemes: policy.Schemes(0).With(policy.Basic).With(policy.Bearer), Upstream: &policy.Upstream{}}
	rows := policy.Rows{Gates: []*policy.Gate{gate}}
	for i := range 10 {
		path, err := policy.CompilePattern(fmt.Sprintf("/t%d/[0-9]+", i))
		if err != nil {
			t.Fatal(err)
		}
		rule := &policy.Rule{Name: "allow[0]", Methods: []string{"GET"}, Path: path, Source: policy.Source{File: "m.yaml", Line: i + 1}}
		rows.Tokens = append(rows.Tokens, &policy.Token{
			Name: fmt.Sprint("t", i), User: fmt.Sprint("u", i), Digest: token.Sum(token.Mint()), Issued: noon.AddDate(0, -1, 0),
			Grant: policy.Grant{Policies: []*policy.Policy{{Allow: []*policy.Rule{rule}}}},
		})
	}
	if edit != nil {
		edit(&rows)
	}
	s, err := NewSide(rows, noon)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// logOf writes events as the server would of calls by random tokens.
func logOf(side *Side, n int) (string, []audit.Logged) {
	random := rand.New(rand.NewPCG(7, 8))
	var b strings.Builder
	var events []audit.Logged
	secure := true
	for i := range n {
		of := random.IntN(10)
		l := audit.Logged{
			V: 1, Seq: uint64(i + 1), Instance: "i", Time: noon.Add(time.Duration(i) * time.Second), Kind: audit.Decision, ID: fmt.Sprint("ID", i), Gate: "api",
			Scheme: []string{"basic", "bearer"}[random.IntN(2)], User: fmt.Sprint("u", of), Token: fmt.Sprint("t", of), Peer: "10.0.0.1", Client: "10.0.0.1", ClientSource: "peer",
			Method: []string{"GET", "GET", "GET", "PUT"}[random.IntN(4)], Host: "h", Path: fmt.Sprintf("/t%d/%d", (of+random.IntN(8)/7)%10, 10+i), TLS: &secure, BodyState: "absent",
		}
		a := side.decide(&l, nil)
		l.Decision, l.Reason = audit.Deny, a.reason.String()
		if a.allowed {
			l.Decision = audit.Allow
		}
		text, _ := json.Marshal(&l)
		b.Write(append(text, '\n'))
		events = append(events, l)
	}
	return b.String(), events
}

func replayOf(t *testing.T, log string, now, old *Side) *Result {
	t.Helper()
	r, err := Logs(context.Background(), []audit.Input{{Name: "log", Reader: strings.NewReader(log)}}, now, old, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Same+r.NewlyAllowed+r.NewlyDenied+r.Unreplayable != r.Events {
		t.Fatalf("the classes do not add up: %+v", r)
	}
	return r
}

// TestPlantedDifferences changes what some tokens may do: each decision that this touches is found, and no other.
func TestPlantedDifferences(t *testing.T) {
	old := world(t, nil)
	log, events := logOf(old, 20_000)
	if r := replayOf(t, log, old, nil); r.Same != r.Events {
		t.Fatalf("the same manifests: %+v", r)
	}
	changed := world(t, func(rows *policy.Rows) {
		rows.Tokens[3].Revoked = true
		rows.Tokens[4].Grant = policy.Grant{Unrestricted: true}
		rows.Tokens[5].Schemes = policy.Schemes(0).With(policy.Bearer)
	})
	denied, allowed := int64(0), int64(0)
	for _, l := range events {
		switch {
		case l.Token == "t3" && l.Decision == audit.Allow, l.Token == "t5" && l.Scheme == "basic" && l.Decision == audit.Allow:
			denied++
		case l.Token == "t4" && l.Decision == audit.Deny:
			allowed++
		}
	}
	for _, against := range []*Side{nil, old} {
		r := replayOf(t, log, changed, against)
		if r.NewlyAllowed != allowed || r.NewlyDenied != denied || r.Unreplayable != 0 || allowed == 0 || denied == 0 {
			t.Errorf("%d newly allowed, want %d; %d newly denied, want %d; %v", r.NewlyAllowed, allowed, r.NewlyDenied, denied, r.ReasonsUnreplayable)
		}
		sum := int64(0)
		for _, d := range r.Differences {
			sum += d.Count
			if d.Example == "" || d.First.After(d.Last) || d.Token != "t3" && d.Token != "t4" && d.Token != "t5" || strings.Contains(d.PathShape, "1") && !strings.Contains(d.PathShape, "{number}") {
				t.Errorf("%+v", d)
			}
		}
		if sum != allowed+denied {
			t.Errorf("the differences are %d decisions, want %d", sum, allowed+denied)
		}
	}
}

// TestNothingIsGuessed changes one event so that it does not say what the request was.
func TestNothingIsGuessed(t *testing.T) {
	side := world(t, nil)
	for why, edit := range map[string]func(*audit.Logged){
		WhyMaskedQuery: func(l *audit.Logged) { l.Query = "token=REDACTED" },
		WhyMaskedPath:  func(l *audit.Logged) { l.Path = "/t1/patg_REDACTED" },
		WhyMaskedName:  func(l *audit.Logged) { l.User = "patg_REDACTED" },
		WhyCutPath:     func(l *audit.Logged) { l.Truncated, l.PathBytes = true, 5000 },
		WhyCutQuery:    func(l *audit.Logged) { l.Truncated, l.QueryBytes = true, 5000 },
		WhyCutName:     func(l *audit.Logged) { l.Truncated, l.Host = true, strings.Repeat("h", 256) },
		WhyNotUTF8:     func(l *audit.Logged) { l.Path = "/t1/\uFFFD" },
		WhyServer:      func(l *audit.Logged) { l.Decision, l.Reason = audit.Deny, "overloaded" },
		WhyOverride:    func(l *audit.Logged) { l.Decision, l.Reason = audit.Deny, "method_override" },
		WhyDestination: func(l *audit.Logged) { l.Destination = true },
		WhyTokenGone:   func(l *audit.Logged) { l.Token = "t99" },
		WhyPrevious:    func(l *audit.Logged) { l.Previous = true },
		WhyActAs:       func(l *audit.Logged) { l.Decision, l.Reason = audit.Deny, "act_as_denied" },
		WhyBadTarget:   func(l *audit.Logged) { l.Decision, l.Reason, l.Token = audit.Deny, "bad_target", "" },
		WhyEarly:       func(l *audit.Logged) { l.Decision, l.Reason, l.Token = audit.Deny, "tls_required", "" },
		WhyUser:        func(l *audit.Logged) { l.Scheme, l.User = "basic", "somebody" },
		WhyIncomplete:  func(l *audit.Logged) { l.Path = "" },
		WhyForeign: func(l *audit.Logged) {
			l.Decision, l.Reason, l.Token, l.Detail = audit.Deny, "bad_credential", "", "longer than 4 KiB"
		},
	} {
		_, events := logOf(side, 1)
		l := events[0]
		edit(&l)
		text, err := json.Marshal(&l)
		if err != nil {
			t.Fatal(err)
		}
		r := replayOf(t, string(text)+"\n", side, nil)
		if why != WhyBadTarget && r.ReasonsUnreplayable[why] != 1 || why == WhyBadTarget && r.Unreplayable != 1 {
			t.Errorf("%s: %+v", why, r)
		}
	}
}

func TestRotatedSince(t *testing.T) {
	log, _ := logOf(world(t, nil), 500)
	rotated := world(t, func(rows *policy.Rows) {
		for _, token := range rows.Tokens {
			token.Previous = []policy.PreviousValue{{Digest: token.Digest, Issued: token.Issued, Until: noon.AddDate(1, 0, 0)}}
			token.Issued = noon.AddDate(0, 1, 0)
		}
	})
	if r := replayOf(t, log, rotated, nil); r.Same != r.Events {
		t.Errorf("rotated since: %+v", r)
	}
}

func TestPathShape(t *testing.T) {
	for path, want := range map[string]string{
		"/rest/api/2/issue/JRA-12/comment/10017":   "/rest/api/2/issue/{key}/comment/{number}",
		"/v1/123e4567-e89b-42d3-a456-426614174000": "/v1/{uuid}",
		"/commit/0123456789abcdef":                 "/commit/{hex}",
		"/users/alice":                             "/users/alice",
		"":                                         "",
	} {
		if got := PathShape(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
