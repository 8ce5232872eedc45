package token_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

func TestMintedValuesAreWellFormedAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := token.Mint()
		v := s.Reveal()
		if len(v) != 5+30+6 || !strings.HasPrefix(v, "patg_") {
			t.Fatalf("a value of %d characters", len(v))
		}
		if !token.WellFormed(s) || !token.HasPrefix(s) {
			t.Fatal("a minted value is not well formed")
		}
		if seen[v] {
			t.Fatal("the same value twice")
		}
		seen[v] = true
	}
}

func TestMintUsesItsWholeAlphabet(t *testing.T) {
	counts := map[rune]int{}
	const values = 4000
	for range values {
		for _, c := range token.Mint().Reveal()[5:35] {
			counts[c]++
		}
	}
	if len(counts) != 62 {
		t.Fatalf("%d different characters, want 62", len(counts))
	}
	mean := values * 30 / 62
	for c, n := range counts {
		if n < mean*7/10 || n > mean*13/10 {
			t.Errorf("%q occurs %d times, the mean is %d", c, n, mean)
		}
	}
}

func TestWellFormed(t *testing.T) {
	good := token.Mint().Reveal()
	flip := func(i int) string {
		b := []byte(good)
		if b[i]++; b[i] == '9'+1 || b[i] == 'Z'+1 || b[i] == 'z'+1 {
			b[i] = '0'
		}
		return string(b)
	}
	for _, c := range []struct {
		name, value string
		want        bool
	}{
		{"minted", good, true},
		{"from elsewhere", "qt3sumg4gd8r47n98tcnmuarnfufviog", true},
		{"empty", "", false},
		{"prefix alone", "patg_", false},
		{"one character short", good[:len(good)-1], false},
		{"one character more", good + "0", false},
		{"a random character changed", flip(10), false},
		{"a checksum character changed", flip(len(good) - 1), false},
		{"upper case", "patg_" + strings.ToUpper(good[5:]), false},
		{"no base62", "patg_" + strings.Repeat("-", 36), false},
	} {
		if got := token.WellFormed(token.NewSecret(c.value)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestDigest(t *testing.T) {
	// echo -n abc | sha256sum
	const abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	d := token.Sum(token.NewSecret("abc"))
	if d.String() != abc {
		t.Errorf("digest of abc is %s", d)
	}
	back, err := token.ParseDigest(abc)
	if err != nil || !back.Equal(d) {
		t.Errorf("ParseDigest: %v, %v", back, err)
	}
	for _, bad := range []string{"", "sha256:", abc[7:], abc[:len(abc)-1], abc + "0",
		"sha512:" + abc[7:], strings.ToUpper(abc), "sha256:" + strings.ToUpper(abc[7:]),
		"sha256:" + strings.Repeat("g", 64)} {
		if got, err := token.ParseDigest(bad); !errors.Is(err, token.ErrDigest) || got != (token.Digest{}) {
			t.Errorf("ParseDigest(%q) = %v, %v", bad, got, err)
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	const canary = "canary-5e2f"
	s := token.NewSecret(canary)
	nested := struct {
		S token.Secret
		P *token.Secret
		M map[string]token.Secret
	}{s, &s, map[string]token.Secret{"k": s}}
	var out strings.Builder
	out.WriteString(s.String())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%80v"} {
		fmt.Fprintf(&out, verb, s)
		fmt.Fprintf(&out, verb, &s)
		fmt.Fprintf(&out, verb, nested)
	}
	text, err := json.Marshal(nested)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "secret", s, "nested", nested)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "secret", s, "nested", nested)
	if got := out.String(); strings.Contains(got, canary) || strings.Contains(got, fmt.Sprintf("%x", canary)) {
		t.Errorf("the secret was printed: %s", got)
	}
}

func TestMask(t *testing.T) {
	v := token.Mint().Reveal()
	all := ""
	for i := range len(v) {
		all += fmt.Sprintf("%%%02x", v[i])
	}
	const m = "patg_REDACTED"
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"/rest/api", "/rest/api"},
		{v, m},
		{"/a/" + v + "/b", "/a/" + m + "/b"},
		{v + "," + v, m + "," + m},
		{"x=" + v[:20], "x=" + m},
		{"patg_", m},
		{"patg-x", "patg-x"},
		{"/" + all, "/" + m},
		{"a=" + strings.Replace(v, "_", "%5F", 1) + "&b=1", "a=" + m + "&b=1"},
		{"a=" + url.QueryEscape("{"+v+"}"), "a=%7B" + m + "%7D"},
		{"patg_" + v, m},
		{"/" + strings.ReplaceAll(all, "%", "%25"), "/" + m},
		{"/patg%25255F" + v[5:], "/" + m},
		{"%2570", "%2570"},
		{"%25", "%25"},
		{"%", "%"},
		{"%p", "%p"},
		{"pat%", "pat%"},
	} {
		if got := token.Mask(c.in); got != c.want {
			t.Errorf("Mask(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestMaskValue(t *testing.T) {
	s := token.NewSecret("a+b/c")
	for in, want := range map[string]string{
		"x=a+b/c&y": "x=REDACTED&y", "x=a%2Bb%2fc": "x=REDACTED", "x=%61+b/c%": "x=REDACTED%", "a%252bb/c": "REDACTED", "a b/c": "a b/c", "%": "%",
	} {
		if got := token.MaskValue(in, s); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := token.MaskValue("x", token.Secret{}); got != "x" {
		t.Errorf("an empty value masks: %q", got)
	}
}

func FuzzMask(f *testing.F) {
	f.Add("/rest/%70atg_abc?x=patg%5f1")
	f.Fuzz(func(t *testing.T, in string) {
		out := token.Mask(in)
		if again := token.Mask(out); again != out {
			t.Errorf("masked twice: %q, %q", out, again)
		}
		if strings.Contains(strings.ReplaceAll(out, "patg_REDACTED", ""), "patg_") {
			t.Errorf("Mask(%q) = %q", in, out)
		}
	})
}
