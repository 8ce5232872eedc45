package migrate_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/migrate"
	"github.com/patgate/patgate/token"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

const value = "qt3sumg4gd8r47n98tcnmuarnfufviog"

// extender is a token list with one entry: an ordinary one, except for these fields.
func extender(fields string) []byte {
	entry := map[string]any{"label": "Token name", "user": "admin", "token": value, "limitTo": "", "ip": "", "counter": 100}
	if err := json.Unmarshal([]byte("{"+strings.TrimPrefix(fields, ",")+"}"), &entry); err != nil {
		panic(err)
	}
	text, err := json.Marshal(map[string]any{"tokens": []any{entry}, "status": "ok"})
	if err != nil {
		panic(err)
	}
	return text
}

// one imports a file with one token.
func one(t *testing.T, source string, data []byte) migrate.Imported {
	t.Helper()
	list, err := migrate.Sources[source](data, now)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d tokens, %v", len(list), err)
	}
	return list[0]
}

func TestExtender(t *testing.T) {
	i := one(t, "extender", []byte(`{"tokens":[{"label":"Token name","user":"admin","token":"`+value+`",
		"limitTo":"[post].*/rest/api/2/issue/KANBAN-100/comment.*<br>[get]/rest/api/2/filter[QueryParam::expand==a&amp;b]<BR/>",
		"ip":"192.168.1.1, 10.0.0.0/8","validUntil":1830476718964,"dateCreated":1622700718964,"counter":100}],"status":"ok"}`))
	got := i.Token
	if i.Refused != "" || got.Name != "token-name" || got.DisplayName != "Token name" || got.User != "admin" || got.AnyUser || got.Unrestricted ||
		got.Digest != token.Sum(token.NewSecret(value)) ||
		!got.Issued.Equal(time.UnixMilli(1622700718964)) || !got.Expires.Equal(time.UnixMilli(1830476718964)) {
		t.Errorf("%+v", i)
	}
	if fmt.Sprint(got.LimitTo) != "[[post].*/rest/api/2/issue/KANBAN-100/comment.* [get]/rest/api/2/filter[QueryParam::expand==a&b]]" {
		t.Errorf("%q", got.LimitTo)
	}
	if fmt.Sprint(got.AllowFrom) != "[192.168.1.1 10.0.0.0/8]" {
		t.Errorf("%q", got.AllowFrom)
	}
	wantNote(t, i, "text in the query could meet it")
	wantNote(t, i, "clientIP")
}

func wantNote(t *testing.T, i migrate.Imported, want string) {
	t.Helper()
	if !strings.Contains(strings.Join(i.Notes, "\n"), want) {
		t.Errorf("no note says %q: %q", want, i.Notes)
	}
}

func TestExtenderNotes(t *testing.T) {
	i := one(t, "extender", extender(""))
	if !i.Token.Unrestricted || !i.Token.Expires.IsZero() || !i.Token.Issued.Equal(now) {
		t.Errorf("%+v", i.Token)
	}
	wantNote(t, i, "unrestricted, as it was")
	wantNote(t, one(t, "extender", extender(`,"validUntil":1622700718964`)), "expired already")
	wantNote(t, one(t, "extender", extender(`,"secureMode":true`)), `"secureMode"`)
	i = one(t, "extender", extender(`,"user":""`))
	if !i.Token.AnyUser || i.Token.User != "" {
		t.Errorf("%+v", i.Token)
	}
	wantNote(t, i, "any user may present it")
	i = one(t, "extender", extender(`,"limitTo":"[get]{JIRA_URL}/rest/api/2/project"`))
	if i.Refused != "" || fmt.Sprint(i.Token.LimitTo) != "[[get]/rest/api/2/project]" {
		t.Errorf("%+v", i)
	}
	wantNote(t, i, "context path")
	for line, spans := range map[string]bool{"/rest/.*": false, "/rest/.*/comment": true, ".*/x": true, "/a[QueryParam::b==.*c]": false, "/a.+$": false} {
		i := one(t, "extender", extender(`,"limitTo":"`+line+`"`))
		if got := strings.Contains(strings.Join(i.Notes, ""), "text in the query"); got != spans {
			t.Errorf("%s: %q", line, i.Notes)
		}
	}
}

// TestWhatIsRefused checks that no token comes over with fewer rules, or with a value that is
// weak or that no client can present.
func TestWhatIsRefused(t *testing.T) {
	for fields, want := range map[string]string{
		`,"limitTo":"/rest/.*<br>[get]/rest/api/2/search\\?jql=.*"`: `\? in the pattern`,
		`,"limitTo":"http://jira.example.com/rest/.*"`:              "scheme or host",
		`,"limitTo":"/rest/("`:                                      "bad regular expression",
		`,"token":"short"`:                                          "expected at least 20",
		`,"token":""`:                                               "no value",
		`,"token":"a value\nwith a line's end"`:                     "control characters",
		`,"token":"patg_000000000000000000000000000000000000"`:      "wrong checksum",
		`,"token":"********************"`:                           "masked",
		`,"limitTo":".*/rest/a&#10;.*"`:                             "#",
		`,"limitTo":".*/rest/a\u2028.*"`:                            "line's end",
		`,"limitTo":" <br> "`:                                       "limitTo is blank",
		`,"limitTo":"{JIRA_URL}/rest/a|/rest/secret.*"`:             "alternatives next to",
		`,"limitTo":"/rest/[a-z&&[^s]]"`:                            "set within a set",
		`,"ip":" ; "`:                                               "no address",
		`,"user":"a:b"`:                                             "colon",
	} {
		if i := one(t, "extender", extender(fields)); !strings.Contains(i.Refused, want) {
			t.Errorf("%s: %q, want %q", fields, i.Refused, want)
		}
	}
	if i := one(t, "extender", extender(`,"limitTo":"/rest/("`)); strings.Contains(i.Refused, "blank") {
		t.Errorf("one mistake has two reasons: %q", i.Refused)
	}
	i := one(t, "extender", extender(`,"label":"my `+value+`"`))
	if !strings.Contains(i.Refused, "take it for leaked") || strings.Contains(i.From+i.Token.Name, value) {
		t.Errorf("%+v", i)
	}
	for data, want := range map[string]string{
		`{"tokens":[1]}`:                                            "tokens[0]: no JSON object",
		`{"tokens":[{"validUntil":"now"}]}`:                         "tokens[0].validUntil: no time",
		`{"tokens":[{"validUntil":1830476718,"dateCreated":true}]}`: "tokens[0].validUntil: looks like seconds since 1970, expected milliseconds: three digits more; tokens[0].dateCreated: no time",
		`{"tokens":[{"dateCreated":"2026-01-01T00:00:00"}]}`:        "tokens[0].dateCreated: no time",
		`{"tokens":[{"dateCreated":99999999999999999}]}`:            "after the year 9999",
		`{"tokens":[{"dateCreated":"0001-01-01"}]}`:                 "before 1973",
	} {
		if i := one(t, "extender", []byte(data)); !strings.Contains(i.Refused, want) || i.LeftOut {
			t.Errorf("%s: %q, want %q", data, i.Refused, want)
		}
	}
	for data, want := range map[string]string{
		`{}`:                           "no token list of Extender",
		`[]`:                           "no token list of Extender",
		`{"tokens":{}}`:                "tokens is no array",
		`{"tokens":[],"sops":{"a":1}}`: "encrypted by SOPS",
	} {
		if _, err := migrate.Extender([]byte(data), now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", data, err)
		}
	}
}

// TestAValueInAnothersLabel checks that no value is written, whichever token's text holds it.
func TestAValueInAnothersLabel(t *testing.T) {
	list, err := migrate.Extender([]byte(`{"tokens":[{"label":"a","user":"x","token":"`+value+`"},{"label":"`+strings.ToUpper(value)+`","user":"x","token":"another value of 24 chars"}]}`), now)
	if err != nil || list[0].Refused != "" || !strings.Contains(list[1].Refused, "take it for leaked") || strings.Contains(strings.ToLower(fmt.Sprint(list[1])), value) {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestNames(t *testing.T) {
	labels := []string{"Kustomization", "CI bot", "ci-bot", "CI  BOT!", "Jürgen's", "", "--", strings.Repeat("x", 90)}
	var entries []string
	for _, l := range labels {
		text, _ := json.Marshal(map[string]string{"label": l, "user": "a", "token": value})
		entries = append(entries, string(text))
	}
	list, err := migrate.Extender([]byte(`{"tokens":[`+strings.Join(entries, ",")+`]}`), now)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range list {
		names = append(names, i.Token.Name)
	}
	want := []string{"kustomization-2", "ci-bot", "ci-bot-2", "ci-bot-3", "j-rgen-s", "token", "token-2", strings.Repeat("x", 63)}
	if fmt.Sprint(names) != fmt.Sprint(want) {
		t.Errorf("%q", names)
	}
}

const gatewaySecret = `apiVersion: v1
kind: Secret
metadata:
  name: api-keys
  creationTimestamp: "2025-03-04T05:06:07Z"
data:
  mobile-app: %s
stringData:
  partner: a key with blanks in it
`

func TestEnvoyGateway(t *testing.T) {
	data := fmt.Sprintf(gatewaySecret, base64.StdEncoding.EncodeToString([]byte(value)))
	list, err := migrate.EnvoyGateway([]byte(data), now)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	mobile, partner := list[0], list[1]
	if mobile.Token.Name != "mobile-app" || mobile.Token.User != "mobile-app" || !mobile.Token.Unrestricted ||
		mobile.Token.Digest != token.Sum(token.NewSecret(value)) || mobile.Token.Issued.Year() != 2025 || len(mobile.Token.Schemes) > 0 {
		t.Errorf("%+v", mobile)
	}
	if fmt.Sprint(partner.Token.Schemes) != "[basic]" {
		t.Errorf("%+v", partner)
	}
	wantNote(t, mobile, "Authorization")
	twice, err := migrate.EnvoyGateway([]byte(data+"---\n"+strings.Replace(data, "name: api-keys", "name: more", 1)), now)
	if err != nil || len(twice) != 4 || !strings.Contains(twice[2].Refused, "takes the first") {
		t.Errorf("a client in two Secrets: %+v, %v", twice, err)
	}
	i := one(t, "envoy-gateway", []byte("kind: Secret\nmetadata: {name: users}\nstringData:\n  .htpasswd: \"alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\"\n"))
	if !strings.Contains(i.Refused, "salted hashes") || strings.Contains(fmt.Sprint(i), "W6ph") {
		t.Errorf("htpasswd: %+v", i)
	}
}

const authorinoSecrets = `{"apiVersion":"v1","kind":"List","items":[
 {"apiVersion":"v1","kind":"Secret","metadata":{"name":"api-key-1","labels":{"authorino.kuadrant.io/managed-by":"authorino"},
  "annotations":{"secret.kuadrant.io/user-id":"alice"}},"data":{"api_key":"%s"}},
 {"apiVersion":"v1","kind":"Secret","metadata":{"name":"api-key-2"},"stringData":{"api_key":"ndyBzreUzF4zqDQsqSPMHkRhriEOtcRx"}},
 {"apiVersion":"v1","kind":"Secret","metadata":{"name":"tls"},"data":{"tls.crt":"eA=="}},
 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"not base64!"}}]}`

func TestAuthorino(t *testing.T) {
	list, err := migrate.Authorino(fmt.Appendf(nil, authorinoSecrets, base64.StdEncoding.EncodeToString([]byte(value))), now)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	if a := list[0]; a.Token.User != "alice" || a.Token.Name != "api-key-1" || a.Token.Digest != token.Sum(token.NewSecret(value)) {
		t.Errorf("%+v", a)
	}
	if b := list[1]; b.Token.User != "api-key-2" || !b.Token.Issued.Equal(now) {
		t.Errorf("%+v", b)
	}
	wantNote(t, list[1], "names no user")
	for data, want := range map[string]string{
		"kind: Secret\ndata: [1]\n": "no Kubernetes object",
		"<<:\n? -":                  "expected Secrets",
		"a: [":                      "not YAML",
		"kind: ConfigMap\n":         "no API keys",
	} {
		if _, err := migrate.Authorino([]byte(data), now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", data, err)
		}
	}
	i := one(t, "authorino", []byte("kind: Secret\nmetadata: {name: a, labels: {authorino.kuadrant.io/managed-by: authorino}}\n"))
	if i.Refused != "it has no value" {
		t.Errorf("%+v", i)
	}
	i = one(t, "authorino", []byte("kind: Secret\nmetadata: {name: a}\ndata: {api_key: '???'}\n"))
	if !strings.Contains(i.Refused, "is no base64") || i.Pos != (diag.Pos{Line: 3, Column: 17}) {
		t.Errorf("%+v", i)
	}
}

// FuzzSources checks that every source survives any file, shows nothing of a value, and
// makes manifests that can be read.
func FuzzSources(f *testing.F) {
	f.Add(extender(`,"limitTo":"[get].*/x"`))
	f.Add([]byte(fmt.Sprintf(gatewaySecret, base64.StdEncoding.EncodeToString([]byte(value)))))
	f.Add(fmt.Appendf(nil, authorinoSecrets, base64.StdEncoding.EncodeToString([]byte(value))))
	f.Add([]byte(`{"tokens":[{"token":"` + value + `","` + value + `":1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, source := range migrate.Sources {
			list, err := source(data, now)
			if err != nil {
				if strings.Contains(err.Error(), value) {
					t.Fatalf("%s: %v", name, err)
				}
				continue
			}
			known := slices.ContainsFunc(list, func(i migrate.Imported) bool { return i.Token.Digest == token.Sum(token.NewSecret(value)) })
			for _, i := range list {
				text, err := i.Token.YAML()
				if err != nil {
					t.Fatalf("%s: %+v: %v", name, i, err)
				}
				told := i.Token.Name + i.From + strings.Join(i.Notes, "\n") + i.Refused + string(text)
				if known && strings.Contains(told, value) {
					t.Fatalf("%s shows the value: %s", name, told)
				}
				var dec manifest.Decoder
				if docs, _ := dec.Decode("f.yaml", text); len(docs) != 1 {
					t.Fatalf("%s: %d documents: %s", name, len(docs), text)
				}
			}
		}
	})
}
