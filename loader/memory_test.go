//go:build !race

package loader_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/patgate/patgate/test/ugly"
)

// uglyDir names the directory that a process of this test loads; see TestMemoryWithCostlyInvalidFiles.
const uglyDir = "PATGATE_TEST_UGLY"

// TestMemoryWithCostlyInvalidFiles loads the ugly files that take most, three of each, in a process of its own
// that has the memory of a pod, and holds it to that. The race detector takes several times as much: these
// numbers are of what runs.
func TestMemoryWithCostlyInvalidFiles(t *testing.T) {
	if dir := os.Getenv(uglyDir); dir != "" {
		loadUgly(t, dir)
		return
	}
	names := []string{"unclosed list of 300000", "a list within the limit", "100,000 keys", "many words", "20 problems each",
		"junk within the limit", "a megabyte of nothing", "gates of hosts and paths", "nested patterns", "unclosed double quote"}
	for _, file := range ugly.Files() {
		if !slices.Contains(names, file.Name) {
			continue
		}
		names = slices.DeleteFunc(names, func(n string) bool { return n == file.Name })
		dir := t.TempDir()
		write(t, dir+"/gate.yaml", gateNamed("jira"))
		for _, copy := range []string{"/x.yaml", "/y.yaml", "/z.yaml"} {
			write(t, dir+copy, file.Text)
		}
		used := peakOf(t, dir)
		t.Logf("%s: %d MiB", file.Name, used>>20)
		if used > 256<<20 {
			t.Errorf("%s: %d MiB", file.Name, used>>20)
		}
	}
	if len(names) > 0 {
		t.Errorf("no files are called %q", names)
	}
}

// peakOf returns the largest memory of a process that loads a directory.
func peakOf(t *testing.T, dir string) int {
	cmd := exec.Command(os.Args[0], "-test.run=^TestMemoryWithCostlyInvalidFiles$", "-test.v")
	cmd.Env = append(os.Environ(), uglyDir+"="+dir, "GOMEMLIMIT=230MiB")
	out, err := cmd.CombinedOutput()
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	kilobytes, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

func loadUgly(t *testing.T, dir string) {
	if r := newHarness(t, dir).load(); !r.Rejected() {
		t.Error("it is not rejected")
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", status)
}
