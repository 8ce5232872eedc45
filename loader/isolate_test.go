package loader_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
)

// isolating is a harness whose loader isolates tokens.
func isolating(t *testing.T, dir, lastGood string, roots ...string) *harness {
	h := &harness{t: t, dir: dir, index: policy.NewIndex(), more: make(chan struct{}, 1)}
	h.loader = loader.New(h.index, directories(5*time.Millisecond, 0, roots...), func(r loader.Report) { h.got = append(h.got, r) },
		loader.Options{IsolateTokens: true, LastGood: lastGood, Now: func() time.Time { return at }})
	return h
}

// tokens says what runs: names, with ! for those that are not accepted, and the revoked.
func (h *harness) tokens() string {
	var list []string
	for row := range h.index.Snapshot().Tokens {
		switch {
		case row.NotAccepted:
			list = append(list, row.Name+"!")
		case row.Revoked:
			list = append(list, row.Name+" revoked")
		default:
			list = append(list, row.Name)
		}
	}
	return strings.Join(list, ", ")
}

// TestTokensAreIsolated edits files step by step: one token at fault leaves the others as they are, and comes back once what
// it needs is there.
func TestTokensAreIsolated(t *testing.T) {
	dir := t.TempDir()
	h := isolating(t, dir, "", dir)
	for i, c := range []struct {
		file, text, want, problem string
	}{
		{"gate.yaml", gateNamed("jira"), "", ""},
		{"a.yaml", tokenNamed("a", "") + "---\n" + tokenNamed("b", ""), "a, b", ""},
		{"c.yaml", tokenOf("c", "read"), "a, b, c!", "c.yaml:8"},
		{"d.yaml", tokenNamed("d", ""), "a, b, c!, d", "c.yaml:8"},
		{"d.yaml", tokenNamed("d", "  revoked: 2026-05-02T00:00:00Z\n"), "a, b, c!, d revoked", "c.yaml:8"},
		{"e.yaml", tokenNamed("e", "  unknown: 1\n  revoked: 2026-05-02T00:00:00Z\n"), "a, b, c!, d revoked, e!", "e.yaml:9"},
		{"a.yaml", tokenNamed("a", ""), "a, c!, d revoked, e!", "c.yaml:8"},
		{"read.yaml", teamPolicy("read"), "a, c, d revoked, e!", "e.yaml:9"},
		{"e.yaml", "", "a, c, d revoked", ""},
		{"f.yaml", tokenNamed("f", ""), "a, c, d revoked, f", ""},
		{"read.yaml", "", "a, c!, d revoked, f", "c.yaml:8"},
	} {
		if write(t, dir+"/"+c.file, c.text); c.text == "" {
			if err := os.Remove(dir + "/" + c.file); err != nil {
				t.Fatal(err)
			}
		}
		r := h.load()
		if r == nil || !r.Loaded || len(r.Problems) > 0 {
			t.Fatalf("step %d: %+v", i, r)
		}
		if got := h.tokens(); got != c.want {
			t.Errorf("step %d: %s, want %s", i, got, c.want)
		}
		if got := fmt.Sprint(r.Isolated); (len(r.Isolated) > 0) != (c.problem != "") || !strings.Contains(got, c.problem) {
			t.Errorf("step %d: %s, want %s", i, got, c.problem)
		}
	}
	write(t, dir+"/gate.yaml", strings.Replace(gateNamed("jira"), "spec:", "spce:", 1))
	write(t, dir+"/f.yaml", tokenNamed("f", "  revoked: 2026-05-02T00:00:00Z\n"))
	if r := h.load(); r == nil || r.Loaded || len(r.Problems) == 0 || h.tokens() != "a, c!, d revoked, f revoked" {
		t.Errorf("a gate at fault: %+v, %s", r, h.tokens())
	}
}

// TestTokensOfRestrictedDirectoriesAreIsolated lets one of two directories have a token at fault, and then something else, over a restart.
func TestTokensOfRestrictedDirectoriesAreIsolated(t *testing.T) {
	dir, lastGood := t.TempDir(), t.TempDir()
	roots := []string{dir + "/platform", dir + "/team,kinds=APIToken|TokenPolicy,names=team-*"}
	write(t, dir+"/platform/gate.yaml", gateNamed("jira"))
	write(t, dir+"/team/ci.yaml", tokenNamed("team-ci", ""))
	write(t, dir+"/team/bad.yaml", tokenOf("team-bad", "team-none"))
	write(t, dir+"/team/alien.yaml", tokenNamed("alien", ""))
	h := isolating(t, dir, lastGood, roots...)
	if r := h.load(); r == nil || !r.Loaded || len(r.Isolated) != 2 || len(r.Kept) > 0 || h.tokens() != "alien!, team-bad!, team-ci" {
		t.Fatalf("%+v, %s", r, h.tokens())
	}
	write(t, dir+"/team/new.yaml", tokenNamed("team-new", ""))
	if r := h.load(); r == nil || !r.Loaded || h.tokens() != "alien!, team-bad!, team-ci, team-new" {
		t.Errorf("%+v, %s", r, h.tokens())
	}
	write(t, dir+"/team/policy.yaml", strings.Replace(teamPolicy("team-none"), "spec:", "spce:", 1))
	write(t, dir+"/team/ci.yaml", tokenNamed("team-ci", "  revoked: 2026-05-02T00:00:00Z\n"))
	if r := h.load(); r == nil || len(r.Kept) != 1 || h.tokens() != "alien!, team-bad!, team-ci revoked, team-new" {
		t.Errorf("a policy at fault: %+v, %s", r, h.tokens())
	}
	h = isolating(t, dir, lastGood, roots...)
	if r := h.load(); r == nil || len(r.Kept) != 1 || h.tokens() != "alien!, team-bad!, team-ci revoked, team-new" {
		t.Errorf("after a restart: %+v, %s", r, h.tokens())
	}
	write(t, dir+"/team/policy.yaml", teamPolicy("team-none"))
	if r := h.load(); r == nil || !r.Loaded || h.tokens() != "alien!, team-bad, team-ci revoked, team-new" {
		t.Errorf("once it is mended: %+v, %s", r, h.tokens())
	}
}
