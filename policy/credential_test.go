package policy_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// TestTwoCredentials checks that two headers are malformed, whatever their joined text is.
func TestTwoCredentials(t *testing.T) {
	if c := policy.ParseAuthorization("Bearer abc", 2); c.State != policy.CredentialMalformed {
		t.Errorf("%v", c.State)
	}
}

func TestParseAuthorization(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	minted := token.Mint().Reveal()
	wrong := minted[:len(minted)-1] + string(rune('0'+(minted[len(minted)-1]+1)%10))
	for _, c := range []struct {
		name, value        string
		scheme             policy.Scheme
		user, secret, note string
	}{
		{"the header of the JSM page", "Basic dXNlckBleGFtcGxlLmNvbTp1c2VyX2FwaV90b2tlbg==", policy.Basic, "user@example.com", "user_api_token", ""},
		{"lower case", "basic " + b64("a:b"), policy.Basic, "a", "b", ""},
		{"upper case", "BEARER abc", policy.Bearer, "", "abc", ""},
		{"several spaces", "Bearer   abc", policy.Bearer, "", "abc", ""},
		{"a colon in the token", "Basic " + b64("a:b:c"), policy.Basic, "a", "b:c", ""},
		{"UTF-8", "Basic " + b64("zoë:ü"), policy.Basic, "zoë", "ü", ""},
		{"minted", "Bearer " + minted, policy.Bearer, "", minted, ""},
		{"minted, Basic", "Basic " + b64("a:"+minted), policy.Basic, "a", minted, ""},
		{"4 KiB", "Bearer " + strings.Repeat("a", 4089), policy.Bearer, "", strings.Repeat("a", 4089), ""},
	} {
		got := policy.ParseAuthorization(c.value, 1)
		if got.State != policy.CredentialPresent || got.Scheme != c.scheme || got.User != c.user || got.Secret.Reveal() != c.secret {
			t.Errorf("%s: state %v, scheme %v, user %q", c.name, got.State, got.Scheme, got.User)
		}
		if !got.Digest.Equal(token.Sum(token.NewSecret(c.secret))) {
			t.Errorf("%s: another digest", c.name)
		}
	}
	for name, value := range map[string]string{
		"empty":                     "",
		"scheme only":               "Basic",
		"scheme and a space":        "Bearer ",
		"no scheme":                 "abc",
		"another scheme, no value":  "Token ",
		"another scheme, a control": "Token a\x00b",
		"a tab":                     "Bearer\tabc",
		"a tab after the space":     "Bearer \tabc",
		"a leading space":           " Bearer abc",
		"a trailing space":          "Bearer abc ",
		"text after it":             "Bearer abc x",
		"a comma":                   "Bearer abc,Basic " + b64("a:b"),
		"two, joined":               "Basic " + b64("a:b") + "," + b64("a:b"),
		"padding in the middle":     "Bearer a=b",
		"padding alone":             "Bearer ==",
		"characters beyond token68": "Bearer !!!!",
		"raw user and token":        "Basic alice:abc",
		"no colon":                  "Basic " + b64("abc"),
		"an empty user":             "Basic " + b64(":abc"),
		"an empty token":            "Basic " + b64("abc:"),
		"not padded":                "Basic " + strings.TrimRight(b64("a:bcd"), "="),
		"URL alphabet":              "Basic " + base64.URLEncoding.EncodeToString([]byte("a:??>>??")),
		"unused bits set":           "Basic YTp=",
		"a line break":              "Basic YTpi\nYg==",
		"latin-1":                   "Basic " + b64("zo\xeb:abc"),
		"NUL":                       "Basic " + b64("a\x00:abc"),
		"a line feed in the token":  "Basic " + b64("a:b\nc"),
		"a C1 control":              "Basic " + b64("a:b\u0085c"),
		"a minted one, cut":         "Bearer " + minted[:len(minted)-1],
		"a minted one, mistyped":    "Bearer " + wrong,
		"a minted one, Basic, typo": "Basic " + b64("a:"+wrong),
		"the prefix alone":          "Bearer patg_",
	} {
		got := policy.ParseAuthorization(value, 1)
		if got.State != policy.CredentialMalformed || got.Detail == "" || !got.Secret.Empty() {
			t.Errorf("%s: state %v, detail %q", name, got.State, got.Detail)
		}
	}
	for name, value := range map[string]string{
		"another scheme":  "Token abc",
		"Digest":          `Digest username="bob", uri="/"`,
		"more than 4 KiB": "Bearer " + strings.Repeat("a", 4090),
	} {
		if got := policy.ParseAuthorization(value, 1); got.State != policy.CredentialForeign {
			t.Errorf("%s: state %v", name, got.State)
		}
	}
	if got := policy.ParseAuthorization("", 0); got.State != policy.CredentialAbsent {
		t.Errorf("none: state %v", got.State)
	}
	if got := policy.ParseAuthorization("Bearer abc,Bearer abc", 2); got.State != policy.CredentialMalformed {
		t.Errorf("two: state %v", got.State)
	}
}

// FuzzCredential checks that an accepted credential has one spelling: writing it again gives
// the same header, but for the scheme's case and its spaces.
func FuzzCredential(f *testing.F) {
	for _, seed := range []string{"Basic YTpi", "Bearer abc", "basic  YTpiOmM=", "Basic YTpi,Bearer x", "Bearer patg_0", "Basic \u00e9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c := policy.ParseAuthorization(value, 1)
		if strings.Contains(fmt.Sprintf("%+v %#v", c, c), "canary") && !strings.Contains(c.User, "canary") {
			t.Fatal("printed")
		}
		if c.State != policy.CredentialPresent {
			return
		}
		again := "bearer " + c.Secret.Reveal()
		if c.Scheme == policy.Basic {
			again = "basic " + base64.StdEncoding.EncodeToString([]byte(c.User+":"+c.Secret.Reveal()))
		}
		scheme, rest, _ := strings.Cut(value, " ")
		if got := strings.ToLower(scheme) + " " + strings.TrimLeft(rest, " "); got != again {
			t.Fatalf("%q was read as %q", value, again)
		}
	})
}
