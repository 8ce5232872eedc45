package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestReflow breaks lines of each form.
func TestReflow(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a paragraph that fits stays":  {"One\ntwo.\n", "One\ntwo.\n"},
		"a long paragraph is filled":   {"Serve reads manifests, and follows their changes all day.\nLogs go to\nstderr.\n\nMore.\n", "Serve reads manifests, and follows their\nchanges all day. Logs go to stderr.\n\nMore.\n"},
		"a command keeps its column":   {"Available Commands:\n  check    Validate manifests and print every problem\n", "Available Commands:\n  check    Validate manifests and print\n           every problem\n"},
		"a flag keeps its column":      {"      --at time   time of the request, by default now\n", "      --at time   time of the request,\n                  by default now\n"},
		"a wide flag has its own line": {"      --manage-oidc-issuer URL   URL of the provider with which people sign in\n", "      --manage-oidc-issuer URL\n          URL of the provider with which\n          people sign in\n"},
		"an example stays whole":       {"  patgate token create ci-bot --user alice --into manifests\n", "  patgate token create ci-bot --user alice --into manifests\n"},
		"a long word stays whole":      {"See https://example.com/a/very/long/path/that/goes/on now\n", "See\nhttps://example.com/a/very/long/path/that/goes/on\nnow\n"},
	} {
		if got := reflow(c.text, 40); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// TestHelpFitsATerminal breaks the help of each command for 80 columns: no word is lost, and only examples and usage are longer.
func TestHelpFitsATerminal(t *testing.T) {
	pages, err := filepath.Glob("testdata/help/*.txt")
	if err != nil || len(pages) == 0 {
		t.Fatal(err, pages)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		got := reflow(string(text), 80)
		if !slices.Equal(strings.Fields(got), strings.Fields(string(text))) {
			t.Errorf("%s: words are lost or in another order", page)
		}
		for line := range strings.Lines(got) {
			if len(line) > 81 && !strings.Contains(line, "patgate ") && !strings.HasPrefix(line, "  standalone, ") && !strings.HasPrefix(line, "  nginx, ") && len(strings.Fields(line)) > 1 {
				t.Errorf("%s: %d columns: %s", page, len(line)-1, line)
			}
		}
	}
}

// TestAValueIsSaidOnce holds what is said of a listener whose address is taken.
func TestAValueIsSaidOnce(t *testing.T) {
	for line, want := range map[string]string{
		"--listen 127.0.0.1:1: listen tcp 127.0.0.1:1: bind: address already in use": "--listen 127.0.0.1:1: another process listens there, expected a free address",
		"listen tcp 127.0.0.1:1: bind: address already in use":                       "127.0.0.1:1: another process listens there, expected a free address",
		"--log a.log: open b.log: no such file or directory":                         "--log a.log: b.log: no such file, expected one that exists",
		"--log a.log: open a.log: no such file or directory":                         "--log a.log: no such file, expected one that exists",
	} {
		if got := plainText(line); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}
