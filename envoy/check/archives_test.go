package check_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/patgate/patgate/envoy/check"
	"github.com/patgate/patgate/test/golden"
)

// TestFindings compares the findings of each archive of files with those it expects: what
// is not listed must not be found. Archives hold codes and places; archives.messages holds
// the messages, each of them once. Files below manifests/ make the gates.
func TestFindings(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal(err, archives)
	}
	seen := map[check.Code]bool{}
	for _, m := range mistakes {
		for _, code := range m.want {
			seen[code] = true
		}
	}
	said := messages{}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { testArchive(t, name, seen, said) })
	}
	t.Run("messages", func(t *testing.T) { golden.File(t, "testdata/archives.messages", said.String()) })
	for _, code := range check.Codes() {
		if !seen[code] {
			t.Errorf("no test finds %s", code)
		}
	}
}

func testArchive(t *testing.T, name string, seen map[check.Code]bool, said messages) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var files []check.File
	for _, f := range archive.Files {
		if f.Name != "want" && !strings.HasPrefix(f.Name, "manifests/") {
			files = append(files, check.File{Name: f.Name, Data: f.Data})
		}
	}
	dir := t.TempDir()
	list, err := check.Check(files, check.Options{Gates: gatesOf(t, dir, archive)})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, f := range list {
		seen[f.Code] = true
		accepted := ""
		if f.Suppressed != "" {
			accepted = "accepted (" + f.Suppressed + "): "
		}
		fmt.Fprintf(&got, "%s%s:%d:%d: %s %s: %s\n", accepted, f.File, f.Pos.Line, f.Pos.Column, f.Severity, f.Code, f.Field)
		said.add(f, dir)
	}
	golden.Want(t, name, archive, got.String())
}

// gatesOf loads the manifests of an archive, if it has any.
func gatesOf(t *testing.T, dir string, archive *txtar.Archive) *check.Gates {
	t.Helper()
	for _, f := range archive.Files {
		name, ok := strings.CutPrefix(f.Name, "manifests/")
		if !ok {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) == 0 {
		return nil
	}
	set := loaderdir.Load([]string{dir})
	rows, problems := set.Rows, set.Problems
	for _, p := range problems {
		t.Fatal(p)
	}
	return check.NewGates(rows, rows.Gates)
}
