//go:build manage

package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// managePython is the folder of the Python programs, as `make test-manage` installs them.
func managePython(t *testing.T, program string) string {
	t.Helper()
	at := os.Getenv("PATGATE_TEST_MANAGE")
	if at == "" {
		t.Fatal("PATGATE_TEST_MANAGE is not set: run make test-manage")
	}
	return filepath.Join(at, "bin", program)
}

var anyValue = regexp.MustCompile(`patg_[0-9A-Za-z]{36}`)

// runPython runs a program, and shows its output without values.
func runPython(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), managePython(t, program), args...)
	cmd.WaitDelay = time.Second
	cmd.Dir = t.TempDir() // schemathesis leaves a cache where it runs, with what was answered
	out, err := cmd.CombinedOutput()
	if shown := anyValue.ReplaceAll(out, []byte("VALUE")); err != nil {
		t.Errorf("%s: %v\n%s", program, err, shown)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	at, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestManageRealClients runs atlassian-python-api and jira, unchanged.
func TestManageRealClients(t *testing.T) {
	for _, command := range []string{"serve", "manage"} {
		at, values := managedOffice(t, 1)
		m := startManager(t, command, at)
		runPython(t, "python", absolute(t, "manage/clients.py"), m.url, values["u0"].Reveal())
	}
}

// TestManageSchemathesis compares every answer with the OpenAPI document, with and without secure mode.
func TestManageSchemathesis(t *testing.T) {
	for _, flags := range [][]string{nil, {"--manage-secure-mode"}} {
		at, values := managedOffice(t, 1)
		m := startManager(t, "serve", at, flags...)
		runPython(t, "schemathesis", "--config-file", absolute(t, "manage/schemathesis.toml"), "run", m.url+"/api/v1/openapi.json",
			"-H", "Authorization: Bearer "+values["root"].Reveal(), "--no-color", "--seed", "1", "-n", "30")
	}
}
