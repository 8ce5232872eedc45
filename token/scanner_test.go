package token_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

// scannerPatterns are the expressions that the documents give to secret scanners. gitleaks uses Go's
// own syntax.
func scannerPatterns(t *testing.T) map[string]*regexp.Regexp {
	t.Helper()
	found := map[string]*regexp.Regexp{}
	for file, at := range map[string]string{
		"../docs/examples/secret-scanning/.gitleaks.toml": "(?m)^regex = '''(.*)'''$",
		"../docs/secret-scanning.md":                      "(?m)^```\n(.*)\n```$",
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(at).FindStringSubmatch(string(text))
		if m == nil {
			t.Fatalf("%s has no expression", file)
		}
		found[file] = regexp.MustCompile(m[1])
	}
	page, err := os.ReadFile("../docs/secret-scanning.md")
	if err != nil {
		t.Fatal(err)
	}
	var parts []string // GitHub's fields: before, the secret, after
	for _, field := range []string{"Before secret", "Secret format", "After secret"} {
		m := regexp.MustCompile("(?m)^\\| " + field + " \\| `(.*)` \\|$").FindSubmatch(page)
		if m == nil {
			t.Fatalf("no field %s", field)
		}
		parts = append(parts, "("+strings.ReplaceAll(string(m[1]), `\|`, "|")+")")
	}
	found["GitHub"] = regexp.MustCompile("(?:" + parts[0] + ")" + parts[1] + "(?:" + parts[2] + ")")
	return found
}

// TestScannersFindValues checks that every minted value is found wherever it is, and nothing that is
// none, but for one with a wrong checksum: patgate recognizes that.
func TestScannersFindValues(t *testing.T) {
	for name, pattern := range scannerPatterns(t) {
		for range 1000 {
			value := token.Mint().Reveal()
			for _, around := range []string{"%", "token: %", `"%"`, "curl -u alice:% http://x", "Authorization: Bearer %\r\n", "https://x/?t=%&a=b", "a=%,b", "(%)"} {
				text := strings.ReplaceAll(around, "%", value)
				if m := pattern.FindString(text); !strings.Contains(m, value) || !token.WellFormed(token.NewSecret(value)) {
					t.Fatalf("%s does not find a value in %q", name, around)
				}
			}
			for _, other := range []string{"x" + value, value + "x", value[:len(value)-1], "patg_...", "patg_" + strings.Repeat("-", 36), value[:9], "sha256:" + strings.Repeat("0", 64)} {
				if m := pattern.FindString(other); m != "" {
					t.Fatalf("%s finds %d bytes of what is no value", name, len(m))
				}
			}
			wrong := value[:len(value)-1] + string(value[len(value)-1]^1)
			if strings.ContainsAny(wrong[5:], "@[`{/:") {
				continue // no character of base62
			}
			if !pattern.MatchString(wrong) || token.WellFormed(token.NewSecret(wrong)) {
				t.Fatalf("%s: a mistyped value: the checksum does not match", name)
			}
		}
	}
}
