package policy

import (
	"slices"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// TestAFreeRowIsTakenInACopy adds a token where one was removed before: the rows of the revision before stay as they are, and
// the new one is found by its file.
func TestAFreeRowIsTakenInACopy(t *testing.T) {
	row := func(name, file string) *Token {
		return &Token{Name: name, User: name, Source: Source{File: file}, Digest: token.Sum(token.NewSecret("value of " + name)), Fingerprint: Fingerprint{1}}
	}
	stays, goes, comes := row("stays", "a.yaml"), row("goes", "a.yaml"), row("comes", "b.yaml")
	x := NewIndex()
	for _, c := range []Changes{
		{New: Rows{Tokens: []*Token{stays, goes}}},
		{Old: Rows{Tokens: []*Token{goes}}},
	} {
		if _, err := x.Apply(c, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	before := x.Snapshot()
	rows := slices.Clone(before.revision.tokens.chunks[0].rows)
	if _, err := x.Apply(Changes{New: Rows{Tokens: []*Token{comes}}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before.revision.tokens.chunks[0].rows, rows) {
		t.Error("the rows of the revision before have changed")
	}
	var found []string
	x.Snapshot().TokensIn(func(file, _ string) bool { return file == "b.yaml" }, func(row *Token) bool {
		found = append(found, row.Name)
		return true
	})
	if !slices.Equal(found, []string{"comes"}) {
		t.Errorf("in its file: %v", found)
	}
}
