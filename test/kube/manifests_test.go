//go:build kube

package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// broken is a manifest with a misspelt field.
const broken = `apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata:
  name: more
spec:
  member: [stelin]
`

// testPod is the pod of `helm test`, as the API server admits it.
func testPod(ns *namespace) (*pod, object) {
	ns.t.Helper()
	hook := decode(ns.t, ns.pipe(ns.run("get", "hooks", release), "create", "--dry-run=client", "-o", "json", "-f", "-"))
	p := newPod(ns, hook)
	return p, named(ns.t, p.items("containers"), "check")
}

// TestHelmTest runs what `helm test` would run in the cluster: it accepts good
// manifests, and names the mistakes of others.
func TestHelmTest(t *testing.T) {
	for _, helm := range helms {
		t.Run(helm, func(t *testing.T) {
			ns := newNamespace(t)
			ns.helm = helm
			minimal := examples(t)["minimal"]
			ns.run("install", release, chart, "-f", minimal)
			p, check := testPod(ns)
			c := p.start(check)
			if code := c.wait(time.Minute); code != 0 {
				t.Errorf("good manifests: exit code %d\n%s", code, c.log.String())
			}
			ns.run("upgrade", release, chart, "-f", minimal, "-f", manifestValues(t, map[string]string{"more.yaml": broken}))
			p, check = testPod(ns)
			c = p.start(check)
			code, said := c.wait(time.Minute), c.out.String()+c.log.String()
			if code != 2 || !strings.Contains(said, "more.yaml:6") || !strings.Contains(said, "members") {
				t.Errorf("a misspelt field: exit code %d, %s", code, said)
			}
		})
	}
}

// TestBrokenManifests puts broken manifests under a running pod, which keeps the last
// good ones and reports it; a pod that starts with them ends.
func TestBrokenManifests(t *testing.T) {
	ns := newNamespace(t)
	dir := t.TempDir()
	args := []string{"--install", release, chart, "-f", examples(t)["minimal"], "-f", freePorts(t), "--set", "drain.delaySeconds=1", "-f"}
	gate := "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata:\n  name: jira\nspec:\n  schemes: [basic, bearer]\n"
	if err := os.WriteFile(filepath.Join(dir, "gate.yaml"), []byte(gate), 0o644); err != nil {
		t.Fatal(err)
	}
	value := newToken(t, dir, dir)
	ns.run(append(append([]string{"upgrade"}, args...), manifestValues(t, readFiles(t, dir)))...)
	s := serve(ns, nil)
	s.decides(value)

	files := readFiles(t, dir)
	files["more.yaml"] = broken
	ns.run(append(append([]string{"upgrade"}, args...), manifestValues(t, files))...)
	s.pod.sync()
	e := s.event("the refusal of broken manifests", func(e object) bool { return e.text("kind") == "policy.rejected" })
	if text := asJSON(t, e["problems"]); !strings.Contains(text, "more.yaml:6") {
		t.Errorf("the event does not say where the problem is: %s", text)
	}
	s.want("the last good manifests count", 200, "GET", "/rest/api/2/issue/JRA-9", "Bearer "+value)
	if ok, why := s.pod.probe(s.spec, "livenessProbe"); !ok {
		t.Errorf("broken manifests restart the pod: %s", why)
	}

	// The way back: a good ConfigMap, and the pod takes it up by itself.
	ns.run(append(append([]string{"upgrade"}, args...), manifestValues(t, readFiles(t, dir)))...)
	s.pod.sync()
	s.event("the next load", func(e object) bool {
		return e.text("kind") == "policy.loaded" && e.at("seq").(float64) > s.firstRejection()
	})
	s.ends()

	ns.run(append(append([]string{"upgrade"}, args...), manifestValues(t, files))...)
	second := newPod(ns, podTemplate(ns.get("deployment", release)))
	c := second.start(named(t, second.containers(), "patgate"))
	if code := c.wait(time.Minute); code != 2 {
		t.Errorf("started on broken manifests: exit code %d", code)
	}
	if !strings.Contains(c.log.String(), "more.yaml:6") {
		t.Errorf("the log, which Kubernetes shows for a pod that ended, does not say where the problem is: %s", c.log.String())
	}
}

// firstRejection is the number of the first event of refused manifests.
func (s *served) firstRejection() float64 {
	return s.event("a refusal", func(e object) bool { return e.text("kind") == "policy.rejected" })["seq"].(float64)
}

// TestConfigMaps takes manifests into the API server and out of it again, as files of a
// volume: what comes back is what was put, byte for byte, and `patgate check` is content
// with it. (Except for newlines at
// the end: helm 4 adds one to several, helm 3 leaves one.)
func TestConfigMaps(t *testing.T) {
	ns := newNamespace(t)
	dir := t.TempDir()
	tricky := map[string]string{
		"gate.yaml":    "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata:\n  name: jira\nspec:\n  schemes: [basic]\n",
		"braces.yaml":  "# {{ .Values.x }} and $(POD_IP) stay as they are\napiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata:\n  name: a\nspec:\n  members: ['{{ b }}']\n",
		"crlf.yaml":    "apiVersion: patgate.dev/v1alpha1\r\nkind: UserGroup\r\nmetadata:\r\n  name: b\r\nspec:\r\n  members: [\"é\"]\r\n",
		"no-end.yaml":  "apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata:\n  name: c\nspec:\n  members: [x]",
		"two.yaml":     "---\napiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata:\n  name: d\nspec:\n  members: [y]\n---\n\n\n",
		"blanks.yaml":  "\n\n  # begins with blanks\napiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata:\n  name: e\nspec:\n  members: [z]   \n\n\n",
		"comment.yaml": "# nothing but a comment\n",
	}
	for _, helm := range helms {
		ns.helm = helm
		ns.run("upgrade", "--install", release, chart, "--set", "insecureListen=true", "-f", manifestValues(t, tricky))
		data := ns.get("configmap", release+"-manifests")["data"].(map[string]any)
		for name, text := range tricky {
			if got, _ := data[name].(string); strings.TrimRight(got, "\n") != strings.TrimRight(text, "\n") {
				t.Errorf("%s: %s came back as %q, was %q", helm, name, got, text)
			}
		}
		p := newPod(ns, podTemplate(ns.get("deployment", release)))
		patgate(t, "check", p.volume("manifests"))
		ns.run("uninstall", release)
	}
	for name, text := range tricky {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ns.kubectl("create", "configmap", "mine", "--from-file="+dir)
	for name, text := range tricky {
		if got := ns.get("configmap", "mine").at("data", name); got != text {
			t.Errorf("kubectl: %s came back as %q, was %q", name, got, text)
		}
	}
}
