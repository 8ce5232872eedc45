//go:build clients

package test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/token/snippet"
)

// clientsDir is where `make test-clients` has installed what the snippets run with.
func clientsDir(t *testing.T) string {
	dir := os.Getenv("PATGATE_TEST_CLIENTS")
	if dir == "" {
		t.Fatal("PATGATE_TEST_CLIENTS is not set: run `make test-clients`")
	}
	return dir
}

// phpBinary is the command of PHP: the machine's, or that of the Debian packages of `make test-upstreams`.
func phpBinary(t *testing.T) string {
	if path, err := exec.LookPath("php"); err == nil {
		return path
	}
	path := os.Getenv("PATGATE_TEST_PHP")
	if path == "" {
		t.Fatal("there is no php, and PATGATE_TEST_PHP is not set: run `make test-clients`")
	}
	return path
}

// clients says for each language how a snippet is run: the name of its file, and the command before it.
// An empty list is a language that this test does not run: its golden files in /token/snippet hold it.
func clients(t *testing.T, dir string) map[string][][]string {
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
		"php":        {{"call.php", phpBinary(t), "-n"}},
		"csharp":     {}, // .NET comes from no registry that these tests use
		"powershell": {}, // the same
	}
}

// The body of the POST, and the text in it by which a rule knows it. It has what languages give a meaning.
const (
	snippetText = `jürgen's "$HOME" \n %s ‘x’ <b> 😀`
	snippetBody = "{\n \"name\": \"jürgen's \\\"$HOME\\\" \\\\n %s ‘x’ <b> 😀\"\n}"
)

// TestSnippets runs what `patgate token snippet` prints, in every language that clients lists a command for, in
// both schemes, with a real client through a real Envoy: the upstream must see who calls, and not
// the token; a wrong value must be told. A POST passes only where its body arrives as it was given.
func TestSnippets(t *testing.T) {
	dir := clientsDir(t)
	commands := clients(t, dir)
	for _, language := range snippet.Languages() {
		if _, ok := commands[language]; !ok {
			t.Errorf("%s: no word on how it is run", language)
		}
	}
	value := token.Mint().Reveal()
	manifests := t.TempDir()
	const user = "jürgen@example.com"
	write(t, filepath.Join(manifests, "m.yaml"), gateManifest+"---\n"+
		kind("ci", "APIToken", "user: "+user+"\ndigest: "+digestOf(value)+"\nissued: 2026-01-01T00:00:00Z\nallow:\n"+
			"- {methods: [GET, DELETE], path: /rest/api/2/issue/JRA-1}\n"+
			"- {methods: [POST], path: /rest/api/2/filter, json: {name: "+strconv.Quote(regexp.QuoteMeta(snippetText))+"}}\n"))
	s := startSystem(t, manifests, nil)
	for _, call := range []struct {
		name, url string
		more      []string
	}{
		{"GET", "http://" + s.clients + "/rest/api/2/issue/JRA-1?fields=summary,status", nil},
		{"DELETE", "http://" + s.clients + "/rest/api/2/issue/JRA-1", []string{"--method", "DELETE"}},
		{"POST", "http://" + s.clients + "/rest/api/2/filter", []string{"--data", snippetBody}},
	} {
		for language, runs := range commands {
			for _, scheme := range []string{"basic", "bearer"} {
				args := append([]string{"token", "snippet", "--url", call.url, "--user", user, "--scheme", scheme, "--lang", language}, call.more...)
				code, err := exec.Command(binary, args...).Output()
				if err != nil {
					t.Fatal(err)
				}
				for _, command := range runs {
					t.Run(strings.Join([]string{call.name, language, scheme, filepath.Base(command[len(command)-1])}, " "), func(t *testing.T) {
						checkSnippet(t, command, call.name, call.url, code, user, value)
					})
				}
			}
		}
	}
	s.holdsNo(map[string]string{"ci": value})
}

// checkSnippet runs a snippet with the right value and a wrong one.
func checkSnippet(t *testing.T, command []string, method, url string, code []byte, user, value string) {
	file := filepath.Join(t.TempDir(), command[0])
	if err := os.WriteFile(file, code, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err := runSnippet(command, file, url, value)
	if err != nil || !strings.Contains(out, method+" /rest") || !strings.Contains(out, "x-forwarded-user: "+user) ||
		strings.Contains(strings.ToLower(out), "authorization") {
		t.Errorf("%v\n%s\n%s", err, out, errs)
	}
	out, errs, err = runSnippet(command, file, url, token.Mint().Reveal())
	if err == nil || !strings.Contains(out+errs, "401") || strings.Contains(out, "x-forwarded-user") {
		t.Errorf("a wrong value: %v\n%s\n%s", err, out, errs)
	}
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
