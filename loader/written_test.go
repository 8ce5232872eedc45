package loader_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// names lists the tokens of documents, with what differs between two versions of one.
func names(set *ruleset.Set) string {
	var list []string
	for _, doc := range set.Tokens {
		list = append(list, fmt.Sprintf("%s %v %x", doc.Metadata.Name.Text, doc.APIToken.Suspended, doc.Fingerprint[:4]))
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// TestSingleWrites has this process write files one by one, while somebody else writes, breaks and
// deletes others: each write runs before Written returns, and in the end the documents and what runs
// are what a reading of everything finds.
func TestSingleWrites(t *testing.T) {
	for name, arguments := range map[string]func(dir string) ([]string, loader.Options){
		"one directory": func(dir string) ([]string, loader.Options) { return []string{dir}, loader.Options{} },
		"last good": func(dir string) ([]string, loader.Options) {
			return []string{dir}, loader.Options{LastGood: t.TempDir()}
		},
		"restricted": func(dir string) ([]string, loader.Options) {
			return []string{dir, filepath.Join(dir, "tokens") + ",kinds=APIToken"}, loader.Options{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			into := filepath.Join(dir, "tokens")
			if err := os.Mkdir(into, 0o755); err != nil {
				t.Fatal(err)
			}
			roots, o := arguments(dir)
			o.Documents = true
			o.Now = func() time.Time { return at }
			write(t, filepath.Join(dir, "gate.yaml"), gateText)
			write(t, filepath.Join(into, "first.yaml"), tokenNamed("first", ""))
			index := policy.NewIndex()
			l := loader.New(index, []loader.Source{&loaderdir.Source{Roots: roots, Settle: time.Millisecond, Singles: true}}, func(loader.Report) {}, o)
			if err := l.Load(t.Context()); err != nil || !index.Snapshot().Ready() {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); l.Run(ctx, nil) }()
			defer func() { stop(); <-done }()
			random := rand.New(rand.NewPCG(1, 1))
			for n := range 60 {
				own := fmt.Sprintf("own-%d", n%10)
				text := tokenNamed(own, fmt.Sprintf("  suspended: %v\n", n%2 == 0))
				path := filepath.Join(into, own+".yaml")
				write(t, path, text)
				if !l.Written(t.Context(), path, sha256.Sum256([]byte(text))) {
					t.Fatalf("%s does not run", own)
				}
				if row := index.Snapshot().TokenByName(own); row == nil || row.Suspended != (n%2 == 0) {
					t.Fatalf("%s is not what was written: %+v", own, row)
				}
				if got := names(l.Documents().Set); !strings.Contains(got, fmt.Sprintf("%s %v ", own, n%2 == 0)) {
					t.Fatalf("the documents do not have %s:\n%s", own, got)
				}
				other := filepath.Join(into, fmt.Sprintf("other-%d.yaml", random.IntN(3)))
				if random.IntN(3) == 0 {
					_ = os.Remove(other)
				} else {
					write(t, other, tokenNamed(strings.TrimSuffix(filepath.Base(other), ".yaml"), fmt.Sprintf("  description: %q\n", fmt.Sprint(n))))
				}
			}
			want := loaderdir.Load([]string{dir})
			if len(want.Problems) > 0 {
				t.Fatal(want.Problems)
			}
			for deadline := time.Now().Add(20 * time.Second); names(l.Documents().Set) != names(want); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("the documents are\n%s\nwant\n%s", names(l.Documents().Set), names(want))
				}
			}
			for _, doc := range want.Tokens {
				if row := index.Snapshot().TokenByName(doc.Metadata.Name.Text); row == nil || row.Fingerprint != doc.Fingerprint {
					t.Errorf("%s does not run as it is", doc.Metadata.Name.Text)
				}
			}
		})
	}
}

// TestOwnWritesWithABrokenFile keeps the last good state, and shows the documents with their problems;
// once it is repaired, single writes run again.
func TestOwnWritesWithABrokenFile(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "gate.yaml"), gateText)
	write(t, filepath.Join(dir, "a.yaml"), tokenNamed("a", ""))
	index := policy.NewIndex()
	l := loader.New(index, []loader.Source{&loaderdir.Source{Roots: []string{dir}, Settle: time.Millisecond, Singles: true}}, func(loader.Report) {}, loader.Options{Documents: true, Now: func() time.Time { return at }})
	if err := l.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx, nil) }()
	defer func() { stop(); <-done }()
	broken := filepath.Join(dir, "b.yaml")
	write(t, broken, "kind: [")
	for deadline := time.Now().Add(20 * time.Second); len(l.Documents().Set.Problems) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the problem does not show")
		}
	}
	put := func(name, more string) bool {
		path, text := filepath.Join(dir, name+".yaml"), tokenNamed(name, more)
		write(t, path, text)
		return l.Written(t.Context(), path, sha256.Sum256([]byte(text)))
	}
	if put("c", "") || index.Snapshot().TokenByName("c") != nil {
		t.Error("a new token runs beside a broken file")
	}
	put("a", "  revoked: 2026-05-01T00:00:00Z\n")
	if row := index.Snapshot().TokenByName("a"); row == nil || !row.Revoked {
		t.Error("a revocation waits for the broken file")
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	if !put("d", "") || index.Snapshot().TokenByName("c") == nil || index.Snapshot().TokenByName("d") == nil || len(l.Documents().Set.Problems) > 0 {
		t.Error("after the repair, writes do not run")
	}
}
