package loader_test

import (
	"context"
	"testing"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/test/ugly"
)

// TestRevocationTakesEffectDespiteCostlyInvalidFiles rejects a load for each ugly file, then revokes a token in a file
// of its own, which must count within a second. A machine that is busy gets another try. With the race
// detector, which is several times slower, the large files are left to the run without it.
func TestRevocationTakesEffectDespiteCostlyInvalidFiles(t *testing.T) {
	for _, file := range ugly.Files() {
		if testing.Short() && len(file.Text) > 1<<20 || raced && len(file.Text) > 1<<18 {
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
