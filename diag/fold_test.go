package diag

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestFolded(t *testing.T) {
	var problems []Problem
	for i := range 30 {
		problems = append(problems, Problem{File: fmt.Sprintf("%02d.yaml", i), Pos: Pos{1, 2}, Field: "spec.policies[0]", Message: "no TokenPolicy is called ro"})
	}
	problems = slices.Insert(problems, 15, Problem{File: "z.yaml", Message: "something else"})
	got := Folded(problems)
	if len(got) != maxEqual+2 || got[10] != "z.yaml: something else" || got[11] != "and 20 more places: spec.policies[0]: no TokenPolicy is called ro (-o json has all)" {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	if got := Folded(problems[:10]); len(got) != 10 {
		t.Errorf("%d", len(got))
	}
}

func TestColor(t *testing.T) {
	for in, want := range map[string]string{
		"allow ok":                         "\x1b[1m\x1b[32mallow ok\x1b[0m",
		"deny no_gate (404)":               "\x1b[1m\x1b[31mdeny no_gate\x1b[0m (404)",
		"  NO  user                   bob": "  \x1b[31mNO  user                   bob\x1b[0m",
		`{"decision":"allow"}`:             `{"decision":"allow"}`,
		"ci-bot   alice   active   2026":   "ci-bot   alice   \x1b[32mactive\x1b[0m   2026",
		"nothing of ours":                  "nothing of ours",
	} {
		if got := Color(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestHighlight has a writer color whole lines alone, after everything in them is escaped.
func TestHighlight(t *testing.T) {
	var out strings.Builder
	w := NewWriter(&out)
	w.Highlight(func(line string) string { return "<" + line + ">" })
	for _, part := range []string{"a", "b\nc\x1b[31m", "\n", "\nlast"} {
		if _, err := w.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil || out.String() != "<ab>\n<c\\u001b[31m>\n<>\n<last>" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
