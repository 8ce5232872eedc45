package check_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/patgate/patgate/envoy/check"
)

// section is the title of a code's section, with its severity.
var section = regexp.MustCompile("^`([a-z0-9]+(?:-[a-z0-9]+)*)` \\((error|warning)\\)$")

// TestDocs wants docs/envoy-checks.md to have each code with its severity, why and what to
// do, and no other.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/envoy-checks.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []check.Code
	for _, part := range strings.Split(string(text), "\n### ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		m := section.FindStringSubmatch(title)
		if m == nil {
			t.Errorf("%q is no title of a code", title)
			continue
		}
		documented = append(documented, check.Code(m[1]))
		if severity := check.SeverityOf(check.Code(m[1])); severity.String() != m[2] {
			t.Errorf("%s is documented as %s, and is %s", m[1], m[2], severity)
		}
		body, _, _ = strings.Cut(body, "\n## ")
		for _, want := range []string{"**Why:**", "**What to do:**"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s has no %s", m[1], want)
			}
		}
	}
	slices.Sort(documented)
	if !slices.Equal(documented, check.Codes()) {
		t.Errorf("docs/envoy-checks.md has %v, the codes are %v", documented, check.Codes())
	}
}
