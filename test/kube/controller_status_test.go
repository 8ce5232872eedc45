//go:build kube

package kube

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// onlyText are the broken manifests whose fault is in the text, and not in the object that an API server makes of it.
// To an API server, yes is true, and what is null is left out.
var onlyText = []string{"doc-merge", "doc-tag", "group-admin-text", "metadata-null-namespace", "name-twice", "rule-mcp-null", "token-canary-yes", "token-expires-null"}

// TestBrokenManifestsAreInTheStatus creates the broken manifests that the API server admits, as TestBrokenManifestsAreRefusedOrShown
// finds out: the status of an object of each says that it is not accepted, and why. So none is lost between the two.
func TestBrokenManifestsAreInTheStatus(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	list := textOf(t, "testdata/crd/refused.txt")
	names := regexp.MustCompile(`(?m)^(\S+): status$`).FindAllStringSubmatch(list, -1)
	if len(names) < 30 {
		t.Fatalf("%d archives are admitted", len(names))
	}
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	c := control(ns, ns.c.kubeconfig, []*follower{f}, "--namespace", ns.name)
	ns.until(30*time.Second, "the controller writes", c.writes)
	for _, m := range names {
		if slices.Contains(onlyText, m[1]) {
			continue
		}
		archive, err := txtar.ParseFile(filepath.Join("../../ruleset/testdata/bad", m[1]+".txtar"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range archive.Files {
			if file.Name == "want" {
				continue
			}
			for _, doc := range split(file.Data) {
				url := fmt.Sprintf("%s/apis/patgate.dev/v1alpha1/namespaces/%s/%s", ns.c.url, ns.name, plurals[field(doc, "kind")])
				if status, body := ns.c.do(t, http.MethodPost, url, "application/yaml", doc); status != http.StatusCreated {
					t.Fatalf("%s: %d %s", m[1], status, body)
				}
			}
		}
		message := ns.notAccepted(10 * time.Second)
		if !strings.Contains(message, ": ") {
			t.Errorf("%s: no status names a field: %q", m[1], message)
		}
		for _, plural := range plurals {
			ns.c.do(t, http.MethodDelete, fmt.Sprintf("%s/apis/patgate.dev/v1alpha1/namespaces/%s/%s", ns.c.url, ns.name, plural), "application/json", nil)
		}
	}
}

// notAccepted waits for an object that is not accepted, and returns its message; empty: there is none.
func (ns *namespace) notAccepted(limit time.Duration) string {
	ns.t.Helper()
	for began := time.Now(); time.Since(began) < limit; time.Sleep(5 * time.Millisecond) {
		for _, o := range ns.all() {
			for _, c := range objects(o.at("status", "conditions")) {
				if c.text("type") == "Accepted" && c.text("status") == "False" {
					return c.text("message")
				}
			}
		}
	}
	return ""
}

// all lists the objects of patgate's kinds in the namespace.
func (ns *namespace) all() (list []object) {
	ns.t.Helper()
	for _, plural := range plurals {
		status, body := ns.c.do(ns.t, http.MethodGet, fmt.Sprintf("%s/apis/patgate.dev/v1alpha1/namespaces/%s/%s", ns.c.url, ns.name, plural), "application/json", nil)
		var found struct{ Items []object }
		if err := json.Unmarshal(body, &found); err != nil || status != http.StatusOK {
			ns.t.Fatalf("%d %v: %s", status, err, body)
		}
		list = append(list, found.Items...)
	}
	return list
}

// TestStatusIsTheControllersAlone applies a token with a status that makes a value good, as somebody may who can write objects:
// the status is left out. It takes a right of its own to write it.
func TestStatusIsTheControllersAlone(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	f := follow(ns, ns.c.url, "--namespace", ns.name).ready()
	status := fmt.Sprintf(`, "status": {"values": [{"digest": "%s", "issued": "2026-01-01T00:00:00Z"}]}`, digestOf(1))
	ns.apply(gateOf("own", ""))
	ns.pipe(`{"apiVersion": "patgate.dev/v1alpha1", "kind": "APIToken", "metadata": {"name": "one"}, "spec": {"user": "ci", "unrestricted": true, "secret": {"name": "one"}}`+status+`}`,
		"create", "-f", "-")
	if got := ns.fetch("apitokens", "one").at("status"); !reflect.DeepEqual(got, map[string]any{"observedGeneration": float64(-1)}) {
		t.Errorf("the status was written: %v", got)
	}
	// A token with a digest of its own has no values of a status.
	ns.apply(tokenOf("two", 2, "unrestricted: true"))
	f.becomes(2, "own.example.com", 200)
	ns.kubectl("patch", "pat", "two", "--subresource=status", "--type=merge", "-p", "{"+strings.TrimPrefix(status, ", ")+"}")
	ns.apply(tokenOf("three", 3, "unrestricted: true"))
	f.becomes(3, "own.example.com", 200)
	if got := f.ask(1, "own.example.com"); got != 401 {
		t.Errorf("a value that no controller made: %d", got)
	}
	ns.kubectl("patch", "pat", "one", "--subresource=status", "--type=merge", "-p", "{"+strings.TrimPrefix(status, ", ")+"}")
	f.becomes(1, "own.example.com", 200) // by that right
	ns.kubectl("patch", "pat", "one", "--subresource=status", "--type=merge", "-p", `{"status":{"values":null}}`)
	f.becomes(1, "own.example.com", 401)
}
