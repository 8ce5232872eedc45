package check_test

import (
	"testing"

	"github.com/patgate/patgate/fronts/check"
	"github.com/patgate/patgate/test/golden"
)

// TestDocs compares the end of docs/ingress.md with the codes. -update rewrites it.
func TestDocs(t *testing.T) {
	const name, first = "../../docs/ingress.md", "a warning weakens it.\n"
	golden.Part(t, name, first, "", check.Page())
}
