package dir_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/test/configmap"
	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/tokens"
	"github.com/patgate/patgate/tokens/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (storetest.Store, func(name, text string)) {
		into := t.TempDir()
		put := func(name, text string) {
			if !filepath.IsAbs(name) {
				name = filepath.Join(into, name)
			}
			write(t, name, text)
		}
		return &dir.Store{Into: into}, put
	})
}

func TestStoreOfOtherDirectories(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/manifests/gate.yaml", storetest.Gate)
	store := &dir.Store{Roots: []string{root + "/manifests"}, Into: root + "/tokens/new"}
	change := &edit.Change{Create: &edit.NewToken{Name: "ci", User: "alice", Unrestricted: true, Issued: time.Now()}}
	receipt, err := store.Apply(context.Background(), "ci", "", change)
	if err != nil || receipt.File != root+"/tokens/new/ci.yaml" {
		t.Fatalf("%+v, %v", receipt, err)
	}
	if set, err := store.Documents(context.Background()); err != nil || len(set.Problems) > 0 || len(set.Gates) != 1 || len(set.Tokens) != 1 {
		t.Errorf("%v, %v", err, set.Problems)
	}
}

// TestStoreRefusesFiles has files that are not to be written here, and names that are not read.
func TestStoreRefusesFiles(t *testing.T) {
	const ci = "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: ci}\nspec: {user: alice, unrestricted: true, issued: 2026-01-01T00:00:00Z, digest: \"sha256:a125fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8\"}\n"
	for want, prepare := range map[string]func(root string){
		"belongs to a ConfigMap": func(root string) {
			mount := configmap.Mount{Dir: root}
			if err := mount.Write(map[string]string{"ci.yaml": ci}); err != nil {
				t.Fatal(err)
			}
		},
		"is read-only": func(root string) {
			write(t, root+"/ci.yaml", ci)
			if err := os.Chmod(root+"/ci.yaml", 0o444); err != nil {
				t.Fatal(err)
			}
		},
	} {
		root := t.TempDir()
		prepare(root)
		store := &dir.Store{Roots: []string{root}, Into: root}
		stored, err := store.Get(context.Background(), "ci")
		if err != nil {
			t.Fatal(want, err)
		}
		var refused *tokens.RefusedError
		for _, dry := range []bool{true, false} {
			change := &edit.Change{Revoked: time.Now(), DryRun: dry}
			if _, err = store.Apply(context.Background(), "ci", stored.Revision, change); !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want it to say that it %s", err, want)
			}
		}
	}
	root := t.TempDir()
	store := &dir.Store{Into: root}
	for name, want := range map[string]string{"kustomization": "would not be read", "a.test": "would not be read", "../a": "would not be read"} {
		if _, err := store.FileFor(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(t, root+"/notes.yaml", "# mine\n")
	if _, err := store.FileFor("notes"); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("%v", err)
	}
	if _, err := (&dir.Store{Roots: []string{root}}).FileFor("ci"); err == nil {
		t.Error("a token without a directory for it")
	}
}

// TestStoreReportsRemovedFile has a change of a token whose file somebody removed since it was read.
func TestStoreReportsRemovedFile(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/ci.yaml", "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: ci}\nspec: {user: alice, unrestricted: true, issued: 2026-01-01T00:00:00Z, digest: "+token.Sum(token.Mint()).String()+"}\n")
	loader := &dir.Store{Into: root}
	stored, err := loader.Get(t.Context(), "ci")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(root + "/ci.yaml"); err != nil {
		t.Fatal(err)
	}
	var conflict *tokens.ConflictError
	if err := dir.Replace(stored.File, stored.Data, nil); !errors.As(err, &conflict) {
		t.Errorf("%v", err)
	}
}

// TestStoreAcceptsRepeatedChange has many stores make the same change of one token at the same time: one makes
// it, the others have a conflict, and none takes it back.
func TestStoreAcceptsRepeatedChange(t *testing.T) {
	for range 20 {
		at := t.TempDir()
		path := filepath.Join(at, "a.yaml")
		text := "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: a}\nspec: {user: alice, unrestricted: true, issued: 2026-01-01T00:00:00Z, digest: " + token.Sum(token.Mint()).String() + "}\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var made atomic.Int64
		var all sync.WaitGroup
		var changes []func()
		for range 4 {
			s := &dir.Store{Roots: []string{at}, Into: at}
			stored, err := s.Get(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			changes = append(changes, func() {
				_, err := s.Apply(t.Context(), "a", stored.Revision, &edit.Change{Revoked: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)})
				var conflict *tokens.ConflictError
				if err == nil {
					made.Add(1)
				} else if !errors.As(err, &conflict) {
					t.Error(err)
				}
			})
		}
		for _, change := range changes { // all have read the same
			all.Go(change)
		}
		all.Wait()
		if after, err := os.ReadFile(path); err != nil || !strings.Contains(string(after), "revoked") || made.Load() != 1 {
			t.Fatalf("%d made it, and the file is %s %v", made.Load(), after, err)
		}
	}
}
