//go:build kube

package kube

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/patgate/patgate/token"
)

// manager is a management whose tokens are objects of a namespace.
type manager struct {
	t      *testing.T
	url    string
	events string // the file of its audit events
	logs   string
	value  token.Secret // of an administrator's token
}

// office are the objects of a namespace whose tokens are managed: root is an administrator.
func office(value token.Secret) string {
	return fmt.Sprintf(`apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: g}
spec: {hosts: [g.example.com], schemes: [bearer]}
---
apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: tokens}
spec: {hosts: [tokens.example.com], schemes: [bearer]}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: admins}
spec: {members: [root], admin: true}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: staff}
spec: {members: [alice], tokens: {create: true, max: 3, maxLifetime: 30d}}
---
apiVersion: patgate.dev/v1alpha1
kind: APIToken
metadata: {name: boss}
spec: {user: root, unrestricted: true, issued: "2026-01-01T00:00:00Z", digest: %q}
`, token.Sum(value).String())
}

// kubeconfigAs writes the kubeconfig of who has a token for the API server.
func (c *cluster) kubeconfigAs(t *testing.T, bearer string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: u, user: {token: %s}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, c.url, filepath.Join(c.dir, "certs", "apiserver.crt"), bearer)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startManager runs patgate manage on the objects of a namespace.
func startManager(ns *namespace, t *testing.T, bearer string, value token.Secret, args ...string) *manager {
	t.Helper()
	dir, address := t.TempDir(), freeAddr()
	m := &manager{t: t, url: "http://" + address, events: filepath.Join(dir, "events"), logs: filepath.Join(dir, "logs"), value: value}
	cmd := exec.Command(binary, append([]string{"manage", "--kubernetes", "--kubeconfig", ns.c.kubeconfigAs(t, bearer), "--namespace", ns.name, "--listen", address, "--gate", "tokens"}, args...)...)
	for file, to := range map[string]*io.Writer{m.events: &cmd.Stdout, m.logs: &cmd.Stderr} {
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		*to = f
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	exited, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-exited
		if t.Failed() {
			text, _ := os.ReadFile(m.logs)
			t.Logf("the log of the management:\n%s", text)
		}
	})
	return m
}

// up waits until the management answers.
func (m *manager) up() *manager {
	m.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		answer, err := http.Get(m.url + "/api/v1/openapi.json")
		if err == nil {
			answer.Body.Close()
			return m
		}
		if time.Now().After(deadline) {
			m.t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// ask sends a request of the API, and returns its status and answer.
func (m *manager) ask(method, path, body string, value token.Secret) (int, map[string]any) {
	m.t.Helper()
	r, err := http.NewRequest(method, m.url+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+value.Reveal())
	r.Header.Set("Content-Type", map[bool]string{true: "application/merge-patch+json", false: "application/json"}[method == "PATCH"])
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil && len(text) > 0 {
		m.t.Fatalf("%d %s", answer.StatusCode, text)
	}
	return answer.StatusCode, v
}

// must is ask by the administrator, which must have a status.
func (m *manager) must(status int, method, path, body string) map[string]any {
	m.t.Helper()
	got, v := m.ask(method, path, body, m.value)
	if got != status {
		delete(v, "value")
		m.t.Fatalf("%s %s: %d %v, want %d", method, path, got, v, status)
	}
	return v
}

// page reads a page as the administrator.
func (m *manager) page(path string) (int, string) {
	m.t.Helper()
	r, err := http.NewRequest("GET", m.url+path, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+m.value.Reveal())
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestManageObjects manages the tokens of a namespace over the API: by a process of its own that waits for a server, and by
// the server itself. A change is in force before its answer, and the objects say who has made it.
func TestManageObjects(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	value := token.Mint()
	ns.apply(office(value))
	within := freeAddr()
	f := follow(ns, ns.c.url, "--namespace", ns.name, "--manage-listen", within, "--manage-gate", "tokens").ready()
	alone := startManager(ns, t, ns.c.token, value, "--gate-status", "http://"+f.status)
	inServe := &manager{t: t, url: "http://" + within, value: value, logs: f.logs}
	asked := func(secret string) int {
		r, err := http.NewRequest("GET", f.url+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "g.example.com"
		r.Header.Set("Authorization", "Bearer "+secret)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	for i, m := range []*manager{alone, inServe} {
		m.up()
		made := m.must(201, "POST", "/api/v1/tokens", fmt.Sprintf(`{"displayName": "CI %d", "user": "alice", "limitTo": ["[get]/x"], "gates": ["g"], "expiresIn": "7d"}`, i))
		name, secret := made["name"].(string), made["value"].(string)
		path := "/api/v1/tokens/" + name
		if made["inForce"] != true || asked(secret) != 200 {
			t.Fatalf("created: in force %v", made["inForce"])
		}
		object := ns.get("pat", name)
		if object.at("metadata", "annotations").(map[string]any)["patgate.dev/created-by"] != "root" || strings.Contains(fmt.Sprint(object), secret) {
			t.Errorf("created: %v", object)
		}
		changed := m.must(200, "PATCH", path, `{"description": "nightly build", "limitTo": ["[get]/x", "[get]/y"]}`)
		if changed["inForce"] != true || ns.get("pat", name).text("spec", "description") != "nightly build" {
			t.Errorf("changed: %v", changed)
		}
		m.must(200, "PATCH", path, `{"description": null}`)
		if ns.get("pat", name).at("spec", "description") != nil {
			t.Error("a field that is taken away stays")
		}
		rotated := m.must(200, "POST", path+":rotate", "")
		if next := rotated["value"].(string); rotated["inForce"] != true || asked(next) != 200 || asked(secret) != 401 {
			t.Errorf("rotated: in force %v", rotated["inForce"])
		} else {
			secret = next
		}
		if v := m.must(200, "PATCH", path, `{"suspended": true}`); v["inForce"] != true || asked(secret) != 401 {
			t.Errorf("suspended: %v", v["inForce"])
		}
		if v := m.must(200, "PATCH", path, `{"suspended": false}`); v["inForce"] != true || asked(secret) != 200 {
			t.Errorf("no longer suspended: %v", v["inForce"])
		}
		if v := m.must(200, "POST", path+":revoke", ""); v["inForce"] != true || asked(secret) != 401 {
			t.Errorf("revoked: %v", v["inForce"])
		}
		list := m.must(200, "GET", "/api/v1/tokens", "")
		if text := fmt.Sprint(list); !strings.Contains(text, name) || !strings.Contains(text, "revoked") || strings.Contains(text, ns.name+"/"+name) {
			t.Errorf("listed: %v", list)
		}
		m.must(404, "GET", "/api/v1/tokens/none", "")
		page, err := http.NewRequest("GET", m.url+"/tokens/"+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		page.Header.Set("Authorization", "Bearer "+value.Reveal())
		if answer, err := http.DefaultClient.Do(page); err != nil || answer.StatusCode != 200 {
			t.Errorf("the page of the token: %v, %v", answer, err)
		}
	}
	f.event(`"token.created"`, ns.name+"/ci-1")
	text, err := os.ReadFile(alone.events)
	if err != nil || !strings.Contains(string(text), `"token.created"`) || !strings.Contains(string(text), ns.name+"/ci-0") {
		t.Errorf("the events of the management: %s", text)
	}
}

// TestManageKeepsOwners changes tokens whose fields others apply, as Argo CD and Flux do: a change that they would take back is
// refused with their name, and a revocation or a suspension is written all the same.
func TestManageKeepsOwners(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	value := token.Mint()
	ns.apply(strings.Replace(office(value), ", maxLifetime: 30d", "", 1))
	git := tokenOf("ci", 1, `description: "of Git", limitTo: "[get]/x", gates: [g], suspended: false`)
	ns.pipe(git, "apply", "--server-side", "--field-manager", "argocd-controller", "-f", "-")
	ns.pipe(tokenOf("flux", 2, "unrestricted: true"), "apply", "--field-manager", "kustomize-controller", "-f", "-")
	m := startManager(ns, t, ns.c.token, value).up()
	for _, c := range []struct{ token, body, field, owner string }{
		{"ci", `{"description": "mine"}`, "spec.description", "argocd-controller"},
		{"ci", `{"description": null}`, "spec.description", "argocd-controller"},
		{"ci", `{"limitTo": ["[get]/y"]}`, "spec.limitTo", "argocd-controller"},
		{"ci", `{"suspended": false, "gates": null}`, "spec.gates", "argocd-controller"},
		{"flux", `{"unrestricted": null, "limitTo": ["[get]/y"]}`, "spec.unrestricted", "kustomize-controller"},
	} {
		v := m.must(409, "PATCH", "/api/v1/tokens/"+c.token, c.body)
		if detail := fmt.Sprint(v["detail"]); !strings.Contains(detail, c.field) || !strings.Contains(detail, c.owner) || v["reason"] != "not_editable" {
			t.Errorf("%s: %v", c.body, v)
		}
	}
	v := m.must(409, "POST", "/api/v1/tokens/ci:rotate", "")
	if detail := fmt.Sprint(v["detail"]); !strings.Contains(detail, "spec.digest") || v["value"] != nil {
		t.Errorf("rotated: %s", detail)
	}
	before := ns.get("pat", "ci")
	m.must(200, "PATCH", "/api/v1/tokens/ci", `{"displayName": "CI"}`) // a field that nobody else sets
	ns.pipe(git, "apply", "--server-side", "--field-manager", "argocd-controller", "-f", "-")
	after := ns.get("pat", "ci")
	if after.text("spec", "displayName") != "CI" || after.text("spec", "description") != before.text("spec", "description") {
		t.Errorf("Git was applied again: %v", after.at("spec"))
	}
	m.must(200, "PATCH", "/api/v1/tokens/ci", `{"suspended": true}`)
	if ns.get("pat", "ci").at("spec", "suspended") != true {
		t.Error("a suspension is not written")
	}
	for _, name := range []string{"ci", "flux"} {
		m.must(200, "POST", "/api/v1/tokens/"+name+":revoke", "")
		if ns.get("pat", name).text("spec", "revoked") == "" {
			t.Errorf("the revocation of %s is not written", name)
		}
	}
	// A token that is not accepted, and one whose values a controller makes, are shown, suspended and revoked.
	ns.apply(tokenOf("lost", 3, "policies: [none]") + "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: robot}\nspec: {user: alice, secret: {name: robot}, unrestricted: true}\n")
	text := ""
	defer func() {
		if t.Failed() {
			t.Logf("listed: %s", text)
		}
	}()
	ns.until(10*time.Second, "both are listed", func() bool {
		text = fmt.Sprint(m.must(200, "GET", "/api/v1/tokens?user=alice", ""))
		return strings.Contains(text, "notAccepted:spec.policies[0]") && strings.Contains(text, "secret:robot")
	})
	if v := m.must(200, "POST", "/api/v1/tokens:revoke", `{"names": ["lost", "robot"], "dryRun": true}`); fmt.Sprint(v["names"]) != "[lost robot]" {
		t.Errorf("to be revoked with others: %v", v)
	}
	if v := m.must(409, "POST", "/api/v1/tokens/robot:rotate", ""); v["reason"] != "not_editable" {
		t.Errorf("rotated: %v", v)
	}
	for name, why := range map[string]string{"lost": "it is not accepted: spec.policies[0]: no TokenPolicy is called none", "robot": "makes its value and writes it into the Secret robot"} {
		v := m.must(200, "GET", "/api/v1/tokens/"+name, "")
		if !strings.Contains(fmt.Sprint(v["why"]), why) || v["user"] != "alice" {
			t.Errorf("%s: %v", name, v)
		}
		for _, body := range []string{`{"description": "mine"}`, `{"unrestricted": true, "suspended": true}`, `{"suspended": false}`} {
			if v := m.must(409, "PATCH", "/api/v1/tokens/"+name, body); v["reason"] != "not_editable" {
				t.Errorf("%s, %s: %v", name, body, v)
			}
		}
		if v := m.must(200, "PATCH", "/api/v1/tokens/"+name, `{"suspended": true}`); v["state"] != "suspended" || v["suspendedBy"] != "root" || ns.get("pat", name).at("spec", "suspended") != true {
			t.Errorf("%s is suspended: %v", name, v)
		}
		if status, text := m.page("/tokens/" + name); status != 200 || !strings.Contains(text, "Revoke</a>") || strings.Contains(text, "Rotate</a>") || strings.Contains(text, "Change</a>") {
			t.Errorf("the page of %s: %d %s", name, status, text)
		}
		if v := m.must(200, "POST", "/api/v1/tokens/"+name+":revoke", ""); v["state"] != "revoked" || ns.get("pat", name).text("spec", "revoked") == "" {
			t.Errorf("the revocation of %s: %v", name, v)
		}
	}
	m.must(201, "POST", "/api/v1/tokens", `{"displayName": "more", "unrestricted": true}`) // they are in nobody's way
	ns.pipe(git, "apply", "--server-side", "--force-conflicts", "--field-manager", "argocd-controller", "-f", "-")
	if ns.get("pat", "ci").text("spec", "revoked") == "" {
		t.Error("applying Git again has taken the revocation back")
	}
}
