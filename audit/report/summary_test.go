package report

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/audit"
)

// TestSummaryCounts compares a summary of a log that many goroutines read with a plain count.
func TestSummaryCounts(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var log strings.Builder
	reasons, allowed, clients := map[string]int64{}, map[string]int64{}, map[string]map[string]bool{}
	const events = 30_000 // several pieces
	for seq := range events {
		token, client := fmt.Sprint("t", random.IntN(40)), fmt.Sprint("10.0.0.", random.IntN(30))
		reason, decision := "ok", "allow"
		if random.IntN(5) == 0 {
			reason, decision = "no_rule_matched", "deny"
		} else {
			allowed[token]++
		}
		reasons[reason]++
		if clients[token] == nil {
			clients[token] = map[string]bool{}
		}
		clients[token][client] = true
		fmt.Fprintf(&log, `{"v":1,"seq":%d,"instance":"a","time":%q,"kind":"decision","decision":%q,"reason":%q,"token":%q,"client":%q,"user":"u","scheme":"basic"}`+"\n",
			seq+1, start.Add(time.Duration(seq)*time.Second).Format(time.RFC3339), decision, reason, token, client)
	}
	s, err := Summarize(context.Background(), []audit.Input{{Name: "log", Reader: strings.NewReader(log.String())}}, &Filter{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Events != events || !reflect.DeepEqual(s.Reasons, reasons) || !s.First.Equal(start) || !s.Last.Equal(start.Add((events-1)*time.Second)) {
		t.Errorf("%d events from %v to %v, %v, want %v", s.Events, s.First, s.Last, s.Reasons, reasons)
	}
	for _, token := range s.Tokens {
		if token.Allowed != allowed[token.Token] || token.Clients != len(clients[token.Token]) || token.Schemes["basic"] != token.Allowed+token.Denied {
			t.Errorf("%+v, want %d allowed and %d clients", token, allowed[token.Token], len(clients[token.Token]))
		}
	}
	if len(s.Tokens) != 40 || len(s.Broken) != 40 || len(s.Users) != 1 || s.Users[0].Allowed+s.Users[0].Denied != events {
		t.Errorf("%d tokens, %d broken clients, users %v", len(s.Tokens), len(s.Broken), s.Users)
	}
}

// A caller who presents a token under another name does not rename its user.
func TestSummaryKeepsTheUser(t *testing.T) {
	var log strings.Builder
	for seq, call := range []string{
		`"decision":"allow","reason":"ok","user":"alice"`,
		`"decision":"deny","reason":"user_mismatch","user":"mallory","userAsserted":true`,
		`"decision":"allow","reason":"ok","shadow":"user_mismatch","user":"mallory","userAsserted":true`,
	} {
		fmt.Fprintf(&log, `{"v":1,"seq":%d,"instance":"a","time":%q,"kind":"decision","token":"t","scheme":"basic",%s}`+"\n",
			seq+1, start.Add(time.Duration(seq)*time.Second).Format(time.RFC3339), call)
	}
	s, err := Summarize(context.Background(), []audit.Input{{Name: "log", Reader: strings.NewReader(log.String())}}, &Filter{}, nil)
	if err != nil || len(s.Tokens) != 1 || s.Tokens[0].User != "alice" || s.Tokens[0].Denied != 1 {
		t.Errorf("%+v, %v", s.Tokens, err)
	}
}

func TestGroupsAreBounded(t *testing.T) {
	tally := newTally()
	for i := range MaxGroups + 5 {
		tally.count(&audit.Logged{Kind: audit.Decision, User: fmt.Sprint(i), Time: start})
	}
	if len(tally.users) != MaxGroups || tally.other != 5 {
		t.Errorf("%d users, %d others", len(tally.users), tally.other)
	}
}
