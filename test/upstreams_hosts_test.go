//go:build upstreams

package test

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/test/upstreams/lookalikes"
)

// TestUpstreamHosts puts three APIs behind the virtual hosts of one Envoy. A request
// must reach the API of the gate that decided it, however its host is spelled, with and
// without Envoy's own removal of the trailing dot.
func TestUpstreamHosts(t *testing.T) {
	for _, strips := range []bool{true, false} {
		t.Run(fmt.Sprintf("strips the dot %t", strips), func(t *testing.T) { testHosts(t, strips) })
	}
}

func testHosts(t *testing.T, strips bool) {
	suite := lookalikes.New(lookalikes.Profile{})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), suite.Manifests())
	p := startPatgate(t, dir)
	api, wiki, rest := namedAPI(t, "api"), namedAPI(t, "wiki"), namedAPI(t, "rest")
	clients, admin := quietAddr(t), quietAddr(t)
	config, err := envoy.Render(envoy.Addresses{Admin: admin, Clients: clients, Upstream: api, Patgate: p.addr})
	if err != nil {
		t.Fatal(err)
	}
	startEnvoy(t, threeHosts(t, config, wiki, rest, strips), admin)
	reached := 0
	for _, q := range suite.Requests(upstreamSeed, 2000) {
		if q.Kind != "host" {
			continue
		}
		answer, err := q.Send(clients)
		if err != nil {
			t.Errorf("%s: %v", &q, err)
			continue
		}
		// Every token of the suite is for the gate api, and anonymous callers are welcome there alone.
		if got := answer.Header("x-api"); got != "" && got != "api" {
			t.Errorf("%s: decided by the gate api, answered by %s", &q, got)
		} else if got != "" {
			reached++
		}
	}
	if reached < 20 {
		t.Errorf("%d requests reached an API, want 20 at least", reached)
	}
}

// namedAPI runs an API that answers with its name, and returns its address.
func namedAPI(t *testing.T, name string) string {
	t.Helper()
	a := &api{name: name, addr: quietAddr(t)}
	mux := goAPI()
	a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-api", name)
		mux.ServeHTTP(w, r)
	})
	if err := a.start(t, nil); err != nil {
		t.Fatal(err)
	}
	return a.addr
}

// threeHosts gives the configuration a virtual host for each gate, with a cluster each.
func threeHosts(t *testing.T, config, wiki, rest string, strips bool) string {
	t.Helper()
	hosts := func(name, domain, cluster string) string {
		return "            - name: " + name + "\n              domains: [" + domain + "]\n              routes:\n" +
			"              - match: {prefix: \"/\"}\n                route: {cluster: " + cluster + "}\n"
	}
	from, to := strings.Index(config, "            - name: api\n"), strings.Index(config, "          http_filters:\n")
	if from < 0 || to < from {
		t.Fatal("the configuration has another form")
	}
	config = config[:from] + hosts("api", `"api.example.com"`, "upstream") + hosts("wiki", `"*.example.com"`, "wiki") + hosts("rest", `"*"`, "rest") + config[to:]
	config += cluster(t, "wiki", wiki) + cluster(t, "rest", rest)
	if strip := "          strip_trailing_host_dot: true\n"; !strips {
		config = strings.Replace(config, strip, "", 1)
	}
	return config
}

// cluster is one more cluster at the end of the configuration.
func cluster(t *testing.T, name, addr string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("\n  - name: %s\n    type: STATIC\n    connect_timeout: 1s\n    load_assignment:\n      cluster_name: %s\n      endpoints:\n"+
		"      - lb_endpoints:\n        - endpoint: {address: {socket_address: {address: %s, port_value: %s}}}\n", name, name, host, port)
}
