package envoy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/patgate/patgate/envoy"
)

func TestRenderFillsInAddressesAlone(t *testing.T) {
	same, err := envoy.Render(envoy.Addresses{})
	if err != nil || same != envoy.Standalone {
		t.Errorf("without addresses the text changes: %v", err)
	}
	got, err := envoy.Render(envoy.Addresses{Admin: "127.0.0.2:1", Clients: "[::1]:2", Upstream: "10.0.0.1:3", Patgate: "10.0.0.2:4"})
	if err != nil {
		t.Fatal(err)
	}
	var changed []string
	want := strings.Split(envoy.Standalone, "\n")
	for i, line := range strings.Split(got, "\n") {
		if line != want[i] {
			changed = append(changed, strings.TrimSpace(line))
		}
	}
	golden := []string{
		`address: {socket_address: {address: "127.0.0.2", port_value: 1}}  # ADMIN`,
		`address: {socket_address: {address: "::1", port_value: 2}}  # CLIENTS`,
		`- endpoint: {address: {socket_address: {address: "10.0.0.1", port_value: 3}}}  # UPSTREAM`,
		`- endpoint: {address: {socket_address: {address: "10.0.0.2", port_value: 4}}}  # PATGATE`,
	}
	if strings.Join(changed, "\n") != strings.Join(golden, "\n") {
		t.Errorf("changed:\n%s", strings.Join(changed, "\n"))
	}
	if _, err := envoy.Render(envoy.Addresses{Admin: "nothing"}); err == nil {
		t.Error("an address without a port is filled in")
	}
}

// TestNoSettingBypassesPatgate checks that the configurations have no setting that lets a
// request bypass patgate.
func TestNoSettingBypassesPatgate(t *testing.T) {
	for _, kind := range envoy.Kinds() {
		text, err := os.ReadFile(kind + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"failure_mode_allow: true", "failOpen: true", "shadow_mode", "filter_enabled", "disabled: true",
			"clear_route_cache: true", "clearRouteCache: true", "recomputeRoute: true", "allow_partial_message: true", "allowPartialMessage: true",
			"upgrade_configs", "connect_matcher", "use_remote_address: false", "  headersToExtAuth:", "dry-run"} {
			// Routes whose bodies rules read switch the filter that buffers on.
			if strings.Contains(strings.ReplaceAll(string(text), "http.buffer\n            disabled: true", ""), s) {
				t.Errorf("%s.yaml holds %q", kind, s)
			}
		}
	}
}
