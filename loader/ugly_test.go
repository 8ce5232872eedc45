package loader_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/test/ugly"
)

// uglyDir names the directory that a process of this test loads; see TestMemoryBesideUglyFiles.
const uglyDir = "PATGATE_TEST_UGLY"

// TestARevocationBesideUglyFiles rejects a load for each ugly file, then revokes a token in a file
// of its own, which must count within a second. A machine that is busy gets another try.
func TestARevocationBesideUglyFiles(t *testing.T) {
	for _, file := range ugly.Files() {
		if testing.Short() && len(file.Text) > 1<<20 {
			continue
		}
		t.Run(file.Name, func(t *testing.T) {
			for try := 1; ; try++ {
				took := revokeBeside(t, file)
				if took < time.Second {
					return
				}
				if try == 3 {
					t.Fatalf("it took %v", took)
				}
			}
		})
	}
}

// revokeBeside returns how long it takes until a revocation counts.
func revokeBeside(t *testing.T, file ugly.File) time.Duration {
	dir := t.TempDir()
	write(t, dir+"/gate.yaml", gateNamed("jira"))
	write(t, dir+"/a.yaml", tokenNamed("a", ""))
	index := policy.NewIndex()
	reports := make(chan loader.Report, 10)
	l := loader.New(index, directories(0, 0, dir), func(r loader.Report) { reports <- r }, loader.Options{})
	if err := l.Load(t.Context()); err != nil || !known(index.Snapshot(), "a") {
		t.Fatal(err, (<-reports).Problems)
	}
	<-reports
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx, nil)
	}()
	defer func() { stop(); <-done }()
	next := func() loader.Report {
		select {
		case r := <-reports:
			return r
		case <-time.After(time.Minute):
			t.Fatal("nothing is loaded after a minute")
			panic("unreachable")
		}
	}
	write(t, dir+"/ugly.yaml", file.Text)
	if r := next(); !r.Rejected() || len(r.Problems) > 1001 {
		t.Fatalf("it is not rejected, or has %d problems", len(r.Problems))
	}
	start := time.Now()
	write(t, dir+"/a.yaml", tokenNamed("a", "  revoked: 2026-06-01T00:00:00Z\n"))
	for known(index.Snapshot(), "a") {
		if time.Since(start) > 30*time.Second {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start)
}

// TestMemoryBesideUglyFiles loads the ugly files that take most, three of each, in a process of its own
// that has the memory of a pod, and holds it to that.
func TestMemoryBesideUglyFiles(t *testing.T) {
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
		if used > memoryFactor*256<<20 {
			t.Errorf("%s: %d MiB", file.Name, used>>20)
		}
	}
	if len(names) > 0 {
		t.Errorf("no files are called %q", names)
	}
}

// peakOf returns the largest memory of a process that loads a directory.
func peakOf(t *testing.T, dir string) int {
	cmd := exec.Command(os.Args[0], "-test.run=^TestMemoryBesideUglyFiles$", "-test.v")
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
