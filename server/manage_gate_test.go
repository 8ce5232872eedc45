package server

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheGateOfTokensIsNotThere names a Gate that no manifest has: the log says so, and which one was meant.
func TestTheGateOfTokensIsNotThere(t *testing.T) {
	dir := t.TempDir()
	office(t, dir)
	devNull, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer devNull.Close()
	for gate, want := range map[string]string{"tokens": "", "token": "did you mean tokens?"} {
		m, err := NewManage(Options{Manifests: []string{dir}, Audit: devNull, Manage: &ManageOptions{Listen: "127.0.0.1:0", Into: filepath.Join(dir, "tokens"), Gate: gate, Flags: "--"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		m.announce(slog.New(slog.NewTextHandler(&log, nil)))
		if got := strings.Contains(log.String(), "level=WARN"); got != (want != "") || !strings.Contains(log.String(), want) {
			t.Errorf("--gate %s: %s", gate, &log)
		}
		_ = m.listener.Close()
	}
}
