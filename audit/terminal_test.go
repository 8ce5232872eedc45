package audit

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// screen is a sink of a few bytes a time that can fail.
type screen struct {
	got  []byte
	fail bool
}

func (s *screen) Await(time.Duration) bool { return true }
func (s *screen) Chunk() int               { return 7 }
func (s *screen) Write(b []byte) (int, error) {
	if s.fail {
		return 0, errors.New("planted")
	}
	n := min(len(b), 7)
	s.got = append(s.got, b[:n]...)
	return n, nil
}

func TestReadableLines(t *testing.T) {
	s := &screen{}
	l := New(NewTerminal(s), Options{Instance: "pod-1"})
	for _, e := range []*Event{
		{Time: at, Kind: Decision, Severity: Info, ID: "ID1", Decision: Allow, Reason: "ok", Gate: "jira", User: "alice", Token: "ci", Method: "GET",
			Host: "jira.example.com", Path: "/rest/api", Query: "a=b"},
		{Time: at, Kind: Decision, Severity: Notice, ID: "ID2", Decision: Deny, Reason: "no_rule_matched", Status: 403, Gate: "jira", User: "alice",
			Rule: "r\x1b[2J\n::error::", Source: "m.yaml:7", Unmatched: "path", Method: "POST", Host: "h", Path: "/x"},
		{Time: at, Kind: Decision, Severity: Notice, ID: "ID3", Decision: Allow, Reason: "forwarded", Shadow: "token_revoked", Method: "GET", Host: "h", Path: "/"},
		{Time: at, Kind: PolicyLoaded, Severity: Info, Revision: 2, Added: 7, AddedNames: []string{"APIToken/a", "APIToken/b", "c", "d", "e", "f"}, Removed: 1},
		{Time: at, Kind: PolicyRejected, Severity: Notice, Revision: 2, Tokens: []string{"a"}, Problems: []string{"m.yaml:1:1: x"}, Count: 1},
		{Time: at, Kind: PolicyRejected, Severity: Notice, Problems: []string{"m.yaml:1:1: x"}, Count: 2},
		{Time: at, Kind: PolicyRejected, Severity: Notice, Revision: 2, Source: "teams/a", Detail: "the directory keeps its last good state", Problems: []string{"m.yaml:1:1: x"}, Count: 1},
		{Time: at, Kind: Gap, Severity: Alert, Count: 3},
	} {
		if err := l.Record(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	clock := at.Local().Format("15:04:05") + " "
	want := clock + "allow    ok  GET jira.example.com/rest/api?a=b  user alice  token ci  gate jira  id ID1\n" +
		clock + `DENY 403 no_rule_matched  POST h/x  user alice  gate jira  rule r\u001b[2J\n::error:: (m.yaml:7)  unmatched path  id ID2` + "\n" +
		clock + "allow    forwarded  GET h/  would be refused: token_revoked  id ID3\n" +
		clock + "policy.loaded  revision 2 is in force  added 7 (APIToken/a, APIToken/b, c, d, e, …)  removed 1\n" +
		clock + "policy.rejected  the last good revision 2 stays in force  tokens a  1 problem  m.yaml:1:1: x\n" +
		clock + "policy.rejected  no revision is in force, so every request is refused  2 problems  m.yaml:1:1: x\n" +
		clock + "policy.rejected  teams/a: the directory keeps its last good state  1 problem  m.yaml:1:1: x\n" +
		clock + "ALERT  audit.gap  count 3\n"
	if string(s.got) != want {
		t.Errorf("%s\nwant\n%s", s.got, want)
	}
}

// TestTerminalThatFails checks that a line that could not be shown counts as not written.
func TestTerminalThatFails(t *testing.T) {
	s := &screen{fail: true}
	terminal := NewTerminal(s)
	line := `{"v":1,"time":"2026-06-01T11:00:00Z","kind":"audit.gap","count":3}` + "\n"
	if n, err := terminal.Write([]byte(line[:20])); n != 20 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := terminal.Write([]byte(line[20:] + line)); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
	s.fail = false
	if n, err := terminal.Write([]byte(line[20:] + line)); n != len(line)-20+len(line) || err != nil || strings.Count(string(s.got), "audit.gap") != 2 {
		t.Errorf("%d, %v, %s", n, err, s.got)
	}
}

func TestTerminalInColors(t *testing.T) {
	s := &screen{}
	terminal := NewTerminal(s)
	terminal.Colored()
	line := `{"v":1,"time":"2026-06-01T11:00:00Z","kind":"decision","decision":"deny","status":403,"reason":"no_gate","id":"A"}` + "\n"
	if _, err := terminal.Write([]byte(line + line)); err != nil {
		t.Fatal(err)
	}
	if got := string(s.got); strings.Count(got, "\x1b[31mDENY 403\x1b[0m") != 2 || strings.Count(got, "\n") != 2 {
		t.Errorf("%q", got)
	}
}
