package loader_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
)

// counted counts the readings of everything that a source makes beside the loader.
type counted struct {
	*loaderdir.Source
	prepared atomic.Int64
	restless chan struct{} // gets one for each reading that had to rest
}

func (c *counted) Prepare(have loader.Have) func() {
	c.prepared.Add(1)
	return c.Source.Prepare(have)
}

func (c *counted) Read(ctx context.Context, have loader.Have) ([]loader.Update, error) {
	updates, err := c.Source.Read(ctx, have)
	var unsettled *loader.SettleError
	if errors.As(err, &unsettled) {
		select {
		case c.restless <- struct{}{}:
		default:
		}
	}
	return updates, err
}

// managedDirectory runs a loader of a directory with a gate, whose files must rest for some time.
func managedDirectory(t *testing.T, settle time.Duration) (dir string, source *counted, l *loader.Loader) {
	t.Helper()
	dir = t.TempDir()
	write(t, filepath.Join(dir, "gate.yaml"), gateText)
	source = &counted{Source: &loaderdir.Source{Roots: []string{dir}, Settle: time.Millisecond, Patience: time.Hour, Singles: true}, restless: make(chan struct{}, 1)}
	l = loader.New(policy.NewIndex(), []loader.Source{source}, func(loader.Report) {}, loader.Options{Poll: time.Hour, Documents: true, Now: func() time.Time { return at }})
	if err := l.Load(t.Context()); err != nil || !l.Index().Snapshot().Ready() {
		t.Fatal(err)
	}
	source.Settle = settle
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx, nil) }()
	t.Cleanup(func() { stop(); <-done })
	return dir, source, l
}

// put writes a token's file as this process does, and waits until it runs.
func put(t *testing.T, l *loader.Loader, dir, name, more string) {
	t.Helper()
	path, text := filepath.Join(dir, name+".yaml"), tokenNamed(name, more)
	write(t, path, text)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if !l.Written(ctx, path, sha256.Sum256([]byte(text))) {
		t.Fatalf("%s does not run: %v", name, ctx.Err())
	}
}

// TestOwnWritesDoNotWaitForSettling has somebody else write a file that must rest for an hour: what this process writes
// runs meanwhile.
func TestOwnWritesDoNotWaitForSettling(t *testing.T) {
	dir, source, l := managedDirectory(t, time.Hour)
	write(t, filepath.Join(dir, "other.yaml"), tokenNamed("other", ""))
	<-source.restless
	for n := range 20 {
		put(t, l, dir, "own", fmt.Sprintf("  suspended: %v\n", n%2 == 0))
		if row := l.Index().Snapshot().TokenByName("own"); row == nil || row.Suspended != (n%2 == 0) {
			t.Fatalf("the token is not what was written: %+v", row)
		}
	}
	if l.Index().Snapshot().TokenByName("other") != nil {
		t.Error("the other file runs without a rest")
	}
}

// TestOwnWritesDoNotDelaySettling lets what somebody else has written rest while this process writes another file all the
// time: that file is complete, and its changes don't keep the other from being at rest.
func TestOwnWritesDoNotDelaySettling(t *testing.T) {
	dir, source, l := managedDirectory(t, 100*time.Millisecond)
	write(t, filepath.Join(dir, "other.yaml"), tokenNamed("other", ""))
	for n := 0; l.Index().Snapshot().TokenByName("other") == nil; n++ {
		put(t, l, dir, "own", fmt.Sprintf("  description: %q\n", fmt.Sprint(n)))
		if readings := source.prepared.Load(); readings > 20 {
			t.Fatalf("after %d readings, and %d writes of this process, the other file does not rest", readings, n)
		}
	}
}

// TestOwnWritesCauseNoFullRead has this process write many files: their events cause no reading of everything, but for
// the few that come long before Written on a busy machine.
func TestOwnWritesCauseNoFullRead(t *testing.T) {
	dir, source, l := managedDirectory(t, time.Millisecond)
	const writes = 60
	for n := range writes {
		put(t, l, dir, fmt.Sprintf("own-%d", n%10), fmt.Sprintf("  description: %q\n", fmt.Sprint(n)))
	}
	if readings := source.prepared.Load(); readings > writes/10 {
		t.Errorf("%d readings of everything for %d writes, want hardly any", readings, writes)
	}
}
