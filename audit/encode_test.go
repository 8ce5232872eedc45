package audit

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

var at = time.Date(2026, 6, 1, 12, 0, 0, 1500, time.FixedZone("", 3600))

// written returns an event's line, which must be one JSON object.
func written(t testing.TB, e *Event) (text string, fields map[string]any) {
	t.Helper()
	en := &entry{seq: 7, line: appendEvent(nil, e, "pod-1")}
	b, _ := new(Log).appendLine(nil, en, en.seq, tag{})
	if n := strings.Count(string(b), "\n"); n != 1 || b[len(b)-1] != '\n' {
		t.Fatalf("%d line ends in %q", n, b)
	}
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatalf("%v in %q", err, b)
	}
	return string(b), fields
}

func TestEveryFieldHasItsPlace(t *testing.T) {
	e := &Event{
		Time: at, Kind: Decision, Severity: Notice, ID: "ABC", Decision: Deny, Reason: "no_rule_matched", Status: 403,
		Gate: "jira", Scheme: "basic", User: "alice", UserAsserted: true, Actor: "bob", Token: "ci", Previous: true,
		Policy: "p", Rule: "allow[2]", Source: "m/p.yaml:7", Observed: []Observation{{"q", "rule_denied"}, {"r", "ok"}}, Shadow: "token_expired",
		Client: netip.MustParseAddr("192.0.2.7"), ClientSource: "xff", Peer: netip.MustParseAddr("::1"),
		Method: "GET", Host: "jira.example.com", Path: "/a%20b", Query: "a=b&token=c", UserAgent: "curl/8", TLS: true, RouteNamed: true, BodyState: "whole",
		Detail: "a cause", ActAs: "svc", Unmatched: "path", BodyVerdicts: []BodyVerdict{{"m/p.yaml:7", "fails"}, {"m/p.yaml:9", "undecidable"}}, RequestID: "r-1", Traceparent: "00-x",
		Revision: 3, Elapsed: 1234567 * time.Nanosecond, BasicEnds: at,
	}
	want := `{"v":1,"seq":7,"instance":"pod-1","time":"2026-06-01T11:00:00.000001Z","kind":"decision","severity":"notice","id":"ABC",` +
		`"decision":"deny","reason":"no_rule_matched","status":403,"gate":"jira","scheme":"basic","user":"alice","userAsserted":true,` +
		`"actor":"bob","token":"ci","previous":true,"policy":"p","rule":"allow[2]","source":"m/p.yaml:7",` +
		`"observed":{"q":"rule_denied","r":"ok"},"shadow":"token_expired","detail":"a cause","actAs":"svc","unmatched":"path",` +
		`"bodyVerdicts":{"m/p.yaml:7":"fails","m/p.yaml:9":"undecidable"},"client":"192.0.2.7","clientSource":"xff","peer":"::1",` +
		`"method":"GET","host":"jira.example.com","path":"/a%20b","query":"a=b&token=REDACTED","userAgent":"curl/8","requestId":"r-1","traceparent":"00-x",` +
		`"revision":3,"tls":true,"routeNamed":true,"bodyState":"whole","micros":1234,"basicEnds":"2026-06-01T11:00:00Z"}` + "\n"
	if got, _ := written(t, e); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	got, _ := written(t, &Event{Time: at, Kind: PolicyRejected, Severity: Notice, Revision: 2, Tokens: []string{"a", "b"}, Problems: []string{"f:1:1: x"}, Count: 4})
	want = `{"v":1,"seq":7,"instance":"pod-1","time":"2026-06-01T11:00:00.000001Z","kind":"policy.rejected","severity":"notice",` +
		`"revision":2,"tokens":["a","b"],"problems":["f:1:1: x"],"count":4}` + "\n"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestTextFromClients(t *testing.T) {
	const head = maxPath - maxTail - len(ellipsis)
	for _, c := range []struct {
		name, in, want string
		cut            bool
	}{
		{"plain", "/a/b", `"/a/b"`, false},
		{"quotes", `/"\`, `"/\"\\"`, false},
		{"control characters", "/\n\x1b[31m\x7f\u0085\u2028", `"/\u000a\u001b[31m\u007f\u0085\u2028"`, false},
		{"UTF-8", "/rés\U0001F600", `"/rés😀"`, false},
		{"not UTF-8", "/\xff\xc3x", `"/\\xff\\xc3x"`, false},
		{"as long as may be", strings.Repeat("a", maxPath), `"` + strings.Repeat("a", maxPath) + `"`, false},
		{"longer", strings.Repeat("a", maxPath+1), `"` + strings.Repeat("a", head) + "…" + strings.Repeat("a", maxTail) + `"`, true},
		{"the end counts", "/" + strings.Repeat("a", maxPath) + "/delete", `"/` + strings.Repeat("a", head-1) + "…" + strings.Repeat("a", maxTail-7) + `/delete"`, true},
		{"cut before a character", strings.Repeat("a", head-1) + strings.Repeat("é", maxPath), `"` + strings.Repeat("a", head-1) + "…" + strings.Repeat("é", maxTail/2) + `"`, true},
		{"cut before an escape", strings.Repeat("a", head-5) + strings.Repeat("\n", maxPath), `"` + strings.Repeat("a", head-5) + "…" + strings.Repeat(`\u000a`, maxTail/6) + `"`, true},
		{"cut before a byte", strings.Repeat("\xff", maxPath), `"` + strings.Repeat(`\\xff`, head/5) + "…" + strings.Repeat(`\\xff`, maxTail/5) + `"`, true},
	} {
		got, fields := written(t, &Event{Time: at, Kind: Decision, Path: c.in})
		if !strings.Contains(got, `"path":`+c.want+`,`) {
			t.Errorf("%s: %.200s", c.name, got)
		}
		if cut := fields["truncated"] == true; cut != c.cut {
			t.Errorf("%s: truncated %v", c.name, cut)
		}
		if size, _ := fields["pathBytes"].(float64); (size > 0) != c.cut || c.cut && int(size) != len(c.in) {
			t.Errorf("%s: pathBytes %v, want %d", c.name, size, len(c.in))
		}
	}
}

func TestLinesStayBelow16KiB(t *testing.T) {
	evil := strings.Repeat("\x00\xff\"", 1<<16)
	var list []string
	var observed []Observation
	var verdicts []BodyVerdict
	for range 1000 {
		list = append(list, evil)
		verdicts = append(verdicts, BodyVerdict{evil, "fails"})
		observed = append(observed, Observation{strings.Repeat("p", 253), "no_rule_matched"})
	}
	for _, e := range []*Event{
		{Time: at, Kind: Decision, User: evil, Actor: evil, Rule: evil, Source: evil, Method: evil, Host: evil, Path: evil,
			Query: evil, RequestID: evil, Traceparent: evil, Observed: observed,
			UserAgent: evil, Detail: evil, ActAs: evil, Unmatched: evil, PeerName: evil, BodyVerdicts: verdicts},
		{Time: at, Kind: PolicyLoaded, AddedNames: list[:20], ChangedNames: list[:20], RemovedNames: list[:20]},
		{Time: at, Kind: PolicyRejected, Tokens: list[:1000], Problems: list},
	} {
		got, fields := written(t, e)
		if len(got) > 16<<10 || fields["truncated"] != true {
			t.Errorf("%d bytes, truncated %v", len(got), fields["truncated"])
		}
	}
}

func TestMasks(t *testing.T) {
	minted := token.Mint().Reveal()
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for in, want := range map[string]string{
		"a=b":                               "a=b",
		"token=abc":                         "token=REDACTED",
		"a=1&ACCESS_TOKEN=abc&b=2":          "a=1&ACCESS_TOKEN=REDACTED&b=2",
		"%74oken=abc":                       "%74oken=REDACTED",
		"token[]=abc":                       "token[]=REDACTED",
		"a=1;code=abc":                      "a=1;code=REDACTED",
		"tokens=abc":                        "tokens=abc",
		"token":                             "token",
		"token=":                            "token=REDACTED",
		"x=" + minted:                       "x=patg_REDACTED",
		"x=presented-value&y":               "x=REDACTED&y",
		"os_password=a;b#c&d=e":             "os_password=REDACTED&d=e",
		"x=1;token=a;b":                     "x=1;token=REDACTED",
		"os_password=a=b&apikey=c&Sig=d":    "os_password=REDACTED&apikey=REDACTED&Sig=REDACTED",
		"tok%2565n=abc":                     "tok%2565n=REDACTED",
		"token;=abc&b=1":                    "token;=REDACTED&b=1",
		"access.token=a&access+token=b":     "access.token=REDACTED&access+token=REDACTED",
		"refresh_token=a&id_token=b":        "refresh_token=REDACTED&id_token=REDACTED",
		"client_secret=a&pass=b&pwd=c":      "client_secret=REDACTED&pass=REDACTED&pwd=REDACTED",
		"auth=a&auth_token=b":               "auth=REDACTED&auth_token=REDACTED",
		"private_token=a&x-api-key=b":       "private_token=REDACTED&x-api-key=REDACTED",
		"X-Amz-Signature=a&sessionid=b":     "X-Amz-Signature=REDACTED&sessionid=REDACTED",
		"user[password]=a&author=b":         "user[password]=REDACTED&author=b",
		"url=http://x?token=a&b=1":          "url=http://x?token=REDACTED&b=1",
		"x=" + b64(minted):                  "x=REDACTED",
		"x=" + b64("alice:presented-value"): "x=REDACTED",
		"api_key=a&key=b&secret=c":          "api_key=REDACTED&key=REDACTED&secret=REDACTED",
		"password=a&signature=b&+token=c":   "password=REDACTED&signature=REDACTED&+token=REDACTED",
	} {
		_, fields := written(t, &Event{Time: at, Kind: Decision, Query: in, Secret: token.NewSecret("presented-value")})
		if fields["query"] != want {
			t.Errorf("%s: %v, want %s", in, fields["query"], want)
		}
	}
	got, _ := written(t, &Event{Time: at, Kind: Decision, User: minted, Actor: minted, Host: "alice:pass@" + minted, Path: "/" + minted,
		RequestID: minted, Traceparent: minted, Method: minted, Rule: minted})
	if strings.Contains(got, minted[5:]) || strings.Contains(got, "pass@") {
		t.Errorf("a value is in %s", got)
	}
}

// FuzzAuditEncode checks that an event is one line of valid JSON below 16 KiB, without the
// value that was presented.
func FuzzAuditEncode(f *testing.F) {
	f.Add("alice", "/a\xff", "token=x", "canary-canary", "r\n1")
	f.Add("", "0", "0", "0000%0000000", "0")
	f.Fuzz(func(t *testing.T, user, path, query, secret, id string) {
		got, _ := written(t, &Event{Time: at, Kind: Decision, User: user, Host: user, Path: path + secret, Query: query + "&x=" + secret,
			RequestID: id, Secret: token.NewSecret(secret)})
		if len(got) > 16<<10 {
			t.Fatalf("%d bytes", len(got))
		}
		if len(secret) >= 12 && strings.Contains(got, secret) && !strings.Contains(user+path+query+id+redacted, secret[:6]) {
			t.Fatalf("%q is in %s", secret, got)
		}
	})
}

// FuzzCanary plants the presented credential and a minted value in every text of an
// event, plain and in base64 at any alignment, and checks that neither is in the line.
func FuzzCanary(f *testing.F) {
	f.Add("alice:", "&b=1", uint8(0))
	f.Add("/a/", "=", uint8(3))
	const canary = "Canary.9-of~those_presented"
	minted := token.Mint().Reveal()
	f.Fuzz(func(t *testing.T, before, after string, form uint8) {
		for _, value := range []string{canary, minted} {
			planted := before + value + after
			switch form % 4 {
			case 1:
				planted = base64.StdEncoding.EncodeToString([]byte(planted))
			case 2:
				planted = base64.RawURLEncoding.EncodeToString([]byte(planted))
			case 3:
				planted = before + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(value+after)))
			}
			got, fields := written(t, &Event{Time: at, Kind: Decision, User: planted, Actor: planted, Host: planted, Path: "/" + planted, Query: "a=" + planted,
				Rule: planted, Method: planted, RequestID: planted, Traceparent: planted, UserAgent: planted, ActAs: planted, Unmatched: planted,
				Secret: token.NewSecret(canary), Credential: token.NewSecret(base64.StdEncoding.EncodeToString([]byte("alice:" + canary)))})
			if len(got) > 16<<10 {
				t.Fatalf("%d bytes", len(got))
			}
			for name, field := range fields {
				if text, ok := field.(string); ok && (strings.Contains(text, value) || decodes(text, value)) {
					t.Fatalf("%q is in %s: %s", value, name, text)
				}
			}
		}
	})
}

// decodes reports whether a run of base64 characters in text holds value once it is decoded.
func decodes(text, value string) bool {
	if plain, err := url.PathUnescape(text); err == nil && plain != text && decodes(plain, value) {
		return true
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	for _, run := range strings.FieldsFunc(text, func(r rune) bool { return !strings.ContainsRune(alphabet, r) }) {
		for shift := range min(4, len(run)) {
			part := run[shift : len(run)-(len(run)-shift)%4]
			if decoded, err := base64.RawStdEncoding.DecodeString(part); err == nil && strings.Contains(string(decoded), value) {
				return true
			}
		}
	}
	return false
}

func BenchmarkEncode(b *testing.B) {
	e := &Event{Time: at, Kind: Decision, Severity: Info, ID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", Decision: Allow, Reason: "ok",
		Gate: "jira", Scheme: "basic", User: "alice", Token: "ci", Rule: "allow[2]", Source: "m/p.yaml:7",
		Client: netip.MustParseAddr("192.0.2.7"), ClientSource: "xff", Peer: netip.MustParseAddr("10.0.0.1"),
		Method: "GET", Host: "jira.example.com", Path: "/rest/api/2/issue/JRA-1", Query: "expand=names", RequestID: "0b4f3c62-95b0-4b86-9d3a-7d6b0d4d3f5e",
		Revision: 3, Elapsed: 12 * time.Microsecond, Secret: token.NewSecret("qt3sumg4gd8r47n98tcnmuarnfufviog")}
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = appendEvent(buf[:0], e, "pod-1")
	}
}
