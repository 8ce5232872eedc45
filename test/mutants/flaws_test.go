package main

import (
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
