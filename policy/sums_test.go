package policy_test

import (
	"crypto/sha256"
	"testing"

	"github.com/patgate/patgate/policy"
)

// TestARevisionSumsItsSources loads files, objects, and both: the sum of a revision changes with each, and that of one source
// alone is that source's.
func TestARevisionSumsItsSources(t *testing.T) {
	files, objects := sha256.Sum256([]byte("files")), sha256.Sum256([]byte("objects"))
	load := func(x *policy.Index, c policy.Changes) {
		t.Helper()
		if _, err := x.Apply(c, now); err != nil {
			t.Fatal(err)
		}
	}
	ofFiles := policy.Changes{All: true, New: policy.Rows{SHA256: files}}
	ofObjects := policy.Changes{Origin: policy.OriginObjects, New: policy.Rows{SHA256: objects}}
	x, y := policy.NewIndex(), policy.NewIndex()
	if load(x, ofFiles); x.Snapshot().Revision().SHA256 != files {
		t.Error("the sum of files alone is not theirs")
	}
	if load(y, ofObjects); y.Snapshot().Revision().SHA256 != objects {
		t.Error("the sum of objects alone is not theirs")
	}
	load(x, ofObjects)
	load(y, ofFiles)
	a, b := x.Snapshot().Revision(), y.Snapshot().Revision()
	if a.SHA256 != b.SHA256 || a.Files != files || b.Objects != objects || a.SHA256 == files || a.SHA256 == objects {
		t.Errorf("both: %x and %x", a.SHA256, b.SHA256)
	}
	load(x, policy.Changes{All: true, New: policy.Rows{SHA256: objects}})
	if x.Snapshot().Revision().SHA256 == a.SHA256 {
		t.Error("other files have the same sum")
	}
}
