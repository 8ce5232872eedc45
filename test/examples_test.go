package test

import (
	"os"
	"os/exec"
	"testing"
)

// TestExamplesHaveTheirEnvoy compares the Envoy configurations of the examples with those that envoy-config
// prints for their gates; -update rewrites them.
func TestExamplesHaveTheirEnvoy(t *testing.T) {
	for folder, args := range map[string][]string{
		"../docs/examples/sidecar/": {"--for", "sidecar"},
		"../docs/examples/first-token/": {"--for", "standalone", "--listen", "0.0.0.0:8080",
			"--patgate", "patgate.patgate.svc.cluster.local:9191", "--upstream", "api.patgate.svc.cluster.local:80"}, // as docs/first-token.md has it
	} {
		want, err := exec.Command(binary, append([]string{"envoy-config", "--manifests", folder + "manifests"}, args...)...).Output()
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
}
