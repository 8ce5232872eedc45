package main

import (
	"os"
	"strings"
	"testing"
)

// TestFlawsFit checks that each flaw's text appears once in its file, so that a
// change of the code does not leave one behind until somebody runs `make mutants`.
func TestFlawsFit(t *testing.T) {
	for _, f := range flaws {
		text, err := os.ReadFile("../../" + f.file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), f.old); n != 1 {
			t.Errorf("%s: its text appears %d times in %s", f.what, n, f.file)
		}
	}
}
