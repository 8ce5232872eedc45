package policy_test

import (
	"net/url"
	"path"
	"regexp"
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
		"/a/..;/b":                       "a dot segment: '.' at offset 3",
		"/a/.;x=1/b":                     "a dot segment: '.' at offset 3",
		"/a/%2e.;x":                      "a dot segment: '.' at offset 3",
		"/;x/b":                          "an empty segment: ';' at offset 1",
		"/a%2F\xff":                      "not UTF-8 when decoded: byte 0xFF at offset 5",
		"/%2Fa":                          "an empty segment once its escapes are decoded: '%' at offset 1",
		"/a/%2F%2F":                      "an empty segment once its escapes are decoded: '%' at offset 3",
		"/a/%2Fb":                        "an empty segment once its escapes are decoded: '%' at offset 3",
		"/a%2F%2fb":                      "an empty segment once its escapes are decoded: '%' at offset 2",
		"/a%2F/b":                        "an empty segment once its escapes are decoded: '%' at offset 2",
		"/a/..%2Fb":                      "a dot segment once its escapes are decoded: '%' at offset 5",
		"/a%2F..":                        "a dot segment once its escapes are decoded: '%' at offset 2",
		"/a%2F.%2Fb":                     "a dot segment once its escapes are decoded: '%' at offset 2",
		"/a%2F%2e%2e%2Fb":                "a dot segment once its escapes are decoded: '%' at offset 2",
		"/a/%252e%252e/b":                "a dot segment once its escapes are decoded: '%' at offset 3",
		"/a/.%252e":                      "a dot segment once its escapes are decoded: '%' at offset 4",
		"/a/%25252e%25252E/b":            "a dot segment once its escapes are decoded: '%' at offset 3",
		"/a/..%252Fb":                    "a dot segment once its escapes are decoded: '%' at offset 5",
		"/a/..%255Cb":                    "a dot segment once its escapes are decoded: '%' at offset 5",
		"/a/..%3Bx/b":                    "a dot segment once its escapes are decoded: '%' at offset 5",
		"/a/..%253Bx/b":                  "a dot segment once its escapes are decoded: '%' at offset 5",
		"/a/..%3Fx":                      "a dot segment once its escapes are decoded: '%' at offset 5",
		"/a/..%23x":                      "a dot segment once its escapes are decoded: '%' at offset 5",
		"/a;x%2F..%2Fb":                  "a dot segment once its escapes are decoded: ';' at offset 2",
		"/a/%3Bx/b":                      "an empty segment once its escapes are decoded: '%' at offset 3",
		"/%" + strings.Repeat("25", 9):   "escapes within escapes: '%' at offset 1",
		"/a\\b":                          "'\\' at offset 2",
		"/a%5Cb":                         "an encoded '\\' at offset 2",
		"/a#b":                           "'#' at offset 2",
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

// TestEncodedTargets checks that an encoded byte that a gate can permit stays in the path in one
// spelling, and is refused by a gate that does not permit it.
func TestEncodedTargets(t *testing.T) {
	const all = policy.EncodedSlash | policy.EncodedPercent | policy.EncodedHash | policy.EncodedQuestion | policy.EncodedSemicolon | policy.Semicolon
	for _, c := range []struct {
		target, path string
		needs        policy.Encoded
		closed       string
	}{
		{"/a%2fb", "/a%2Fb", policy.EncodedSlash, "an encoded '/' at offset 2"},
		{"/projects/group%2Fname/%69ssues?x=%2F", "/projects/group%2Fname/issues", policy.EncodedSlash, "an encoded '/' at offset 15"},
		{"/@scope%2fpkg", "/@scope%2Fpkg", policy.EncodedSlash, "an encoded '/' at offset 7"},
		{"/api/queues/%2f/q", "/api/queues/%2F/q", policy.EncodedSlash, "an encoded '/' at offset 12"}, // a name of its own
		{"/api/vhosts/%2F", "/api/vhosts/%2F", policy.EncodedSlash, "an encoded '/' at offset 12"},
		{"/api/queues/%2F/%2F", "/api/queues/%2F/%2F", policy.EncodedSlash, "an encoded '/' at offset 12"},
		{"/%2F/q", "", policy.EncodedSlash, ""},
		{"/api/%2F;x/q", "", policy.EncodedSlash, ""},
		{"/api/%2F/..%2F", "", policy.EncodedSlash, ""},
		{"/100%25", "/100%25", policy.EncodedPercent, "an encoded '%' at offset 4"},
		{"/100%2525", "/100%2525", policy.EncodedPercent, "an encoded '%' at offset 4"},
		{"/a%252Fb", "/a%252Fb", policy.EncodedPercent, "an encoded '%' at offset 2"},
		{"/a%25zz", "/a%25zz", policy.EncodedPercent, "an encoded '%' at offset 2"},
		{"/c%23.md", "/c%23.md", policy.EncodedHash, "an encoded '#' at offset 2"},
		{"/what%3f", "/what%3F", policy.EncodedQuestion, "an encoded '?' at offset 5"},
		{"/a%3bb", "/a%3Bb", policy.EncodedSemicolon, "an encoded ';' at offset 2"},
		{"/a;b=1;c/d", "/a;b=1;c/d", policy.Semicolon, "';' at offset 2"},
		{"/a/;b", "/a/;b", policy.Semicolon, "';' at offset 3"},
		{"/r%C3%A9sum%C3%A9%2F;x%3b", "/résumé%2F;x%3B", policy.EncodedSlash | policy.Semicolon | policy.EncodedSemicolon, "an encoded '/' at offset 17"},
	} {
		got := policy.NewTarget(c.target)
		if got.Path != c.path || (got.Problem() == "") != (c.path != "") {
			t.Errorf("%s: path %q, problem %q, want %q", c.target, got.Path, got.Problem(), c.path)
		}
		if c.path == "" {
			continue
		}
		if got.Encoded != c.needs || got.Closed(0) != c.closed {
			t.Errorf("%s: holds %v, closed %q, want %v, %q", c.target, got.Encoded, got.Closed(0), c.needs, c.closed)
		}
		if closed := got.Closed(c.needs); closed != "" {
			t.Errorf("%s: closed where all of it is open: %q", c.target, closed)
		}
		if got.Closed(all&^c.needs) != c.closed {
			t.Errorf("%s: closed where all else is open: %q", c.target, got.Closed(all&^c.needs))
		}
		for need := policy.Encoded(1); need <= all; need <<= 1 {
			if c.needs&need != 0 && got.Closed(all&^need) == "" {
				t.Errorf("%s: open without %v", c.target, need)
			}
		}
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
		if got.Problem() != "" || got.Closed(0) != "" {
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

// FuzzEncodedPath holds a path that a gate opens everything in against what lenient
// upstreams do with it: they decode it, once or more often, take parameters from its
// segments, or end it at a question mark. None may find a dot segment or an empty one.
func FuzzEncodedPath(f *testing.F) {
	for _, seed := range []string{"/a%2Fb", "/a%252e%252e/b", "/a;x/b", "/a/..%3B/b", "/a%2F%2Fb", "/%25%32%66", "/a%255C..", "/a%3F/..", "/a%23%2e%2e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		got := policy.NewTarget(target)
		if got.Problem() != "" {
			return
		}
		raw, _, _ := strings.Cut(target, "?")
		segments := strings.Split(raw, "/")
		for i := range segments[min(2, len(segments)):] {
			if strings.EqualFold(segments[2+i], "%2F") {
				segments[2+i] = "a-name"
			}
		}
		if again, err := url.PathUnescape(got.Path); got.Encoded&policy.EncodedPercent == 0 {
			if text, _ := url.PathUnescape(raw); err != nil || again != text {
				t.Fatalf("%q: %q decodes to %q, %v, want %q", target, got.Path, again, err, text)
			}
		}
		text, err := url.PathUnescape(strings.Join(segments, "/"))
		if err != nil {
			t.Fatalf("%q was accepted, net/url says %v", target, err)
		}
		for range 20 {
			for _, reading := range readings(text) {
				clean := path.Clean(reading)
				if strings.HasSuffix(reading, "/") && clean != "/" {
					clean += "/"
				}
				if clean != reading {
					t.Fatalf("%q: read as %q, cleaned it is %q", target, reading, clean)
				}
			}
			if text, err = url.PathUnescape(text); err != nil {
				return
			}
		}
	})
}

var parameters = regexp.MustCompile(`;[^/]*`)

// readings are what lenient upstreams make of a decoded path.
func readings(text string) []string {
	ended, _, _ := strings.Cut(text, "?")
	fragment, _, _ := strings.Cut(text, "#")
	list := []string{text, ended, fragment, strings.ReplaceAll(text, `\`, "/")}
	for _, s := range list {
		list = append(list, parameters.ReplaceAllString(s, ""))
	}
	return list
}
