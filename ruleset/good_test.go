package ruleset_test

import (
	"testing"

	"github.com/patgate/patgate/loader/dir"
)

// TestGoodManifests reads testdata/good, which holds every field: the schema is held
// against the same files.
func TestGoodManifests(t *testing.T) {
	set := dir.Load([]string{"testdata/good"})
	rows, problems := set.Rows, set.Problems
	for _, p := range problems {
		t.Error(p)
	}
	if len(rows.Gates) != 6 || len(rows.Tokens) != 6 || len(rows.Groups) != 3 || len(rows.Policies) != 4 {
		t.Errorf("%d gates, %d tokens, %d groups, %d policies", len(rows.Gates), len(rows.Tokens), len(rows.Groups), len(rows.Policies))
	}
}
