package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/token"
)

// The gateway that Istio would make of what `patgate envoy-config` prints, put together by
// istiod's rules (testdata/mesh/istio-gateway.yaml) and run by a real Envoy. istiod itself
// was not seen.

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

// ported puts the test's ports into the lines of a file that name them.
func (m *mesh) ported(t *testing.T, name, admin string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "mesh", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for mark, address := range map[string]string{"CLIENTS": m.clients, "UPSTREAM": m.api.addr, "PATGATE": m.addr, "ADMIN": admin} {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		text = regexp.MustCompile(`(?m)\b(port|port_value): \d{4}\b([^\d\n]*# `+mark+`)$`).ReplaceAllString(text, "$1: "+port+"$2")
	}
	return text
}

// gatewayCases are the cases of the other configurations, where bodies can't be sent for
// some routes alone: they are buffered on all.
func gatewayCases(value string) []gatesCase {
	cases := gatesCases(value)
	for i := range cases {
		if strings.HasPrefix(cases[i].name, "as large a") {
			cases[i].name, cases[i].status, cases[i].reason = cases[i].name+": Envoy buffers it all the same", 413, ""
		}
	}
	return cases
}

func TestEnvoyConfigIstio(t *testing.T) {
	m := startMesh(t, twoGates)
	m.istio(t, "", nil)
	runGates(t, plainClient, "http://"+m.clients, m.api, gatewayCases(m.value), m.patgate)
	m.stop(syscall.SIGTERM)
	wantClosed(t, plainClient, "http://"+m.clients, m.api, m.value)
}

// TestEnvoyConfigIstioRules shows what a CUSTOM policy with rules does to the requests that
// none of them matches: they pass unchecked, except with deny_at_disable.
func TestEnvoyConfigIstioRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		edit   func(string) string
		status int // of what no rule matches
	}{
		{"as printed", func(s string) string { return s }, 503},
		{"without deny_at_disable", replacing(t, "          deny_at_disable:\n            default_value: true\n            runtime_key: patgate.deny_at_disable\n", ""), 200},
	} {
		m := startMesh(t, twoGates)
		m.istio(t, "{url_path: {path: {prefix: /rest/}}}", c.edit)
		if got := send(t, plainClient, "http://"+m.clients, ask{path: "/rest/issue/1", host: "jira.example.com"}); got.status != 401 {
			t.Errorf("%s: a path of the rules: status %d", c.name, got.status)
		}
		if got := send(t, plainClient, "http://"+m.clients, ask{path: "/other", host: "jira.example.com"}); got.status != c.status {
			t.Errorf("%s: another path: status %d, want %d", c.name, got.status, c.status)
		}
		m.wantDecisions(1)
	}
}

// istio boots the gateway: with another permission than all in the CUSTOM policy's rules,
// and after edits of the objects and of the gateway.
func (m *mesh) istio(t *testing.T, permission string, edit func(string) string, gatewayEdits ...func(string) string) {
	t.Helper()
	objects := envoyConfig(t, "--for", "istio", "--manifests", m.dir)
	if edit != nil {
		objects = edit(objects)
	}
	admin := freeAddr(t)
	text := m.ported(t, "istio-gateway.yaml", admin)
	if permission != "" {
		text = replacing(t, "{any: true}]}}]  # RULES", permission+"]}}]  # RULES")(text)
	}
	for _, edit := range gatewayEdits {
		text = edit(text)
	}
	gateway := documents(t, text)[0]
	values := documents(t, envoyConfig(t, "--for", "istio-mesh", "--manifests", m.dir))[0]
	hcm := node(gateway, "static_resources", "listeners", 0, "filter_chains", 0, "filters", 0, "typed_config").(map[string]any)
	filters := hcm["http_filters"].([]any)
	hcm["http_filters"] = slices.Insert(filters, 1, any(providerFilter(node(values, "meshConfig", "extensionProviders", 0).(map[string]any))))
	for _, object := range documents(t, objects) {
		if object["kind"] == "EnvoyFilter" {
			for _, patch := range node(object, "spec", "configPatches").([]any) {
				applyPatch(t, hcm, patch.(map[string]any))
			}
		}
	}
	config, err := json.Marshal(gateway)
	if err != nil {
		t.Fatal(err)
	}
	validate(t, string(config))
	startEnvoy(t, string(config), admin)
}

// TestEnvoyConfigIstioBodiless applies the EnvoyFilter of docs/istio.md to routes as istiod makes them of the
// page's VirtualService: uploads are untouched, and rules on JSON hold.
func TestEnvoyConfigIstioBodiless(t *testing.T) {
	page, err := os.ReadFile("../docs/istio.md")
	if err != nil {
		t.Fatal(err)
	}
	_, filter, found := strings.Cut(string(page), "and let the second send no bodies:\n\n```yaml\n")
	filter, _, ended := strings.Cut(filter, "```")
	expression := regexp.MustCompile(`content-type: \{regex: '(.*)'\}`).FindSubmatch(page)
	if !found || !ended || expression == nil {
		t.Fatal("docs/istio.md does not show how to split routes")
	}
	types := strings.Replace(string(expression[1]), "(application/json)", `(application/json|application/vnd\.x\+json)`, 1) // those of the test's rules
	m := startMesh(t, twoGates)
	m.istio(t, "", func(objects string) string { return objects + "---\n" + filter }, replacing(t,
		"              - match: {prefix: \"/\"}\n                route:",
		"              - match: {prefix: \"/\", headers: [{name: content-type, string_match: {safe_regex: {regex: '"+types+"'}}}]}\n"+
			"                name: json\n                route: {cluster: upstream, timeout: 0s}\n"+
			"              - match: {prefix: \"/\"}\n                name: bodiless\n                route:"))
	cases := gatesCases(m.value)
	for i := range cases {
		if cases[i].name == "as large a body where no rule reads one" { // JSON: Istio has one provider for all gates
			cases[i].status, cases[i].reason = 413, ""
		}
	}
	runGates(t, plainClient, "http://"+m.clients, m.api, cases, m.patgate)
}

// node walks down a document by keys and places.
func node(of any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			of = of.(map[string]any)[step]
		case int:
			of = of.([]any)[step]
		}
	}
	return of
}

// providerFilter is the filter that istiod makes of an envoyExtAuthzGrpc provider.
func providerFilter(provider map[string]any) map[string]any {
	p := provider["envoyExtAuthzGrpc"].(map[string]any)
	filter := map[string]any{
		"@type":                 "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
		"transport_api_version": "V3",
		"status_on_error":       map[string]any{"code": json.Number(p["statusOnError"].(string))},
		"failure_mode_allow":    p["failOpen"],
		"grpc_service": map[string]any{
			"envoy_grpc": map[string]any{
				"cluster_name": fmt.Sprintf("outbound|%v||%v", p["port"], p["service"]), "authority": p["service"],
			},
			"timeout": p["timeout"],
		},
		"filter_enabled_metadata": map[string]any{
			"filter": "envoy.filters.http.rbac",
			"path":   []any{map[string]any{"key": "istio_ext_authz_shadow_effective_policy_id"}},
			"value":  map[string]any{"string_match": map[string]any{"prefix": fmt.Sprintf("istio-ext-authz-%v", provider["name"])}},
		},
	}
	if body, ok := p["includeRequestBodyInCheck"].(map[string]any); ok {
		filter["with_request_body"] = map[string]any{
			"max_request_bytes": body["maxRequestBytes"], "allow_partial_message": body["allowPartialMessage"], "pack_as_bytes": body["packAsBytes"],
		}
	}
	return map[string]any{"name": "envoy.filters.http.ext_authz", "typed_config": filter}
}

// applyPatch does what istiod does with one patch of an EnvoyFilter.
func applyPatch(t *testing.T, hcm, patch map[string]any) {
	t.Helper()
	change := patch["patch"].(map[string]any)
	value := change["value"].(map[string]any)
	filters := hcm["http_filters"].([]any)
	switch of := fmt.Sprint(patch["applyTo"], " ", change["operation"]); of {
	case "NETWORK_FILTER MERGE":
		merge(hcm, value["typed_config"].(map[string]any))
	case "HTTP_ROUTE MERGE":
		name := node(patch, "match", "routeConfiguration", "vhost", "route", "name")
		for _, r := range node(hcm, "route_config", "virtual_hosts", 0, "routes").([]any) {
			if node(r, "name") == name {
				merge(r.(map[string]any), value)
			}
		}
	case "HTTP_FILTER INSERT_FIRST":
		hcm["http_filters"] = slices.Insert(filters, 0, any(value))
	case "HTTP_FILTER MERGE":
		at := slices.IndexFunc(filters, func(f any) bool { return node(f, "name") == value["name"] })
		if at < 0 {
			t.Fatalf("no filter %s to merge into", value["name"])
		}
		merge(filters[at].(map[string]any), value)
	default:
		t.Fatalf("the effect of a patch is unknown: %s", of)
	}
}

// merge merges messages as protobuf does: fields that are set replace, messages are merged,
// lists grow.
func merge(into, with map[string]any) {
	for name, value := range with {
		switch v := value.(type) {
		case map[string]any:
			if have, ok := into[name].(map[string]any); ok {
				merge(have, v)
				continue
			}
		case []any:
			if have, ok := into[name].([]any); ok {
				value = append(have, v...)
			}
		}
		into[name] = value
	}
}

// documents reads the documents of a YAML text.
func documents(t *testing.T, text string) (list []map[string]any) {
	t.Helper()
	for d := yaml.NewDecoder(bytes.NewReader([]byte(text))); ; {
		var doc map[string]any
		if err := d.Decode(&doc); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, doc)
	}
}
