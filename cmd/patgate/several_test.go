package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// twoGates are two APIs on two hosts.
const twoGates = `apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: jira}
spec: {hosts: [jira.example.com], schemes: [basic, bearer], upstream: {routing: exact}}
---
apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: wiki}
spec: {hosts: [wiki.example.com], schemes: [bearer], upstream: {routing: exact}}
`

// TestSeveralAPIs edits printed configurations as envoy/README.md and docs/ingress.md say, and checks the results; a
// host that does not ask patgate is found in them.
func TestSeveralAPIs(t *testing.T) {
	page, err := os.ReadFile("../../envoy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## Several APIs behind one Envoy")
	blocks := block.FindAllStringSubmatch(section, 2)
	if len(blocks) != 2 {
		t.Fatal(blocks)
	}
	t.Chdir(t.TempDir())
	writePageFile(t, filepath.Join("manifests", "gates.yaml"), []byte(twoGates))

	envoy := printed(t, "envoy-config", "--for", "standalone", "manifests")
	hosts := between(t, envoy, "            virtual_hosts:\n", "          http_filters:\n")
	envoy = strings.Replace(envoy, hosts, blocks[0][2], 1)
	envoy = strings.Replace(envoy, "  - name: patgate\n    type:", blocks[1][2]+"  - name: patgate\n    type:", 1)
	judgedAs(t, exitGood, "envoy-check", "envoy.yaml", envoy)
	open := strings.Replace(envoy, "cluster: wiki, timeout: 0s}\n", "cluster: wiki, timeout: 0s}\n                typed_per_filter_config:\n"+
		"                  envoy.filters.http.ext_authz: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}\n", 1)
	judgedAs(t, exitNo, "envoy-check", "open.yaml", open)

	nginx := printed(t, "front-config", "--for", "nginx", "manifests")
	upstream := between(t, nginx, "upstream patgate_api {\n", "server {\n")
	server := nginx[strings.Index(nginx, "server {\n    listen"):]
	second := strings.NewReplacer("patgate_api", "patgate_wiki", "8081", "8082", "jira.example.com wiki.example.com", "wiki.example.com").Replace(upstream + server)
	nginx = strings.Replace(nginx, "jira.example.com wiki.example.com", "jira.example.com", 1) + second
	judgedAs(t, exitGood, "front-check", "nginx.conf", nginx)
	at := strings.LastIndex(nginx, "        auth_request /_patgate;\n")
	judgedAs(t, exitNo, "front-check", "open.conf", nginx[:at]+strings.TrimPrefix(nginx[at:], "        auth_request /_patgate;\n"))
}

// printed is what a command prints.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(args, strings.NewReader(""), &out, &errs); code != exitGood {
		t.Fatalf("%v: %d %s", args, code, errs.String())
	}
	return out.String()
}

// between is the part of a text from one line on, until another.
func between(t *testing.T, text, from, to string) string {
	t.Helper()
	start := strings.Index(text, from)
	if start < 0 || !strings.Contains(text[start:], to) {
		t.Fatalf("no %q before %q", from, to)
	}
	return text[start : start+strings.Index(text[start:], to)]
}

// judgedAs checks a configuration together with the manifests, and compares the exit code.
func judgedAs(t *testing.T, want int, command, name, text string) {
	t.Helper()
	writePageFile(t, name, []byte(text))
	var out, errs bytes.Buffer
	if code := run([]string{command, "--strict", name, "--manifests", "manifests"}, strings.NewReader(""), &out, &errs); code != want {
		t.Errorf("%s %s: %d, want %d\n%s%s", command, name, code, want, out.String(), errs.String())
	}
}
