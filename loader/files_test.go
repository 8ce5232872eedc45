package loader_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/patgate/patgate/loader"
	loaderdir "github.com/patgate/patgate/loader/dir"
)

// directories is the source of most loaders here.
func directories(settle, patience time.Duration, roots ...string) []loader.Source {
	return []loader.Source{&loaderdir.Source{Roots: roots, Settle: settle, Patience: patience}}
}

// gateNamed is the shortest good manifest of a gate, for a host of its own.
func gateNamed(name string) string {
	return "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: " + name + "}\nspec: {hosts: [" + name + ".example.com]}\n"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// TestTwoFilesOfOneName has a file and a mount that shows one of the same name: neither may
// take the place of the other when a third changes.
func TestTwoFilesOfOneName(t *testing.T) {
	h := newHarness(t, t.TempDir())
	write(t, h.dir+"/gate.yaml", gateNamed("jira"))
	if err := os.Mkdir(h.dir+"/..v1", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..v1", h.dir+"/..data"); err != nil {
		t.Fatal(err)
	}
	write(t, h.dir+"/..v1/x.yaml", tokenNamed("a", ""))
	write(t, h.dir+"/x.yaml", tokenNamed("b", ""))
	write(t, h.dir+"/c.yaml", tokenNamed("c", ""))
	if r := h.load(); r.Rejected() {
		t.Fatal(r.Problems)
	}
	for _, more := range []string{"  displayName: C\n", "  displayName: D\n", "  displayName: E\n"} {
		write(t, h.dir+"/c.yaml", tokenNamed("c", more))
		if r := h.load(); r.Rejected() {
			t.Fatal(r.Problems)
		}
		for _, name := range []string{"a", "b", "c"} {
			if !known(h.index.Snapshot(), name) {
				t.Errorf("%q: the token %s is gone", more, name)
			}
		}
	}
}
