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
	"slices"
	"strings"
	"syscall"
	"testing"
)

// What `patgate envoy-config` prints for Envoy Gateway, made into an Envoy by its own
// translator (`make test-mesh` builds it), and run in front of a real patgate.

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

// envoyGateway boots the Envoy that Envoy Gateway's translator makes of the objects, after
// an edit, and returns its configuration.
func (m *mesh) envoyGateway(t *testing.T, edit func(string) string, flags ...string) string {
	t.Helper()
	objects := envoyConfig(t, append(flags, "--for", "envoy-gateway", "--manifests", m.dir, "--patgate", "patgate.patgate.svc.cluster.local:"+portOfAddress(t, m.addr))...)
	if edit != nil {
		objects = edit(objects)
	}
	file := filepath.Join(t.TempDir(), "objects.yaml")
	write(t, file, m.ported(t, "envoy-gateway.yaml", m.status)+"---\n"+objects)
	out := generate(t, "ENVOY_GATEWAY_XDS", file)
	admin := freeAddr(t)
	config := staticConfig(t, out, admin)
	validate(t, config)
	startEnvoy(t, config, admin)
	return config
}

func portOfAddress(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// patched is the EnvoyPatchPolicy's part of the ext_authz filter.
var patched = []string{`"stripTrailingHostDot":true`, `"requestHeadersTimeout":"10s"`, `"localReplyConfig":`, `"encodeRawHeaders":true`, `"packAsBytes":true`, `"includeTlsSession":true`, `"disallowIsError":true`, `"denyAtDisable":`}

// spoken is the part of Envoy Gateway's own objects.
var spoken = []string{`"pathWithEscapedSlashesAction":"KEEP_UNCHANGED"`, `"streamIdleTimeout":"300s"`, `"timeout":"0s"`, `"ignorePortInHostMatching":true`}

func TestMeshEnvoyGateway(t *testing.T) {
	m := startMesh(t, twoGates)
	config := m.envoyGateway(t, nil)
	for _, setting := range append(spoken, patched...) {
		if !strings.Contains(config, setting) {
			t.Errorf("the configuration does not say %s", setting)
		}
	}
	runGates(t, plainClient, "http://"+m.clients, m.api, gatewayCases(m.value), m.patgate)
	m.stop(syscall.SIGTERM)
	wantClosed(t, plainClient, "http://"+m.clients, m.api, m.value)
}

// TestMeshEnvoyGatewayWithoutPatches runs the objects where EnvoyPatchPolicy is off, as it
// is by default: every decision stays the same.
func TestMeshEnvoyGatewayWithoutPatches(t *testing.T) {
	m := startMesh(t, twoGates)
	config := m.envoyGateway(t, func(objects string) string {
		at := strings.LastIndex(objects, "---\n")
		if !strings.Contains(objects[at:], "kind: EnvoyPatchPolicy") {
			t.Fatal("the last object is no EnvoyPatchPolicy")
		}
		return objects[:at]
	})
	for _, setting := range patched {
		if strings.Contains(config, setting) {
			t.Errorf("the configuration says %s without a patch", setting)
		}
	}
	for _, setting := range spoken {
		if !strings.Contains(config, setting) {
			t.Errorf("the configuration does not say %s", setting)
		}
	}
	dot := func(c gatesCase) bool { return strings.Contains(c.name, "trailing dot") } // patgate decides about it: Envoy keeps it
	runGates(t, plainClient, "http://"+m.clients, m.api, slices.DeleteFunc(gatewayCases(m.value), dot), m.patgate)
}

// TestMeshEnvoyGatewayCORS checks that a browser's preflight is answered before patgate is
// called, and that the times are those of the flags.
func TestMeshEnvoyGatewayCORS(t *testing.T) {
	m := startMesh(t, twoGates)
	config := m.envoyGateway(t, nil, "--cors-origin", "https://app.example.com", "--route-timeout", "90s", "--request-timeout", "1500ms", "--idle-timeout", "1h")
	for _, setting := range []string{`"timeout":"90s"`, `"requestTimeout":"1.500s"`, `"streamIdleTimeout":"3600s"`} {
		if !strings.Contains(config, setting) {
			t.Errorf("the configuration does not say %s", setting)
		}
	}
	page := map[string]string{"Origin": "https://app.example.com", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-on-behalf-of"}
	got := send(t, plainClient, "http://"+m.clients, ask{method: "OPTIONS", host: "jira.example.com", path: "/rest/issue", header: page})
	if got.status != 200 || got.header.Get("Access-Control-Allow-Origin") != page["Origin"] || len(m.decisions()) > 0 {
		t.Errorf("preflight: %d %v, %d decisions", got.status, got.header, len(m.decisions()))
	}
	got = send(t, plainClient, "http://"+m.clients, ask{host: "jira.example.com", path: "/rest/issue", header: map[string]string{"Origin": page["Origin"]}})
	if got.status != 401 || got.header.Get("Access-Control-Allow-Origin") != page["Origin"] || !strings.Contains(got.header.Get("Access-Control-Expose-Headers"), "x-patgate-id") {
		t.Errorf("a refusal: %d %v", got.status, got.header)
	}
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
// from the control plane piece by piece is in one place.
func staticConfig(t *testing.T, translated []byte, admin string) string {
	t.Helper()
	var resources map[string][]map[string]any // by type
	if err := json.Unmarshal(translated, &resources); err != nil {
		t.Fatal(err)
	}
	x := xds{t: t, assignments: map[string]any{}, routes: map[string]any{}}
	for _, r := range resources["type.googleapis.com/envoy.config.listener.v3.Listener"] {
		if !strings.Contains(fmt.Sprint(r["name"]), "proxy-ready") { // the pod's probe, at a port of its own
			x.listeners = append(x.listeners, r)
		}
	}
	for _, r := range resources["type.googleapis.com/envoy.config.cluster.v3.Cluster"] {
		x.clusters = append(x.clusters, r)
	}
	for _, r := range resources["type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"] {
		x.assignments[fmt.Sprint(r["clusterName"])] = r
	}
	for _, r := range resources["type.googleapis.com/envoy.config.route.v3.RouteConfiguration"] {
		x.routes[fmt.Sprint(r["name"])] = r
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

// settle gives a cluster the endpoints that it would request.
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

// inlineRoutes puts routes where they are referenced.
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
