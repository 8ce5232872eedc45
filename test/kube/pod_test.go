//go:build kube

package kube

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/test/configmap"
)

// nonroot is the user of the image where a pod names none.
const nonroot = 65532

// entrypoint is where the image has patgate.
const entrypoint = "/patgate"

// pod is a pod that the API server has admitted, with a kubelet's state of it.
type pod struct {
	ns      *namespace
	object  object
	ip      string // of loopback: all of 127.0.0.0/8 is, so each pod has the ports of its manifest
	dir     string
	volumes map[string]*configmap.Mount // those that follow their ConfigMaps
}

// newPod makes a pod of a template, as a controller would, and has the API server admit
// it: what comes back has its defaults, its service account, and keeps to the namespace's
// pod security standard.
func newPod(ns *namespace, template object) *pod {
	ns.t.Helper()
	o := object{"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
		"metadata": map[string]any{"name": ns.name + "-0", "labels": template.at("metadata", "labels"), "annotations": template.at("metadata", "annotations")}}
	text, err := json.Marshal(o)
	if err != nil {
		ns.t.Fatal(err)
	}
	admitted := decode(ns.t, ns.pipe(string(text), "create", "--dry-run=server", "-o", "json", "-f", "-"))
	ip := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250))
	return &pod{ns: ns, object: admitted, ip: ip, dir: ns.t.TempDir(), volumes: map[string]*configmap.Mount{}}
}

// containers lists those that run for as long as the pod does: init containers that
// restart always, then the others.
func (p *pod) containers() []object {
	var list []object
	for _, c := range p.items("initContainers") {
		if c.text("restartPolicy") == "Always" {
			list = append(list, c)
		}
	}
	return append(list, p.items("containers")...)
}

func (p *pod) items(field string) []object { return objects(p.object.at("spec", field)) }

// objects turns a list of JSON into objects.
func objects(list any) []object {
	var all []object
	entries, _ := list.([]any)
	for _, e := range entries {
		if m, ok := e.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

// named picks a container, or a port, by its name.
func named(t testing.TB, list []object, name string) object {
	t.Helper()
	for _, o := range list {
		if o.text("name") == name {
			return o
		}
	}
	t.Fatalf("nothing is named %s", name)
	return nil
}

// start runs a container of the pod with patgate as its image.
func (p *pod) start(c object) *container {
	t := p.ns.t
	t.Helper()
	spec := containerSpec{Program: binary, Entrypoint: entrypoint, UID: p.id(c, "runAsUser"), GID: p.id(c, "runAsGroup"),
		ReadOnlyRoot: c.at("securityContext", "readOnlyRootFilesystem") == true}
	if group, ok := p.object.at("spec", "securityContext", "fsGroup").(float64); ok {
		spec.Groups = append(spec.Groups, int(group))
	}
	env, lookup := p.environment(c)
	spec.Env = env
	for _, a := range texts(c["args"]) {
		spec.Args = append(spec.Args, expand(a, lookup))
	}
	if command := texts(c["command"]); len(command) > 0 {
		if command[0] != entrypoint && command[0] != filepath.Base(entrypoint) {
			t.Fatalf("the container runs %s, expected %s", command[0], entrypoint)
		}
		spec.Args = append(command[1:], spec.Args...)
	}
	for _, m := range objects(c["volumeMounts"]) {
		if m.text("subPath") != "" || m.text("subPathExpr") != "" {
			t.Fatalf("%s is mounted by subPath: it would never change", m.text("mountPath"))
		}
		spec.Mounts = append(spec.Mounts, mount{p.volume(m.text("name")), m.text("mountPath"), m["readOnly"] == true})
	}
	return startContainer(t, spec)
}

// id is the user or group of a container: its own, the pod's, or the image's.
func (p *pod) id(c object, field string) int {
	for _, v := range []any{c.at("securityContext", field), p.object.at("spec", "securityContext", field)} {
		if n, ok := v.(float64); ok {
			return int(n)
		}
	}
	return nonroot
}

// environment resolves a container's variables as the kubelet does, in their order.
func (p *pod) environment(c object) ([]string, map[string]string) {
	known, list := map[string]string{}, []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOSTNAME=" + p.object.text("metadata", "name")}
	if p.object.at("spec", "enableServiceLinks") != false {
		for _, s := range p.ns.list("service") {
			ip := s.text("spec", "clusterIP")
			if ip == "" || ip == "None" {
				continue
			}
			name := strings.ToUpper(strings.ReplaceAll(s.text("metadata", "name"), "-", "_"))
			list = append(list, name+"_SERVICE_HOST="+ip, name+"_PORT=tcp://"+ip)
		}
	}
	for _, e := range objects(c["env"]) {
		value := expand(e.text("value"), known)
		if from := e.at("valueFrom"); from != nil {
			value = p.source(c, from.(map[string]any))
		}
		known[e.text("name")] = value
		list = append(list, e.text("name")+"="+value)
	}
	if c["envFrom"] != nil {
		p.ns.t.Fatal("envFrom: the rig does not know it")
	}
	return list, known
}

// source is the value of a variable that comes from elsewhere.
func (p *pod) source(c, from object) string {
	if field := from.text("fieldRef", "fieldPath"); field != "" {
		switch field {
		case "status.podIP", "status.podIPs":
			return p.ip
		case "status.hostIP":
			return "127.0.0.1"
		}
		if value := p.object.text(strings.Split(field, ".")...); value != "" {
			return value
		}
	}
	if resource := from.text("resourceFieldRef", "resource"); resource != "" {
		kind, name, _ := strings.Cut(resource, ".")
		divisor := quantity(p.ns.t, or(from.text("resourceFieldRef", "divisor"), "1"))
		if divisor == 0 {
			divisor = 1
		}
		limit := c.text("resources", kind, name)
		if limit == "" {
			p.ns.t.Fatalf("resourceFieldRef %s: the container has none, and would get the node's", resource)
		}
		return strconv.FormatInt(int64((quantity(p.ns.t, limit)+divisor-1)/divisor), 10)
	}
	for field, kind := range map[string]string{"configMapKeyRef": "configmap", "secretKeyRef": "secret"} {
		if name := from.text(field, "name"); name != "" {
			if value, ok := p.content(kind, name, false)[from.text(field, "key")]; ok {
				return value
			}
		}
	}
	p.ns.t.Fatalf("a variable's source that the rig does not know: %v", from)
	return ""
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

var suffixes = map[string]float64{"": 1, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}

// quantity reads one, such as 128Mi or 500m; fractions of one count as one.
func quantity(t testing.TB, text string) float64 {
	t.Helper()
	number := strings.TrimRight(text, "mkMGKi")
	n, err := strconv.ParseFloat(number, 64)
	factor, ok := suffixes[text[len(number):]]
	if err != nil || !ok {
		t.Fatalf("%q is no quantity that the rig knows", text)
	}
	return n * factor
}

var reference = regexp.MustCompile(`\$\$|\$\(([-._a-zA-Z0-9]+)\)`)

// expand replaces $(NAME); $$ is a dollar, and a name that is not known stays.
func expand(text string, known map[string]string) string {
	return reference.ReplaceAllStringFunc(text, func(m string) string {
		if m == "$$" {
			return "$"
		}
		if value, ok := known[m[2:len(m)-1]]; ok {
			return value
		}
		return m
	})
}

func texts(list any) []string {
	var all []string
	entries, _ := list.([]any)
	for _, e := range entries {
		all = append(all, fmt.Sprint(e))
	}
	return all
}

// port finds the number of a port of a container, which a probe or a Service gives by
// number or by name.
func (p *pod) port(c object, port any) int {
	p.ns.t.Helper()
	if name, ok := port.(string); ok {
		n, _ := named(p.ns.t, objects(c["ports"]), name)["containerPort"].(float64)
		return int(n)
	}
	n, _ := port.(float64)
	return int(n)
}

// probe runs a probe of a container as the kubelet does, and reports whether it succeeds.
func (p *pod) probe(c object, field string) (bool, string) {
	t := p.ns.t
	t.Helper()
	get, ok := c.at(field, "httpGet").(map[string]any)
	if !ok {
		t.Fatalf("%s is no httpGet: %v", field, c[field])
	}
	host := or(object(get).text("host"), p.ip)
	url := strings.ToLower(or(object(get).text("scheme"), "HTTP")) + "://" + host + ":" + strconv.Itoa(p.port(c, get["port"])) + object(get).text("path")
	seconds, _ := c.at(field, "timeoutSeconds").(float64)
	client := http.Client{Timeout: time.Duration(max(seconds, 1)) * time.Second}
	defer client.CloseIdleConnections()
	answer, err := client.Get(url)
	if err != nil {
		return false, err.Error()
	}
	answer.Body.Close()
	return answer.StatusCode >= 200 && answer.StatusCode < 400, url + ": " + answer.Status
}

// grace is how long the kubelet waits before SIGKILL.
func (p *pod) grace() time.Duration {
	seconds, _ := p.object.at("spec", "terminationGracePeriodSeconds").(float64)
	return time.Duration(seconds) * time.Second
}
