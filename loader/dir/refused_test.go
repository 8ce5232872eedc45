package dir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const gate = "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: jira}\nspec: {hosts: [jira.example.com]}\n"

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// problems returns the problems of a reading, with DIR for a directory.
func problems(t *Tree, dir string) []string {
	var list []string
	for _, p := range t.Problems {
		list = append(list, strings.ReplaceAll(p.String(), dir, "DIR"))
	}
	return list
}

// TestLinksOutOfTheDirectoryAreRefused checks that symbolic links that leave their directory are refused.
func TestLinksOutOfTheDirectoryAreRefused(t *testing.T) {
	const leaves = "a symbolic link that leaves the directory, expected one that stays in it: copy the file, or name its directory too"
	for name, c := range map[string]struct {
		link, target string
		want         string
	}{
		"a file above":            {"x.yaml", "../out/x.yaml", "DIR/in/x.yaml: " + leaves},
		"an absolute one":         {"x.yaml", "DIR/out/x.yaml", "DIR/in/x.yaml: " + leaves},
		"an absolute one inside":  {"x.yaml", "DIR/in/.kept/x.yaml", ""},
		"a folder above":          {"more", "../out", "DIR/in/more: " + leaves},
		"the folder above":        {"more", "..", "DIR/in/more: " + leaves},
		"a folder that begins so": {"more", "../in-2", "DIR/in/more: " + leaves},
		"out and in again":        {"x.yaml", "../in/.kept/x.yaml", ""},
		"in a subfolder":          {"sub/x.yaml", "../.kept/x.yaml", ""},
		"out of a subfolder":      {"sub/x.yaml", "../../out/x.yaml", "DIR/in/sub/x.yaml: " + leaves},
		"through another":         {"x.yaml", ".kept/away.yaml", "DIR/in/x.yaml: " + leaves},
		"of /proc":                {"x.yaml", "/proc/self/pagemap", "DIR/in/x.yaml: " + leaves},
		"of a device":             {"x.yaml", "/dev/zero", "DIR/in/x.yaml: " + leaves},
		"of a secret":             {"x.yml", "/proc/self/environ", "DIR/in/x.yml: " + leaves},
		"a mount's data":          {"..data", "../out", "DIR/in/..data: " + leaves},
		"a file of another name":  {"README", "../out/x.yaml", ""},
		"a test":                  {"x.test.yaml", "../out/x.yaml", "DIR/in/x.test.yaml: " + leaves},
		"a hidden link":           {".x.yaml", "../out/x.yaml", ""},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			put(t, top+"/in/gate.yaml", gate)
			put(t, top+"/in/.kept/x.yaml", "# nothing\n")
			put(t, top+"/in-2/x.yaml", "# nothing\n")
			put(t, top+"/out/x.yaml", "hunter2: hunter3\n")
			if err := errors.Join(os.MkdirAll(top+"/in/sub", 0o755), os.Symlink("../../out/x.yaml", top+"/in/.kept/away.yaml"),
				os.Symlink(strings.ReplaceAll(c.target, "DIR", top), filepath.Join(top, "in", c.link))); err != nil {
				t.Fatal(err)
			}
			read := Scan{Roots: []string{top + "/in"}, Tests: true}.Read()
			if got := strings.Join(problems(read, top), "\n"); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			for _, f := range read.Files {
				if strings.Contains(string(f.Data), "hunter") {
					t.Errorf("%s was read", f.Name)
				}
			}
			t.Chdir(top + "/in")
			if got := (Scan{Roots: []string{"."}, Tests: true}).Read().Problems; (len(got) > 0) != (c.want != "") {
				t.Errorf("by a relative path: %v", got)
			}
		})
	}
}

// TestSingleFiles reads files that are named by themselves.
func TestSingleFiles(t *testing.T) {
	top := t.TempDir()
	put(t, top+"/in/gate.yaml", gate)
	put(t, top+"/in/broken.yaml", "kind: [")
	put(t, top+"/out/x.yaml", gate)
	if err := errors.Join(os.Symlink("gate.yaml", top+"/in/near.yaml"), os.Symlink("../out/x.yaml", top+"/in/far.yaml")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"gate.yaml": "", "near.yaml": "",
		"far.yaml": "DIR/in/far.yaml: a symbolic link that leaves the directory, expected one that stays in it: copy the file, or name its directory too",
	} {
		read := Scan{Roots: []string{top + "/in/" + name}}.Read()
		if got := strings.Join(problems(read, top), "\n"); got != want || (want == "") != (len(read.Files) == 1) {
			t.Errorf("%s: %d files, %s", name, len(read.Files), got)
		}
	}
}

// TestSpecialFiles checks that pipes, sockets and the like are refused without a wait.
func TestSpecialFiles(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a pipe":      func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"a socket":    func(path string) error { return syscall.Mknod(path, syscall.S_IFSOCK|0o644, 0) },
		"a large one": func(path string) error { return os.Truncate(path, MaxFile+1) },
		"a huge one":  func(path string) error { return os.Truncate(path, 1<<40) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir+"/gate.yaml", gate)
			path, want := dir+"/x.yaml", "DIR/x.yaml: not a regular file, expected one"
			if strings.Contains(name, "one") {
				put(t, path, "")
				want = "DIR/x.yaml: larger than 4 MiB, expected a smaller file: divide it"
			}
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if got := problems(Scan{Roots: []string{dir}}.Read(), dir); len(got) != 1 || got[0] != want {
				t.Errorf("%v, want %s", got, want)
			}
			if took := time.Since(start); took > readWithin {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestFilesWithoutASize reads files whose size is 0 and that are endless, or grow: no more than the
// limit is read.
func TestFilesWithoutASize(t *testing.T) {
	var c contentReader
	defer c.close()
	if _, _, err := c.read("/proc/self/smaps", 100); !errors.Is(err, errTooLarge) {
		t.Errorf("/proc/self/smaps: %v", err)
	}
	path := filepath.Join(t.TempDir(), "grows")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for chunk := make([]byte, 64<<10); ; {
			select {
			case <-stop:
				return
			default:
				if _, err := out.WriteAt(chunk, 0); err != nil {
					return
				}
				if info, err := out.Stat(); err != nil || info.Size() > 64<<20 {
					_ = out.Truncate(0)
				}
			}
			_, _ = out.Seek(0, 2)
			_, _ = out.Write(chunk)
		}
	}()
	for range 200 {
		if data, _, err := c.read(path, 1<<20); err == nil && len(data) > 1<<20 {
			t.Fatalf("%d bytes", len(data))
		}
	}
	close(stop)
	<-done
	if err := out.Close(); err != nil {
		t.Error(err)
	}
}

// TestAFileSystemThatDoesNotAnswer gives up after a while, and reads on with another worker.
func TestAFileSystemThatDoesNotAnswer(t *testing.T) {
	before := runtime.NumGoroutine()
	stuck := &contentWorker{requests: make(chan contentRequest), results: make(chan contentResult, 1)}
	release := make(chan struct{})
	go func() {
		<-stuck.requests
		<-release
		stuck.results <- contentResult{}
		stuck.run()
	}()
	c := contentReader{worker: stuck}
	if _, _, err := c.read("x", 1); !errors.Is(err, errTooSlow) {
		t.Errorf("%v", err)
	}
	path := filepath.Join(t.TempDir(), "x")
	put(t, path, "text")
	if data, _, err := c.read(path, 4); err != nil || string(data) != "text" {
		t.Errorf("%q, %v", data, err)
	}
	c.close()
	close(release)
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("a worker is left behind")
		}
	}
}

// TestTooManyEntries counts those of all directories, whatever their names.
func TestTooManyEntries(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/gate.yaml", gate)
	for i := range 20 {
		put(t, fmt.Sprintf("%s/sub-%d/notes-%d.txt", dir, i%4, i), "")
	}
	if got := problems(Scan{Roots: []string{dir}, maxEntries: 25}.Read(), dir); len(got) > 0 {
		t.Errorf("25 entries: %v", got)
	}
	const want = ": can't be read: more than 24 files and directories with those before, expected less: other files belong elsewhere"
	if got := problems(Scan{Roots: []string{dir}, maxEntries: 24}.Read(), dir); len(got) == 0 || !strings.HasSuffix(got[0], want) {
		t.Errorf("24 entries: %v", got)
	}
}
