package manifest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

const header = "apiVersion: patgate.dev/v1alpha1\n"

func decode(t *testing.T, text string) []*manifest.Document {
	t.Helper()
	var dec manifest.Decoder
	docs, problems := dec.Decode("f.yaml", []byte(text))
	for _, p := range problems {
		t.Error(p)
	}
	return docs
}

func TestMetadataIsKeptOrIgnored(t *testing.T) {
	docs := decode(t, header+`kind: UserGroup
metadata:
  name: token-users
  namespace: gates
  labels: {team: a}
  annotations: {}
  uid: 1234
  resourceVersion: "7"
  creationTimestamp: null
  managedFields: [{a: b}]
status: {anything: goes}
spec: {members: []}
`)
	m := docs[0].Metadata
	if m.Name.Text != "token-users" || m.Namespace != "gates" || m.Labels["team"] != "a" || m.Name.At != (diag.Pos{Line: 4, Column: 9}) {
		t.Errorf("%+v", m)
	}
}

func TestDocumentsKeepTheirPlaces(t *testing.T) {
	text := "# comment\n" + header + "kind: UserGroup\nmetadata: {name: a}\nspec: {members: []}\n" +
		"--- # another\n" + header + "kind: TokenPolicy\nmetadata: {name: p}\nspec:\n  allow:\n  - path: /a\n\n  - name: b\n    path: /b\n" +
		"---\n" + header + "kind: APIToken\nmetadata: {name: t}\nspec:\n  user: alice\n  digest: sha256:" + strings.Repeat("ab", 32) +
		"\n  issued: 2026-05-01T02:00:00+02:00\n  limitTo: |\n\n    /a\n    [post]/b\n"
	docs := decode(t, text)
	if len(docs) != 3 {
		t.Fatalf("%d documents", len(docs))
	}
	lines := strings.Split(text, "\n")
	at := func(p diag.Pos, want string) {
		t.Helper()
		if got := lines[p.Line-1][p.Column-1:]; got != want {
			t.Errorf("%+v is %q, want %q", p, got, want)
		}
	}
	at(docs[0].Pos, "apiVersion: patgate.dev/v1alpha1")
	at(docs[1].TokenPolicy.Allow[0].At, "path: /a")
	at(docs[1].TokenPolicy.Allow[1].At, "name: b")
	at(docs[2].APIToken.LimitTo[0].At, "/a")
	at(docs[2].APIToken.LimitTo[1].At, "[post]/b")
	if got := docs[2].APIToken.Issued.Time; !got.Equal(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("issued %v", got)
	}
}

func TestMarkersWithinText(t *testing.T) {
	docs := decode(t, header+"kind: UserGroup\nmetadata:\n  name: a\n  annotations:\n    note: |\n      text\n      --- not a marker\nspec: {members: []}\n---\n")
	if len(docs) != 1 || !strings.Contains(docs[0].Metadata.Annotations["note"], "--- not a marker") {
		t.Errorf("%d documents", len(docs))
	}
}

// What other readers of YAML or RFC 3339 take for something else is refused.
func TestScalarsOfOneMeaning(t *testing.T) {
	for field, values := range map[string][]string{
		"spec.expires":              {"2027-06-30T00:00:00+24:00", "2027-06-30T00:00:00-02:60", "2027-06-30T0:00:00Z", "2027-06-30T00:00:00,5Z"},
		"spec.tokens.max":           {"010", "+5", "0x10", "1_000", "1e3"},
		"spec.clientIP.trustedHops": {"01", "+1", "0b1"},
	} {
		for _, value := range values {
			text := header + map[string]string{
				"spec.expires":              "kind: APIToken\nmetadata: {name: t}\nspec: {user: a, issued: 2026-01-01T00:00:00Z, unrestricted: true, digest: 'sha256:" + strings.Repeat("a", 64) + "', expires: '" + value + "'}\n",
				"spec.tokens.max":           "kind: UserGroup\nmetadata: {name: g}\nspec: {members: [], tokens: {max: " + value + "}}\n",
				"spec.clientIP.trustedHops": "kind: Gate\nmetadata: {name: g}\nspec: {clientIP: {source: xff, trustedHops: " + value + "}}\n",
			}[field]
			var dec manifest.Decoder
			if _, problems := dec.Decode("f.yaml", []byte(text)); len(problems) != 1 || problems[0].Field != field {
				t.Errorf("%s %s: %v, want one problem of the field", field, value, problems)
			}
		}
	}
}

func TestLifetimes(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"90d": 90 * day, "2w": 14 * day, "1w2d": 9 * day, "36h": 36 * time.Hour, "1d12h": 36 * time.Hour, "90m": 90 * time.Minute,
		"1h30m": 90 * time.Minute, "forever": policy.Forever, "100000d": 100000 * day,
	} {
		if got, ok := manifest.ParseLifetime(text); !ok || got != want {
			t.Errorf("%s: %v, %v", text, got, ok)
		}
	}
	for _, bad := range []string{"", "0", "0d", "90", "d", "-1d", "-1h", "1.5d", "90 d", "1d-1h", "2d1w", "1d1d", "200000w", "1000000000d",
		"106751d25h", "Forever", "300y", "1d1y", "+1h", "1d+1h", "0h", "99999999h", "+5d", "1w+1d"} {
		if got, ok := manifest.ParseLifetime(bad); ok {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestAddressesAreKeptInOneForm(t *testing.T) {
	docs := decode(t, header+`kind: TokenPolicy
metadata: {name: p}
spec:
  allow:
  - clients: [10.0.0.0/8, 192.0.2.7, "::ffff:192.0.2.0/120", "2001:db8::/32", "::1"]
`)
	var got []string
	for _, c := range docs[0].TokenPolicy.Allow[0].Clients {
		got = append(got, c.String())
	}
	if want := "10.0.0.0/8 192.0.2.7/32 192.0.2.0/24 2001:db8::/32 ::1/128"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestMessagesHideTokens(t *testing.T) {
	value := "patg_0123456789abcdefghijklmnopqrst000000"
	var dec manifest.Decoder
	for _, text := range []string{"kind: " + value, value + ": x", header + "kind: APIToken\nmetadata: {name: " + value + "}\nspec: {user: 1}",
		header + "kind: TokenPolicy\nmetadata: {name: a}\nspec: {allow: [{path: '" + value + "('}]}", "a: *" + value} {
		_, problems := dec.Decode("f.yaml", []byte(text))
		if len(problems) == 0 {
			t.Errorf("%q is good", text)
		}
		for _, p := range problems {
			if strings.Contains(p.String(), value[5:]) {
				t.Errorf("the value is in: %v", p)
			}
		}
	}
}

// FuzzDecode checks that nothing panics, and that each problem has a place.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(header + "kind: Gate\nmetadata: {name: a}\nspec: {hosts: [a]}\n---\n"))
	f.Add([]byte(header + "kind: APIToken\nmetadata: {name: a}\nspec:\n  user: a\n  limitTo: |\n    [get]/a\n"))
	f.Add([]byte("a: &a [*a]\n--- \n? [x]\n: y\n"))
	f.Add([]byte("- !!binary x\n<<: {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var dec manifest.Decoder
		docs, problems := dec.Decode("f.yaml", data)
		lines := 1
		for _, r := range string(data) {
			if strings.ContainsRune("\n\r\u0085\u2028\u2029", r) { // YAML's line breaks
				lines++
			}
		}
		for _, p := range problems {
			if p.Pos.Line < 1 || p.Pos.Line > lines+1 || p.Pos.Column < 1 || p.Message == "" {
				t.Fatalf("%+v of %d lines", p, lines)
			}
			if strings.Contains(p.Message, "a fault of patgate") {
				t.Fatalf("%v", p)
			}
		}
		for _, d := range docs {
			if !d.Broken() && d.Gate == nil && d.APIToken == nil && d.UserGroup == nil && d.TokenPolicy == nil {
				t.Fatalf("a good document of no kind: %+v", d)
			}
		}
	})
}
