//go:build keycloak

package test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestKeycloak signs in with Keycloak, whose ID token names the user.
func TestKeycloak(t *testing.T) {
	home := os.Getenv("PATGATE_TEST_KEYCLOAK")
	if home == "" {
		t.Fatal("PATGATE_TEST_KEYCLOAK must name its folder: make test-keycloak prepares it")
	}
	_, port, err := net.SplitHostPort(freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	_, management, err := net.SplitHostPort(freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(filepath.Join(home, "bin", "kc.sh"), "start-dev", "--http-host=127.0.0.1", "--http-port="+port,
		"--http-management-host=127.0.0.1", "--http-management-port="+management, "--health-enabled=true")
	cmd.Env = append(os.Environ(), "JAVA_OPTS_KC_HEAP=-Xms64m -Xmx512m")
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the script starts Java
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	id := &identityProvider{issuer: "http://127.0.0.1:" + port + "/realms/lab", secret: "s3cret+of/patgate", user: "alice", password: "alice-password"}
	awaitProvider(t, id.issuer+"/.well-known/openid-configuration", 5*time.Minute)
	signsIn(t, id, freeAddr(t))
}
