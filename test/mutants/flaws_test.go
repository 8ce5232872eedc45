package main

import (
	"encoding/json"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/patgate/patgate/test/marks"
)

// TestFlawsFit checks that each flaw's mark is in the code once, and that each mark of the code
// has a flaw.
func TestFlawsFit(t *testing.T) {
	found, err := marks.Find("../..", marks.Mutant)
	if err != nil {
		t.Fatal(err)
	}
	var used []string
	for _, f := range flaws {
		used = append(used, f.mark)
	}
	for _, problem := range marks.Compare(found, used) {
		t.Error(problem)
	}
}

// TestFlawsBuild plants all flaws at once and builds: a line that no longer fits its surroundings is found here,
// and not by the next `make mutants`. Flaws of one line take turns.
func TestFlawsBuild(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	found, err := marks.Find(root, marks.Mutant)
	if err != nil {
		t.Fatal(err)
	}
	for rest := flaws; len(rest) > 0; {
		files, packages, later := map[string][]string{}, map[string]bool{}, []flaw(nil)
		taken := map[string]bool{}
		for _, f := range rest {
			at := found[f.mark]
			if taken[f.mark] {
				later = append(later, f)
				continue
			}
			taken[f.mark], packages["./"+path.Dir(at.File)] = true, true
			if files[at.File] == nil {
				text, err := os.ReadFile(filepath.Join(root, at.File))
				if err != nil {
					t.Fatal(err)
				}
				files[at.File] = strings.Split(string(text), "\n")
			}
			files[at.File][at.Line] = f.line
		}
		buildWith(t, root, files, slices.Sorted(maps.Keys(packages)))
		rest = later
	}
}

// buildWith builds packages in which files are replaced.
func buildWith(t *testing.T, root string, files map[string][]string, packages []string) {
	t.Helper()
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, lines := range files {
		copied := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(copied, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(root, file)] = copied
	}
	list := filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(overlay)
	if err == nil {
		err = os.WriteFile(list, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := goTool(root, append([]string{"build", "-overlay", list}, packages...)...); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
