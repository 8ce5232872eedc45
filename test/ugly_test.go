package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/test/ugly"
	"github.com/patgate/patgate/token"
)

// TestMalformedFilesOfARunningServer puts an ugly file next to the good manifests of a running server, revokes a
// token there, and mends everything: the event reports that the token is not revoked any more.
func TestMalformedFilesOfARunningServer(t *testing.T) {
	names := []string{"unclosed list of 100000", "100,000 keys", "a megabyte of nothing", "nested patterns"}
	for _, file := range ugly.Files() {
		if slices.Contains(names, file.Name) {
			t.Run(file.Name, func(t *testing.T) { besideAServer(t, file.Text) })
		}
	}
}

func besideAServer(t *testing.T, text string) {
	dir := t.TempDir()
	good := tokenManifest("ci", token.Mint().Reveal(), "")
	write(t, filepath.Join(dir, "gate.yaml"), gateManifest)
	write(t, filepath.Join(dir, "ci.yaml"), good)
	p := startBinary(t, plainBinary(t), dir) // the race detector would make it ten times slower
	path := filepath.Join(dir, "ugly.yaml")
	write(t, path, text)
	p.find("the rejected load", func(e *event) bool { return e.Kind == "policy.rejected" })
	start := time.Now()
	write(t, filepath.Join(dir, "ci.yaml"), strings.Replace(good, "spec:\n", "spec:\n  revoked: 2026-06-01T00:00:00Z\n", 1))
	p.find("the revocation", func(e *event) bool { return e.Kind == "policy.rejected" && strings.Join(e.Tokens, "") == "ci" })
	if took := time.Since(start); took > 5*time.Second { // with its event, on a machine that may be busy
		t.Errorf("the revocation took %v", took)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "ci.yaml"), good)
	p.find("the revival", func(e *event) bool { return e.Kind == "token.revived" && e.Severity == "alert" && e.Token == "ci" })
	if got := p.metrics()["patgate_tokens_revived_total"]; got != 1 {
		t.Errorf("patgate_tokens_revived_total is %v", got)
	}
	if log := len(p.log()); log > 1<<20 {
		t.Errorf("%d bytes of log", log)
	}
}
