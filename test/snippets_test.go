//go:build clients

package test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// clientsDir is where `make test-clients` has installed what the snippets run with.
func clientsDir(t *testing.T) string {
	dir := os.Getenv("PATGATE_TEST_CLIENTS")
	if dir == "" {
		t.Fatal("PATGATE_TEST_CLIENTS is not set: run `make test-clients`")
	}
	return dir
}

// clients lists how a snippet is run: the name of its file, and the command before it.
func clients(dir string) map[string][][]string {
	jquery := func(version string) []string {
		return []string{"snippet.js", "node", filepath.Join(dir, "jquery.js"), version}
	}
	return map[string][][]string{
		"curl":       {{"snippet.sh", "sh"}},
		"javascript": {{"snippet.js", "node"}},
		"jquery":     {jquery("jquery3"), jquery("jquery4")},
		"python":     {{"snippet.py", filepath.Join(dir, "python", "bin", "python")}},
		"java":       {{"Call.java", "java"}},
		"go":         {{"main.go", "go", "run"}},
	}
}

// TestSnippets runs what `patgate token snippet` prints, in every language and scheme, with
// a real client through a real Envoy: the upstream must see who calls, and not the token;
// a wrong value must be reported.
func TestSnippets(t *testing.T) {
	dir := clientsDir(t)
	value := token.Mint().Reveal()
	manifests := t.TempDir()
	const user = "jürgen@example.com"
	write(t, filepath.Join(manifests, "m.yaml"), gateManifest+"---\n"+
		kind("ci", "APIToken", "user: "+user+"\ndigest: "+digestOf(value)+"\nissued: 2026-01-01T00:00:00Z\nunrestricted: true\n"))
	s := startSystem(t, manifests, nil)
	url := "http://" + s.clients + "/rest/api/2/issue/JRA-1?fields=summary,status"
	for language, runs := range clients(dir) {
		for _, scheme := range []string{"basic", "bearer"} {
			code, err := exec.Command(binary, "token", "snippet", "--url", url, "--user", user, "--scheme", scheme, "--lang", language).Output()
			if err != nil {
				t.Fatal(err)
			}
			for _, command := range runs {
				t.Run(strings.Join([]string{language, scheme, command[len(command)-1]}, " "), func(t *testing.T) {
					file := filepath.Join(t.TempDir(), command[0])
					if err := os.WriteFile(file, code, 0o600); err != nil {
						t.Fatal(err)
					}
					out, errs, err := runSnippet(command, file, url, value)
					if err != nil || !strings.Contains(out, "x-forwarded-user: "+user) || strings.Contains(strings.ToLower(out), "authorization") {
						t.Errorf("%v\n%s\n%s", err, out, errs)
					}
					out, errs, err = runSnippet(command, file, url, token.Mint().Reveal())
					if err == nil || !strings.Contains(out+errs, "401") || strings.Contains(out, "x-forwarded-user") {
						t.Errorf("a wrong value: %v\n%s\n%s", err, out, errs)
					}
				})
			}
		}
	}
	s.holdsNo(map[string]string{"ci": value})
}

func runSnippet(command []string, file, url, value string) (out, errs string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[1], append(command[2:], file)...)
	cmd.Env = append(os.Environ(), "PATGATE_TOKEN="+value, "PAGE_URL="+url, "NODE_PATH="+filepath.Join(os.Getenv("PATGATE_TEST_CLIENTS"), "node_modules"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}
