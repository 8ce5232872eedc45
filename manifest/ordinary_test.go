package manifest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

// sameAsStrict decodes each document of a file by the fast path and by the YAML library, checks that
// what the first takes is the same to the second, and returns how many it took.
func sameAsStrict(t *testing.T, data []byte) (taken int) {
	t.Helper()
	var dec Decoder
	for _, c := range splitDocuments(data) {
		fast := &scope{decoder: &dec, file: "f.yaml", chunk: c}
		got := &Document{File: "f.yaml", Pos: Pos{Line: c.line, Column: 1}}
		if !fast.ordinary(got) {
			if got.Kind != "" || got.APIToken != nil || !reflect.DeepEqual(got.Metadata, Metadata{}) {
				t.Fatalf("what was not taken left something behind: %+v\n%s", got, c.text)
			}
			continue
		}
		taken++
		strict := &scope{decoder: &dec, file: "f.yaml", chunk: c}
		want := strict.strict(&Document{File: "f.yaml", Pos: Pos{Line: c.line, Column: 1}})
		if problems := strict.folded(); len(problems) > 0 || strict.fault != nil {
			t.Fatalf("taken, though %v %v\n%q", problems, strict.fault, c.text)
		}
		if len(fast.problems) > 0 || !reflect.DeepEqual(got, want) {
			t.Fatalf("\n%+v\n%+v, want\n%+v\n%+v\nof %q", got, got.APIToken, want, want.APIToken, c.text)
		}
	}
	return taken
}

// digestText is the digest of a number's text.
func digestText(i int) string { return token.Sum(token.NewSecret(fmt.Sprint(i))).String() }

// ordinaryDocument returns a random document as tools write them, mostly a valid one.
func ordinaryDocument(r *rand.Rand) string {
	any := func(choices ...string) string { return choices[r.IntN(len(choices))] }
	odd := func(usual string, odd ...string) string { // now and then one of the odd ones
		if r.IntN(12) > 0 {
			return usual
		}
		return any(odd...)
	}
	list := func(indent, key string, items ...string) string {
		items = items[:1+r.IntN(len(items))]
		if r.IntN(2) == 0 {
			return indent + key + ": [" + strings.Join(items, ", ") + "]\n"
		}
		sep := "\n" + indent + any("", "  ") + "- "
		return indent + key + ":" + sep + strings.Join(items, sep) + "\n"
	}
	quoted := func(text string) string { q := any("", "", `"`, "'"); return q + text + q }
	times := func(year int) string {
		return quoted(fmt.Sprintf("%d-%02d-%02dT%02d:00:00%s", year, 1+r.IntN(12), 1+r.IntN(29), r.IntN(24), odd("Z", "+01:00", ".5Z", "", " ", "z")))
	}
	text := any("---\n", "") + "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\n"
	name := odd(any("ci-bot", "x", "a.b-c.d", "token-17", "n1"), "no", "null", "7up", "A")
	if r.IntN(5) == 0 {
		text += "metadata: {name: " + name + "}\n"
	} else {
		text += "metadata:\n  name: " + name + "\n"
		if r.IntN(4) == 0 {
			text += "  labels:\n    team: " + quoted("ops") + "\n    app.kubernetes.io/name: x\n"
		}
		if r.IntN(4) == 0 {
			text += "  annotations:\n    patgate.dev/created-by: " + quoted(odd("alice", "a b", "1", "true", "yes", "")) + "\n"
		}
	}
	fields := []string{
		"  user: " + quoted(odd(any("alice", `CORP\alice`, "a.b@example.com", "y1"), "yes", "Null", "y", "x y", "007", "-")) + "\n",
		"  digest: " + odd(digestText(r.IntN(9)), "sha256:ab", `"`+digestText(1)+`"`) + "\n", "  issued: " + times(2020) + "\n",
	}
	maybe := func(one int, text string) {
		if r.IntN(one) == 0 {
			fields = append(fields, text)
		}
	}
	if r.IntN(8) > 0 {
		fields = append(fields, list("  ", "policies", "read", "write-all", odd("p.q", "no", "1", "a,b")))
	}
	maybe(3, "  expires: "+times(2021+r.IntN(9))+"\n")
	maybe(4, "  revoked: "+times(2025)+"\n")
	maybe(4, "  suspended: "+odd(any("true", "false"), "True", `"true"`)+"\n")
	maybe(9, "  unrestricted: "+any("true", "false")+"\n")
	maybe(4, list("  ", "schemes", odd("basic", "digest"), "bearer"))
	maybe(4, list("  ", "gates", "jira", "wiki"))
	maybe(6, list("  ", "logins", "alice", odd("a@b", "a b", "007"), "al"))
	maybe(4, "  displayName: "+odd(quoted(any("CI of team A", "it's", "a  b", "a, [b]")), "a: b", "a #b", "- x", "", "true", "x ", `say "hi"`, `"a: b"`, "'#x'")+"\n")
	maybe(6, "  description: "+quoted(odd("for {x} a\\b", "*x", "&a", "!t", "%d", "~", "no", "a:b", "a#b", "N", "1e3"))+"\n")
	maybe(3, "  limitTo: |\n    [post].*/rest/a-\\d+\n"+odd(any("", "    /b[QueryParam::a==b]\n"), "     /c\n", "    # d\n", "\n", "    /e \n", "    (\n"))
	path := odd(any("/rest/[A-Z]+-\\d+", ".*/x", "/{x}", "/a?b=c"), "a|b", "/a b", ".5", ".*", "(", "[a]", "/a:b", "/a#b")
	indent := any("  ", "    ")
	rule := indent + "- " + any("methods: [GET, post]\n"+indent+"  path: "+quoted(path), "path: "+quoted(path)+"\n"+indent+"  methods: ["+odd("PUT", "no")+"]", "path: "+path,
		"methods: [GET]", odd("path: /y", "name: x\n"+indent+"  path: /x")) + "\n"
	maybe(3, "  allow:\n"+strings.Repeat(rule, 1+r.IntN(2)))
	maybe(4, "  previous:\n  - digest: "+digestText(r.IntN(9))+"\n    issued: "+times(2018)+"\n    until: "+times(2018+r.IntN(3))+"\n")
	maybe(20, any("  canary: true\n", "  anyUser: true\n", "  actAs: [a]\n", "  clients: {allow: [10.0.0.0/8]}\n", "  user: bob\n", "  use: x\n"))
	r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return text + "spec:\n" + strings.Join(fields, "") + odd("", "\n", "\n\n", "...\n")
}

// damaged changes a few bytes or lines of a text.
func damaged(r *rand.Rand, text string) string {
	const bytes = "\n :-#'\"[]{},&*!|>%@`\\~\t\r\x00\x7f\xff0ay?.="
	for range 1 + r.IntN(2) {
		at := r.IntN(len(text) + 1)
		switch to := min(len(text), at+1+r.IntN(3)); r.IntN(5) {
		case 0:
			text = text[:at] + text[to:]
		case 1:
			text = text[:at] + string(bytes[r.IntN(len(bytes))]) + text[at:]
		case 2:
			text = text[:at] + string(bytes[r.IntN(len(bytes))]) + text[to:]
		case 3: // a line twice
			lines := strings.SplitAfter(text, "\n")
			i := r.IntN(len(lines))
			text = strings.Join(lines[:i+1], "") + strings.Join(lines[i:], "")
		case 4: // a line elsewhere, or deeper
			lines := strings.SplitAfter(text, "\n")
			i, j := r.IntN(len(lines)), r.IntN(len(lines))
			lines[i], lines[j] = lines[j], strings.Repeat(" ", r.IntN(3))+lines[i]
			text = strings.Join(lines, "")
		}
	}
	return text
}

// TestOrdinaryIsStrict holds the fast path to the strict decoder, for documents as tools write them and for
// many that differ a little.
func TestOrdinaryIsStrict(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 14))
	whole, hurt := 0, 0
	const rounds = 20_000
	for range rounds {
		text := ordinaryDocument(r)
		whole += sameAsStrict(t, []byte(text))
		hurt += sameAsStrict(t, []byte(damaged(r, text)))
	}
	t.Logf("of %d documents and as many damaged ones, the fast path took %d and %d", rounds, whole, hurt)
	if whole < rounds/4 || hurt < rounds/100 {
		t.Errorf("of %d documents and as many damaged ones, the fast path took only %d and %d", rounds, whole, hurt)
	}
}

// TestOrdinaryDocuments holds that documents as tools write them take the fast path.
func TestOrdinaryDocuments(t *testing.T) {
	base := "---\napiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata:\n  name: token-1\nspec:\n  user: user-1\n  digest: " + digestText(1) + "\n  issued: 2026-01-01T00:00:00Z\n"
	for _, more := range []string{
		"  policies: [policy-1]\n", "  policies:\n  - a\n  - b\n", "  policies:\n    - a\n    - b\n", "  unrestricted: true\n",
		"  policies: [a, b]\n  expires: 2027-01-01T00:00:00Z\n  revoked: 2026-02-01T00:00:00Z\n  suspended: true\n",
		"  allow:\n  - methods: [GET]\n    path: /rest/api/2/project/P1/.*\n", "  limitTo: |\n    [post].*/rest/api/2/issue/P1-\\d+/comment\n",
		"  policies: [a]\n  previous:\n  - digest: " + digestText(2) + "\n    issued: 2025-01-01T00:00:00Z\n    until: 2025-02-01T00:00:00Z\n",
		"  policies: [a]\n  schemes: [bearer]\n  gates: [jira]\n", "  policies: [a]\n  displayName: CI of team A\n  description: \"runs: nightly\"\n  logins: [a]\n",
	} {
		if sameAsStrict(t, []byte(base+more)) != 1 {
			t.Errorf("not taken: %s", more)
		}
	}
}

// FuzzOrdinary holds the fast path to the strict decoder.
func FuzzOrdinary(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		f.Add([]byte(ordinaryDocument(r)))
	}
	f.Fuzz(func(t *testing.T, data []byte) { sameAsStrict(t, data) })
}
