package policy_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
)

// What lenient servers read as the limited parameter makes the query unreadable.
func TestNamesThatLookLikeAParameter(t *testing.T) {
	for _, c := range []struct{ name, alike, apart string }{
		{"from", "from]|[from]|[from=|]from|from[|from[]|from[x]|from[x][y]|FROM|f.rom|f_rom|from%00|from%00x|%00from|from%5Bx|+from|from.|.from.", "xfrom|from2|fromx|to|x[from]|x%00from|%00|[]|_|.|fr%C3%B6m"},
		{"date_from", "date.from|date+from|date%20from|date[from|date_from%00x|date-from|datefrom|DATE_FROM|date_from[0]|[date_from]|date]from", "from|date|to|date_from2|date_from_x|x[date_from]|dates[from]"},
		{"a[b]", "a|a[c]|ab|a%00x|a.b|A[B]", "b|abc|c[a]|aa"},
		{"_", "", "a|__|.|[]"},
	} {
		r := rule(t, "r", "query", url.QueryEscape(c.name)+"=1")
		r.Query[0] = policy.NewParameter(c.name, pattern(t, "1"))
		good := url.QueryEscape(c.name) + "=1"
		for name := range strings.SplitSeq(c.alike, "|") {
			if name != "" {
				unreadableQ.check(t, good+"&"+name+"=2", r, request(target("/s?"+good+"&"+name+"=2")))
				unreadableQ.check(t, name+" alone", r, request(target("/s?"+name+"=1")))
			}
		}
		for name := range strings.SplitSeq(c.apart, "|") {
			yes.check(t, good+"&"+name+"=2", r, request(target("/s?"+name+"=2&"+good)))
		}
	}
}

// definedFold is a fold as the reference words it: ASCII letters and digits in lower case,
// cut where asked at the first NUL, `[` or `]` after one of them.
func definedFold(name string, cut bool) string {
	isLetter := func(r rune) bool {
		return r < 0x80 && strings.ContainsRune("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", r)
	}
	if first := strings.IndexFunc(name, isLetter); cut && first >= 0 {
		if end := strings.IndexAny(name[first:], "\x00[]"); end >= 0 {
			name = name[:first+end]
		}
	}
	return strings.ToLower(strings.Map(func(r rune) rune {
		if isLetter(r) {
			return r
		}
		return -1
	}, name))
}

// FuzzLooksLike holds look-alikes against the words of the reference.
func FuzzLooksLike(f *testing.F) {
	for _, seed := range [][2]string{{"from", "from]"}, {"a[b]", "ab"}, {"_", "."}, {"A", "a\x00b"}, {"\x00a", "]a["}, {"ä", ""}, {"a", "\xff"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		want := definedFold(a, false) != "" &&
			(definedFold(a, false) == definedFold(b, false) || definedFold(a, true) == definedFold(b, true))
		if got := policy.LooksLike(a, b); got != want {
			t.Fatalf("%q and %q: %v, want %v", a, b, got, want)
		}
	})
}

// TestUnreadableQueriesNameTheCause checks that a refusal says what the client can change.
func TestUnreadableQueriesNameTheCause(t *testing.T) {
	r := rule(t, "r", "query", "a=1")
	for query, want := range map[string]string{
		"a=1;b=2": "it has a raw ';'", "a=1&b=;": "it has a raw ';'", "a=1#b": "it has a raw '#'", "a=1&b=%zz": "it has a malformed escape",
		"a=1&b=%ff":                          "it has a malformed escape, or is not UTF-8",
		"a=1" + strings.Repeat("&b=1", 1000): "it has more than 1,000 parameters",
		"a=1" + strings.Repeat("&", 1000):    "it has more than 1,000 parameters",
		"a=1&A=2":                            "another name in it is one that some servers take for the same parameter",
		"a=" + strings.Repeat("1", 1<<20):    "a value is too long to be matched",
	} {
		w := newWorld(t)
		w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(r)}}
		d := w.ask(request(target("/s?" + query)))
		if d.Reason != policy.QueryUnreadable || !strings.HasPrefix(d.Problem, want) || d.PartName != "a" {
			t.Errorf("%.20s: %s, %q of %q, want %q", query, d.Reason, d.Problem, d.PartName, want)
		}
	}
}
