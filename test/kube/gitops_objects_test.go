//go:build kube

package kube

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

// inGit are objects as people keep them in Git.
const inGit = `apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: git}
spec:
  hosts: [git.example.com]
  schemes: [bearer]
  groups: [staff]
  policies: [no-admin]
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: staff}
spec: {members: [alice], tokens: {create: true, maxLifetime: 10y}}
---
apiVersion: patgate.dev/v1alpha1
kind: TokenPolicy
metadata: {name: no-admin}
spec:
  deny:
  - {path: /rest/admin/.*, methods: [post, put]}
---
apiVersion: patgate.dev/v1alpha1
kind: APIToken
metadata: {name: ci, labels: {team: a}}
spec:
  user: alice
  digest: sha256:%x
  issued: 2026-01-01T00:00:00Z
  expires: 2035-01-01T00:00:00+01:00
  limitTo: |
    [get]/rest/.*
    [post]/rest/x
`

// drift returns the first place at which an object of the cluster is not what Git has: what Argo CD calls out of sync.
// Fields that Git does not have do not count.
func drift(path string, git, live any) string {
	switch g := git.(type) {
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			return path
		}
		for key, value := range g {
			if at := drift(path+"."+key, value, l[key]); at != "" {
				return at
			}
		}
		return ""
	case []any:
		l, ok := live.([]any)
		if !ok || len(l) != len(g) {
			return path
		}
		for i := range g {
			if at := drift(fmt.Sprintf("%s[%d]", path, i), g[i], l[i]); at != "" {
				return at
			}
		}
		return ""
	}
	if !reflect.DeepEqual(git, live) {
		return fmt.Sprintf("%s: %v in Git, %v in the cluster", path, git, live)
	}
	return ""
}

// asKubectlReads reads YAML as kubectl does.
func (ns *namespace) asKubectlReads(text string) (list []object) {
	ns.t.Helper()
	stream := json.NewDecoder(strings.NewReader(ns.pipe(text, "create", "--dry-run=client", "-o", "json", "-f", "-")))
	for stream.More() {
		var o object
		if err := stream.Decode(&o); err != nil {
			ns.t.Fatal(err)
		}
		if o.text("kind") == "List" {
			for _, item := range o.at("items").([]any) {
				list = append(list, item.(map[string]any))
			}
			continue
		}
		list = append(list, o)
	}
	return list
}

// noDrift checks that Argo CD and Flux see no difference between Git and the cluster.
func (ns *namespace) noDrift(when, text string) {
	ns.t.Helper()
	for _, o := range ns.asKubectlReads(text) {
		live := ns.get(o.text("kind"), o.text("metadata", "name"))
		for _, part := range []string{"spec", "metadata"} {
			if at := drift(o.ref()+"."+part, o.at(part), live.at(part)); at != "" {
				ns.t.Errorf("%s, Argo CD would see a difference: %s", when, at)
			}
		}
	}
	for _, manager := range []string{"argocd-controller", "kustomize-controller"} {
		if out, err := ns.try(text, "diff", "--server-side", "--force-conflicts", "--field-manager", manager, "-f", "-"); err != nil {
			ns.t.Errorf("%s, server-side apply as %s would change: %v\n%s", when, manager, err, out)
		}
	}
}

// TestNoDriftOfObjects applies objects of Git again and again, by client-side and server-side apply, while the page changes what
// Git does not have: nothing differs, and nothing is written.
func TestNoDriftOfObjects(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	digest := token.Sum(token.NewSecret(valueOf(77)))
	text := fmt.Sprintf(inGit, digest[:])
	all := "gate,usergroup,tokenpolicy,apitoken"
	for name, args := range map[string][]string{
		"server-side apply": {"apply", "--server-side", "--field-manager", "argocd-controller", "-f", "-"},
		"client-side apply": {"apply", "--field-manager", "kustomize-controller", "-f", "-"},
	} {
		ns.pipe(text, args...)
		first := ns.list(all)
		ns.pipe(text, args...) // where no controller has written a status, this stores the one that the definition has as its default
		for i, second := range ns.list(all) {
			for _, at := range []string{"generation", "managedFields", "annotations"} {
				if !reflect.DeepEqual(first[i].at("metadata", at), second.at("metadata", at)) || !reflect.DeepEqual(first[i].at("spec"), second.at("spec")) {
					t.Errorf("%s a second time: %v became %v", name, first[i], second)
				}
			}
		}
		before := versions(ns.list(all))
		ns.pipe(text, args...)
		if after := versions(ns.list(all)); !reflect.DeepEqual(before, after) {
			t.Errorf("%s twice: %v became %v", name, before, after)
		}
		ns.noDrift("after "+name, text)
		ns.kubectl("delete", all, "--all")
	}
	ns.pipe(text, "apply", "--server-side", "--field-manager", "argocd-controller", "-f", "-")
	value := token.Mint()
	ns.apply(strings.ReplaceAll(office(value), "name: staff", "name: others"))
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	f.becomes(77, "git.example.com", http.StatusForbidden) // by its rules: patgate reads the object as Git has it
	m := startManager(ns, t, ns.c.token, value).up()
	m.must(http.StatusOK, "PATCH", "/api/v1/tokens/ci", `{"description": "of the page"}`)
	m.must(http.StatusOK, "PATCH", "/api/v1/tokens/ci", `{"suspended": true}`)
	ns.noDrift("after a change of the page", text)
	m.must(http.StatusOK, "POST", "/api/v1/tokens/ci:revoke", "")
	ns.noDrift("after a revocation", text)
	ns.pipe(text, "apply", "--server-side", "--force-conflicts", "--field-manager", "argocd-controller", "-f", "-")
	ns.pipe(text, "apply", "--field-manager", "kustomize-controller", "-f", "-")
	if o := ns.get("pat", "ci"); o.text("spec", "revoked") == "" || o.text("spec", "description") != "of the page" {
		t.Errorf("Git was applied again: %v", o.at("spec"))
	}
}

// TestConvertedManifestsAreObjects prints the manifests of directories and of a ConfigMap as objects: the API server takes them, twice
// without a change, and patgate decides as by the files.
func TestConvertedManifestsAreObjects(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	dir := t.TempDir()
	digest := token.Sum(token.NewSecret(valueOf(78)))
	if err := os.WriteFile(filepath.Join(dir, "all.yaml"), []byte(fmt.Sprintf(strings.ReplaceAll(inGit, "git.example.com", "converted.example.com"), digest[:])), 0o644); err != nil {
		t.Fatal(err)
	}
	ns.kubectl("create", "configmap", "manifests", "--from-file="+dir)
	rendered := ns.kubectl("get", "configmap", "manifests", "-o", "yaml")
	var outputs []string
	for _, args := range [][]string{{"convert", dir}, {"convert", "--rendered", "-"}} {
		cmd := exec.Command(binary, args...)
		cmd.Stdin = strings.NewReader(rendered)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		outputs = append(outputs, string(out))
		ns.pipe(string(out), "apply", "--server-side", "-f", "-")
	}
	ns.noDrift("after convert", outputs[1])
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	f.becomes(78, "converted.example.com", http.StatusForbidden)
}

// TestPreviousDefinitionsCanBeUpgraded creates objects by the definitions of an earlier version, and applies the current ones: the
// objects stay as they are, patgate reads them, and they can be changed.
func TestPreviousDefinitionsCanBeUpgraded(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	upgrade := func(file string) {
		t.Helper()
		ns.kubectl("apply", "--server-side", "--force-conflicts", "-f", file)
		ns.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/gates.patgate.dev", "crd/apitokens.patgate.dev", "crd/usergroups.patgate.dev", "crd/tokenpolicies.patgate.dev")
	}
	t.Cleanup(func() { upgrade(crds) })
	upgrade("testdata/crd/previous.yaml")
	digest := token.Sum(token.NewSecret(valueOf(79)))
	text := fmt.Sprintf(strings.ReplaceAll(inGit, "git.example.com", "previous.example.com"), digest[:])
	ns.pipe(text, "apply", "--server-side", "-f", "-")
	all := "gate,usergroup,tokenpolicy,apitoken"
	before := ns.list(all)
	upgrade(crds)
	for i, after := range ns.list(all) {
		if b := before[i]; after.text("metadata", "uid") != b.text("metadata", "uid") || !reflect.DeepEqual(after.at("spec"), b.at("spec")) {
			t.Errorf("the upgrade made %v of %v", after, b)
		}
	}
	ns.noDrift("after the upgrade", text)
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	f.becomes(79, "previous.example.com", http.StatusForbidden)
	ns.kubectl("patch", "pat", "ci", "--type", "merge", "-p", `{"spec":{"unrestricted":true,"limitTo":null}}`)
	f.becomes(79, "previous.example.com", http.StatusOK)
	ns.revoke("ci")
	f.becomes(79, "previous.example.com", http.StatusUnauthorized)
}
