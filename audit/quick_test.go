package audit

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// FuzzQuickLine holds a line that is looked through as a whole to one with each text masked for itself.
func FuzzQuickLine(f *testing.F) {
	minted := token.Mint().Reveal()
	f.Add("jira.example.com", "/rest/api/2/issue/P1-123", "fields=summary", "curl/8.0", "a-secret-value", "a-secret-value", "manifests/p.yaml", 7)
	f.Add("user:"+minted+"@host", "/rest/"+minted, "a=%20b&token=c", "a\"\\\x00\x7f\xff\u2028é", minted, "Y2k6"+minted, "m/\"é.yaml", 0)
	f.Add("h", strings.Repeat("/a-secret-value", 300), strings.Repeat("x", 3000), "decision", "decision", "kind-and-more", strings.Repeat("f", 600), 123)
	f.Add("h", "/"+minted[:9], "q=cGF0Z1", "hdGdf YXRnX", "\xff\xfe123456", "with \"quotes\"", "patg_x.yaml", 1)
	f.Add("h", "/", "", "", "a-secret-value", "a-secret-value", base64.StdEncoding.EncodeToString([]byte("a-secret-value")), 2)
	f.Add("h", "/", "", "", "a-secret-value", "a-secret-value", "m/%61-secret-value.yaml", 3)
	f.Fuzz(func(t *testing.T, host, path, query, agent, secret, credential, source string, line int) {
		for _, planted := range []string{"", secret, credential} {
			e := &Event{
				Time: time.Unix(int64(line)*1e7, 123456789), Kind: Decision, Severity: Info, ID: "ABC", Decision: Allow, User: agent + planted,
				Host: host, Path: path + planted, Query: query + planted, UserAgent: agent, Source: source + planted, SourceLine: line,
				Secret: token.NewSecret(secret), Credential: token.NewSecret(credential),
			}
			if got, want := string(appendEvent(nil, e, "pod-1")), string(appendMasked(nil, e, "pod-1")); got != want {
				t.Fatalf("%s\nwant\n%s", got, want)
			}
		}
	})
}

func TestPlainText(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			text := []byte("plain text, as it is")
			text[at] = byte(c)
			if got := isPlainText(string(text)); got != isPlain[c] {
				t.Errorf("%q: %v", text, got)
			}
		}
	}
}

func TestAppendTime(t *testing.T) {
	for _, at := range []time.Time{
		{}, time.Unix(0, 0), time.Unix(1780000000, 123456789), time.Unix(1780000000, 999), time.Unix(1767225599, 999999999),
		time.Date(999, 12, 31, 23, 59, 59, 5e8, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 5e8, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		if got, want := string(appendTime(nil, at.UTC())), at.UTC().Format(timeFormat); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
