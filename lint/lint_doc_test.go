package lint_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/patgate/patgate/lint"
)

// TestDocs checks that docs/checks.md explains each code, and no other, with why and what to do.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/checks.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []lint.Code
	for _, section := range strings.Split(string(text), "\n### ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		code := lint.Code(strings.Trim(name, "`"))
		documented = append(documented, code)
		body, _, _ = strings.Cut(body, "\n## ")
		for _, part := range []string{"**Why:**", "**What to do:**"} {
			if !strings.Contains(body, part) {
				t.Errorf("%s has no %s", code, part)
			}
		}
	}
	slices.Sort(documented)
	if !slices.Equal(documented, lint.Codes()) {
		t.Errorf("docs/checks.md has %v, the codes are %v", documented, lint.Codes())
	}
	for _, code := range lint.Codes() {
		if !regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(string(code)) {
			t.Errorf("%s is no code", code)
		}
	}
}
