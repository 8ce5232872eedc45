package test

import (
	"os"
	"os/exec"
	"testing"
)

// TestSidecarHasItsEnvoy holds the Envoy configuration of the sidecar example to what
// envoy-config prints for its gate; -update writes it anew.
func TestSidecarHasItsEnvoy(t *testing.T) {
	const folder = "../docs/examples/sidecar/"
	want, err := exec.Command(binary, "envoy-config", "--for", "sidecar", "--manifests", folder+"manifests").Output()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		write(t, folder+"envoy.yaml", string(want))
	}
	got, err := os.ReadFile(folder + "envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%senvoy.yaml is not what envoy-config prints for its gate: run `make golden`", folder)
	}
}
