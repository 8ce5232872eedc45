package demo

import (
	"path/filepath"
	"testing"
	"time"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/patgate/patgate/lint"
)

// TestManifestsAreClean checks that the manifests people copy from have no warning, but for
// those that it accepts.
func TestManifestsAreClean(t *testing.T) {
	d := &demo{dir: t.TempDir()}
	if err := d.writeManifests(); err != nil {
		t.Fatal(err)
	}
	in := loaderdir.Load([]string{filepath.Join(d.dir, "manifests")})
	for _, p := range in.Problems {
		t.Error(p)
	}
	for _, w := range lint.Lint(in, time.Now()) {
		if w.Suppressed == "" {
			t.Error(w)
		}
	}
}
