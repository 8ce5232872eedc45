package lint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/patgate/patgate/lint"
	"github.com/patgate/patgate/test/golden"
)

// now is the time at which the manifests of these tests are checked.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// TestWarnings compares the warnings about each archive of manifests with those that it
// lists: there must be no others.
func TestWarnings(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal(err, archives)
	}
	seen := map[lint.Code]bool{}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { testArchive(t, name, seen) })
	}
	for _, code := range lint.Codes() {
		if !seen[code] {
			t.Errorf("no archive has a warning %s", code)
		}
	}
}

func testArchive(t *testing.T, name string, seen map[lint.Code]bool) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range archive.Files {
		if f.Name == "want" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := loaderdir.Load([]string{dir})
	for _, p := range in.Problems {
		t.Error(p)
	}
	var got strings.Builder
	for _, w := range lint.Lint(in, now) {
		seen[w.Code] = true
		if w.Fix == "" || w.Message == "" {
			t.Errorf("without a reason or a fix: %s", w)
		}
		w.Fix = ""
		line := strings.TrimSuffix(strings.TrimPrefix(w.String(), dir+"/"), ". Fix: ")
		if w.Suppressed != "" {
			line = "accepted (" + w.Suppressed + "): " + line
		}
		fmt.Fprintln(&got, line)
	}
	golden.Want(t, name, archive, got.String())
}
