package tokens_test

import (
	"strings"
	"testing"

	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/tokens"
)

func TestFreeName(t *testing.T) {
	store := office()
	for _, name := range []string{"ci", "ci-2", "token"} {
		store.Put(name+".yaml", tokenNamed(name, ""))
	}
	for text, want := range map[string]string{
		"Report": "report", "My CI, of 2026!": "my-ci-of-2026", "CI": "ci-3", "ci 2": "ci-2-2", "": "token-2", "Übersicht": "bersicht", "日本": "token-2",
		"--a--": "a", "a/../b": "a-b", strings.Repeat("long ", 8) + "like this": strings.Repeat("long-", 8) + "l", "K": "k", // the Kelvin sign
	} {
		if got, err := serviceOf(store, nil).FreeName(t.Context(), text); err != nil || got != want {
			t.Errorf("%q: %s, %v, want %s", text, got, err, want)
		}
	}
	files := &dir.Store{Into: t.TempDir()}
	service := &tokens.Service{Store: files, Documents: files}
	if got, err := service.FreeName(t.Context(), "Kustomization"); err != nil || got != "kustomization-2" {
		t.Errorf("%s, %v", got, err)
	}
}
