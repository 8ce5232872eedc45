package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// evil is text that rewrites a terminal, hides what follows, forges lines and is a command
// to a workflow.
const evil = "x\x1b[2J\u009b31m\x7f\u202e\u2066\u2028\r\nFORGED: ok\n::error::pwn\n##[error]pwn\ta"

// quoted writes text in double quotes as YAML reads it.
func quoted(text string) string {
	b, _ := json.Marshal(text)
	return strings.NewReplacer("\x7f", `\x7f`, "\u009b", `\u009b`, "\u202e", `\u202e`, "\u2066", `\u2066`).Replace(string(b))
}

// evilManifests are manifests that say evil where text may be said: good ones, and one
// file for each place where it is refused.
func evilManifests(t *testing.T) (good string, bad []string) {
	t.Helper()
	write := func(name, text string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	e, head := quoted(evil), "apiVersion: patgate.dev/v1alpha1\nkind: "
	good = filepath.Join(t.TempDir(), "good")
	gate := head + "Gate\nmetadata:\n  name: jira\n  labels: {" + e + ": " + e + "}\nspec: {schemes: [basic], hosts: [h.example.com]}\n"
	rule := "{name: " + e + ", methods: [GET], path: " + quoted("/a\x1b\u202e\n::error::x") + ", query: {" + e + ": " + quoted("b\n\x1b") + "}}"
	tok := head + "APIToken\nmetadata: {name: a}\nspec:\n  displayName: " + e + "\n  user: " + quoted("u\u202ex") + "\n  digest: sha256:" + strings.Repeat("a", 64) +
		"\n  issued: 2026-01-01T00:00:00Z\n  allow:\n  - " + rule + "\n"
	write(filepath.Join(good, "g\x1b[2J\n::error::pwn.yaml"), gate+"---\n"+tok)
	write(filepath.Join(good, "t.test.yaml"), head+"PolicyTest\nmetadata: {name: t}\nspec:\n  cases:\n  - name: "+e+"\n    request: "+
		quoted("GET /\x1b?\u202e=::error::x")+"\n    want: allow\n    token: a\n")
	for i, text := range []string{
		strings.Replace(gate, "kind: Gate", "kind: "+e, 1), strings.Replace(gate, "apiVersion: patgate.dev/v1alpha1", "apiVersion: "+e, 1),
		gate + "  " + e + ": 1\n", strings.Replace(gate, "hosts: [", "hosts: ["+e+", ", 1), strings.Replace(gate, "spec: {", "spec: {groups: ["+e+"], ", 1),
		strings.Replace(gate, "schemes: [basic]", "schemes: ["+e+"]", 1), gate + e, strings.Replace(gate, "name: jira", "name: "+e, 1),
		strings.Replace(gate, "spec: {", "spec: {forwardUnknown: ["+e+"], contact: "+e+", ", 1), strings.Replace(tok, "/a", "/(a", 1),
	} {
		bad = append(bad, write(filepath.Join(good, "..", "bad", string(rune('a'+i)), "m\u202e\n::error::pwn.yaml"), text))
	}
	return good, bad
}

// TestOutputCantBeForged runs commands on manifests of an attacker who tries to deceive a
// reviewer's terminal or a workflow.
func TestOutputCantBeForged(t *testing.T) {
	good, bad := evilManifests(t)
	file := filepath.Join(t.TempDir(), "e\x1b\n::error::.json")
	dump, _ := json.Marshal(map[string]any{"tokens": []any{map[string]any{"label": evil, "user": evil, "token": strings.Repeat("k", 30), "limitTo": evil, "ip": evil}}})
	if err := os.WriteFile(file, dump, 0o600); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{
		{"check", good}, {"check", "--examples", good}, {"check", "--strict", good}, {"test", good}, {"test", "--run", evil, good},
		{"token", "list", "--manifests", good}, {"token", "show", "a", "--manifests", good}, {"token", "show", evil, "--manifests", good},
		{"explain", "--manifests", good, "--token", "a", "--method", "GET", "--url", "https://h.example.com/a?x=y"},
		{"explain", "--manifests", good, "--token", evil, "--method", evil, "--url", "https://h.example.com/" + evil},
		{"explain", "--manifests", good, "--method", "GET", "--url", "https://h.example.com/", "--user", evil, "--header", evil + ":" + evil},
		{"token", "import", "--from", "extender", file, "--into", filepath.Join(t.TempDir(), evil[:1]+"\x1b\n::error::")},
		{"envoy-check", bad[0]}, {"envoy-config", "--manifests", good}, {evil}, {"check", evil}, {"check", "--" + evil}, {"token", "list", "--state=" + evil}, {"check", "--rendered", file},
	}
	for _, dir := range bad {
		commands = append(commands, []string{"check", filepath.Dir(dir)}, []string{"check", dir}, []string{"token", "list", "--manifests", filepath.Dir(dir)})
	}
	printed := 0
	for _, args := range commands {
		var out, errs bytes.Buffer
		run(args, strings.NewReader(""), &out, &errs)
		printed += out.Len() + errs.Len()
		for _, text := range []string{out.String(), errs.String()} {
			for line := range strings.Lines(text) {
				line = strings.TrimSuffix(line, "\n")
				if at := strings.IndexFunc(line, func(r rune) bool {
					return r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028')
				}); at >= 0 {
					t.Errorf("%.40q: a control character in %q", args, line)
				}
				if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##[") || strings.HasPrefix(line, "FORGED") {
					t.Errorf("%.40q: a forged line: %q", args, line)
				}
			}
		}
	}
	if printed < 2000 {
		t.Errorf("%d bytes were printed: the commands say nothing", printed)
	}
}
