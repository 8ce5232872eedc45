package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/usage"
)

// TestUsageIsPublished has the uses of two tokens at /usage, resumed by the cursor, and in events, each change once.
func TestUsageIsPublished(t *testing.T) {
	s, out := newIdle(t)
	use := func(name string) {
		d := &policy.Decision{Effect: policy.Allow, Reason: policy.OK, Scheme: policy.Bearer, Token: &policy.Token{Name: name}, Rule: &policy.Rule{Name: "read", Methods: []string{"GET"}}}
		d.Principal.User = "alice"
		s.seen()(d, &audit.Event{Time: time.Now(), Gate: "api"})
	}
	published := httptest.NewServer(s.statusHandler())
	defer published.Close()
	get := func(query string) (lines []usage.Line) {
		answer, err := http.Get(published.URL + "/usage" + query)
		if err != nil || answer.StatusCode != http.StatusOK || answer.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %v, %+v", query, err, answer)
		}
		defer answer.Body.Close()
		for decode := json.NewDecoder(answer.Body); decode.More(); {
			var l usage.Line
			if err := decode.Decode(&l); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, l)
		}
		return lines
	}
	use("a")
	use("b")
	first := get("")
	if len(first) != 2 || first[0].Instance == "" || first[1].Cursor <= first[0].Cursor {
		t.Fatalf("%+v", first)
	}
	use("b")
	since := fmt.Sprintf("?instance=%s&after=%d", first[0].Instance, first[1].Cursor)
	if next := get(since); len(next) != 1 || next[0].Token.Token != "b" || next[0].Count != 2 || next[0].User != "alice" {
		t.Errorf("since %s: %+v", since, next)
	}
	if next := get(strings.Replace(since, "after", "cursor", 1)); len(next) != 1 || next[0].Token.Token != "b" {
		t.Errorf("with the field's own name: %+v", next)
	}
	if all := get("?instance=other&after=99"); len(all) != 2 {
		t.Errorf("for another instance: %+v", all)
	}
	if answer, err := http.Get(published.URL + "/usage?after=x"); err != nil || answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a bad cursor: %v %v", err, answer)
	}

	view, err := newUsageView(nil, newServers([]string{published.URL}))
	if err != nil {
		t.Fatal(err)
	}
	if err := view.others[0].Fetch(context.Background()); err != nil {
		t.Fatal(err)
	}
	if used := view.used("b"); used == nil || used.Count != 2 || used.Gate != "api" {
		t.Errorf("at another server: %+v", used)
	}

	view.own = &s.counters // as if they were of another process
	if rules := view.rules("b").Rules; len(rules) != 1 || rules[0].Count != 4 || rules[0].Rule != "read" || rules[0].Text != "GET" {
		t.Errorf("the rules here and there: %+v", rules)
	}

	s.writeUsage(context.Background())
	s.writeUsage(context.Background())
	use("a")
	s.writeUsage(context.Background())
	if err := s.audit.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		var l audit.Logged
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		reported, ok := usage.Reported(&l)
		if !ok || int64(l.Count) != reported.Count {
			t.Errorf("%s", lines.Bytes())
		}
		got = append(got, fmt.Sprint(l.Token, l.Count))
	}
	if fmt.Sprint(got) != "[a1 b2 a2]" {
		t.Errorf("events of %v", got)
	}
}
