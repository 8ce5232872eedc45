package marks

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a.go", "package a\n\nvar x = 1 // mutant: one\nvar y = 2 // why, mutant: none\nvar z = 3 // mutant: two, panic: three\n")
	write("a_test.go", "package a // mutant: four\n")
	mutants, err := Find(dir, Mutant)
	if err != nil || len(mutants) != 2 || mutants["one"] != (Mark{"a.go", 2}) || mutants["two"] != (Mark{"a.go", 4}) {
		t.Errorf("mutants are %v, %v", mutants, err)
	}
	panics, err := Find(dir, Panic)
	if err != nil || len(panics) != 1 || panics["three"] != (Mark{"a.go", 4}) {
		t.Errorf("panics are %v, %v", panics, err)
	}
	got := Compare(mutants, []string{"one", "five"})
	slices.Sort(got)
	if want := "a.go:5: the table does not name the mark \"two\"\nno line has the mark \"five\", which the table names"; strings.Join(got, "\n") != want {
		t.Errorf("%q, want %q", got, want)
	}
	write("b.go", "package a\n\nvar w = 1 // mutant: one\n")
	if _, err := Find(dir, Mutant); err == nil || !strings.Contains(err.Error(), "b.go:3") || !strings.Contains(err.Error(), "a.go:3") {
		t.Errorf("a mark that appears twice: %v", err)
	}
}
