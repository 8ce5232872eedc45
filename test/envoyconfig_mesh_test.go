//go:build mesh

package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/patgate/patgate/token"
)

// What `patgate envoy-config` prints for Istio and Envoy Gateway, made into an Envoy by
// their own generators (`make test-mesh` builds them), and run in front of a real patgate.

// mesh is a patgate behind the gateway of a mesh.
type mesh struct {
	*patgate
	api     *upstream
	clients string // where the gateway listens
	value   string // of the token ci
	dir     string // of the manifests
}

func startMesh(t *testing.T, manifests func(value string) string) *mesh {
	t.Helper()
	m := &mesh{value: token.Mint().Reveal(), api: startUpstream(t), clients: freeAddr(t)}
	m.dir = manifestsOf(t, manifests(m.value))
	m.patgate = startPatgate(t, m.dir)
	return m
}

// generate runs a generator of a mesh, with the test's addresses in its input.
func generate(t *testing.T, variable string, args ...string) []byte {
	t.Helper()
	binary := os.Getenv(variable)
	if binary == "" {
		t.Fatalf("%s is not set: run `make test-mesh`", variable)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(binary), strings.Join(args, " "), err, errs.String())
	}
	t.Logf("%s", errs.String())
	return out.Bytes()
}

// ported puts the test's ports into the lines of a file that name them.
func (m *mesh) ported(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "mesh", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for mark, address := range map[string]string{"CLIENTS": m.clients, "UPSTREAM": m.api.addr, "PATGATE": m.addr} {
		marked := regexp.MustCompile(`(?m)\d{4}([^\d\n]*# ` + mark + `)$`)
		if !marked.MatchString(text) {
			t.Fatalf("%s has no line marked %s", name, mark)
		}
		text = marked.ReplaceAllString(text, portNumber(t, address)+"$1")
	}
	return text
}

func portNumber(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// gatewayCases are the cases of the other configurations, where bodies can't be sent for
// some routes alone: they are buffered on all.
func gatewayCases(value string) []gatesCase {
	cases := gatesCases(value)
	for i := range cases {
		if strings.HasPrefix(cases[i].name, "as large a body") {
			cases[i].name, cases[i].status, cases[i].reason = "a large body where no rule reads one: Envoy buffers it all the same", 413, ""
		}
	}
	return cases
}

// istio boots the gateway that Istio makes of the objects, after an edit.
func (m *mesh) istio(t *testing.T, edit func(string) string) {
	t.Helper()
	objects := envoyConfig(t, "--for", "istio", "--manifests", m.dir)
	// The mesh's own mTLS needs istiod and its agents, which are not here.
	objects = replacing(t, "tls: {mode: ISTIO_MUTUAL}", "tls: {mode: DISABLE}")(objects)
	if edit != nil {
		objects = edit(objects)
	}
	dir, admin := t.TempDir(), freeAddr(t)
	write(t, filepath.Join(dir, "values.yaml"), envoyConfig(t, "--for", "istio-mesh", "--manifests", m.dir))
	write(t, filepath.Join(dir, "objects.yaml"), objects)
	write(t, filepath.Join(dir, "around.yaml"), m.ported(t, "istio.yaml"))
	config := generate(t, "PATGATE_ISTIO_ENVOY", "-mesh", filepath.Join(dir, "values.yaml"), "-admin", admin,
		filepath.Join(dir, "objects.yaml"), filepath.Join(dir, "around.yaml"))
	validate(t, string(config))
	startEnvoy(t, string(config), admin)
}

func TestMeshIstio(t *testing.T) {
	m := startMesh(t, twoGates)
	m.istio(t, nil)
	runGates(t, plainClient, "http://"+m.clients, m.api, gatewayCases(m.value), m.patgate)
	m.stop(syscall.SIGTERM)
	wantClosed(t, plainClient, "http://"+m.clients, m.api, m.value)
}

// TestMeshIstioOrder looks at CUSTOM beside DENY and ALLOW: patgate is asked first, and
// all of them must let a request pass.
func TestMeshIstioOrder(t *testing.T) {
	m := startMesh(t, twoGates)
	m.istio(t, func(objects string) string {
		policy := func(action, path string) string {
			return "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: " + strings.ToLower(action) + ", namespace: default}\n" +
				"spec:\n  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: api}]\n  action: " + action +
				"\n  rules: [{to: [{operation: {paths: [" + path + "]}}]}]\n"
		}
		return objects + policy("DENY", "/rest/issue/secret") + policy("ALLOW", "/rest/issue/*")
	})
	good := "Bearer " + m.value
	for _, c := range []struct {
		path, authorization string
		status              int
		reason              string // of patgate's event
	}{
		{"/rest/issue/1", good, 200, "ok"},
		{"/rest/issue/1", "", 401, "no_credential"},
		{"/rest/issue/secret", good, 403, "ok"}, // DENY, after patgate's allow
		{"/rest/other", good, 403, "ok"},        // no ALLOW
	} {
		before := len(m.decisions())
		got := send(t, plainClient, "http://"+m.clients, ask{path: c.path, host: "jira.example.com", authorization: c.authorization})
		m.wantDecisions(before + 1)
		if reason := m.decisions()[before].Reason; got.status != c.status || reason != c.reason {
			t.Errorf("%s: status %d, patgate said %s; want %d, %s", c.path, got.status, reason, c.status, c.reason)
		}
	}
}

// TestMeshIstioRules shows what a CUSTOM policy with rules does to the requests that none
// of them matches: they pass unasked, but for deny_at_disable.
func TestMeshIstioRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		edit   func(string) string
		status int
	}{
		{"as printed, with rules", func(s string) string { return s }, 503},
		{"without deny_at_disable", replacing(t, "          deny_at_disable:\n            default_value: true\n            runtime_key: patgate.deny_at_disable\n", ""), 200},
	} {
		m := startMesh(t, twoGates)
		m.istio(t, func(objects string) string {
			return c.edit(replacing(t, "  rules:\n  - {}\n", "  rules: [{to: [{operation: {paths: [/rest/*]}}]}]\n")(objects))
		})
		if got := send(t, plainClient, "http://"+m.clients, ask{path: "/rest/issue/1", host: "jira.example.com"}); got.status != 401 {
			t.Errorf("%s: a path of the rules: status %d", c.name, got.status)
		}
		if got := send(t, plainClient, "http://"+m.clients, ask{path: "/other", host: "jira.example.com"}); got.status != c.status {
			t.Errorf("%s: another path: status %d, want %d", c.name, got.status, c.status)
		}
		m.wantDecisions(1)
	}
}

// envoyGateway boots the Envoy that Envoy Gateway's translator makes of the objects, after
// an edit.
func (m *mesh) envoyGateway(t *testing.T, edit func(string) string) {
	t.Helper()
	objects := envoyConfig(t, "--for", "envoy-gateway", "--manifests", m.dir, "--patgate", "patgate.patgate.svc.cluster.local:"+portNumber(t, m.addr))
	if edit != nil {
		objects = edit(objects)
	}
	file := filepath.Join(t.TempDir(), "objects.yaml")
	write(t, file, m.ported(t, "envoy-gateway.yaml")+"---\n"+objects)
	out := generate(t, "PATGATE_EGCTL", "experimental", "translate", "--from", "gateway-api", "--to", "gateway-api,xds", "--type", "all", "--output", "json", "--file", file)
	admin := freeAddr(t)
	config := staticConfig(t, out, admin)
	validate(t, config)
	startEnvoy(t, config, admin)
}

func TestMeshEnvoyGateway(t *testing.T) {
	m := startMesh(t, twoGates)
	m.envoyGateway(t, nil)
	runGates(t, plainClient, "http://"+m.clients, m.api, gatewayCases(m.value), m.patgate)
	m.stop(syscall.SIGTERM)
	wantClosed(t, plainClient, "http://"+m.clients, m.api, m.value)
}

// TestMeshEnvoyGatewayWithoutPatches runs the objects where EnvoyPatchPolicy is off, as it
// is by default: no decision is another one.
func TestMeshEnvoyGatewayWithoutPatches(t *testing.T) {
	m := startMesh(t, twoGates)
	m.envoyGateway(t, func(objects string) string {
		at := strings.LastIndex(objects, "---\n")
		if !strings.Contains(objects[at:], "kind: EnvoyPatchPolicy") {
			t.Fatal("the last object is no EnvoyPatchPolicy")
		}
		return objects[:at]
	})
	runGates(t, plainClient, "http://"+m.clients, m.api, gatewayCases(m.value), m.patgate)
}

// TestMeshEnvoyGatewayClientAddress counts proxies as a gate counts them.
func TestMeshEnvoyGatewayClientAddress(t *testing.T) {
	for hops, want := range map[int]string{0: "127.0.0.1", 1: "203.0.113.7", 2: "198.51.100.1"} {
		m := startMesh(t, func(value string) string {
			return kind("jira", "Gate", fmt.Sprintf("schemes: [bearer]\nclientIP: {source: xff, trustedHops: %d}\nanonymous: {unrestricted: true}\n", hops))
		})
		m.envoyGateway(t, nil)
		got := send(t, plainClient, "http://"+m.clients, ask{path: "/", header: map[string]string{"X-Forwarded-For": "192.0.2.1, 198.51.100.1, 203.0.113.7"}})
		e := eventOf(t, got.header.Get("x-patgate-id"), m.patgate)
		if hops == 0 && e.Client != "" && e.Client != "203.0.113.7" && e.Client != "198.51.100.1" {
			want = e.Client // Envoy writes its own address for a peer on loopback
		}
		if e.Client != want {
			t.Errorf("%d hops: the client is %s, want %s", hops, e.Client, want)
		}
	}
}

// staticConfig makes a configuration that boots of a translation: what Envoy would get
// from the control plane piece by piece stands in one place.
func staticConfig(t *testing.T, translated []byte, admin string) string {
	t.Helper()
	var result struct {
		XDS map[string]struct{ Configs []map[string]any }
	}
	if err := json.Unmarshal(translated, &result); err != nil {
		t.Fatal(err)
	}
	x := xds{t: t, assignments: map[string]any{}, routes: map[string]any{}}
	for _, dump := range result.XDS {
		for _, c := range dump.Configs {
			x.read(c)
		}
	}
	for i := range x.clusters {
		x.settle(x.clusters[i].(map[string]any))
	}
	for i := range x.listeners {
		x.inlineRoutes(x.listeners[i])
	}
	host, port, err := net.SplitHostPort(admin)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"node":  map[string]any{"id": "gateway", "cluster": "gateway"},
		"admin": map[string]any{"address": map[string]any{"socket_address": map[string]any{"address": host, "port_value": json.Number(port)}}},
		// As in Envoy Gateway's bootstrap.
		"layered_runtime":  map[string]any{"layers": []any{map[string]any{"name": "static", "static_layer": map[string]any{"re2.max_program_size.error_level": 4294967295}}}},
		"static_resources": map[string]any{"listeners": x.listeners, "clusters": x.clusters},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// xds is what a control plane would send.
type xds struct {
	t                   *testing.T
	listeners, clusters []any
	assignments, routes map[string]any // by name
}

// read takes one dump of a config_dump.
func (x *xds) read(dump map[string]any) {
	each := func(list, state, field string, take func(map[string]any)) {
		entries, _ := dump[list].([]any)
		for _, e := range entries {
			entry := e.(map[string]any)
			if state != "" {
				entry, _ = entry[state].(map[string]any)
			}
			if resource, ok := entry[field].(map[string]any); ok {
				delete(resource, "@type")
				take(resource)
			}
		}
	}
	each("dynamicListeners", "activeState", "listener", func(r map[string]any) { x.listeners = append(x.listeners, r) })
	each("dynamicActiveClusters", "", "cluster", func(r map[string]any) { x.clusters = append(x.clusters, r) })
	each("dynamicRouteConfigs", "", "routeConfig", func(r map[string]any) { x.routes[fmt.Sprint(r["name"])] = r })
	each("dynamicEndpointConfigs", "", "endpointConfig", func(r map[string]any) { x.assignments[fmt.Sprint(r["clusterName"])] = r })
}

// settle gives a cluster the endpoints that it would ask for.
func (x *xds) settle(cluster map[string]any) {
	if cluster["type"] != "EDS" {
		return
	}
	name := fmt.Sprint(cluster["name"])
	if service, ok := cluster["edsClusterConfig"].(map[string]any)["serviceName"]; ok {
		name = fmt.Sprint(service)
	}
	if x.assignments[name] == nil {
		x.t.Fatalf("no endpoints of cluster %s", name)
	}
	cluster["type"], cluster["loadAssignment"] = "STATIC", x.assignments[name]
	delete(cluster, "edsClusterConfig")
}

// inlineRoutes puts routes where they are asked for.
func (x *xds) inlineRoutes(node any) {
	switch v := node.(type) {
	case []any:
		for _, e := range v {
			x.inlineRoutes(e)
		}
	case map[string]any:
		if rds, ok := v["rds"].(map[string]any); ok {
			name := fmt.Sprint(rds["routeConfigName"])
			if x.routes[name] == nil {
				x.t.Fatalf("no route configuration %s", name)
			}
			v["routeConfig"] = x.routes[name]
			delete(v, "rds")
		}
		for _, e := range v {
			x.inlineRoutes(e)
		}
	}
}
