package check_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/patgate/patgate/fronts/check"
)

var update = flag.Bool("update", false, "rewrite the page")

// TestDocs compares the end of docs/ingress.md with the codes. -update rewrites it.
func TestDocs(t *testing.T) {
	const name, first = "../../docs/ingress.md", "a warning weakens it.\n"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(text), first)
	if !found {
		t.Fatalf("%s has no %q", name, first)
	}
	if *update {
		if err := os.WriteFile(name, []byte(head+first+check.Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if rest != check.Page() {
		t.Errorf("%s differs from the codes; -update rewrites it", name)
	}
}
