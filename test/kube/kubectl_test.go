//go:build kube

package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// namespace is a namespace of the cluster that belongs to one test. Pods in it must keep
// to the restricted pod security standard.
type namespace struct {
	t    testing.TB
	c    *cluster
	name string
	helm string // the helm that install and the like use
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// newNamespace makes one, with the service account that a controller would put there.
// Nothing removes it: the store goes with the run.
func newNamespace(t testing.TB) *namespace {
	t.Helper()
	c := theCluster(t)
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "-"), "-")
	ns := &namespace{t: t, c: c, name: name[:min(len(name), 60)], helm: "helm"}
	ns.make("create", "-f", "-")
	return ns
}

func (ns *namespace) make(args ...string) {
	ns.t.Helper()
	ns.pipe("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: "+ns.name+"\n  labels:\n"+
		"    pod-security.kubernetes.io/enforce: restricted\n    pod-security.kubernetes.io/enforce-version: latest\n"+
		"---\napiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: default\n", args...)
	ns.c.namespaces[ns.name] = true
}

// kubectl runs kubectl in the namespace, which must do it, and returns its stdout.
func (ns *namespace) kubectl(args ...string) string {
	ns.t.Helper()
	return ns.pipe("", args...)
}

// pipe is kubectl with a text on stdin.
func (ns *namespace) pipe(stdin string, args ...string) string {
	ns.t.Helper()
	out, err := ns.try(stdin, args...)
	if err != nil {
		ns.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// refused checks that kubectl fails with a message that holds each of the texts.
func (ns *namespace) refused(stdin string, texts []string, args ...string) {
	ns.t.Helper()
	out, err := ns.try(stdin, args...)
	if err == nil {
		ns.t.Errorf("kubectl %s: it was accepted: %s", strings.Join(args, " "), out)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			ns.t.Errorf("kubectl %s: expected %q, got: %v", strings.Join(args, " "), text, err)
		}
	}
}

// try runs kubectl. The error is what it wrote to stderr.
func (ns *namespace) try(stdin string, args ...string) (string, error) {
	ns.t.Helper()
	args = append([]string{"--namespace", ns.name}, args...)
	return ns.c.command(ns.t, tool(ns.t, "kubectl"), stdin, args...)
}

// command runs a tool against the cluster, with folders of its own for what it keeps.
func (c *cluster) command(t testing.TB, path, stdin string, args ...string) (string, error) {
	t.Helper()
	home := filepath.Join(c.dir, "home")
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "KUBECONFIG=" + c.kubeconfig, "HOME=" + home,
		"HELM_CACHE_HOME=" + home + "/helm/cache", "HELM_CONFIG_HOME=" + home + "/helm/config", "HELM_DATA_HOME=" + home + "/helm/data",
		"KUBECTL_EXTERNAL_DIFF=diff -u"}
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = &toolError{exit.ExitCode(), strings.TrimSpace(errs.String())}
	}
	return out.String(), err
}

// toolError reports a tool that ended with an exit code other than 0.
type toolError struct {
	code int
	text string
}

func (e *toolError) Error() string { return e.text }

// object is a Kubernetes object as JSON has it.
type object map[string]any

// get reads an object.
func (ns *namespace) get(kind, name string) object {
	ns.t.Helper()
	return decode(ns.t, ns.kubectl("get", kind, name, "-o", "json"))
}

// list reads all objects of kinds, such as "configmap,deployment".
func (ns *namespace) list(kinds string, args ...string) []object {
	ns.t.Helper()
	out := ns.kubectl(append([]string{"get", kinds, "-o", "json"}, args...)...)
	var list struct{ Items []object }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		ns.t.Fatal(err)
	}
	return list.Items
}

func decode(t testing.TB, text string) object {
	t.Helper()
	var o object
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return o
}

// at returns the value at a path of keys, or nil.
func (o object) at(keys ...string) any {
	var node any = map[string]any(o)
	for _, key := range keys {
		m, ok := node.(map[string]any)
		if !ok {
			return nil
		}
		node = m[key]
	}
	return node
}

// text is at for strings; empty where there is none.
func (o object) text(keys ...string) string {
	s, _ := o.at(keys...).(string)
	return s
}

// ref names an object as kubectl does.
func (o object) ref() string {
	return strings.ToLower(o.text("kind")) + "/" + o.text("metadata", "name")
}

// versions returns what tells whether an object changed, by its name: its resourceVersion. The API server writes a claim anew
// at its first update, with the same content; of a claim it is what it holds.
func versions(objects []object) map[string]string {
	m := map[string]string{}
	for _, o := range objects {
		m[o.ref()] = o.text("metadata", "resourceVersion")
		if strings.HasPrefix(o.ref(), "persistentvolumeclaim/") {
			m[o.ref()] = fmt.Sprint(o.at("metadata", "uid"), o.at("metadata", "labels"), o.at("metadata", "annotations"), o.at("spec"))
		}
	}
	return m
}
