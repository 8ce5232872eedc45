package demo

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/patgate/patgate/lint"
	"github.com/patgate/patgate/loader"
)

// TestManifestsAreClean wants what people copy from to be without a warning, but for
// those that it accepts.
func TestManifestsAreClean(t *testing.T) {
	d := &demo{dir: t.TempDir()}
	if err := d.writeManifests(); err != nil {
		t.Fatal(err)
	}
	in := loader.Inspect([]string{filepath.Join(d.dir, "manifests")})
	for _, p := range in.Problems {
		t.Error(p)
	}
	for _, w := range lint.Lint(in, time.Now()) {
		if w.Suppressed == "" {
			t.Error(w)
		}
	}
}
