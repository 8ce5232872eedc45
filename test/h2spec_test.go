//go:build h2spec

package test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// h2specTests is how many tests h2spec 2.2.1 has, the strict ones included.
const h2specTests = 146

var h2specResult = regexp.MustCompile(`(?m)^(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed$`)

// TestH2Spec runs h2spec against our own transport, with and without TLS: every test of it
// passes, and none is skipped.
func TestH2Spec(t *testing.T) {
	tool := os.Getenv("PATGATE_TEST_H2SPEC")
	if tool == "" {
		t.Fatal("PATGATE_TEST_H2SPEC names no h2spec: run `make test-h2spec`")
	}
	dir, files := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest)
	cert, key := filepath.Join(files, "tls.crt"), filepath.Join(files, "tls.key")
	newAuthority(t, "ours").issue("patgate", cert, key)
	for name, c := range map[string]struct{ flags, args []string }{
		"plain": {nil, nil},
		"TLS":   {[]string{"--tls-cert", cert, "--tls-key", key}, []string{"-t", "-k"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPatgate(t, dir, append(c.flags, "--transport", "h2")...)
			host, port, err := net.SplitHostPort(p.addr)
			if err != nil {
				t.Fatal(err)
			}
			args := append([]string{"-h", host, "-p", port, "-S", "-o", "5", "-P", "/envoy.service.auth.v3.Authorization/Check"}, c.args...)
			out, err := exec.Command(tool, args...).CombinedOutput()
			m := h2specResult.FindStringSubmatch(string(out))
			if m == nil || err != nil || m[1] != strconv.Itoa(h2specTests) || m[2] != m[1] {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
