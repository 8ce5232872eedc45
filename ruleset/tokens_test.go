package ruleset

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// TestReloadTokens changes files of tokens, and some others, at random: what Reload returns is always
// what loading everything does.
func TestReloadTokens(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	in := Input{Origin: "m", Files: []File{
		fileOf("m/gate.yaml", manifestOf("Gate", "g", "schemes: [basic], groups: [users]")+manifestOf("UserGroup", "users", "members: [alice, u1, u2]")),
		fileOf("m/policy.yaml", manifestOf("TokenPolicy", "read", "allow: [{path: /rest/.*}]")),
		fileOf("m/t0.yaml", tokenOf("t0")),
	}}
	set := Load(in, Options{})
	quick, slow := 0, 0
	index := policy.NewIndex()
	if _, err := index.Replace(set.Rows, time.Now()); err != nil {
		t.Fatal(err)
	}
	good := set // what the index has
	for n := range 3000 {
		next := in
		next.Files = slices.Clone(in.Files)
		for range 1 + random.IntN(2) {
			next.Files = randomChange(random, next.Files, n)
		}
		slices.SortStableFunc(next.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
		if set.reloadTokens(next) != nil {
			quick++
		} else {
			slow++
		}
		after, whole := set.Reload(next), Load(next, Options{})
		if got, want := outline(after), outline(whole); got != want {
			t.Fatalf("step %d:\n%s\nwant:\n%s", n, got, want)
		}
		if len(after.Problems) == 0 {
			applies(t, index, after.ChangesFrom(good), &after.Rows)
			good = after
		}
		if len(after.Problems) == 0 || random.IntN(30) == 0 {
			set, in = after, next
		}
	}
	if quick < 300 || slow < 300 {
		t.Errorf("%d quick, %d slow", quick, slow)
	}
}

// applies checks that changes make an index what rows are.
func applies(t *testing.T, index *policy.Index, changes policy.Changes, rows *policy.Rows) {
	t.Helper()
	if _, err := index.Apply(changes, time.Now()); err != nil {
		t.Fatal(err)
	}
	running := index.Snapshot()
	for _, row := range rows.Tokens {
		if !running.Same(row) || row.Digest != (token.Digest{}) && running.Token(&row.Digest) == nil {
			t.Fatalf("%s is not what runs", row.Name)
		}
	}
	n := 0
	for range running.Tokens {
		n++
	}
	if n != len(rows.Tokens) {
		t.Fatalf("%d tokens run, want %d", n, len(rows.Tokens))
	}
}

// randomChange adds, replaces or removes a file.
func randomChange(random *rand.Rand, files []File, n int) []File {
	name := fmt.Sprintf("t%d", random.IntN(12))
	spec := []string{"user: u1, policies: [read]", "anyUser: true, schemes: [basic], unrestricted: true", "user: alice, unrestricted: true, revoked: 2026-05-02T00:00:00Z",
		"user: bob, limitTo: /rest/x", "user: u2, policies: [none]", "user: u1, unrestricted: true, clients: {allow: [10.0.0.0/8]}"}[[]int{0, 0, 1, 1, 2, 2, 3, 3, 4, 5}[random.IntN(10)]]
	text := manifestOf("APIToken", name, spec+", issued: 2026-05-01T00:00:00Z, digest: "+token.Sum(token.NewSecret(fmt.Sprint(name, n%7))).String())
	switch random.IntN(40) {
	case 0:
		text = manifestOf("APIToken", name, "canary: true, digest: "+token.Sum(token.NewSecret(name)).String())
	case 1:
		text += manifestOf("UserGroup", name, "members: [u1]")
	case 2:
		text = "kind: ["
	case 3:
		text = strings.Replace(text, name, "t0", 1) // the name of another
	case 4:
		name = "policy"
		text = manifestOf("TokenPolicy", "read", "allow: [{path: /rest/"+fmt.Sprint(n)+"}]")
	case 5, 6, 7, 8, 9, 10:
		return slices.DeleteFunc(files, func(f File) bool { return f.Name == "m/"+name+".yaml" })
	}
	return replaceFile(files, fileOf("m/"+name+".yaml", text))
}

// outline writes what a set is.
func outline(s *Set) string {
	var b strings.Builder
	for _, p := range s.Problems {
		fmt.Fprintln(&b, p)
	}
	for _, docs := range [][]*manifest.Document{s.Gates, s.Groups, s.Policies, s.Tokens} {
		for _, doc := range docs {
			fmt.Fprintf(&b, "%s %s %s %x\n", doc.Kind, doc.Metadata.Name.Text, doc.Place(doc.Pos), doc.Fingerprint)
			if s.Find(doc.Kind, doc.Metadata.Name.Text) == nil {
				fmt.Fprintln(&b, "which is not found")
			}
		}
	}
	fmt.Fprintln(&b, len(s.names))
	for i, row := range s.Rows.Tokens {
		fmt.Fprintf(&b, "%s %x %d %d %s\n", row.Name, row.Fingerprint, len(row.Groups), len(row.Grant.Policies), cmp.Or(s.Tokens[i].Metadata.Name.Text, "?"))
	}
	for _, f := range s.input.Files {
		fmt.Fprintf(&b, "%s %x %d\n", f.Name, f.Sum, len(f.Data))
	}
	return b.String()
}
