//go:build kube

package kube

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// chart is the folder of the Helm chart.
const chart = "../../charts/patgate"

// release is the name of the tests' release, and of the chart's objects.
const release = "patgate"

// helms are those that users have: 4 applies on the server's side, 3 does not.
var helms = []string{"helm", "helm3"}

// run runs the namespace's helm, which must do it.
func (ns *namespace) run(args ...string) string {
	ns.t.Helper()
	out, err := ns.tryHelm(args...)
	if err != nil {
		ns.t.Fatalf("%s %s: %v", ns.helm, strings.Join(args, " "), err)
	}
	return out
}

func (ns *namespace) tryHelm(args ...string) (string, error) {
	ns.t.Helper()
	return ns.c.command(ns.t, tool(ns.t, ns.helm), "", append(args, "--namespace", ns.name)...)
}

// values writes values into a file, for -f.
func values(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// manifestValues are values that make files of manifests: JSON is YAML too.
func manifestValues(t testing.TB, files map[string]string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"manifests": files})
	if err != nil {
		t.Fatal(err)
	}
	return values(t, string(text))
}

// objectsOf reads what the release has in the cluster, by `helm get manifest`.
func (ns *namespace) objectsOf() []object {
	ns.t.Helper()
	out := ns.pipe(ns.run("get", "manifest", release), "get", "-o", "json", "-f", "-")
	var list struct{ Items []object }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		ns.t.Fatal(err)
	}
	return list.Items
}

// changed lists what differs between two reads of the cluster, in the order of the
// second, including added and removed objects.
func changed(before, after []object) []string {
	was, is := versions(before), versions(after)
	var list []string
	for _, o := range after {
		if was[o.ref()] != is[o.ref()] {
			list = append(list, o.ref())
		}
	}
	for _, o := range before {
		if is[o.ref()] == "" {
			list = append(list, o.ref()+" is gone")
		}
	}
	return list
}

// examples are the chart's example values, by name.
func examples(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	files, err := filepath.Glob(filepath.Join(chart, "examples", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		found[strings.TrimSuffix(filepath.Base(f), ".yaml")] = f
	}
	for _, name := range []string{"minimal", "production"} {
		if found[name] == "" {
			t.Errorf("the chart has no example %s", name)
		}
	}
	return found
}

// find picks an object of a list.
func find(t testing.TB, list []object, ref string) object {
	t.Helper()
	for _, o := range list {
		if o.ref() == ref {
			return o
		}
	}
	t.Fatalf("no %s", ref)
	return nil
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
