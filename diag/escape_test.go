package diag

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain é 日本 😀": "plain é 日本 😀", "a\nb\tc\r": `a\nb\tc\r`, "\x1b[2J": `\u001b[2J`, "\u009b31m": `\u009b31m`, "\x7f": `\u007f`,
		"a\u2028b\u2029": `a\u2028b\u2029`, "\u202etxt\u2066": `\u202etxt\u2066`, "\u061c\u200e\u200f": `\u061c\u200e\u200f`, "\xff\x9b": `\xff\x9b`, "\ufffd": "\ufffd",
	} {
		if got := Escape(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestWriter(t *testing.T) {
	for in, want := range map[string]string{
		"a\tb\nc\n":                    "a\tb\nc\n",
		"\x1b[31mred\u202e\n":          "\\u001b[31mred\\u202e\n",
		"x\n::error::pwn\n":            "x\n:\\u003aerror::pwn\n",
		" \t::set-output name=x::\n":   " \t:\\u003aset-output name=x::\n",
		"\u00a0\u3000::error::x":       "\u00a0\u3000:\\u003aerror::x",
		"a ##[error]pwn\n":             "a ##\\u005berror]pwn\n",
		"a ##vso[task.x]pwn\n":         "a ##vso\\u005btask.x]pwn\n",
		"###TeamCity[x] ## a[0] #a[1]": "###TeamCity\\u005bx] ## a[0] #a[1]",
		"f.yaml:1:1: a::b [::1]:80\n":  "f.yaml:1:1: a::b [::1]:80\n",
		":4\n":                         ":4\n", "a\rb\n": "a\\rb\n",
	} {
		for size := 1; size <= len(in); size++ {
			var out bytes.Buffer
			w := NewWriter(&out)
			for rest := in; rest != ""; rest = rest[min(size, len(rest)):] {
				if n, err := w.Write([]byte(rest[:min(size, len(rest))])); err != nil || n != min(size, len(rest)) {
					t.Fatalf("%d, %v", n, err)
				}
			}
			if err := w.Flush(); err != nil || out.String() != want {
				t.Errorf("%q in pieces of %d: %q, want %q", in, size, out.String(), want)
			}
		}
	}
	var out bytes.Buffer
	w := NewWriter(&out)
	_, _ = w.Write([]byte("é\xc3"))
	if err := w.Flush(); err != nil || out.String() != `é\xc3` {
		t.Errorf("%q", out.String())
	}
}

// FuzzWriter checks that output has no control characters, and that JSON stays the same JSON.
func FuzzWriter(f *testing.F) {
	f.Add("a\x1b[2J\n::error::x\u202e")
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		w := NewWriter(&out)
		_, _ = w.Write([]byte(text))
		_ = w.Flush()
		if !utf8.Valid(out.Bytes()) || strings.ContainsFunc(out.String(), func(r rune) bool { return r != utf8.RuneError && unsafeInLayout(r) }) {
			t.Errorf("%q", out.String())
		}
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##[") || strings.Contains(line, "##vso[") {
				t.Errorf("a command: %q", line)
			}
		}
		object, err := json.Marshal(map[string]string{"k": text})
		if err != nil {
			t.Fatal(err) // a text is always JSON
		}
		out.Reset()
		w = NewWriter(&out)
		_, _ = w.Write(object)
		var want, got map[string]string
		if json.Unmarshal(object, &want) != nil || json.Unmarshal(out.Bytes(), &got) != nil || want["k"] != got["k"] {
			t.Errorf("%s became %s", object, out.Bytes())
		}
	})
}
