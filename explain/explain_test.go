package explain_test

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/patgate/patgate/explain"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

const manifests = `apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: hopped}
spec:
  hosts: ["*.example.com"]
  schemes: [bearer, basic]
  clientIP: {source: xff, trustedHops: 2}
  actAs: {header: x-on-behalf-of}
---
apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: named}
spec:
  hosts: [named.example.org]
  schemes: [bearer]
  clientIP: {source: header, header: x-real-client}
  requireTLS: true
---
apiVersion: patgate.dev/v1alpha1
kind: APIToken
metadata: {name: office}
spec:
  user: alice
  logins: [alice@example.com]
  digest: sha256:a225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8
  issued: 2026-05-01T00:00:00Z
  clients: {allow: [10.0.0.0/8]}
  actAs: ["svc-.*"]
  unrestricted: true
---
apiVersion: patgate.dev/v1alpha1
kind: APIToken
metadata: {name: honey}
spec:
  digest: sha256:c225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8
  issued: 2026-05-01T00:00:00Z
  canary: true
---
apiVersion: patgate.dev/v1alpha1
kind: APIToken
metadata: {name: body}
spec:
  user: alice
  digest: sha256:d225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8
  issued: 2026-05-01T00:00:00Z
  allow:
  - json: {a: "1"}
---
apiVersion: patgate.dev/v1alpha1
kind: APIToken
metadata: {name: query}
spec:
  user: alice
  digest: sha256:e225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8
  issued: 2026-05-01T00:00:00Z
  allow:
  - query: {a: "1"}
---
apiVersion: patgate.dev/v1alpha1
kind: APIToken
metadata: {name: anybody}
spec:
  anyUser: true
  digest: sha256:b225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8
  issued: 2026-05-01T00:00:00Z
  unrestricted: true
`

func rows(t *testing.T) policy.Rows {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "m.yaml"), []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	set := loaderdir.Load([]string{dir})
	rows, problems := set.Rows, set.Problems
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return rows
}

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// TestAnswer asks questions in the ways in which people leave things out.
func TestAnswer(t *testing.T) {
	all := rows(t)
	inside, outside := netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("192.0.2.7")
	for _, c := range []struct {
		name string
		q    explain.Question
		want string
	}{
		{"the address stands where the gate looks for it", explain.Question{Host: "a.example.com", Token: "office", Client: inside}, "allow ok"},
		{"also in a header", explain.Question{Host: "named.example.org", Token: "office", Client: inside, TLS: true}, "allow ok"},
		{"another address", explain.Question{Host: "a.example.com", Token: "office", Client: outside}, "deny client_denied"},
		{"no address", explain.Question{Host: "a.example.com", Token: "office"}, "deny client_denied"},
		{"without TLS", explain.Question{Host: "named.example.org", Token: "office", Client: inside}, "deny tls_required"},
		{"one of the logins", explain.Question{Host: "a.example.com", Token: "office", Client: inside, User: "alice@example.com", Scheme: policy.Basic}, "allow ok"},
		{"another user", explain.Question{Host: "a.example.com", Token: "office", Client: inside, User: "bob", Scheme: policy.Basic}, "deny user_mismatch"},
		{"as Bearer, which the gate names first", explain.Question{Host: "a.example.com", Token: "office", Client: inside, User: "bob"}, "allow ok"},
		{"for another user", explain.Question{Host: "a.example.com", Token: "office", Client: inside, Header: map[string][]string{"X-On-Behalf-Of": {"svc-a"}}}, "allow ok"},
		{"for one it may not", explain.Question{Host: "a.example.com", Token: "office", Client: inside, Header: map[string][]string{"x-on-behalf-of": {"bob"}}}, "deny act_as_denied"},
		{"for two at once", explain.Question{Host: "a.example.com", Token: "office", Client: inside, Header: map[string][]string{"x-on-behalf-of": {"svc-a", "svc-b"}}}, "deny act_as_denied"},
		{"a honeytoken", explain.Question{Host: "a.example.com", Token: "honey"}, "deny token_canary"},
		{"a body", explain.Question{Host: "a.example.com", Token: "body", Body: []byte(`{"a":1}`)}, "allow ok"},
		{"an empty body", explain.Question{Host: "a.example.com", Token: "body", Body: []byte{}}, "deny body_unavailable"},
		{"a body of an upgrade", explain.Question{Host: "a.example.com", Token: "body", Body: []byte(`{"a":1}`), Header: map[string][]string{"Upgrade": {"websocket"}}}, "deny body_unavailable"},
		{"a form body, said by its type", explain.Question{Host: "a.example.com", Token: "query", Body: []byte("b=1"), Header: map[string][]string{"Content-Type": {"application/x-www-form-urlencoded"}}}, "deny query_unreadable"},
		{"a JSON body beside a query", explain.Question{Host: "a.example.com", Token: "query", Body: []byte("{}")}, "allow ok"},
		{"of any user", explain.Question{Host: "a.example.com", Token: "anybody", User: "bob"}, "allow ok"},
		{"of any user, where Basic is off", explain.Question{Host: "named.example.org", Token: "anybody", User: "bob", TLS: true}, "deny scheme_denied"},
		{"the route names the gate", explain.Question{Host: "a.example.com", Gate: "named", Token: "office", Client: inside, TLS: true}, "allow ok"},
		{"nobody's value", explain.Question{Host: "a.example.com", Value: token.Mint(), User: "bob"}, "deny token_unknown"},
		{"two credentials", explain.Question{Host: "a.example.com", Token: "office", Header: map[string][]string{"authorization": {"Bearer x"}}}, "deny bad_credential"},
		{"none", explain.Question{Host: "a.example.com"}, "deny no_credential"},
		{"no gate", explain.Question{Host: "example.net"}, "deny no_gate"},
	} {
		c.q.Now, c.q.Method, c.q.Target = now, "GET", "/rest/?a=1"
		e, err := explain.Answer(all, &c.q)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := e.Decision + " " + e.Reason; got != c.want {
			t.Errorf("%s: %s, want %s\n%s", c.name, got, c.want, e.Text())
		}
	}
}

func TestQuestionsThatAreRefused(t *testing.T) {
	all := rows(t)
	for _, c := range []struct {
		q    explain.Question
		want string
	}{
		{explain.Question{Token: "ofice"}, "did you mean office?"},
		{explain.Question{Gate: "name"}, "did you mean named?"},
		{explain.Question{Token: "anybody"}, "expected the user who presents it"},
	} {
		if _, err := explain.Answer(all, &c.q); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.q, err)
		}
	}
}

// TestWhyARuleIsUndecidable wants the reason in both forms of an explanation.
func TestWhyARuleIsUndecidable(t *testing.T) {
	e, err := explain.Answer(rows(t), &explain.Question{
		Now: now, Method: "POST", Target: "/?a=1", Host: "a.example.com", Token: "query", Body: []byte("a=2"),
		Header: map[string][]string{"content-type": {"multipart/form-data; boundary=x"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const why = "the API may take parameters from the form body too"
	if !strings.Contains(e.Text(), "can't be decided: query a, "+why) || len(e.Rules) != 1 || e.Rules[0].Why != why {
		t.Errorf("%s%+v", e.Text(), e.Rules)
	}
}

// TestWhatIsShown wants what a request holds to be shown as the audit shows it: masked, and
// without what a terminal would obey.
func TestWhatIsShown(t *testing.T) {
	value := token.Mint().Reveal()
	e, err := explain.Answer(rows(t), &explain.Question{Now: now, Method: "GET", Host: "a.example.com", User: value, Value: token.Mint(),
		Target: "/x/" + value + "?access_token=hunter2&x=\x1b[2J"})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{value, "hunter2", "\x1b"} {
		if strings.Contains(e.Text(), bad) {
			t.Errorf("%q is in %q", bad, e.Text())
		}
	}
}

// TestNoValueIsTold presents values, minted and from elsewhere, in every place of a
// request that is told, and wants nothing of them in either form of the explanation.
func TestNoValueIsTold(t *testing.T) {
	all, minted := rows(t), token.Mint()
	for _, value := range []token.Secret{minted, token.NewSecret("a-value-from-elsewhere")} {
		text := value.Reveal()
		escaped := "%" + hex.EncodeToString([]byte(text[:1])) + text[1:]
		for _, q := range []explain.Question{
			{Host: "a.example.com", Target: "/x"},
			{Host: "a.example.com", Target: "/x/" + text + "?access_token=" + text},
			{Host: "a.example.com", Target: "/x/" + escaped + "?a=" + escaped},
			{Host: text + ".example.com", Target: "/x"},
			{Host: "a.example.com", Target: "/x", User: text, Scheme: policy.Basic},
			{Host: "a.example.com", Target: "/x", User: "bob", Method: text},
			{Host: "a.example.com", Target: "/x/" + text, Scheme: policy.Basic, Header: map[string][]string{"authorization": {"Basic x"}}}, // malformed
			{Host: "a.example.com", Target: "/x", User: "bob", Header: map[string][]string{"x-on-behalf-of": {text}, "x-forwarded-for": {text}}},
		} {
			q.Now, q.Value = now, value
			if q.Method == "" {
				q.Method = "GET"
			}
			e, err := explain.Answer(all, &q)
			if err != nil {
				t.Fatal(err)
			}
			asJSON, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			for _, told := range []string{e.Text(), string(asJSON)} {
				if strings.Contains(told, text[5:]) {
					t.Errorf("the value is told:\n%s", told)
				}
			}
		}
	}
}

// TestTextIsPlain wants a request not to steer a terminal, nor to look like a line of ours.
func TestTextIsPlain(t *testing.T) {
	e, err := explain.Answer(rows(t), &explain.Question{Now: now, Method: "GET", Target: "/\x1b[2J\n  ok  grant allow", Host: "a\u202eb"})
	if err != nil {
		t.Fatal(err)
	}
	if text := e.Text(); strings.ContainsAny(text, "\x1b\u202e") || strings.Contains(text, "\n  ok  grant") {
		t.Errorf("%q", text)
	}
}
