package ruleset_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/token"
)

// files returns random files of manifests: gates, groups and policies, and many of tokens. One in so many documents
// has something wrong with it; 0: none has.
func files(r *rand.Rand, wrong int) (list []ruleset.File) {
	any := func(choices ...string) string { return choices[r.IntN(len(choices))] }
	bad := func(good string, others ...string) string {
		if wrong == 0 || r.IntN(wrong) > 0 {
			return good
		}
		return any(others...)
	}
	head := func(kind, name string) string {
		return "---\napiVersion: patgate.dev/v1alpha1\nkind: " + kind + "\nmetadata:\n  name: " + name + "\nspec:\n"
	}
	clients := any("  clientIP: {source: peer}\n", "")
	if wrong == 0 {
		clients = "  clientIP: {source: peer}\n"
	}
	add := func(name, text string) {
		list = append(list, ruleset.File{Name: name, Data: []byte(text), Sum: sha256.Sum256([]byte(text))})
	}
	add("a/gates.yaml", head("Gate", "jira")+"  schemes: [basic]\n  groups: [staff]\n"+clients+head("Gate", "wiki")+"  paths: [/wiki/]\n  schemes: [basic, bearer]\n"+clients)
	add("b/groups.yaml", head("UserGroup", "staff")+"  members: [u0, u1, u2]\n"+head("UserGroup", "ops")+"  members: [u2, u3]\n  policies: [bound]\n")
	add("c/policies.yaml", head("TokenPolicy", "read")+"  allow:\n  - methods: [GET]\n"+head("TokenPolicy", "bound")+"  deny:\n  - path: /x\n"+
		bad("", "    clients: [10.0.0.0/8]\n")+head("TokenPolicy", "write")+"  allow:\n  - path: /y\n")
	n := 0
	for f := range 4 + r.IntN(8) {
		text := ""
		for range 1 + r.IntN(20) {
			n++
			value := bad(fmt.Sprint("v", n), "v1", "v2")
			text += head("APIToken", bad(fmt.Sprint("t", n), "t1", "t2")) + "  user: u" + fmt.Sprint(r.IntN(5)) + "\n  digest: " +
				token.Sum(token.NewSecret(value)).String() + "\n  issued: " + bad("2026-01-01T00:00:00Z", "yesterday") + "\n" +
				any("  policies: ["+bad("read", "raed", "bound")+"]\n", "  policies: [read, write]\n", "  limitTo: |\n    /a\n", "  unrestricted: true\n") +
				any("", "", "  gates: ["+bad("jira", "wkii")+"]\n", "  schemes: ["+bad("basic", "bearer")+"]\n", "  revoked: 2026-01-02T00:00:00Z\n", "  suspended: true\n",
					"  previous:\n  - digest: "+token.Sum(token.NewSecret(bad(fmt.Sprint("p", n), "p3"))).String()+"\n    issued: 2025-01-01T00:00:00Z\n    until: 2025-02-01T00:00:00Z\n") +
				bad("", "  clients: {allow: [10.0.0.0/8]}\n", "  exspires: x\n", "  x: {\n", "  expires: 2025-01-01T00:00:00Z\n")
		}
		add(fmt.Sprintf("d/%02d.yaml", f), text)
	}
	return list
}

// later leaves the files of tokens for later.
func later(all []ruleset.File) (list []ruleset.File) {
	for _, f := range all {
		if data := f.Data; ruleset.LooksLikeTokens(data) {
			f.Data, f.Size, f.Read = nil, int64(len(data)), func() ([]byte, bool) { return data, true }
		}
		list = append(list, f)
	}
	return list
}

// step returns what a step from nothing finds, as text, and its changes.
func step(files []ruleset.File, o ruleset.Options) (string, *ruleset.Step) {
	s := (*ruleset.Loaded)(nil).Step(ruleset.Input{Origin: "o", Files: files}, o)
	good := s.Check()
	var b strings.Builder
	fmt.Fprintln(&b, good, s.Faulted, s.Broken(), s.Stale())
	for _, p := range s.Problems {
		fmt.Fprintln(&b, p.String())
	}
	endings := s.Endings()
	slices.SortFunc(endings, func(a, b policy.Ending) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	fmt.Fprintln(&b, endings)
	if good {
		x := policy.NewIndex()
		if _, err := x.Apply(s.Changes, time.Time{}); err != nil {
			fmt.Fprintln(&b, err)
		}
		for t := range x.Snapshot().Tokens {
			fmt.Fprintf(&b, "%s %s %s %x %s %v %v %v %v %v %v %v", t.Name, t.Source, t.User, t.Fingerprint, t.Digest, t.Issued, t.Revoked, t.Suspended, t.Gates, t.Schemes, len(t.Previous), t.Grant.Unrestricted)
			for _, p := range t.Grant.Policies {
				fmt.Fprint(&b, " ", p.Name, len(p.Allow))
			}
			for _, g := range t.Groups {
				fmt.Fprint(&b, " ", g.Name)
			}
			fmt.Fprintln(&b)
		}
	}
	return b.String(), s
}

// TestStreamedLoadEqualsFullLoad loads random files at once and a few at a time: the problems, with their places, what is
// revoked, and the rows are the same.
func TestStreamedLoadEqualsFullLoad(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 1))
	running := policy.NewIndex()
	if _, err := running.Replace(policy.Rows{Gates: []*policy.Gate{{Name: "jira", Hosts: []string{"*"}, Prefixes: []string{""}}}}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	seen := map[bool]int{}
	for round := range 400 {
		all := files(r, []int{0, 400, 100, 20}[round%4])
		o := ruleset.Options{Workers: 1 + round%3, Running: running.Snapshot()}
		want, whole := step(all, o)
		got, streamed := step(later(all), o)
		if got != want {
			t.Fatalf("round %d: streamed:\n%s\nwhole:\n%s", round, got, want)
		}
		seen[len(whole.Problems) == 0]++
		if len(whole.Problems) == 0 && (streamed.Changes.New.Packed.Len() == 0 || len(streamed.Tokens) > 0) {
			t.Fatalf("round %d: nothing was streamed", round)
		}
	}
	if seen[true] < 100 || seen[false] < 100 {
		t.Errorf("%d good loads and %d bad ones", seen[true], seen[false])
	}
}

// TestStreamDetectsChangedFiles holds that a file which changed after it was read makes a step stale, and that one with
// something else than tokens is taken in as it is.
func TestStreamDetectsChangedFiles(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 2))
	all := later(files(r, 0))
	all[len(all)-1].Read = func() ([]byte, bool) { return nil, false }
	for workers := range 3 {
		if _, s := step(all, ruleset.Options{Workers: workers}); !s.Stale() {
			t.Error("the step is not stale")
		}
	}
	all = files(r, 0)
	odd := "---\napiVersion: patgate.dev/v1alpha1\n\"kind\": TokenPolicy\nmetadata: {name: odd}\nspec: {allow: [{path: /odd}]}\n"
	last := &all[len(all)-1]
	last.Data = append(slices.Clone(last.Data), odd...)
	last.Sum = sha256.Sum256(last.Data)
	want, _ := step(all, ruleset.Options{})
	if got, s := step(later(all), ruleset.Options{}); got != want || !strings.HasPrefix(got, "true") || len(s.Policies) != 4 {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
