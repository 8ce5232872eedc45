package diag_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/patgate/patgate/diag"
)

// TestSuppress holds both words of the comment, and what a comment that does nothing reports.
func TestSuppress(t *testing.T) {
	for _, test := range []struct{ comment, want string }{
		{"# patgate:ignore any-user a kiosk", "a kiosk"},
		{"# patgate:accept any-user a kiosk", "a kiosk"},
		{"#patgate:ignore expired,any-user a kiosk", "no expired is found on this line or the next|a kiosk"},
		{"# patgate:ignore any-user", "any-user is accepted without a reason, so it is still reported|"},
		{"# patgate:ignore any-usr a kiosk", `"any-usr" is no code to accept, did you mean any-user?|`},
		{"# patgate:ignored any-user a kiosk", ""},
	} {
		p := diag.Problem{Code: "any-user", Severity: diag.Warning, File: "f.yaml", Pos: diag.Pos{Line: 2, Column: 1}}
		var got []string
		for _, s := range diag.Suppressions([]byte("a: 1\nanyUser: true " + test.comment + "\n")) {
			got = append(got, s.Suppress([]*diag.Problem{&p}, []diag.Code{"any-user", "expired"}, func(int) bool { return s.Covers(p.Pos.Line) })...)
		}
		if text := strings.Join(append(got, p.Suppressed), "|"); text != test.want {
			t.Errorf("%s: %q, want %q", test.comment, text, test.want)
		}
	}
}

// TestText holds the two forms of a line.
func TestText(t *testing.T) {
	p := diag.Problem{File: "f.yaml", Pos: diag.Pos{Line: 2, Column: 1}, Field: "spec.user", Message: "empty, expected a name"}
	coded := p
	coded.Code, coded.Severity, coded.Fix = "any-user", diag.Warning, "write one"
	got := fmt.Sprintf("%s\n%s\n%s\n%s", p, coded, coded.CodeLast(), diag.Problem{File: "dir", Message: "no such directory"})
	const want = `f.yaml:2:1: spec.user: empty, expected a name
f.yaml:2:1: warning any-user: spec.user: empty, expected a name. Fix: write one
f.yaml:2:1: spec.user: empty, expected a name. Fix: write one [warning any-user]
dir: no such directory`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
