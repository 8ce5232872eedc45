package test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/patgate/patgate/audit"
)

// TestSealedLogAndUsage has checks come one by one and at once, while the log is read slowly. The log verifies with
// the private and the public key, and not after a change; the uses are counted at the status port and in the log.
func TestSealedLogAndUsage(t *testing.T) { onBothTransports(t, testSealedLogAndUsage) }

func testSealedLogAndUsage(t *testing.T) {
	dir := t.TempDir()
	key, log := filepath.Join(dir, "audit.key"), filepath.Join(dir, "audit.jsonl")
	public, err := exec.Command(binary, "audit", "key", key, "--name", "audit.example.com").Output()
	if err != nil {
		t.Fatal(err)
	}
	write(t, key+".pub", string(public))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	text := make(chan string)
	go func() { text <- readSlowly(r) }()
	b := startBare(t, w, "--audit-chain", key)
	w.Close()
	var mu sync.Mutex
	allowed := 0
	count := func() {
		answer, err := b.client.Check(context.Background(), b.request)
		if err != nil {
			t.Error(err)
			return
		}
		if answer.GetDynamicMetadata().GetFields()["reason"].GetStringValue() == "ok" {
			mu.Lock()
			allowed++
			mu.Unlock()
		}
	}
	for range 20 {
		count()
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				count()
			}
		})
	}
	all.Wait()
	if n := usesOf(t, "--from", "http://"+b.status); n != allowed {
		t.Errorf("the status port counts %d uses, want %d", n, allowed)
	}
	if code := b.end(); code != 0 {
		t.Errorf("exit code %d: %s", code, b.stderr.String())
	}
	lines := <-text
	write(t, log, lines)
	if n := usesOf(t, "--log", log); n != allowed {
		t.Errorf("the log has %d uses, want %d", n, allowed)
	}
	reported := filepath.Join(dir, "reports.jsonl")
	write(t, reported, onlyLines(lines, `"kind":"token.usage"`))
	if n := usesOf(t, "--log", reported); n != allowed {
		t.Errorf("the reports have %d uses, want %d", n, allowed)
	}
	for _, file := range []string{key, key + ".pub"} {
		if out, err := exec.Command(binary, "audit", "verify", "--log", log, "--key", file).CombinedOutput(); err != nil || strings.Contains(string(out), "not closed") {
			t.Errorf("verify: %v: %s", err, out)
		}
	}
	write(t, log, strings.Replace(lines, `"method":"GET"`, `"method":"PUT"`, 1))
	if out, err := exec.Command(binary, "audit", "verify", "--log", log, "--key", key).CombinedOutput(); err == nil || !strings.Contains(string(out), "its seal does not fit") {
		t.Errorf("a changed line: %v: %s", err, out)
	}
}

// readSlowly reads a pipe in small pieces, so that it is often full.
func readSlowly(r *os.File) string {
	var text strings.Builder
	part := make([]byte, 700)
	for {
		n, err := r.Read(part)
		text.Write(part[:n])
		if err != nil {
			return text.String()
		}
	}
}

// onlyLines returns the lines that hold a text.
func onlyLines(lines, with string) string {
	var out strings.Builder
	for line := range strings.Lines(lines) {
		if strings.Contains(line, with) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// usesOf returns how often patgate usage says that tokens were used.
func usesOf(t *testing.T, flags ...string) int {
	t.Helper()
	out, err := exec.Command(binary, append([]string{"usage", "-o", "json"}, flags...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Tokens []struct {
			Count int
			Uses  []audit.Use
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, token := range report.Tokens {
		n += token.Count
	}
	return n
}
