// Package golden compares what a test made with what the repository holds, and with -update writes it there
// instead: a whole file, the expectation of a txtar archive, or the part of a page that tests write.
//
// It is for tests alone. Read the diff before you commit what -update wrote.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/rogpeppe/go-internal/txtar"
)

// Update is the flag -update: it makes every comparison rewrite what it compares with.
var Update = flag.Bool("update", false, "rewrite the golden files")

// File compares got with the file called name.
func File(t testing.TB, name, got string) {
	t.Helper()
	if *Update {
		write(t, name, got)
		return
	}
	equal(t, name, read(t, name), got)
}

// Want compares got with the file `want` of a txtar archive, which was read from the file called name.
func Want(t testing.TB, name string, archive *txtar.Archive, got string) {
	t.Helper()
	i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
	if *Update {
		if i < 0 {
			i, archive.Files = len(archive.Files), append(archive.Files, txtar.File{Name: "want"})
		}
		archive.Files[i].Data = []byte(got)
		write(t, name, string(txtar.Format(archive)))
		return
	}
	want := ""
	if i >= 0 {
		want = string(archive.Files[i].Data)
	}
	equal(t, name, want, got)
}

// Part compares got with what the file called name has between the texts from and to, the first ones of each.
// An empty to is the end of the file.
func Part(t testing.TB, name, from, to, got string) {
	t.Helper()
	page := read(t, name)
	before, rest, found := strings.Cut(page, from)
	if !found {
		t.Fatalf("%s has no %q", name, from)
	}
	part, after := rest, ""
	if to != "" {
		if part, after, found = strings.Cut(rest, to); !found {
			t.Fatalf("%s has no %q after %q", name, to, from)
		}
		after = to + after
	}
	if *Update {
		write(t, name, before+from+got+after)
		return
	}
	equal(t, name, part, got)
}

func equal(t testing.TB, name, want, got string) {
	t.Helper()
	if got != want {
		t.Errorf("differs from %s; -update rewrites it\n%s", name, diff.Diff("want", []byte(want), "got", []byte(got)))
	}
}

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
