package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/patgate/patgate/audit/report"
)

// evil is text that rewrites a terminal, hides what follows, forges lines and is a command
// to a workflow.
const evil = "x\x1b[2J\u009b31m\x7f\u202e\u2066\u2028\r\nFORGED: ok\n::error::pwn\n##[error]pwn ##vso[task.x]\ta"

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
	if printed := forgeNothing(t, commands); printed < 2000 {
		t.Errorf("%d bytes were printed: the commands say nothing", printed)
	}
}

// forgeNothing runs commands, and returns how much they print. None prints what a terminal or a workflow would act on, nor a
// line that evil made up.
func forgeNothing(t *testing.T, commands [][]string) (printed int) {
	t.Helper()
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
				if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##[") || strings.HasPrefix(strings.TrimSpace(line), "FORGED") || strings.Contains(line, "##vso[") {
					t.Errorf("%.40q: a forged line: %q", args, line)
				}
			}
		}
	}
	return printed
}

// evilLog is a log of somebody who may write to it: in each line one field is evil. It returns its events' ids, too.
func evilLog(t *testing.T) (name string, ids []string) {
	t.Helper()
	plain := func() map[string]any {
		return map[string]any{
			"v": 1, "time": "2026-06-01T10:00:00.000000Z", "kind": "decision", "severity": "info", "instance": "pod", "decision": "allow", "reason": "ok",
			"gate": "jira", "scheme": "basic", "user": "u", "token": "a", "actor": "b", "method": "GET", "host": "h.example.com", "path": "/a", "query": "x=y",
			"client": "10.0.0.1", "peer": "10.0.0.1", "revision": 1, "policy": "p", "rule": "allow[0]", "ruleText": "x", "source": "g.yaml:3", "previous": true, "basicEnds": "2027-01-01T00:00:00Z",
			"unmatched": "", "userAgent": "x", "detail": "", "shadow": "", "requestId": "x", "peerName": "x", "traceparent": "x", "bodyState": "absent", "note": "", "chain": "",
		}
	}
	var lines []byte
	seq := 0
	add := func(e map[string]any) {
		seq += 2
		id, _ := e["id"].(string)
		if e["seq"] = seq; id == "" {
			id = fmt.Sprint("event", seq)
		}
		e["id"], ids = id, append(ids, id)
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(append(lines, line...), '\n')
	}
	for _, changed := range []map[string]any{
		{}, {"decision": "deny", "reason": "no_rule_matched", "status": 403}, {"decision": "deny", "reason": "token_canary", "severity": "alert"},
		{"shadow": "no_rule_matched"}, {"observed": map[string]any{evil: evil}, "bodyVerdicts": map[string]any{evil: evil}, evil: evil},
	} {
		for key, value := range plain() {
			if _, is := value.(string); !is || key == "time" || key == "basicEnds" {
				continue
			}
			e := plain()
			maps.Copy(e, changed)
			e[key] = evil
			times := 1
			if e["decision"] == "deny" && (key == "token" || key == "reason") {
				times = report.ManyRefusals
			}
			for range times {
				add(maps.Clone(e))
			}
		}
	}
	for _, kind := range []string{"policy.loaded", "policy.rejected", "token.created", "audit.gap", "clock.stepped", "token.usage", "audit.checkpoint", "manage.refused", "token.expires-soon", evil} {
		e := plain()
		maps.Copy(e, map[string]any{
			"kind": kind, "addedNames": []string{evil}, "changedNames": []string{evil}, "removedNames": []string{evil}, "added": 1, "changed": 1, "removed": 1, "problems": []string{evil},
			"tokens": []string{evil}, "by": evil, "via": evil, "fields": []string{evil}, "detail": evil, "count": 7, "source": evil, "token": evil, "id": evil, "user": evil,
			"uses": []any{map[string]any{"scheme": evil, "count": 5, "first": "2026-06-01T10:00:00Z", "last": "2026-06-01T10:00:00Z"}}, "client": evil, "gate": evil, "scheme": evil,
			"rules": []any{map[string]any{"policy": evil, "rule": evil, "text": evil, "count": 3, "first": "2026-06-01T10:00:00Z", "last": "2026-06-01T10:00:00Z"}},
		})
		add(e)
	}
	name = filepath.Join(t.TempDir(), "a\x1b\n::error::.log")
	if err := os.WriteFile(name, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, ids
}

// TestLogsCantForgeOutput reads a log in which any field may say anything.
func TestLogsCantForgeOutput(t *testing.T) {
	good, _ := evilManifests(t)
	log, ids := evilLog(t)
	var commands [][]string
	for _, of := range [][]string{
		{"audit", "summary"}, {"audit", "summary", "--shadow"}, {"audit", "verify"}, {"audit", "tail"}, {"usage", "--manifests", good}, {"usage", "--manifests", good, "--rules"},
		{"replay", "--manifests", good}, {"replay", "--manifests", good, "-o", "markdown"}, {"suggest", "--manifests", good}, {"suggest", "--manifests", good, "--dead"},
	} {
		commands = append(commands, append(of, "--log", log))
	}
	for i := 0; i < len(ids); i += 40 {
		commands = append(commands, []string{"audit", "show", ids[i], "--log", log, "--manifests", good})
	}
	commands = append(commands, []string{"audit", "show", ids[len(ids)-1], "--log", log})
	if printed := forgeNothing(t, commands); printed < 50_000 {
		t.Errorf("%d bytes were printed: the commands say nothing", printed)
	}
}
