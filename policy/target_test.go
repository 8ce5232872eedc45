package policy_test

import (
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/patgate/patgate/policy"
)

func TestGoodTargets(t *testing.T) {
	for _, c := range []struct{ target, path, query string }{
		{"/", "/", ""},
		{"/rest/api/2/issue/JRA-1", "/rest/api/2/issue/JRA-1", ""},
		{"/rest/", "/rest/", ""},
		{"/a?b=c?d", "/a", "b=c?d"},
		{"/a?", "/a", ""},
		{"/my%20file.txt", "/my file.txt", ""},
		{"/r%C3%A9sum%C3%A9", "/résum\u00e9", ""},
		{"/%72est", "/rest", ""},
		{"/JRA-1.v2...x", "/JRA-1.v2...x", ""},
		{"/..a/.b/c..", "/..a/.b/c..", ""},
		{"/a+b%2Bc", "/a+b+c", ""},
		{"/{x}|^~!$&'()*,:=@", "/{x}|^~!$&'()*,:=@", ""},
		{"/a?x=%zz;#/../", "/a", "x=%zz;#/../"},
		{"/" + strings.Repeat("a", 8<<10-1), "/" + strings.Repeat("a", 8<<10-1), ""},
	} {
		got := policy.NewTarget(c.target)
		if got.Problem() != "" || got.Path != c.path || got.Query != c.query {
			t.Errorf("%.60q: path %.60q, query %q, problem %q", c.target, got.Path, got.Query, got.Problem())
		}
	}
}

func TestBadTargetsNameTheByteAndItsOffset(t *testing.T) {
	for target, want := range map[string]string{
		"":                               "the path is empty",
		"?a=b":                           "the path is empty",
		"*":                              "'*' at offset 0, where a path begins with '/'",
		"rest/api":                       "'r' at offset 0, where a path begins with '/'",
		"/a/../b":                        "a dot segment: '.' at offset 3",
		"/a/..":                          "a dot segment: '.' at offset 3",
		"/./a":                           "a dot segment: '.' at offset 1",
		"/a/%2e%2E/b":                    "a dot segment: '.' at offset 3",
		"/a/.%2e":                        "a dot segment: '.' at offset 3",
		"//a":                            "an empty segment: '/' at offset 1",
		"/a//b":                          "an empty segment: '/' at offset 3",
		"/a//":                           "an empty segment: '/' at offset 3",
		"/a;x=1/b":                       "';' at offset 2",
		"/a/..;/b":                       "';' at offset 5",
		"/a%3bx":                         "an encoded ';' at offset 2",
		"/a\\b":                          "'\\' at offset 2",
		"/a%5Cb":                         "an encoded '\\' at offset 2",
		"/a#b":                           "'#' at offset 2",
		"/a%23b":                         "an encoded '#' at offset 2",
		"/a%2fb":                         "an encoded '/' at offset 2",
		"/a%252e":                        "an encoded '%' at offset 2",
		"/a%3Fb":                         "an encoded '?' at offset 2",
		"/a%00b":                         "an encoded byte 0x00 at offset 2",
		"/a\x00b":                        "byte 0x00 at offset 2",
		"/a\x7f":                         "byte 0x7F at offset 2",
		"/a%0d%0a":                       "an encoded byte 0x0D at offset 2",
		"/a%zz":                          "a malformed escape: '%' at offset 2",
		"/a%4":                           "a malformed escape: '%' at offset 2",
		"/a%":                            "a malformed escape: '%' at offset 2",
		"/a%u002e":                       "a malformed escape: '%' at offset 2",
		"/a%ff":                          "not UTF-8 when decoded: byte 0xFF at offset 2",
		"/%41%c0%ae":                     "not UTF-8 when decoded: byte 0xC0 at offset 4",
		"/%ED%A0%80":                     "not UTF-8 when decoded: byte 0xED at offset 1",
		"/a\xff":                         "not UTF-8 when decoded: byte 0xFF at offset 2",
		"http://a/b":                     "'h' at offset 0, where a path begins with '/'",
		"/" + strings.Repeat("a", 8<<10): "the path is longer than 8192 bytes",
	} {
		got := policy.NewTarget(target)
		if got.Problem() != want || got.Path != "" {
			t.Errorf("%.60q: %q, path %q, want %q", target, got.Problem(), got.Path, want)
		}
	}
	if (&policy.Target{}).Problem() == "" {
		t.Error("the zero target is a good one")
	}
}

// FuzzSafePath holds an accepted path against what lenient upstreams do with it: none
// of them may arrive at another path.
func FuzzSafePath(f *testing.F) {
	for _, seed := range []string{"/", "/a/b?c", "/a/..;/b", "/%2e%2e/", "/a//b", "/a%2fb", "/%252e", "/\u00e9", "/a/./b", "/a%5c.."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		got := policy.NewTarget(target)
		if got.Problem() != "" {
			return
		}
		raw, _, _ := strings.Cut(target, "?")
		once, err := url.PathUnescape(raw)
		if err != nil || once != got.Path {
			t.Fatalf("%q: %q, net/url says %q, %v", target, got.Path, once, err)
		}
		if twice, err := url.PathUnescape(once); err != nil || twice != once {
			t.Fatalf("%q: decoded twice it is %q, %v", target, twice, err)
		}
		if !utf8.ValidString(once) || strings.ContainsAny(once, "\\;#?%\x00") {
			t.Fatalf("%q: accepted as %q", target, once)
		}
		clean := path.Clean(once)
		if strings.HasSuffix(once, "/") && clean != "/" {
			clean += "/"
		}
		if clean != once {
			t.Fatalf("%q: cleaned it is %q", once, clean)
		}
	})
}
