package dir

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
)

const settleGate = "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: jira}\nspec: {hosts: [jira.example.com]}\n"

// reading is a tree with one file, which was written at a moment.
func reading(text string, stamp int64, atomic bool) *Tree {
	t := &Tree{Files: []File{{Name: "m/gate.yaml", Data: []byte(text), Sum: sha256.Sum256([]byte(text)), Stamp: stamp, Atomic: atomic}}}
	t.Seal()
	return t
}

// settlingLoader returns a loader that reads these trees, one after the other, and repeats the last.
func settlingLoader(s Source, report func(loader.Report), readings ...*Tree) (l *loader.Loader, taken *int) {
	taken = new(int)
	s.Roots = []string{"m"}
	s.read = func(map[string][sha256.Size]byte) *Tree {
		t := *readings[min(*taken, len(readings)-1)]
		*taken++
		return &t
	}
	return loader.New(policy.NewIndex(), []loader.Source{&s}, report, loader.Options{}), taken
}

// TestHalfWrittenFilesDoNotCount checks that a load needs two readings with equal bytes and equal
// times of modification.
func TestHalfWrittenFilesDoNotCount(t *testing.T) {
	for _, c := range []struct {
		name     string
		readings []*Tree
		taken    int
	}{
		{"at rest", []*Tree{reading(settleGate, 1, false)}, 2},
		{"cut, then whole", []*Tree{reading(settleGate[:90], 1, false), reading(settleGate, 2, false)}, 3},
		{"the same bytes, written again", []*Tree{reading("", 1, false), reading("", 2, false), reading(settleGate, 3, false)}, 4},
	} {
		var got []loader.Report
		l, taken := settlingLoader(Source{Settle: time.Millisecond}, func(r loader.Report) { got = append(got, r) }, c.readings...)
		if err := l.Load(context.Background()); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Rejected() || *taken != c.taken {
			t.Errorf("%s: %+v after %d readings, want %d", c.name, got, *taken, c.taken)
		}
	}
}

func TestConfigMapNeedNotSettle(t *testing.T) {
	var got []loader.Report
	l, taken := settlingLoader(Source{Settle: time.Millisecond}, func(r loader.Report) { got = append(got, r) },
		reading(settleGate, 1, true), reading(settleGate, 1, true), reading(settleGate+"# changed\n", 2, true))
	for range 2 {
		if err := l.Load(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 2 || got[1].Rejected() || *taken != 3 {
		t.Errorf("%d reports after %d readings", len(got), *taken)
	}
}

func TestFilesThatNeverSettleAreRejected(t *testing.T) {
	var readings []*Tree
	for i := range 1000 {
		readings = append(readings, reading(settleGate, int64(i), false))
	}
	var got []loader.Report
	l, _ := settlingLoader(Source{Settle: time.Millisecond, Patience: 20 * time.Millisecond}, func(r loader.Report) { got = append(got, r) }, readings...)
	if err := l.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !got[0].Rejected() || !strings.Contains(got[0].Problems[0].Message, "keep changing") {
		t.Errorf("%+v", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l, _ = settlingLoader(Source{}, func(loader.Report) {}, readings...)
	if err := l.Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
