package lint_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/patgate/patgate/explain"
	"github.com/patgate/patgate/lint"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// pieces are what random patterns and paths are made of: few, so that they meet.
var (
	patternPieces = []string{"/", "a", "b", ".", `\.`, ".*", "[^/]*", "a?", "(a|/b)", "/a", "/b/", "$", "^", `\b`, "%2f", ";", "(?i:A)", "[.]+", "(|/)", "..", `\d`, "1"}
	pathPieces    = []string{"/", "a", "b", ".", "/a", "/b", "/b/", "..", "A", "1", "%2e", ";", "%41"}
	addresses     = []string{"", "10.1.0.1", "10.2.0.1", "10.3.0.1", "fd00::1"}
	rangeLists    = []string{"[10.1.0.0/16]", "[10.2.0.0/16, 10.3.0.0/16]", "[10.0.0.0/8]", `["fd00::/8"]`, "[10.1.0.0/17, 10.1.128.0/17]"}
)

func pick(r *rand.Rand, from []string, most int) string {
	var b strings.Builder
	for range 1 + r.IntN(most) {
		b.WriteString(from[r.IntN(len(from))])
	}
	return b.String()
}

// randomRule writes conditions that the prover can decide.
func randomRule(r *rand.Rand) string {
	var parts []string
	if r.IntN(4) > 0 {
		parts = append(parts, fmt.Sprintf("path: %q", pick(r, patternPieces, 4)))
	}
	if r.IntN(3) == 0 {
		parts = append(parts, "clients: "+rangeLists[r.IntN(len(rangeLists))])
	}
	if r.IntN(3) == 0 || len(parts) == 0 {
		query := fmt.Sprintf("v: %q", pick(r, patternPieces, 2))
		if r.IntN(3) == 0 {
			query += fmt.Sprintf(", V: %q", pick(r, patternPieces, 1))
		}
		parts = append(parts, "query: {"+query+"}")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func randomManifests(r *rand.Rand) string {
	clients := func() string {
		var text string
		switch r.IntN(4) {
		case 0:
			text = "clients: {allow: " + rangeLists[r.IntN(len(rangeLists))] + "}"
		case 1:
			text = "clients: {deny: " + rangeLists[r.IntN(len(rangeLists))] + "}"
		default:
			return ""
		}
		return text
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: g}\nspec:\n  paths: [%s]\n  clientIP: {source: peer}\n  policies: [p]\n  %s\n---\n",
		[]string{"/", "/a", "/b/"}[r.IntN(3)], clients())
	fmt.Fprintf(&b, "apiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: p}\nspec:\n  deny:\n  - %s\n---\n", randomRule(r))
	fmt.Fprintf(&b, "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: t}\nspec:\n  user: alice\n  digest: sha256:%064x\n"+
		"  issued: 2026-05-01T00:00:00Z\n  %s\n  allow:\n  - %s\n  - %s\n", 1, clients(), randomRule(r), randomRule(r))
	return b.String()
}

// TestNeverIsProven evaluates rules that are reported as never matching with random
// requests, and checks that none matches, or refuses because it can't be decided. The same for
// paths that no gate is said to guard.
func TestNeverIsProven(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	claims, matches := 0, 0
	for range 1500 {
		text := randomManifests(r)
		in := inspect(t, text)
		if len(in.Problems) > 0 {
			continue
		}
		never := map[string]bool{}
		for _, w := range lint.Lint(in, now) {
			if w.Code == lint.NeverMatches || w.Code == lint.OutsideGate {
				claims++
				never[fmt.Sprintf("%s:%d", w.File, w.Pos.Line)] = true
			}
		}
		sandbox, err := explain.NewSandbox(in.Rows, now, "t")
		if err != nil {
			t.Fatal(err)
		}
		var aims []*policy.Rule
		for _, p := range append(slices.Clone(in.Rows.Policies), in.Rows.Tokens[0].Grant.Policies...) {
			aims = append(append(aims, p.Allow...), p.Deny...)
		}
		for range 40 {
			q := explain.Request{Now: now, Method: "GET", Target: pick(r, pathPieces, 4), TLS: true, Token: "t"}
			aim := aims[r.IntN(len(aims))]
			if aim.Path != nil && r.IntN(4) > 0 {
				q.Target = sample(r, aim.Path.String())
			}
			value := pick(r, pathPieces, 2)
			if len(aim.Query) > 0 && r.IntN(4) > 0 {
				value = url.QueryEscape(sample(r, aim.Query[0].Pattern.String()))
			}
			if r.IntN(4) > 0 {
				q.Target += "?v=" + value + []string{"", "", "&V=a", "&v=1", "&%"}[r.IntN(5)]
			}
			if a := addresses[r.IntN(len(addresses))]; a != "" {
				q.Client = netip.MustParseAddr(a)
			}
			var trace policy.Trace
			sandbox.Ask(&q, &trace)
			for _, told := range trace.Rules {
				if !told.Matched && !(told.Deny && told.Unclear) {
					continue
				}
				matches++
				if never[told.Rule.Source.String()] {
					t.Fatalf("the rule at %s was said never to match, and %s from %s does:\n%s", told.Rule.Source, q.Target, q.Client, text)
				}
			}
		}
	}
	if claims < 300 || matches < 300 {
		t.Errorf("only %d claims and %d matches", claims, matches)
	}
}

// sample returns a text that a pattern may match, without the search that is tested.
func sample(r *rand.Rand, pattern string) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return ""
	}
	return sampleOf(r, re.Simplify())
}

func sampleOf(r *rand.Rand, re *syntax.Regexp) string {
	text := ""
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		i := 2 * r.IntN(len(re.Rune)/2)
		return string(re.Rune[i] + rune(r.IntN(int(min(re.Rune[i+1]-re.Rune[i]+1, 80)))))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return pick(r, []string{"a", "b", ".", "/", "1", "é"}, 1)
	case syntax.OpCapture, syntax.OpPlus:
		text = sampleOf(r, re.Sub[0])
	case syntax.OpAlternate:
		return sampleOf(r, re.Sub[r.IntN(len(re.Sub))])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			text += sampleOf(r, sub)
		}
		return text
	}
	if re.Op == syntax.OpPlus || re.Op == syntax.OpStar || re.Op == syntax.OpQuest {
		for range r.IntN(3) {
			if re.Op == syntax.OpQuest && text != "" {
				break
			}
			text += sampleOf(r, re.Sub[0])
		}
	}
	return text
}

// TestExamplesHold evaluates every example again, of random manifests too.
func TestExamplesHold(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	found := 0
	for range 150 {
		in := inspect(t, randomManifests(r))
		if len(in.Problems) > 0 {
			continue
		}
		examples, err := lint.Examples(in.Rows, now)
		if err != nil {
			t.Fatal(err)
		}
		if len(examples) != 3 {
			t.Fatalf("%d examples of 3 rules", len(examples))
		}
		sandbox, err := explain.NewSandbox(in.Rows, now, "t")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range examples {
			if (e.Hit == nil || e.Near == nil) == (e.Note == "") {
				t.Errorf("an example without a note or with one too many: %+v", e)
			}
			for asked, allowed := range map[*lint.Asked]bool{e.Hit: !e.Deny, e.Near: e.Deny} {
				if asked == nil {
					continue
				}
				found++
				if d, _ := sandbox.Ask(&asked.Request, nil); (d.Effect == policy.Allow) != allowed || d.Reason != asked.Reason {
					t.Errorf("%s %s: %v, said to be %v", asked.Method, asked.Target, d.Reason, asked.Reason)
				}
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d examples", found)
	}
}

// FuzzLint checks all manifests that decode.
func FuzzLint(f *testing.F) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range archives {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range strings.Split(string(data), "\n-- ") {
			_, text, _ := strings.Cut(part, "\n")
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		in := inspect(t, text)
		for _, w := range lint.Lint(in, now) {
			if w.Pos.Line < 1 || w.Pos.Column < 1 || w.Pos.Line > strings.Count(text, "\n")+1 {
				t.Errorf("nowhere: %s", w)
			}
		}
		lint.Revivals(lint.State{Set: in}, lint.State{Set: in}, now)
		if len(in.Problems) == 0 {
			if _, err := lint.Examples(in.Rows, now); err != nil {
				t.Error(err)
			}
		}
	})
}

func inspect(t testing.TB, text string) *ruleset.Set {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "m.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return loaderdir.Load([]string{dir})
}
