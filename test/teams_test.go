package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// TestTeams has two teams behind one Envoy: one of them breaks its directory, the other's changes
// still take effect, and a restart with the broken one starts from the last good state.
func TestTeams(t *testing.T) {
	top := t.TempDir()
	values := map[string]string{}
	put := func(path, name, more string) {
		t.Helper()
		if values[name] == "" {
			values[name] = token.Mint().Reveal()
		}
		write(t, filepath.Join(top, path), tokenManifest(name, values[name], more))
	}
	if err := os.Mkdir(filepath.Join(top, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(top, "platform/gate.yaml"), gateManifest)
	put("a/ci.yaml", "team-a-ci", "")
	put("a/old.yaml", "team-a-old", "")
	put("b/ci.yaml", "team-b-ci", "")
	put("b/old.yaml", "team-b-old", "")
	start := func(t *testing.T) *system {
		t.Helper()
		return startSystem(t, filepath.Join(top, "platform"), nil,
			"--manifests", filepath.Join(top, "a")+",kinds=APIToken,names=team-a-*",
			"--manifests", filepath.Join(top, "b")+",kinds=APIToken,names=team-b-*",
			"--last-good", filepath.Join(top, "state"))
	}
	// want waits until the tokens of these names are allowed, and all others refused.
	want := func(t *testing.T, s *system, what, good string) {
		t.Helper()
		wrong := ""
		for began := time.Now(); time.Since(began) < 10*time.Second; {
			wrong = ""
			for name, value := range values {
				got := s.http(t, ask{path: "/rest/", authorization: "Bearer " + value})
				if allowed := got.status == 200; allowed != strings.Contains(" "+good+" ", " "+name+" ") {
					wrong += " " + name + " " + got.event.Reason
				}
			}
			if wrong == "" {
				return
			}
		}
		t.Fatalf("%s: wrong are%s", what, wrong)
	}
	t.Run("a server", func(t *testing.T) {
		s := start(t)
		want(t, s, "the start", "team-a-ci team-a-old team-b-ci team-b-old")

		// B breaks its directory, and tries to revoke what is A's.
		write(t, filepath.Join(top, "b/broken.yaml"), kind("team-b-broken", "APIToken", "user: bob\n"))
		write(t, filepath.Join(top, "b/theirs.yaml"), tokenManifest("team-a-ci", values["team-a-ci"], "revoked: 2026-06-01T00:00:00Z\n"))
		e := s.find("b's rejection", func(e *event) bool { return e.Kind == "policy.rejected" })
		if e.Source != filepath.Join(top, "b") || len(e.Tokens) > 0 {
			t.Errorf("%+v", e)
		}
		put("a/new.yaml", "team-a-new", "")
		put("a/old.yaml", "team-a-old", "revoked: 2026-06-01T00:00:00Z\n")
		put("b/new.yaml", "team-b-new", "")
		want(t, s, "a goes on", "team-a-ci team-a-new team-b-ci team-b-old")
		put("b/old.yaml", "team-b-old", "revoked: 2026-06-01T00:00:00Z\n")
		want(t, s, "b revokes, and is broken", "team-a-ci team-a-new team-b-ci")

	})
	t.Run("a restart", func(t *testing.T) {
		s := start(t)
		want(t, s, "a restart", "team-a-ci team-a-new team-b-ci")
		e := s.find("b's rejection at the start", func(e *event) bool { return e.Kind == "policy.rejected" })
		if !strings.Contains(e.Detail, "was stored at") {
			t.Errorf("%+v", e)
		}
		for _, name := range []string{"b/broken.yaml", "b/theirs.yaml"} {
			if err := os.Remove(filepath.Join(top, name)); err != nil {
				t.Fatal(err)
			}
		}
		want(t, s, "b is mended", "team-a-ci team-a-new team-b-ci team-b-new")
		s.holdsNo(values)
	})
}
