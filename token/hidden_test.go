package token_test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

// encodings are those of base64 that servers read.
var encodings = map[string]*base64.Encoding{
	"standard": base64.StdEncoding, "standard, not padded": base64.RawStdEncoding,
	"URL": base64.URLEncoding, "URL, not padded": base64.RawURLEncoding,
}

func TestHoldsMinted(t *testing.T) {
	value := token.Mint().Reveal()
	typo := value[:len(value)-1] + string(rune('0'+(value[len(value)-1]+1)%10))
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"empty":                 {"", false},
		"the value":             {value, true},
		"a blank before it":     {" " + value, true},
		"in quotes":             {`"` + value + `"`, true},
		"another scheme before": {"Bearer " + value, true},
		"text after it":         {value + "xyz", true},
		"after a wrong one":     {typo + value, true},
		"after the prefix":      {"patg_" + value, true},
		"percent-encoded":       {strings.Replace(value, "_", "%5F", 1), true},
		"and twice":             {strings.Replace(value, "_", "%255f", 1), true},
		"base64 after a %":      {"%" + base64.StdEncoding.EncodeToString([]byte("{"+value)), true},
		"a wrong checksum":      {typo, false},
		"cut":                   {value[:len(value)-1], false},
		"the prefix alone":      {"patg_", false},
		"a password":            {"correct horse battery staple", false},
		"a password with %":     {"100%pure%zz", false},
		"base64 of a password":  {base64.StdEncoding.EncodeToString([]byte("alice:correct horse battery staple")), false},
		"base64 of a typo":      {base64.StdEncoding.EncodeToString([]byte(typo)), false},
	} {
		if got := token.HoldsMinted(c.text); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	for name, encoding := range encodings {
		for _, before := range []string{"", "a", "ab", "abc", "alice:", "?>?>"} {
			for _, after := range []string{"", "x", "\n", " and more"} {
				encoded := encoding.EncodeToString([]byte(before + value + after))
				for _, text := range []string{encoded, "Basic " + encoded, "x" + encoded, "xy/" + encoded + "zzz", url.QueryEscape(encoded)} {
					if !token.HoldsMinted(text) {
						t.Errorf("%s: not found between %q and %q", name, before, after)
					}
				}
			}
		}
	}
}

// FuzzHoldsMinted plants a value and checks that it is found, in any base64 and between anything.
func FuzzHoldsMinted(f *testing.F) {
	f.Add("alice:", "x", uint8(0))
	f.Add("%", "%2", uint8(2))
	value := token.Mint().Reveal()
	f.Fuzz(func(t *testing.T, before, after string, encoding uint8) {
		inner := before + value + after
		switch encoding % 5 {
		case 0:
			inner = base64.StdEncoding.EncodeToString([]byte(inner))
		case 1:
			inner = base64.RawStdEncoding.EncodeToString([]byte(inner))
		case 2:
			inner = base64.URLEncoding.EncodeToString([]byte(inner))
		case 3:
			inner = base64.RawURLEncoding.EncodeToString([]byte(inner))
		}
		if !token.HoldsMinted(inner) {
			t.Errorf("not found between %q and %q in form %d", before, after, encoding%5)
		}
	})
}
