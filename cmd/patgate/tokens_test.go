package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/tokens"
)

// TestTokensPage does what docs/tokens.md says, in its order.
func TestTokensPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/tokens.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "manifests"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "audit.jsonl"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	used := `{"v":1,"seq":1,"instance":"i","time":"2026-06-01T12:00:00Z","kind":"decision","decision":"allow","reason":"ok","user":"alice","token":"ci-bot"}` + "\n"
	if err := os.WriteFile("audit.jsonl", []byte(used), 0o644); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, b := range block.FindAllStringSubmatch(string(page), -1) {
		if b[1] == "yaml" {
			if err := os.WriteFile("manifests/setup.yaml", []byte(b[2]), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for line := range strings.Lines(b[2]) {
			var out, errs bytes.Buffer
			line, _, _ := strings.Cut(strings.TrimSpace(line), " > ")
			if code := run(words(line)[1:], strings.NewReader(""), &out, &errs); code != exitGood {
				t.Errorf("%s: exit code %d\n%s%s", line, code, out.String(), errs.String())
			}
			ran++
		}
	}
	if ran != 14 {
		t.Errorf("%d commands were run", ran)
	}
}

// words cuts a command line as a shell does, as far as the page needs it.
func words(line string) []string {
	var list []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			list = append(list, part)
		} else {
			list = append(list, strings.Fields(part)...)
		}
	}
	return list
}

func TestConfirm(t *testing.T) {
	for answer, yes := range map[string]bool{
		"y\n": true, "Y\r\n": true, "yes\n": true, " YES \n": true, "y": true,
		"": false, "\n": false, "n\n": false, "yess\n": false, "ye\n": false, "no\nyes\n": false,
	} {
		if err := answered(strings.NewReader(answer)); (err == nil) != yes {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

func TestDistances(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "in 0s", 90 * time.Second: "in 1m", 47 * time.Hour: "in 47h", 48 * time.Hour: "in 2d", 5 * 24 * time.Hour: "in 5d",
		-time.Second: "1s ago", -72 * time.Hour: "3d ago",
	} {
		if got := tokens.DistanceText(now.Add(d), now); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// failingWriter is a stdout that has no reader.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// TestUnprintedValueIsTakenBack checks that the file is restored, or that an error says so where
// somebody else changed it meanwhile.
func TestUnprintedValueIsTakenBack(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "gate.yaml"), []byte("apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: g}\nspec: {schemes: [basic]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"token", "create", "ci", "--into", dir, "--user", "alice", "--unrestricted"}, nil, &out, &errs); code != exitGood {
		t.Fatal(errs.String())
	}
	file := filepath.Join(dir, "ci.yaml")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, output := range []string{outputText, outputJSON} {
		errs.Reset()
		if code := run([]string{"token", "rotate", "ci", "--manifests", dir, "-o", output}, nil, failingWriter{}, &errs); code != exitNo || !strings.Contains(errs.String(), "is what it was") {
			t.Errorf("exit code %d, %s", code, errs.String())
		}
		if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, before) {
			t.Errorf("%v: %s", err, after)
		}
	}
	meddler := writerFunc(func([]byte) (int, error) {
		if err := os.WriteFile(file, []byte("# mine\n"), 0o644); err != nil {
			t.Error(err)
		}
		return 0, errors.New("no space left")
	})
	r := tokens.RotateRequest{Name: "ci", Overlap: time.Hour}
	err = rotateToken(streams{nil, meddler, &errs}, tokenService([]string{dir}, ""), r, outputText)
	if err == nil || !strings.Contains(err.Error(), "could not be restored") || !strings.Contains(err.Error(), "changed by somebody else") {
		t.Errorf("%v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
