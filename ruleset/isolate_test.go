package ruleset

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/policy"
)

const isolateGate = "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: jira}\nspec: {hosts: [jira.example.com], schemes: [bearer]}\n"

// isolateToken is a token with the digest of a number, as a document.
func isolateToken(name string, n int, more string) string {
	return fmt.Sprintf("---\napiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: %s}\nspec: {user: alice, digest: %q, issued: 2026-01-01T00:00:00Z, %s}\n", name, digest(n), more)
}

// isolated loads files, of the names a.yaml, b.yaml and so on, beside a running revision.
func isolated(running *policy.Snapshot, files ...string) *Set {
	var in Input
	for i, text := range files {
		in.Files = append(in.Files, File{Name: fmt.Sprintf("%c.yaml", 'a'+i), Data: []byte(text), Sum: sha256.Sum256([]byte(text))})
	}
	return Load(in, Options{IsolateTokens: true, Running: running})
}

// states says what became of each token: its name, and ! for one that is not accepted.
func states(s *Set) string {
	var list []string
	for _, row := range s.Rows.Tokens {
		name := row.Name
		if row.NotAccepted {
			name += "!"
		}
		if row.Revoked {
			name += " revoked"
		}
		list = append(list, name)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// TestOnlyTheInvalidTokenIsRejected loads tokens of which one is at fault, in each way in which it can be.
func TestOnlyTheInvalidTokenIsRejected(t *testing.T) {
	const good = "unrestricted: true"
	for _, c := range []struct {
		name, files, want, problem string
	}{
		{"all are good", isolateToken("one", 1, good) + isolateToken("two", 2, good), "one, two", ""},
		{"an unknown field", isolateToken("one", 1, good) + isolateToken("two", 2, good+", nosuch: 1"), "one, two!", "a.yaml:14:"},
		{"a bad pattern", isolateToken("one", 1, good) + isolateToken("two", 2, `limitTo: "("`), "one, two!", "bad regular expression"},
		{"an unknown policy", isolateToken("one", 1, "policies: [none]") + isolateToken("two", 2, good), "one!, two", "a.yaml:9:"},
		{"an unknown gate", isolateToken("one", 1, good+", gates: [wiki]") + isolateToken("two", 2, good), "one!, two", "no Gate is called wiki"},
		{"no scheme in common", isolateToken("one", 1, good+", schemes: [basic]") + isolateToken("two", 2, good), "one!, two", "spec.schemes"},
		{"ranges without clientIP", isolateToken("one", 1, good+", clients: {allow: [10.0.0.0/8]}") + isolateToken("two", 2, good), "one!, two", "no clientIP"},
		{"a bad digest", isolateToken("one", 1, good) + strings.Replace(isolateToken("two", 2, good), "sha256:", "md5:", 1), "one", "spec.digest"},
		{"no name", isolateToken("one", 1, good) + strings.Replace(isolateToken("two", 2, good), "name: two", "", 1), "one", "metadata.name"},
		{"a name twice", isolateToken("one", 1, good) + isolateToken("one", 2, good), "one", "appears twice"},
		{"a value twice", isolateToken("one", 1, good) + isolateToken("two", 1, good), "one", "the digest is that of one"},
		{"a value of one at fault", isolateToken("one", 1, good+", nosuch: 1") + isolateToken("two", 1, good), "two", "nosuch"},
		{"a value twice within one", isolateToken("one", 1, good) +
			isolateToken("two", 2, good+fmt.Sprintf(", previous: [{digest: %q, issued: 2025-12-01T00:00:00Z, until: 2026-02-01T00:00:00Z}]", digest(2))), "one, two!", "a.yaml:14:"},
		{"a previous value of another", isolateToken("one", 1, good) +
			isolateToken("two", 2, good+fmt.Sprintf(", previous: [{digest: %q, issued: 2025-12-01T00:00:00Z, until: 2026-02-01T00:00:00Z}]", digest(1))), "one, two!", "spec.previous"},
		{"revoked by one at fault", isolateToken("one", 1, good) + isolateToken("one", 1, good+", revoked: 2026-02-01T00:00:00Z"), "one revoked", "appears twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := isolated(nil, isolateGate+c.files)
			if got := states(s); got != c.want || len(s.Problems) > 0 {
				t.Errorf("%s, want %s; rejected by %v", got, c.want, s.Problems)
			}
			if got := fmt.Sprint(s.Isolated); (len(s.Isolated) == 0) != (c.problem == "") || !strings.Contains(got, c.problem) {
				t.Errorf("the problems are %s, want %q", got, c.problem)
			}
			if _, err := policy.NewIndex().Replace(s.Rows, time.Now()); err != nil {
				t.Errorf("the rows don't run: %v", err)
			}
			s = Load(s.input, Options{})
			if (len(s.Problems) > 0) != (c.problem != "") || len(s.Isolated) > 0 {
				t.Errorf("without IsolateTokens: %v, isolated %v", s.Problems, s.Isolated)
			}
		})
	}
}

// TestOnlyTokensAreIsolated loads sets in which something else is at fault too: nothing of them runs.
func TestOnlyTokensAreIsolated(t *testing.T) {
	bad := isolateToken("one", 1, "policies: [none]")
	for _, c := range []struct{ name, text string }{
		{"a gate", strings.Replace(isolateGate, "schemes: [bearer]", "groups: [none]", 1) + bad},
		{"a gate with an unknown field", strings.Replace(isolateGate, "schemes:", "shemes:", 1) + bad},
		{"two gates of one host", isolateGate + "---\n" + strings.Replace(isolateGate, "name: jira", "name: wiki", 1) + bad},
		{"a gate that appears twice", isolateGate + "---\n" + isolateGate + bad},
		{"a policy", isolateGate + "---\napiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: p}\nspec: {allow: [{path: \"(\"}]}\n" + bad},
		{"an unknown kind", isolateGate + "---\napiVersion: patgate.dev/v1alpha1\nkind: Token\nmetadata: {name: p}\nspec: {}\n" + bad},
		{"no YAML", isolateGate + "---\na: [\n" + bad},
		{"no gate", bad},
	} {
		if s := isolated(nil, c.text); len(s.Problems) == 0 || len(s.Rows.Tokens) > 0 || len(s.Isolated) > 0 {
			t.Errorf("%s: it runs: %v", c.name, s.Isolated)
		}
	}
}

// TestTheTokenThatRunsKeepsItsNameAndValue adds, in a file before, a token with the name or the value of one that runs.
func TestTheTokenThatRunsKeepsItsNameAndValue(t *testing.T) {
	const good = "unrestricted: true"
	mine := isolateToken("one", 1, good)
	for name, other := range map[string]string{"its name": isolateToken("one", 2, good), "its value": isolateToken("a-copy", 1, good)} {
		x := policy.NewIndex()
		if _, err := x.Replace(isolated(nil, isolateGate, "", mine).Rows, time.Now()); err != nil {
			t.Fatal(err)
		}
		s := isolated(x.Snapshot(), isolateGate, other, mine)
		if got := states(s); got != "one" || s.Rows.Tokens[0].Source.File != "c.yaml" {
			t.Errorf("%s: %s, want the one that runs", name, got)
		}
		if text := fmt.Sprint(s.Isolated); !strings.Contains(text, "b.yaml:") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
