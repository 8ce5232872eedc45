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

// TestAnswer explains requests with various fields left out.
func TestAnswer(t *testing.T) {
	all := rows(t)
	inside, outside := netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("192.0.2.7")
	for _, c := range []struct {
		name string
		q    explain.Request
		want string
	}{
		{"the address is where the gate looks for it", explain.Request{Host: "a.example.com", Token: "office", Client: inside}, "allow ok"},
		{"also in a header", explain.Request{Host: "named.example.org", Token: "office", Client: inside, TLS: true}, "allow ok"},
		{"another address", explain.Request{Host: "a.example.com", Token: "office", Client: outside}, "deny client_denied"},
		{"no address", explain.Request{Host: "a.example.com", Token: "office"}, "deny client_denied"},
		{"without TLS", explain.Request{Host: "named.example.org", Token: "office", Client: inside}, "deny tls_required"},
		{"one of the logins", explain.Request{Host: "a.example.com", Token: "office", Client: inside, User: "alice@example.com", Scheme: policy.Basic}, "allow ok"},
		{"another user", explain.Request{Host: "a.example.com", Token: "office", Client: inside, User: "bob", Scheme: policy.Basic}, "deny user_mismatch"},
		{"as Bearer, which the gate names first", explain.Request{Host: "a.example.com", Token: "office", Client: inside, User: "bob"}, "allow ok"},
		{"for another user", explain.Request{Host: "a.example.com", Token: "office", Client: inside, Header: map[string][]string{"X-On-Behalf-Of": {"svc-a"}}}, "allow ok"},
		{"for one it may not", explain.Request{Host: "a.example.com", Token: "office", Client: inside, Header: map[string][]string{"x-on-behalf-of": {"bob"}}}, "deny act_as_denied"},
		{"for two at once", explain.Request{Host: "a.example.com", Token: "office", Client: inside, Header: map[string][]string{"x-on-behalf-of": {"svc-a", "svc-b"}}}, "deny act_as_denied"},
		{"a canary", explain.Request{Host: "a.example.com", Token: "honey"}, "deny token_canary"},
		{"a body", explain.Request{Host: "a.example.com", Token: "body", Body: []byte(`{"a":1}`)}, "allow ok"},
		{"an empty body", explain.Request{Host: "a.example.com", Token: "body", Body: []byte{}}, "deny body_unavailable"},
		{"a body of an upgrade", explain.Request{Host: "a.example.com", Token: "body", Body: []byte(`{"a":1}`), Header: map[string][]string{"Upgrade": {"websocket"}}}, "deny body_unavailable"},
		{"a form body, by its type", explain.Request{Host: "a.example.com", Token: "query", Body: []byte("b=1"), Header: map[string][]string{"Content-Type": {"application/x-www-form-urlencoded"}}}, "deny query_unreadable"},
		{"a JSON body and a query", explain.Request{Host: "a.example.com", Token: "query", Body: []byte("{}")}, "allow ok"},
		{"of any user", explain.Request{Host: "a.example.com", Token: "anybody", User: "bob"}, "allow ok"},
		{"of any user, where Basic is off", explain.Request{Host: "named.example.org", Token: "anybody", User: "bob", TLS: true}, "deny scheme_denied"},
		{"the route names the gate", explain.Request{Host: "a.example.com", Gate: "named", Token: "office", Client: inside, TLS: true}, "allow ok"},
		{"an unknown value", explain.Request{Host: "a.example.com", Value: token.Mint(), User: "bob"}, "deny token_unknown"},
		{"two credentials", explain.Request{Host: "a.example.com", Token: "office", Header: map[string][]string{"authorization": {"Bearer x"}}}, "deny bad_credential"},
		{"none", explain.Request{Host: "a.example.com"}, "deny no_credential"},
		{"no gate", explain.Request{Host: "example.net"}, "deny no_gate"},
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

func TestRequestsThatAreRefused(t *testing.T) {
	all := rows(t)
	for _, c := range []struct {
		q    explain.Request
		want string
	}{
		{explain.Request{Token: "ofice"}, "did you mean office?"},
		{explain.Request{Gate: "name"}, "did you mean named?"},
		{explain.Request{Token: "anybody"}, "expected the user who presents it"},
	} {
		if _, err := explain.Answer(all, &c.q); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.q, err)
		}
	}
}

// TestWhyARuleIsUndecidable checks that both forms of an explanation hold the reason.
func TestWhyARuleIsUndecidable(t *testing.T) {
	e, err := explain.Answer(rows(t), &explain.Request{
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

// TestWhatIsShown checks that a request's texts are shown as the audit shows them: masked, and
// without what a terminal would obey.
func TestWhatIsShown(t *testing.T) {
	value := token.Mint().Reveal()
	e, err := explain.Answer(rows(t), &explain.Request{Now: now, Method: "GET", Host: "a.example.com", User: value, Value: token.Mint(),
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

// TestNoValueIsRepeated presents values, minted and from elsewhere, in every place of a
// request that is shown, and checks that neither form of the explanation holds them.
func TestNoValueIsRepeated(t *testing.T) {
	all, minted := rows(t), token.Mint()
	for _, value := range []token.Secret{minted, token.NewSecret("a-value-from-elsewhere")} {
		text := value.Reveal()
		escaped := "%" + hex.EncodeToString([]byte(text[:1])) + text[1:]
		for _, q := range []explain.Request{
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
			for _, shown := range []string{e.Text(), string(asJSON)} {
				if strings.Contains(shown, text[5:]) {
					t.Errorf("the value is shown:\n%s", shown)
				}
			}
		}
	}
}

// TestTextIsPlain checks that a request can't control a terminal, or imitate a line of patgate.
func TestTextIsPlain(t *testing.T) {
	e, err := explain.Answer(rows(t), &explain.Request{Now: now, Method: "GET", Target: "/\x1b[2J\n  ok  grant allow", Host: "a\u202eb"})
	if err != nil {
		t.Fatal(err)
	}
	if text := e.Text(); strings.ContainsAny(text, "\x1b\u202e") || strings.Contains(text, "\n  ok  grant") {
		t.Errorf("%q", text)
	}
}
