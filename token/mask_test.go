package token_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

func TestMaskEncoded(t *testing.T) {
	minted := token.Mint().Reveal()
	secret := "own-password-42"
	m := token.NewMasker(token.NewSecret(secret))
	b64 := base64.StdEncoding.EncodeToString
	for in, want := range map[string]string{
		"auth=" + b64([]byte("alice:"+minted)):                       "auth=REDACTED==",
		"auth=" + b64([]byte("alice:"+secret)) + "&b=1":              "auth=REDACTED&b=1",
		"/rest/api/2/x/" + b64([]byte(minted)) + "/rest":             "/rest/api/2/x/REDACTED=/rest",
		"/rest/api/2/issue/KANBAN-100/comment":                       "/rest/api/2/issue/KANBAN-100/comment",
		"a=" + url.QueryEscape(b64([]byte("?>?>:"+minted+"?>?>?>"))): "a=REDACTED%3D%3D",
		"a=" + b64([]byte("just some harmless text, long enough")):   "a=" + b64([]byte("just some harmless text, long enough")),
		"a=" + secret: "a=REDACTED",
	} {
		if got := m.Mask(in); strings.TrimRight(got, "=") != strings.TrimRight(want, "=") {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// TestMaskEncodedAnywhere has secrets of all lengths in base64 of both alphabets, at every place in a group.
func TestMaskEncodedAnywhere(t *testing.T) {
	const text = "\xff\xfb~?s3cr3t:\xbf\xff>?own-password-of-some-length\xfe"
	for length := 1; length <= len(text); length++ {
		secret := text[:length]
		m, both := token.NewMasker(token.NewSecret(secret)), token.NewMasker(token.NewSecret("another-secret"), token.NewSecret(secret))
		for shift := range 6 {
			for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
				planted := "auth=" + encoding.EncodeToString([]byte("alice:"[:shift]+secret+"\x00\x01")) + "&b"
				for _, m := range []*token.Masker{&m, &both} {
					if out := m.Mask(planted); length >= 3 && out != "auth=REDACTED&b" && !strings.HasPrefix(out, "auth=REDACTED=") {
						t.Errorf("%d bytes at %d: %s of %s", length, shift, out, planted)
					}
				}
			}
		}
	}
}

// recovered reports whether a value can be read from a text: plain, percent-encoded, or in
// one base64 decoding of a part of it.
func recovered(text, value string) bool {
	texts := []string{text}
	if plain, err := url.PathUnescape(text); err == nil {
		texts = append(texts, plain)
	}
	for _, text := range texts {
		if strings.Contains(text, value) {
			return true
		}
		text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
		for _, run := range strings.FieldsFunc(text, func(r rune) bool {
			return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", r)
		}) {
			for shift := range min(4, len(run)) {
				part := run[shift:]
				if len(part)%4 == 1 {
					part = part[:len(part)-1]
				}
				if decoded, err := base64.RawStdEncoding.DecodeString(part); err == nil && strings.Contains(string(decoded), value) {
					return true
				}
			}
		}
	}
	return false
}

// FuzzMaskPlanted plants a minted value and a secret, in any base64, at any alignment and
// between anything, and checks that neither is in what is left.
func FuzzMaskPlanted(f *testing.F) {
	f.Add("alice:", "&x", "0123456789abcdef", uint8(0), true)
	f.Add("/a/", "/b", "a+b/c-d_e%f g", uint8(3), true)
	f.Add("%", "%2", "secret:with:colons", uint8(5), false)
	minted := token.Mint().Reveal()
	f.Fuzz(func(t *testing.T, before, after, secret string, form uint8, isMinted bool) {
		value := secret
		if isMinted {
			value = minted
		}
		if len(value) < 12 || strings.Contains("REDACTED", value) {
			return // no value: too short to be told from other text, or what masks write
		}
		planted := before + value + after
		switch form % 6 {
		case 0:
			planted = base64.StdEncoding.EncodeToString([]byte(planted))
		case 1:
			planted = base64.RawStdEncoding.EncodeToString([]byte(planted))
		case 2:
			planted = base64.URLEncoding.EncodeToString([]byte(planted))
		case 3:
			planted = url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(planted)))
		case 4:
			planted = url.PathEscape(planted)
		}
		m := token.NewMasker(token.NewSecret(secret))
		for _, text := range []string{planted, before + planted, planted + after, "q=" + planted} {
			out := m.Mask(text)
			if recovered(out, value) && !recovered(strings.ReplaceAll(before+"\n"+after, value, ""), value[:6]) {
				t.Fatalf("%q is in %q", value, out)
			}
			if again := m.Mask(out); recovered(again, value) {
				t.Fatalf("masked twice: %q", again)
			}
		}
	})
}

func BenchmarkMask(b *testing.B) {
	secret := token.NewSecret("qt3sumg4gd8r47n98tcnmuarnfufviog")
	for name, text := range map[string]string{
		"path": "/rest/api/2/issue/KANBAN-100/comment", "escapes": "jql=project%20%3D%20KANBAN%20AND%20status%20%3D%20Open",
		"long": strings.Repeat("expand=names&", 100), "encoded": "a=" + base64.StdEncoding.EncodeToString([]byte("alice:"+secret.Reveal())),
	} {
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m := token.NewMasker(secret)
				_ = m.Mask(text)
			}
		})
	}
}
