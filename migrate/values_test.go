package migrate_test

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/migrate"
	"github.com/patgate/patgate/token"
)

const (
	jwt    = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJrdWJlcm5ldGVzL3NlcnZpY2VhY2NvdW50In0.c2lnbmF0dXJl"
	docker = `{"auths":{"ghcr.io":{"auth":"YWxpY2U6Z2hwX3NlY3JldA=="}}}`
	pem    = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ\n-----END PRIVATE KEY-----\n"
)

// TestPublicTexts checks that no text becomes a token that is public in a repository or that no client
// presents as it is, in whichever source, plain or in base64.
func TestPublicTexts(t *testing.T) {
	for want, values := range map[string][]string{
		"encrypted": {"ENC[AES256_GCM,data:pzKh8w==,iv:l3Nw=,tag:1Q==,type:str]", "$ANSIBLE_VAULT;1.1;AES256\n6162", "vault:v1:8SDd3WHDOjf7mq69CyCqYjBXAiQQAVZRkFM13ok481zoCmHnSeDX9vyf7w==",
			"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----", "-----BEGIN PGP MESSAGE-----\nhQ==", "AgBy3i4OJSWK" + strings.Repeat("Kf7mq69CyCqYjBXA", 50)},
		"masked": {"patg_****************************", "[REDACTED BY THE SERVER]", "abcd......................wxyz", "••••••••••••••••••••"},
		"template": {"{{ .Values.apiKeys.ciBot }}", "prefix-{{ key }}-of-the-chart", "${CI_BOT_API_KEY_PRODUCTION}", "<some-randomly-generated-api-key-value>", "<path:secret/data/ci#token>",
			"{% if key %}abcdefghijk{% endif %}", "<%= ENV['CI_BOT_API_KEY'] %>", "$(CI_BOT_API_KEY_PRODUCTION)", "#{CiBotApiKeyProduction}#", "[[ ci_bot_api_key_prod ]]", "[insert the api key here]",
			"@@CI_BOT_API_KEY_PROD@@", "@ci_bot_api_key_prod@", "__CI_BOT_API_KEY_PROD__", "%CI_BOT_API_KEY_PROD%", "$CI_BOT_API_KEY_PRODUCTION", "%(ci_bot_api_key_prod)s", "${{ secrets.CI_BOT_KEY }}"},
		"reference":              {"op://vault/ci-bot/credential", "ref+vault://secret/ci#/token", "vault:secret/data/ci-bot#TOKEN", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ci-bot-AbCdEf", "projects/acme/secrets/ci-bot/versions/latest", "@Microsoft.KeyVault(SecretUri=https://a.vault.azure.net/secrets/b)"},
		"the name of a variable": {"CI_BOT_API_KEY_PRODUCTION", "CHANGE_ME_BEFORE_PRODUCTION"},
		"PEM":                    {pem, strings.ReplaceAll(pem, "\n", " "), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"},
		"JWT":                    {jwt},
		"docker configuration":   {docker},
		"JSON":                   {`{"token":"qt3sumg4gd8r47n98tcnmuarn"}`},
		"a URL":                  {"https://alice:secret@jira.example.com/", "redis://:qt3sumg4gd8r47n98tcnmuarn@cache"},
		"hash of a password":     {"$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC", "$apr1$ruca84Hq$mbjdMZBAG.KWn7vfN/SNK/", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
		"a scheme or a header":   {"Bearer " + value, "APIKEY " + value},
		"a name before it":       {"API_KEY=" + value, "api_key: " + value, "TODO: ask alice for the value"},
		"user:secret":            {base64.StdEncoding.EncodeToString([]byte("alice:s3cr3t-of-alice")), base64.RawURLEncoding.EncodeToString([]byte("jürgen:geheim-und-lang??>"))},
		"placeholder": {"changeme-changeme-changeme", "xxxxxxxxxxxxxxxxxxxxxxxx", "sk_live_xxxxxxxxxxxxxxxxxxxx", "your-token-goes-right-here", "YOUR_API_KEY_1234567890", "my-super-secret-api-key",
			"MySuperSecretToken1234567890", "AKIAIOSFODNN7EXAMPLE", "this-is-the-api-key-for-alice", "replace-with-a-real-one-please", "insert_token_of_ci_bot_", "0000000000000000000000000000", "abcdefghijklmnopqrstuvwxyz",
			"12345678901234567890", "0123456789abcdef0123456789abcdef", "deadbeefdeadbeefdeadbeef", "11111111-2222-3333-4444-555555555555", "00000000-0000-0000-0000-000000000000", "12345678-1234-1234-1234-123456789abc", "abc123abc123abc123abc123",
			"qwertyuiopasdfghjklzxcvbnm", "P@ssw0rd-of-the-ci-bot-2026", "dummy-9f86d081884c7d659a2f", "api-token-1234567890-test", "secret-token-secret-token", "lorem ipsum dolor sit amet"},
	} {
		for _, v := range values {
			twice := base64.StdEncoding.EncodeToString([]byte(v))
			for _, form := range []string{v, " " + v, v + "\n", twice} {
				for name, i := range importedBy(t, form) {
					if !strings.Contains(i.Refused, want) && (want == "encrypted" || !strings.Contains(i.Refused, "its value")) {
						t.Errorf("%s: %q: %q, want %q", name, form, i.Refused, want)
					}
					if i.Token.Digest != (token.Digest{}) {
						t.Errorf("%s: %q has a digest", name, form)
					}
				}
			}
			for name, i := range importedBy(t, v) {
				if !strings.Contains(i.Refused, want) {
					t.Errorf("%s: %q: %q, want %q", name, v, i.Refused, want)
				}
			}
		}
	}
}

// importedBy imports a value from every source.
func importedBy(t *testing.T, value string) map[string]migrate.Imported {
	t.Helper()
	quoted, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	secret := `{"kind":"Secret","metadata":{"name":"ci"},"%s":{"api_key":%s}}`
	plain := fmt.Sprintf(secret, "stringData", quoted)
	inBase64 := fmt.Sprintf(secret, "data", `"`+base64.StdEncoding.EncodeToString([]byte(value))+`"`)
	return map[string]migrate.Imported{
		"extender":            one(t, "extender", fmt.Appendf(nil, `{"tokens":[{"label":"ci","user":"bob","token":%s}]}`, quoted)),
		"authorino":           one(t, "authorino", []byte(plain)),
		"authorino, data":     one(t, "authorino", []byte(inBase64)),
		"envoy-gateway":       one(t, "envoy-gateway", []byte(plain)),
		"envoy-gateway, data": one(t, "envoy-gateway", []byte(inBase64)),
	}
}

// TestRandomValues checks that random values of the usual forms come over.
func TestRandomValues(t *testing.T) {
	for _, v := range []string{"FixmEpwawJ999fVBWZeI6bpykxA", "q8Zt_your7Kp2mXw9Rb4Lc", "A7K2DUMMYQ5X3W6Z4B7N2P3T"} {
		if i := one(t, "extender", fmt.Appendf(nil, `{"tokens":[{"label":"ci","user":"bob","token":%q}]}`, v)); i.Refused != "" {
			t.Errorf("a word by chance, in %s: %s", v, i.Refused)
		}
	}
	forms := map[string]func([]byte) string{
		"hex": hex.EncodeToString, "base32": base32.StdEncoding.EncodeToString, "base64": base64.StdEncoding.EncodeToString, "base64url": base64.RawURLEncoding.EncodeToString,
		"uuid":   func(b []byte) string { return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16]) },
		"prefix": func(b []byte) string { return "sk_test_" + base64.RawURLEncoding.EncodeToString(b) },
		"dots":   func(b []byte) string { return fmt.Sprintf("SG.%x.%x", b[:8], b[8:]) },
	}
	for name, form := range forms {
		for range 2000 {
			b := make([]byte, 20)
			if _, err := rand.Read(b); err != nil {
				t.Fatal(err)
			}
			v := form(b)
			if i := one(t, "extender", fmt.Appendf(nil, `{"tokens":[{"label":"ci","user":"bob","token":%q}]}`, v)); i.Refused != "" {
				t.Errorf("%s: %s: %s", name, v, i.Refused)
			}
		}
	}
}

// TestEncryptedFiles checks that every Secret of an encrypted file is refused, and those that hold no
// API keys are left out; each with its place, in the order of the file.
func TestEncryptedFiles(t *testing.T) {
	const file = `kind: List
items:
- {kind: Secret, type: kubernetes.io/tls, metadata: {name: tls}, data: {tls.crt: eA==, api_key: eA==}}
- {kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: sa, labels: {authorino.kuadrant.io/managed-by: a}}, data: {api_key: ` + "c2VydmljZS1hY2NvdW50LXRva2Vu" + `}}
---
kind: Secret
type: Opaque
metadata: {name: sops}
stringData: {api_key: plain text beside ciphertext}
sops: {mac: "ENC[x]"}
---
kind: ENC[AES256_GCM,data:x]
metadata: ENC[AES256_GCM,data:x]
---
kind: SealedSecret
metadata: {name: sealed}
spec: {encryptedData: {api_key: AgBy}}
---
kind: Secret
metadata: {name: tagged}
stringData:
  api_key: !Ref ApiKeyOfTheCIBotInProduction
`
	type row struct {
		pos     diag.Pos
		leftOut bool
		want    string
	}
	wants := []row{
		{diag.Pos{Line: 3, Column: 3}, true, "type is kubernetes.io/tls"},
		{diag.Pos{Line: 4, Column: 3}, true, "type is kubernetes.io/service-account-token"},
		{diag.Pos{Line: 6, Column: 1}, false, "encrypted by SOPS"},
		{diag.Pos{Line: 15, Column: 1}, false, "SealedSecret"},
		{diag.Pos{Line: 22, Column: 12}, false, "has a tag"},
	}
	for name := range migrate.Sources {
		if name == "extender" {
			continue
		}
		data := strings.Replace(file, "metadata: ENC[AES256_GCM,data:x]\n", "", 1)
		wants[3].pos.Line, wants[4].pos.Line = 14, 21
		list, err := migrate.Sources[name]([]byte(strings.Replace(data, "---\nkind: ENC[AES256_GCM,data:x]\n", "---\nkind: ConfigMap\n", 1)), now)
		if err != nil || len(list) != len(wants) {
			t.Fatalf("%s: %+v, %v", name, list, err)
		}
		for n, want := range wants {
			if i := list[n]; i.Pos != want.pos || i.LeftOut != want.leftOut || !strings.Contains(i.Refused, want.want) {
				t.Errorf("%s: %+v, want %+v", name, i, want)
			}
		}
		i := one(t, name, []byte("kind: ENC[AES256_GCM,data:x]\nsops: {mac: x}\n"))
		if !strings.Contains(i.Refused, "encrypted by SOPS") {
			t.Errorf("%s: %+v", name, i)
		}
	}
	i := one(t, "authorino", []byte("kind: Secret\nmetadata: {name: a}\ndata: {api_key: 'ENC[AES256_GCM,data:x]'}\n"))
	if !strings.Contains(i.Refused, "encrypted by SOPS") {
		t.Errorf("%+v", i)
	}
	if _, err := migrate.Authorino([]byte("kind: Secret\ndata: {api_key: {{ .Values.key | b64enc }}}\n"), now); err == nil || !strings.Contains(err.Error(), "render it first") {
		t.Errorf("a template: %v", err)
	}
}

// TestDates checks that dates are read as well as milliseconds.
func TestDates(t *testing.T) {
	for text, want := range map[string]string{
		`1622700718964`: "2021-06-03T06:11:58.964Z", `"1622700718964"`: "2021-06-03T06:11:58.964Z", `"2021-06-03"`: "2021-06-03T00:00:00Z",
		`"2021-06-03T06:11:58Z"`: "2021-06-03T06:11:58Z", `"2021-06-03T08:11:58.964+02:00"`: "2021-06-03T06:11:58.964Z", `"2021-06-03T08:11:58.964+0200"`: "2021-06-03T06:11:58.964Z",
		`0`: "2026-06-01T12:00:00Z", `""`: "2026-06-01T12:00:00Z", `null`: "2026-06-01T12:00:00Z",
	} {
		i := one(t, "extender", extender(`,"dateCreated":`+text))
		if got := i.Token.Issued.Format("2006-01-02T15:04:05.999Z07:00"); i.Refused != "" || got != want {
			t.Errorf("%s: %s %s, want %s", text, got, i.Refused, want)
		}
	}
	if i := one(t, "extender", extender(`,"dateCreated":"2026-03-01","validUntil":"2026-02-01"`)); !strings.Contains(i.Refused, "before it was created") {
		t.Errorf("%+v", i)
	}
}
