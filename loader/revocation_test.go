package loader_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

// TestRevocationsApplyWithinTheirOrigin rejects loads in which another token's document has the digest
// of a token: digests are public in Git, and only the token's own document ends it.
func TestRevocationsApplyWithinTheirOrigin(t *testing.T) {
	const revoked = "  revoked: 2026-06-01T00:00:00Z\n"
	for name, c := range map[string]struct {
		files map[string]string
		ends  bool
	}{
		"another name as well":          {map[string]string{"b": renamed("a", "b", revoked)}, false},
		"another name that suspends":    {map[string]string{"b": renamed("a", "b", "  suspended: true\n")}, false},
		"another name alone":            {map[string]string{"a": "kind: [", "b": renamed("a", "b", revoked)}, false},
		"another name, broken":          {map[string]string{"b": renamed("a", "b", revoked+"  usr: x\n")}, false},
		"no name":                       {map[string]string{"a": strings.Replace(tokenNamed("a", revoked), "name: a", "namespace: a", 1)}, false},
		"the name with another digest":  {map[string]string{"a": strings.Replace(tokenNamed("b", revoked), "name: b", "name: a", 1), "x": "kind: ["}, false},
		"its own":                       {map[string]string{"a": tokenNamed("a", revoked), "x": "kind: ["}, true},
		"its own and another name":      {map[string]string{"a": tokenNamed("a", revoked), "b": renamed("a", "b", "")}, true},
		"its own, broken":               {map[string]string{"a": tokenNamed("a", revoked+"  usr: x\n")}, true},
		"its own in another file":       {map[string]string{"b": tokenNamed("a", revoked)}, true},
		"its own behind a broken one":   {map[string]string{"a": "kind: [\n---\n" + tokenNamed("a", revoked)}, true},
		"its own before a broken one":   {map[string]string{"a": tokenNamed("a", revoked) + "---\nkind: ['\n"}, true},
		"its own after a million lines": {map[string]string{"a": strings.Repeat("---\na\n", 160_000) + "---\n" + tokenNamed("a", revoked)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, t.TempDir())
			write(t, h.dir+"/gate.yaml", gateNamed("jira"))
			write(t, h.dir+"/a.yaml", tokenNamed("a", ""))
			h.load()
			for file, text := range c.files {
				write(t, h.dir+"/"+file+".yaml", text)
			}
			r := h.load()
			if !r.Rejected() {
				t.Fatal("the load was taken")
			}
			if known(h.index.Snapshot(), "a") == c.ends || slices.Equal(r.RevokedEarly, []string{"a"}) != c.ends {
				t.Errorf("revoked early: %v, want it to end: %v", r.RevokedEarly, c.ends)
			}
		})
	}
}

// renamed is a token's manifest under another name.
func renamed(name, other, more string) string {
	return strings.Replace(tokenNamed(name, more), "name: "+name, "name: "+other, 1)
}

func TestAReplacedValueOfARevokedToken(t *testing.T) {
	h := newHarness(t, t.TempDir())
	write(t, h.dir+"/gate.yaml", gateNamed("jira"))
	write(t, h.dir+"/a.yaml", tokenNamed("a", ""))
	h.load()
	old := token.Sum(token.NewSecret("the value of a"))
	rotated := strings.Replace(tokenNamed("a", "  revoked: 2026-06-01T00:00:00Z\n  previous:\n  - digest: "+old.String()+
		"\n    issued: 2026-05-01T00:00:00Z\n    until: 2026-07-01T00:00:00Z\n"), old.String(), token.Sum(token.NewSecret("new")).String(), 1)
	write(t, h.dir+"/a.yaml", rotated)
	write(t, h.dir+"/broken.yaml", "kind: [")
	if r := h.load(); r == nil || !slices.Equal(r.RevokedEarly, []string{"a"}) || known(h.index.Snapshot(), "a") {
		t.Errorf("%+v", r)
	}
}

// TestAFileIsDeletedAgain deletes a file of a token, writes another one, and deletes it too: its token takes the place of the
// first one in the index, and is refused as soon as its file is gone.
func TestAFileIsDeletedAgain(t *testing.T) {
	h := newHarness(t, t.TempDir())
	writeFiles(t, h.dir, map[string]string{"gate.yaml": gateText, "stays.yaml": tokenNamed("stays", ""), "first.yaml": tokenNamed("first", "")})
	h.load()
	remove := func(name string) {
		t.Helper()
		if err := os.Remove(h.dir + "/" + name + ".yaml"); err != nil {
			t.Fatal(err)
		}
		if r := h.load(); r == nil || r.Rejected() || known(h.index.Snapshot(), name) || !known(h.index.Snapshot(), "stays") {
			t.Errorf("the file of %s is deleted: %+v, known: %v", name, r, known(h.index.Snapshot(), name))
		}
	}
	remove("first")
	writeFiles(t, h.dir, map[string]string{"second.yaml": tokenNamed("second", "")})
	if r := h.load(); r == nil || r.Rejected() || !known(h.index.Snapshot(), "second") {
		t.Errorf("a new file: %+v", r)
	}
	remove("second")
}
