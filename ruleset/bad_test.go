package ruleset_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/patgate/patgate/test/golden"
)

// TestBadManifests reads testdata/bad: each archive is a directory of manifests, and in
// `want` every problem that it has; those called test-* are read with their PolicyTests. No two archives have the same problems.
func TestBadManifests(t *testing.T) {
	archives, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(archives) < 60 {
		t.Fatalf("%d archives, %v", len(archives), err)
	}
	seen := map[string]string{}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			unpack(t, archive, dir)
			set := loaderdir.Load([]string{dir})
			problems := set.Problems
			if strings.HasPrefix(filepath.Base(name), "test-") {
				problems = loaderdir.LoadTests([]string{dir}).Problems
			}
			var lines []string
			for _, p := range problems {
				if p.File == "" || p.Message == "" {
					t.Errorf("a problem without a place or message: %+v", p)
				}
				lines = append(lines, strings.ReplaceAll(p.String(), dir, "DIR"))
			}
			got := strings.Join(lines, "\n") + "\n"
			if len(problems) == 0 {
				t.Fatal("no problem was found")
			}
			if other, same := seen[got]; same {
				t.Errorf("the same problems as %s", other)
			}
			seen[got] = t.Name()
			golden.Want(t, name, archive, got)
		})
	}
}

// unpack writes an archive's files but `want`.
func unpack(t *testing.T, a *txtar.Archive, dir string) {
	t.Helper()
	for _, f := range a.Files {
		if f.Name == "want" {
			continue
		}
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
