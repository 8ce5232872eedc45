//go:build kube

package kube

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// withoutCRDs are groups of objects in examples whose definitions no module that the
// tests may fetch has.
var withoutCRDs = map[string]string{
	"helm.toolkit.fluxcd.io": "the proxy has Flux's helm-controller not as a module; docs show one HelmRelease, which flux/ reads",
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

// yamlBlock is a block of YAML on a page.
var yamlBlock = regexp.MustCompile("(?ms)^```ya?ml\n(.*?)^```")

// shown are the Kubernetes objects that the pages, their examples and the configurations
// show, by file. Of a folder with a kustomization.yaml they are what kustomize makes of it too.
func shown(t testing.TB) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, root := range []string{"../../docs", "../../envoy"} {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			var list []string
			switch {
			case e.Name() == "kustomization.yaml":
				out, err := exec.Command(tool(t, "kubectl"), "kustomize", filepath.Dir(path)).Output()
				if err != nil {
					return fmt.Errorf("kubectl kustomize %s: %w", path, err)
				}
				list = documents(string(out))
			case filepath.Ext(path) == ".yaml":
				list = documents(read(t, path))
			case filepath.Ext(path) == ".md":
				for _, block := range yamlBlock.FindAllStringSubmatch(read(t, path), -1) {
					list = append(list, documents(block[1])...)
				}
			}
			if len(list) > 0 {
				found[strings.TrimPrefix(path, "../../")] = list
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 10 {
		t.Fatalf("%d files with objects: are they elsewhere?", len(found))
	}
	return found
}

// TestExamples has the API server validate every object that is shown, strictly: no
// unknown field, and every CEL rule holds.
func TestExamples(t *testing.T) {
	installCRDs(t)
	for path, list := range shown(t) {
		t.Run(path, func(t *testing.T) { newNamespace(t).takes(list) })
	}
}

// TestExampleSchemas validates every object that is shown against the schemas that need
// no cluster, as a pipeline would.
func TestExampleSchemas(t *testing.T) {
	for path, list := range shown(t) {
		list = slices.DeleteFunc(list, func(d string) bool { return withoutCRDs[groupOf.FindStringSubmatch(d)[1]] != "" })
		file := filepath.Join(t.TempDir(), "objects.yaml")
		if err := os.WriteFile(file, []byte("---\n"+strings.Join(list, "\n---\n")), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := conforms(t, file)
		if want := fmt.Sprintf("Valid: %d, Invalid: 0, Errors: 0, Skipped: 0", len(list)); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s\nwant %s", path, err, out, want)
		}
	}
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

// TestRefused checks the rig itself: the API server refuses planted mistakes, and says
// why.
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
