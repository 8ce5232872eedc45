package dir_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/patgate/patgate/test/configmap"
)

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

func gatesOf(t *testing.T, roots ...string) []string {
	t.Helper()
	set := loaderdir.Load(roots)
	rows, problems := set.Rows, set.Problems
	for _, p := range problems {
		t.Error(p)
	}
	var names []string
	for _, g := range rows.Gates {
		names = append(names, g.Name)
	}
	slices.Sort(names)
	return names
}

func TestWhichFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	elsewhere := dir + "/.elsewhere" // which is not read by itself
	write(t, dir+"/a.yaml", gateNamed("a"))
	write(t, dir+"/b.yml", gateNamed("b"))
	write(t, dir+"/deep/er/c.yaml", "# only a comment\n---\n"+gateNamed("c")+"---\n"+gateNamed("d")+"...\n")
	write(t, dir+"/empty.yaml", "")
	write(t, dir+"/crlf.yaml", strings.ReplaceAll(gateNamed("crlf"), "\n", "\r\n"))
	write(t, dir+"/bom.yaml", "\ufeff"+gateNamed("bom"))
	write(t, elsewhere+"/e.yaml", gateNamed("e"))
	write(t, elsewhere+"/dir/f.yaml", gateNamed("f"))
	link(t, elsewhere+"/e.yaml", dir+"/linked.yaml")
	link(t, ".elsewhere/dir", dir+"/linked-dir")
	for _, ignored := range []string{"kustomization.yaml", "x.test.yaml", ".hidden.yaml", ".git/g.yaml", "notes.txt", "a.yaml.bak", "a.YAML"} {
		write(t, filepath.Join(dir, ignored), "not: [a manifest")
	}
	want := []string{"a", "b", "bom", "c", "crlf", "d", "e", "f"}
	if got := gatesOf(t, dir); !slices.Equal(got, want) {
		t.Errorf("gates %v, want %v", got, want)
	}
	other := t.TempDir()
	write(t, other+"/z.yaml", gateNamed("z"))
	if got := gatesOf(t, dir, other); !slices.Equal(got, append(want, "z")) {
		t.Errorf("of two directories: %v", got)
	}
	root := filepath.Join(t.TempDir(), "current")
	link(t, other, root)
	if got := gatesOf(t, root); !slices.Equal(got, []string{"z"}) {
		t.Errorf("of a linked directory: %v", got)
	}
}

func TestConfigMapMounts(t *testing.T) {
	for _, at := range []string{".", "sub/folder"} {
		dir := t.TempDir()
		m := configmap.Mount{Dir: filepath.Join(dir, at)}
		if err := os.MkdirAll(m.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, files := range []map[string]string{
			{"a.yaml": gateNamed("a"), "b.yaml": gateNamed("b"), "notes.txt": "x"},
			{"a.yaml": gateNamed("a"), "c.yaml": gateNamed("c")},
		} {
			if err := m.Write(files); err != nil {
				t.Fatal(err)
			}
			var want []string
			for name := range files {
				if strings.HasSuffix(name, ".yaml") {
					want = append(want, strings.TrimSuffix(name, ".yaml"))
				}
			}
			slices.Sort(want)
			if got := gatesOf(t, dir); !slices.Equal(got, want) {
				t.Errorf("at %s: gates %v, want %v", at, got, want)
			}
		}
		set := loaderdir.Load([]string{dir})
		rows := set.Rows
		if got, want := rows.Gates[0].Source.File, filepath.Join(m.Dir, "a.yaml"); got != want {
			t.Errorf("the gate comes from %s, want %s", got, want)
		}
	}
}

func TestDirectoriesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	loop := filepath.Join(dir, "loop")
	write(t, loop+"/a.yaml", gateNamed("a"))
	link(t, "..", loop+"/deep/up")
	self := filepath.Join(dir, "self")
	write(t, self+"/a.yaml", gateNamed("a"))
	link(t, "x.yaml", self+"/x.yaml")
	dangling := filepath.Join(dir, "dangling")
	write(t, dangling+"/a.yaml", gateNamed("a"))
	link(t, "nowhere", dangling+"/b")
	pipe := filepath.Join(dir, "pipe")
	write(t, pipe+"/a.yaml", gateNamed("a"))
	if err := syscall.Mkfifo(pipe+"/p.yaml", 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/file", gateNamed("a"))
	write(t, dir+"/a.test.yaml", "tests")
	if err := os.MkdirAll(dir+"/empty/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	twice := filepath.Join(dir, "twice")
	write(t, twice+"/a.yaml", gateNamed("a"))
	link(t, "a.yaml", twice+"/b.yaml")
	for _, c := range []struct{ root, want string }{
		{"missing", "DIR/missing: no such directory, expected one with manifests"},
		{"file", "DIR/file: not a directory, expected one with manifests, or a file that ends in .yaml or .yml"},
		{"a.test.yaml", "DIR/a.test.yaml: PolicyTests, which `patgate test` reads, expected a directory or a file with manifests"},
		{"empty", "DIR/empty: no manifests in the directory, expected files that end in .yaml or .yml"},
		{"loop", "DIR/loop/deep/up: a symbolic link to a directory above it, expected no loop"},
		{"self", "DIR/self/x.yaml: a loop of symbolic links, expected a file or directory"},
		{"dangling", "DIR/dangling/b: a symbolic link to nothing, expected a file or directory"},
		{"pipe", "DIR/pipe/p.yaml: not a regular file, expected one"},
		{"twice", "DIR/twice/b.yaml:3:18: metadata.name: Gate a appears twice, first at DIR/twice/a.yaml:3:18, expected a name of its own"},
	} {
		set := loaderdir.Load([]string{filepath.Join(dir, c.root)})
		problems := set.Problems
		var got []string
		for _, p := range problems {
			got = append(got, strings.ReplaceAll(p.String(), dir, "DIR"))
		}
		if !slices.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.root, got, c.want)
		}
	}
}
