package ruleset

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// world is a set of objects and the index that they run in.
type world struct {
	*testing.T
	objects *Objects
	index   *policy.Index
	created time.Time
}

func newWorld(t *testing.T) *world {
	return &world{T: t, objects: NewObjects(), index: policy.NewIndex(), created: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// set creates or changes an object. Each new one is a second younger than the one before.
func (w *world) set(kind, key, spec string) {
	w.Helper()
	namespace, name, _ := strings.Cut(key, "/")
	object := Object{Kind: kind, Namespace: namespace, Name: name, UID: fmt.Sprint(len(w.objects.tokens), kind, key)}
	w.created = w.created.Add(time.Second)
	object.Created = w.created
	if r := w.objects.shared[object.ID()]; r != nil {
		object.Created, object.UID = r.Created, r.UID
	}
	if t := w.objects.tokens[object.ID()]; t != nil {
		was := t.object()
		object.Created, object.UID = was.Created, was.UID
	}
	object.Spec = []byte(spec)
	w.objects.Set(object)
}

// step lets what was set take effect.
func (w *world) step() {
	w.Helper()
	changes, any := w.objects.Step(w.index, func() {})
	if !any {
		return
	}
	if _, err := w.index.Apply(changes, w.created); err != nil {
		w.Fatal(err)
	}
}

// faults checks what became of objects: "ID: part of the problem", or "ID" for one that is accepted again.
func (w *world) faults(want ...string) {
	w.Helper()
	var got []string
	for _, f := range w.objects.Faults() {
		got = append(got, fmt.Sprintf("%s: %s (kept: %t)", f.Object, f.Problem, f.Kept))
	}
	ok := len(got) == len(want)
	for i := 0; ok && i < len(want); i++ {
		id, text, _ := strings.Cut(want[i], ": ")
		ok = strings.HasPrefix(got[i], id+": ") && strings.Contains(got[i], text)
	}
	if !ok {
		w.Errorf("faults:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const secret = "a-value-of-a-token-that-is-long-enough"

// digest is that of secret with a number.
func digest(n int) string {
	return token.Sum(token.NewSecret(fmt.Sprint(secret, n))).String()
}

func spec(n int, more string) string {
	return fmt.Sprintf("{digest: %q, issued: 2026-01-01T00:00:00Z, %s}", digest(n), more)
}

type noHeader struct{}

func (noHeader) Get(string) (string, int)    { return "", 0 }
func (noHeader) Len() int                    { return 0 }
func (noHeader) At(int) (name, value string) { return "", "" }

// ask presents the value of a number as a Bearer token.
func (w *world) ask(n int, host, want string) {
	w.Helper()
	r := policy.Request{
		Time: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Method: "GET", Host: host, Target: policy.NewTarget("/"),
		Credential: policy.ParseAuthorization("Bearer "+fmt.Sprint(secret, n), 1), Header: noHeader{},
	}
	d := policy.Evaluate(w.index.Snapshot(), &r, nil)
	got := d.Effect.String() + " " + d.Reason.String()
	if d.Detail != "" {
		got += " (" + d.Detail + ")"
	}
	if got != want {
		w.Errorf("%s: %s, want %s", host, got, want)
	}
}

const gate = "{hosts: [a.example.com], schemes: [bearer]}"

// TestInvalidObjectDoesNotBlockOthers breaks one object after the other, and looks at what the others do.
func TestInvalidObjectDoesNotBlockOthers(t *testing.T) {
	w := newWorld(t)
	w.set("Gate", "edge/a", gate)
	w.set("Gate", "edge/b", "{hosts: [b.example.com], schemes: [bearer], policies: [bounds]}")
	w.set("TokenPolicy", "edge/bounds", "{deny: [{methods: [DELETE]}]}")
	w.set("APIToken", "edge/one", spec(1, "user: alice, unrestricted: true"))
	w.set("APIToken", "edge/two", spec(2, "user: bob, policies: [read]"))
	w.set("TokenPolicy", "edge/read", "{allow: [{methods: [GET]}]}")
	w.step()
	w.faults()
	w.ask(1, "a.example.com", "allow ok")
	w.ask(2, "b.example.com", "allow ok")

	w.set("APIToken", "edge/two", spec(2, "user: bob, policies: [raed]"))
	w.step()
	w.faults("APIToken/edge/two: spec.policies[0]: no TokenPolicy is called edge/raed, did you mean")
	w.ask(1, "a.example.com", "allow ok")
	w.ask(2, "b.example.com", "deny token_unknown (not accepted)")

	w.set("APIToken", "edge/two", spec(2, "user: bob, policies: [read]"))
	w.step()
	w.faults("APIToken/edge/two")
	w.ask(2, "b.example.com", "allow ok")

	w.set("Gate", "edge/b", "{hosts: [b.example.com], schemes: [bearer], policies: [nothing]}")
	w.step()
	w.faults("Gate/edge/b: no TokenPolicy is called edge/nothing")
	w.ask(2, "b.example.com", "allow ok") // by its last good version
	w.objects.Delete("TokenPolicy/edge/bounds")
	w.step()
	w.faults("Gate/edge/b: (kept: false)")
	w.ask(2, "b.example.com", "deny gate_invalid")
	w.ask(1, "a.example.com", "allow ok")
	w.set("TokenPolicy", "edge/nothing", "{deny: [{methods: [PUT]}]}")
	w.step()
	w.faults("Gate/edge/b")
	w.ask(2, "b.example.com", "allow ok")

	w.objects.Delete("TokenPolicy/edge/read")
	w.step()
	w.faults("APIToken/edge/two: no TokenPolicy")
	w.ask(2, "b.example.com", "deny token_unknown (not accepted)")
}

// TestDigestBelongsToTheOlderToken lets two tokens have the same value.
func TestDigestBelongsToTheOlderToken(t *testing.T) {
	w := newWorld(t)
	w.set("Gate", "edge/a", "{hosts: [a.example.com], schemes: [bearer], tokensFrom: {namespaces: All}}")
	w.set("APIToken", "edge/older", spec(1, "user: alice, unrestricted: true, suspended: true"))
	w.set("APIToken", "team/newer", spec(1, "user: eve, unrestricted: true, gates: [edge/a]"))
	w.step()
	w.faults("APIToken/team/newer: spec.digest: the digest is that of APIToken/edge/older")
	w.ask(1, "a.example.com", "deny token_suspended")
	w.objects.Delete("APIToken/edge/older")
	w.step()
	w.faults("APIToken/team/newer")
	w.ask(1, "a.example.com", "allow ok")
	w.set("APIToken", "team/newer", spec(2, "user: eve, unrestricted: true, gates: [edge/a]"))
	w.step()
	w.ask(1, "a.example.com", "deny token_unknown")
	w.ask(2, "a.example.com", "allow ok")
}

// TestInvalidGroupRefusesItsMembers breaks a group that never was accepted, and one that was.
func TestInvalidGroupRefusesItsMembers(t *testing.T) {
	w := newWorld(t)
	w.set("Gate", "edge/a", gate)
	w.set("UserGroup", "edge/staff", "{members: [alice], policies: [bounds]}")
	w.set("APIToken", "edge/one", spec(1, "user: alice, unrestricted: true"))
	w.set("APIToken", "edge/two", spec(2, "user: bob, unrestricted: true"))
	w.set("APIToken", "edge/three", spec(3, "user: bob, unrestricted: true, actAs: [.*]"))
	w.step()
	w.faults("APIToken/edge/one: alice is in a UserGroup that is not accepted", "APIToken/edge/three: a UserGroup of the namespace", "UserGroup/edge/staff: no TokenPolicy")
	w.ask(1, "a.example.com", "deny token_unknown (not accepted)")
	w.ask(2, "a.example.com", "allow ok")
	w.set("TokenPolicy", "edge/bounds", "{deny: [{methods: [DELETE]}]}")
	w.step()
	w.faults("APIToken/edge/one", "APIToken/edge/three", "UserGroup/edge/staff")
	w.ask(1, "a.example.com", "allow ok")
	w.set("UserGroup", "edge/staff", "{members: [alice], policies: [bound]}")
	w.step()
	w.faults("UserGroup/edge/staff: did you mean edge/bounds? (kept: true)")
	w.ask(1, "a.example.com", "allow ok")
}

// TestRemovedGateOfACluster deletes gates and breaks them, beside one for every path of the host.
func TestRemovedGateOfACluster(t *testing.T) {
	w := newWorld(t)
	w.set("Gate", "edge/weak", "{hosts: [\"*.example.com\"], schemes: [bearer], anonymous: {unrestricted: true}}")
	w.set("Gate", "edge/strict", gate)
	w.set("APIToken", "edge/one", spec(1, "user: alice, unrestricted: true"))
	w.step()
	w.ask(1, "a.example.com", "allow ok")
	w.objects.Delete("Gate/edge/strict")
	w.step()
	w.ask(1, "a.example.com", "deny gate_invalid")
	w.set("APIToken", "edge/two", spec(2, "user: alice, unrestricted: true"))
	w.step()
	w.set("TokenPolicy", "edge/any", "{deny: [{methods: [PUT]}]}")
	w.step()
	w.ask(1, "a.example.com", "deny gate_invalid")
	w.set("Gate", "edge/strict", gate)
	w.step()
	w.ask(1, "a.example.com", "allow ok")

	w.Run("a gate that conflicts with an older one", func(*testing.T) {
		w.objects.Faults()
		w.set("Gate", "team/mine", "{hosts: [a.example.com, mine.example.com], schemes: [bearer], anonymous: {unrestricted: true}}")
		w.step()
		w.faults("Gate/team/mine: the gate conflicts")
		w.ask(1, "a.example.com", "allow ok")
		w.ask(1, "mine.example.com", "deny gate_invalid")
	})
}

// TestTokenChangedDuringAStep sets a token while a step is under way.
func TestTokenChangedDuringAStep(t *testing.T) {
	w := newWorld(t)
	w.set("Gate", "edge/a", gate)
	for n := range 200 {
		w.set("APIToken", fmt.Sprintf("edge/t%d", n), spec(n, "user: alice, unrestricted: true"))
	}
	calls := 0
	changes, _ := w.objects.Step(w.index, func() {
		calls++
		w.set("APIToken", "edge/t7", spec(7, "user: alice, unrestricted: true, revoked: 2026-01-01T00:00:00Z"))
		w.objects.Delete("APIToken/edge/t8")
	})
	if _, err := w.index.Apply(changes, w.created); err != nil || calls < 2 {
		t.Fatal(err, calls)
	}
	w.ask(6, "a.example.com", "allow ok")
	w.ask(7, "a.example.com", "deny token_revoked")
	w.ask(8, "a.example.com", "deny token_unknown")
}

// onlyText are the broken manifests whose fault is in the text and not in the object that an API server makes of it.
var onlyText = []string{"doc-merge", "doc-tag", "metadata-null-namespace", "name-twice"}

// TestFaultsOfAdmittedObjectsAreReported reads the broken manifests that an API server admits, as TestBrokenManifestsAreRefusedOrShown of
// test/kube found out: patgate does not accept at least one object of each, and the problem names the field.
func TestFaultsOfAdmittedObjectsAreReported(t *testing.T) {
	list, err := os.ReadFile("../test/kube/testdata/crd/refused.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)^(\S+): status$`).FindAllStringSubmatch(string(list), -1)
	if len(names) < 30 {
		t.Fatalf("%d archives are admitted", len(names))
	}
	for _, m := range names {
		w := newWorld(t)
		archive, err := txtar.ParseFile(filepath.Join("testdata/bad", m[1]+".txtar"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if f.Name != "want" {
				w.setAll(f.Data)
			}
		}
		w.step()
		faults := w.objects.Faults()
		if accepted := len(faults) == 0; accepted != slices.Contains(onlyText, m[1]) {
			t.Errorf("%s: %v", m[1], faults)
		}
	}
}

// setAll sets the documents of a file, by way of JSON.
func (w *world) setAll(text []byte) {
	w.Helper()
	for d := yaml.NewDecoder(strings.NewReader(string(text))); ; {
		var v map[string]any
		if d.Decode(&v) != nil {
			return
		}
		data, err := json.Marshal(v["spec"])
		if err != nil {
			w.Fatal(err)
		}
		meta := v["metadata"].(map[string]any)
		namespace, _ := meta["namespace"].(string)
		w.created = w.created.Add(time.Second)
		w.objects.Set(Object{
			Kind: v["kind"].(string), Name: meta["name"].(string), Namespace: namespace, Spec: data, Created: w.created, UID: "1",
		})
	}
}

// TestFilesOverrideClusterObjects lets files and objects of a cluster share an index: rows of files replace those of objects that have
// their names, values, hosts and paths, and those stay out until the files are gone.
func TestFilesOverrideClusterObjects(t *testing.T) {
	w := newWorld(t)
	w.set("Gate", "edge/a", gate)
	w.set("APIToken", "edge/one", spec(1, "user: alice, unrestricted: true"))
	w.set("APIToken", "edge/two", spec(2, "user: bob, unrestricted: true"))
	w.step()
	w.ask(1, "a.example.com", "allow ok")
	load := func(text string) {
		t.Helper()
		set := Load(Input{Origin: "dir", Files: []File{{Name: "a.yaml", Data: []byte(text)}}}, Options{Running: w.index.Snapshot()})
		if problems := append(set.Problems, Losses(w.index.Snapshot(), &set.Rows, w.created)...); len(problems) > 0 {
			t.Fatal(problems)
		}
		if _, err := w.index.Apply(policy.Changes{Origin: "dir", All: true, New: set.Rows}, w.created); err != nil {
			t.Fatal(err)
		}
		w.objects.Recheck(w.index.Snapshot())
		w.step()
	}
	const head = "apiVersion: patgate.dev/v1alpha1\nkind: "
	other := head + "Gate\nmetadata: {name: file}\nspec: {hosts: [file.example.com], schemes: [bearer]}\n"
	load(other + "---\n" + head + "APIToken\nmetadata: {name: one}\nspec: " + spec(1, "user: carol, unrestricted: true") + "\n")
	w.faults("APIToken/edge/one: the digest is that of one already")
	w.ask(1, "file.example.com", "allow ok")
	w.ask(1, "a.example.com", "deny gate_denied")
	w.ask(2, "a.example.com", "allow ok")
	load(other)
	w.faults("APIToken/edge/one")
	w.ask(1, "a.example.com", "allow ok")
	load(other + "---\n" + head + "Gate\nmetadata: {name: all}\nspec: {hosts: [a.example.com], schemes: [bearer], groups: [g]}\n" +
		"---\n" + head + "UserGroup\nmetadata: {name: g}\nspec: {members: [bob]}\n")
	w.faults("Gate/edge/a: conflicts with all")
	w.ask(2, "a.example.com", "deny gate_denied")
	w.objects.Delete("APIToken/edge/two")
	w.step()
	w.ask(2, "a.example.com", "deny token_unknown")
	load(other)
	w.faults("Gate/edge/a")
	w.ask(1, "a.example.com", "allow ok")
}
