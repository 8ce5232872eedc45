package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patgate/patgate/test/company"
)

// TestEvidencePage follows docs/evidence.md: each command succeeds, and prints the lines that the page shows.
func TestEvidencePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	writeCompany(t, company.New(company.Options{Seed: 1, People: 60, Tokens: 40, Events: 20_000}))
	output, shown := "", 0
	for _, b := range block.FindAllStringSubmatch(string(page), -1) {
		switch b[1] {
		case "sh":
			output = ""
			for line := range strings.Lines(b[2]) {
				output += runLine(t, strings.TrimSpace(line))
			}
		case "text":
			rest := output
			for line := range strings.Lines(b[2]) {
				_, after, found := strings.Cut(rest, line)
				if !found {
					t.Errorf("the page shows %q, and the output is\n%s", line, output)
				}
				rest = after
				shown++
			}
		}
	}
	if shown < 12 {
		t.Errorf("%d lines were compared", shown)
	}
}

// writeCompany does what `go run ./test/company/log` does.
func writeCompany(t *testing.T, c *company.Company) {
	t.Helper()
	for name, text := range c.Manifests() {
		writePageFile(t, filepath.Join("company", "manifests", name), []byte(text))
	}
	var log bytes.Buffer
	if err := c.Log(&log); err != nil {
		t.Fatal(err)
	}
	writePageFile(t, filepath.Join("company", "audit.jsonl"), log.Bytes())
}

// runLine runs a line of the page. It fails the test where the command fails.
func runLine(t *testing.T, line string) string {
	t.Helper()
	command, file, redirected := strings.Cut(line, " > ")
	args := words(command)
	switch {
	case args[0] == "go":
		return "" // the company is there
	case args[0] != "patgate":
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", line, err, out)
		}
		return ""
	}
	var out, errs bytes.Buffer
	if code := run(args[1:], strings.NewReader(""), &out, &errs); code != exitGood {
		t.Errorf("%s: exit code %d: %s", line, code, errs.String())
	}
	if redirected {
		writePageFile(t, file, out.Bytes())
		return ""
	}
	return out.String()
}
