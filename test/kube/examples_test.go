//go:build kube

package kube

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// withoutCRDs are groups of objects in examples whose definitions no module that the
// tests may fetch has, and why that is no loss.
var withoutCRDs = map[string]string{
	"argoproj.io":                    "Argo CD's module is 250 MB; docs describe one Application",
	"kustomize.toolkit.fluxcd.io":    "Flux's modules have Go types, but no definitions: flux/ reads them by these",
	"source.toolkit.fluxcd.io":       "likewise",
	"helm.toolkit.fluxcd.io":         "likewise",
	"notification.toolkit.fluxcd.io": "likewise",
}

// notObjects are kinds of files for tools, and of patgate's own.
var notObjects = []string{"patgate.dev", "kustomize.config.k8s.io"}

var (
	documentEnd = regexp.MustCompile(`(?m)^---.*$`)
	groupOf     = regexp.MustCompile(`(?m)^apiVersion: *"?([^\s"/]+)`)
	kindOf      = regexp.MustCompile(`(?m)^kind: *(\w+)`)
	namespaceOf = regexp.MustCompile(`(?m)^(?:metadata: \{.*\b|  )namespace: *([a-z0-9-]+)`)
)

// documents cuts a file and returns its Kubernetes objects.
func documents(text string) []string {
	var list []string
	for _, d := range documentEnd.Split(text, -1) {
		group := groupOf.FindStringSubmatch(d)
		if group != nil && kindOf.MatchString(d) && !slices.Contains(notObjects, group[1]) {
			list = append(list, d)
		}
	}
	return list
}

// TestExamples has the API server take every Kubernetes object that the documentation
// and the configurations show, strictly: no unknown field, and every CEL rule holds. A
// folder with a kustomization.yaml is taken as what kustomize makes of it too.
func TestExamples(t *testing.T) {
	installCRDs(t)
	ns, n := newNamespace(t), 0
	for _, root := range []string{"../../docs", "../../envoy"} {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || filepath.Ext(path) != ".yaml" {
				return err
			}
			list := documents(read(t, path))
			if e.Name() == "kustomization.yaml" {
				list = documents(ns.kubectl("kustomize", filepath.Dir(path)))
			}
			if len(list) > 0 {
				n++
				t.Run(strings.TrimPrefix(path, "../../"), func(t *testing.T) { newNamespace(t).takes(list) })
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d files", n)
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// takes applies objects, each in the namespace that it names or in this one. Their pods
// must keep to the restricted standard.
func (ns *namespace) takes(list []string) {
	ns.t.Helper()
	texts, order := map[string]string{}, []string{}
	for _, d := range list {
		if reason, ok := withoutCRDs[groupOf.FindStringSubmatch(d)[1]]; ok {
			ns.t.Logf("not asked about %s: %s", kindOf.FindStringSubmatch(d)[1], reason)
			continue
		}
		name := ns.name
		if m := namespaceOf.FindStringSubmatch(d); m != nil {
			name = m[1]
		}
		if texts[name] == "" {
			order = append(order, name)
		}
		texts[name] += "---\n" + d
	}
	for _, name := range order {
		out := decode(ns.t, ns.inside(name).pipe(texts[name], "apply", "--server-side", "--validate=strict", "-o", "json", "-f", "-"))
		for _, o := range append(objects(out["items"]), out) {
			if template := podTemplate(o); template != nil {
				newPod(ns, template)
			}
		}
	}
}

// inside is a namespace that an object names itself; it is made if it is not there.
func (ns *namespace) inside(name string) *namespace {
	ns.t.Helper()
	other := *ns
	other.name = name
	if !ns.c.namespaces[name] {
		other.make("apply", "--server-side", "-f", "-")
	}
	return &other
}

// TestRefused holds the rig to what it is for: the API server refuses planted mistakes,
// and says why.
func TestRefused(t *testing.T) {
	installCRDs(t)
	ns := newNamespace(t)
	files, err := filepath.Glob("testdata/refused/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	want := regexp.MustCompile(`(?m)^# refused: (.*)$`)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text := read(t, file)
			m := want.FindStringSubmatch(text)
			if m == nil {
				t.Fatalf("%s has no line `# refused: TEXT`", file)
			}
			mine := *ns
			mine.t = t
			mine.refused(text, []string{m[1]}, "create", "--dry-run=server", "--validate=strict", "-f", "-")
		})
	}
}

// installCRDs installs all definitions, once a run, and waits until they count.
func installCRDs(t testing.TB) {
	t.Helper()
	c := theCluster(t)
	if c.crds {
		return
	}
	ns := &namespace{t: t, c: c, name: "default"}
	ns.kubectl("apply", "--server-side", "--recursive", "-f", tool(t, "crds")+"/")
	ns.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=120s")
	c.crds = true
}
