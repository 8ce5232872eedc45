package ruleset

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

func fileOf(name, text string) File {
	return File{Name: name, Data: []byte(text), Sum: sha256.Sum256([]byte(text))}
}

func manifestOf(kind, name, spec string) string {
	return "apiVersion: patgate.dev/v1alpha1\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec: {" + spec + "}\n---\n"
}

func tokenOf(name string) string {
	return manifestOf("APIToken", name, "user: alice, unrestricted: true, issued: 2026-05-01T00:00:00Z, digest: "+token.Sum(token.NewSecret("value of "+name)).String())
}

// TestPanicInChecksRejectsTheInput has what checks documents panic: the input is then loaded as a whole, and
// rejected where that panics too.
func TestPanicInChecksRejectsTheInput(t *testing.T) {
	in := Input{Origin: "m", Files: []File{fileOf("m/gate.yaml", manifestOf("Gate", "g", "schemes: [basic]")), fileOf("m/t1.yaml", tokenOf("t1"))}}
	set := Load(in, Options{})
	index := policy.NewIndex()
	if _, err := index.Replace(set.Rows, time.Now()); err != nil || len(set.Problems) > 0 {
		t.Fatal(set.Problems, err)
	}
	loaded := newLoaded(set)
	in.Files = append(in.Files, fileOf("m/t2.yaml", tokenOf("t2")))
	step := loaded.Step(in, Options{Running: index.Snapshot()})
	if !step.Check() || step.Whole || len(step.Changes.New.Tokens) != 1 || len(step.Changes.Old.Tokens) != 0 {
		t.Errorf("a new file: %+v", step.Changes)
	}
	broken := &manifest.Document{} // no decoder makes one that is filed as a gate without being one
	loaded.shared.Gates = append(loaded.shared.Gates, broken)
	if loaded.Step(in, Options{Running: index.Snapshot()}).Check() {
		t.Error("after a panic, a step is good")
	}
	panicking := newSet()
	panicking.Gates = []*manifest.Document{broken}
	if panicking.check(); len(panicking.Problems) != 1 || !strings.Contains(panicking.Problems[0].String(), "the manifests: can't be checked, a fault of patgate") {
		t.Errorf("%v", panicking.Problems)
	}
}

// TestWith replaces files of a set, and allows that there is nothing yet.
func TestWith(t *testing.T) {
	in := Input{Origin: "m", Files: []File{fileOf("m/a.yaml", manifestOf("Gate", "a", "schemes: [basic]"))}}
	set := Load(in, Options{})
	after := set.With(fileOf("m/a.yaml", manifestOf("Gate", "b", "schemes: [basic]")), fileOf("m/t.yaml", tokenOf("t")))
	if len(after.Problems) > 0 || len(after.Rows.Gates) != 1 || after.Rows.Gates[0].Name != "b" || len(after.Rows.Tokens) != 1 {
		t.Errorf("%v, %+v", after.Problems, after.Rows)
	}
	if len(set.Rows.Tokens) != 0 || set.Rows.Gates[0].Name != "a" {
		t.Error("the set that it came from has changed")
	}
	in.Files = []File{{Name: "m/a.yaml", Sum: in.Files[0].Sum}, fileOf("m/t.yaml", tokenOf("t"))}
	reloaded := set.Reload(in) // which has the data of what stays
	if data, known := reloaded.File("m/a.yaml"); len(reloaded.Problems) > 0 || len(reloaded.Rows.Tokens) != 1 || reloaded.Gates[0] != set.Gates[0] || !known || len(data) == 0 {
		t.Errorf("reloaded: %v, %+v", reloaded.Problems, reloaded.Rows)
	}
	if empty := Load(Input{Origin: "m"}, Options{AllowEmpty: true}).With(fileOf("m/t.yaml", tokenOf("t"))); len(empty.Problems) > 0 || len(empty.Rows.Tokens) != 1 {
		t.Errorf("%v", empty.Problems)
	}
	if none := Load(Input{Origin: "m"}, Options{}); len(none.Problems) != 1 {
		t.Errorf("%v", none.Problems)
	}
}
