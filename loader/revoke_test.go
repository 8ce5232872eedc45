package loader_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	loaderdir "github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/tokens"
)

const gateText = "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: g}\nspec: {schemes: [basic, bearer]}\n"

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

var rotateAt = time.Date(2026, 6, 1, 12, 0, 0, 500, time.UTC)

// TestRevokedWhileOthersAreBroken runs a server's loader at the same time.
func TestRevokedWhileOthersAreBroken(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"gate.yaml": gateText, "ci.yaml": tokenNamed("ci", "")})
	h := newHarness(t, dir)
	if r := h.load(); r == nil || r.Rejected() {
		t.Fatalf("%+v", r)
	}
	writeFiles(t, dir, map[string]string{"broken.yaml": "[\n"})
	store := &loaderdir.Store{Roots: []string{dir}}
	service := &tokens.Service{Store: store, Documents: store, Now: func() time.Time { return rotateAt }}
	if _, err := service.Revoke(t.Context(), tokens.RevokeRequest{Name: "ci"}); err != nil {
		t.Fatal(err)
	}
	if r := h.load(); r == nil || len(r.RevokedEarly) != 1 || r.RevokedEarly[0] != "ci" {
		t.Fatalf("%+v", r)
	}
	snapshot := h.index.Snapshot()
	if state := snapshot.State(snapshot.TokenByName("ci"), rotateAt); state != policy.StateRevoked {
		t.Errorf("the token is %v", state)
	}
	if info, err := os.Stat(filepath.Join(dir, "ci.yaml")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".patgate-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
