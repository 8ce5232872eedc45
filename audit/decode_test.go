package audit

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// sampleLines are lines with every field that patgate writes.
func sampleLines() []string {
	events := []*Event{
		{Time: at, Kind: Decision, Severity: Info, ID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", Decision: Allow, Reason: "ok", Gate: "jira", Scheme: "basic",
			User: "alice", UserAsserted: true, Actor: "svc", Token: "ci", Previous: true, Policy: "p", Rule: `allow "x"`, Source: "m/p.yaml:7",
			Observed: []Observation{{"a", "ok"}, {"b", "no"}}, Shadow: "no_rule_matched", Detail: "d", ActAs: "root", Unmatched: "path ü",
			BodyVerdicts: []BodyVerdict{{"m/p.yaml:7", "matches"}}, Client: netip.MustParseAddr("192.0.2.7"), ClientSource: "xff",
			Peer: netip.MustParseAddr("10.0.0.1"), PeerName: "envoy", Method: "GET", Host: "jira.example.com", Path: "/rest/" + strings.Repeat("é", 3000),
			Query: "expand=names&q=\x01" + strings.Repeat("x", 3000), UserAgent: "curl/8", TLS: true, RouteNamed: true, BodyState: "whole", Destination: true,
			RequestID: "0b4f3c62", Traceparent: "00-", Revision: 3, Elapsed: 12 * time.Microsecond, BasicEnds: at, Secret: token.NewSecret("qt3sumg4gd8r47n98tcnmuarnfufviog")},
		{Time: at, Kind: PolicyLoaded, SHA256: "00", Added: 1, Changed: 2, Removed: 3, AddedNames: []string{"a", "b"}, ChangedNames: []string{"c"}, RemovedNames: []string{"d"}},
		{Time: at, Kind: PolicyRejected, Problems: []string{"a: b", "c\n"}, Count: 2, Tokens: []string{"t"}},
		{Time: at, Kind: TokenUpdated, By: "alice", Via: "api", Fields: []string{"limitTo"}},
		{Time: at, Kind: TokenUsage, Token: "t", Count: 3, Uses: []Use{{"basic", true, 3, at, at}}},
	}
	var lines []string
	for i, e := range events {
		line, _ := new(Log).appendLine(nil, &entry{line: appendEvent(nil, e, "pod-1")}, uint64(i+1), tag{})
		lines = append(lines, strings.TrimSuffix(string(line), "\n"))
	}
	return lines
}

// TestDecodeLineReadsWrittenLines checks that the lines of decisions and changes are read the fast way.
func TestDecodeLineReadsWrittenLines(t *testing.T) {
	for i, line := range sampleLines()[:4] {
		var got Logged
		if !decodeLine([]byte(line), &got) {
			t.Errorf("line %d is left to encoding/json: %s", i+1, line)
		}
	}
}

// FuzzDecodeLine holds the fast decoder to encoding/json: what it takes it reads the same.
func FuzzDecodeLine(f *testing.F) {
	for _, line := range sampleLines() {
		f.Add(line)
		for _, edit := range [][2]string{
			{`"v":1`, `"v":01`}, {`"v":1`, `"v":-1`}, {`"v":1`, `"v":1e0`}, {`"v":1`, `"V":1`}, {`"v":1`, `"v":null`}, {`"v":1`, `"v":9223372036854775808`},
			{`"seq":`, `"seq":18446744073709551615,"seq":`}, {`"seq":1`, `"seq":0,"seq":7`}, {`"kind":"`, `"kind":"a","kind":"`}, {`06-01T`, `02-29T`}, {`06-01T`, `13-01T`},
			{`12:00:00`, `24:00:00`}, {`11:00:00`, `11:00:60`}, {`Z"`, `+00:00"`}, {`000001Z`, `00001Z`}, {`"instance":"`, "\"instance\":\"\xff"}, {`"instance":"`, "\"instance\":\"\x7f\u2028"},
			{`"instance":"`, `"instance":"\ud800`}, {`"instance":"`, `"instance":"\x`}, {`{"a"`, `{"a":"","a"`}, {`["a"`, `[null,"a"`}, {`["a"`, `["a",`}, {`}`, `},`}, {`,"`, `, "`},
			{`true`, `tru`}, {`"tls":true`, `"tls":null`}, {`"unmatched":`, `"unmatched":[],"unmatched":`}, {`"revision":3`, `"revision":3,"revision":0`},
		} {
			if edited := strings.Replace(line, edit[0], edit[1], 1); edited != line {
				f.Add(edited)
			}
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		var fast, slow Logged
		if !decodeLine([]byte(line), &fast) {
			if !reflect.DeepEqual(fast, Logged{}) {
				t.Errorf("%q is refused, and leaves %+v", line, fast)
			}
			return
		}
		if err := json.Unmarshal([]byte(line), &slow); err != nil {
			t.Fatalf("%q is taken, and is none: %v", line, err)
		}
		if !reflect.DeepEqual(fast, slow) {
			t.Fatalf("%q:\n%+v, want\n%+v", line, fast, slow)
		}
	})
}
