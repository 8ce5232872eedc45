package dir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/tokens"
)

// TestFirstReadWhileFilesChange reads a directory for the first time while somebody else adds a file, and
// replaces another, every 50 ms: what rests is read.
func TestFirstReadWhileFilesChange(t *testing.T) {
	at := t.TempDir()
	put := func(name, text string) {
		temp := filepath.Join(at, ".temp")
		if err := os.WriteFile(temp, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
		if err := os.Rename(temp, filepath.Join(at, name)); err != nil {
			t.Error(err)
		}
	}
	put("gate.yaml", "the gate")
	for i := range 40 {
		put(fmt.Sprintf("old-%d.yaml", i), "old")
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				put(fmt.Sprintf("new-%d.yaml", i), "new")
				put(fmt.Sprintf("old-%d.yaml", i%40), fmt.Sprint("edited ", i))
			}
		}
	}()
	s := &dir.Source{Roots: []string{at}, Settle: 60 * time.Millisecond, Patience: 200 * time.Millisecond}
	updates, err := s.Read(t.Context(), loader.Have{})
	close(stop)
	<-done
	if err != nil || len(updates) != 1 || len(updates[0].Problems) > 0 || len(updates[0].Documents) < 41 {
		t.Fatalf("%v %+v", err, updates)
	}
	for _, f := range updates[0].Documents {
		if text := string(f.Data); text != "old" && text != "new" && text != "the gate" && !strings.HasPrefix(text, "edited ") {
			t.Errorf("%s holds %q", f.Name, text)
		}
	}
}

// TestKustomizationsAreKeptInStep lists the files of new tokens where the directory lists files, and
// takes back what is undone.
func TestKustomizationsAreKeptInStep(t *testing.T) {
	at := t.TempDir()
	file := filepath.Join(at, "kustomization.yaml")
	before := "resources:\n- a.yaml # ours\n"
	if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &dir.Store{Roots: []string{at}, Into: at}
	create := func(name string) (tokens.Receipt, error) {
		return s.Apply(t.Context(), name, "", &edit.Change{Create: &edit.NewToken{Name: name, User: "alice", Unrestricted: true, Digest: token.Sum(token.Mint()), Issued: time.Now()}})
	}
	made, err := create("new")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(file); string(got) != before+"- new.yaml\n" {
		t.Errorf("%s", got)
	}
	if err := made.Undo(t.Context()); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(file); string(got) != before {
		t.Errorf("undone: %s", got)
	}
	if err := os.WriteFile(file, []byte("resources: ["), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := create("other"); err == nil || !strings.Contains(err.Error(), "kustomization.yaml") {
		t.Errorf("a broken one: %v", err)
	}
	if _, err := os.Stat(filepath.Join(at, "other.yaml")); err == nil {
		t.Error("the token is there all the same")
	}
}

// TestCreationsAndEditsAtOnce has one process create tokens while it edits others: each waits for the
// other, and none forever.
func TestCreationsAndEditsAtOnce(t *testing.T) {
	at := t.TempDir()
	s := &dir.Store{Roots: []string{at}, Into: at}
	now := func() time.Time { return time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) }
	service := &tokens.Service{Store: s, Documents: s, Now: now}
	create := func(name string) error {
		_, err := service.Create(t.Context(), tokens.CreateRequest{Token: edit.NewToken{Name: name, User: "alice", Unrestricted: true}})
		return err
	}
	if err := create("first"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() {
		for i := range 100 {
			if err := create(fmt.Sprint("new-", i)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	go func() {
		for i := range 200 {
			fields := []edit.Field{{Key: "description", Value: fmt.Sprint(i)}}
			if _, err := service.Update(t.Context(), tokens.UpdateRequest{Name: "first", Fields: fields}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 2 {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("they wait for each other forever")
		}
	}
}
