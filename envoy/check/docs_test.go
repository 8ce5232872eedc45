package check_test

import (
	"os"
	"strings"
	"testing"

	"github.com/patgate/patgate/envoy/check"
	"github.com/patgate/patgate/test/golden"
)

// TestDocs compares docs/envoy-checks.md with the codes: from its first code on, the page
// is made from them. -update rewrites it.
func TestDocs(t *testing.T) {
	const name, first = "../../docs/envoy-checks.md", "\n## Whether every request is checked\n"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(text), first)
	if !found {
		t.Fatalf("%s has no %q", name, first)
	}
	golden.File(t, name, head+check.Page())
}

// TestCodes requires every code to say why it matters and what to do about it.
func TestCodes(t *testing.T) {
	page := check.Page()
	for _, code := range check.Codes() {
		_, text, found := strings.Cut(page, "### `"+string(code)+"` ("+check.SeverityOf(code).String()+")\n")
		text, _, _ = strings.Cut(text, "\n##")
		if !found || len(text) < 60 || !strings.Contains(text, "**Why:** ") || !strings.Contains(text, "**What to do:** ") {
			t.Errorf("%s is described by %q", code, text)
		}
	}
}
