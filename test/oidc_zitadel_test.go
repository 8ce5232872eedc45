//go:build oidc

package test

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestOIDC signs in with zitadel's provider, whose ID token does not name the user: UserInfo does.
func TestOIDC(t *testing.T) {
	program := os.Getenv("PATGATE_TEST_OIDC")
	if program == "" {
		t.Fatal("PATGATE_TEST_OIDC must name the provider: make test-oidc builds it")
	}
	address, site := freeAddr(t), freeAddr(t)
	id := &identityProvider{issuer: "http://" + address, secret: "s3cret+of/patgate", user: "test-user2", password: "verysecure"}
	cmd := exec.Command(program, address, "patgate", "http://"+site+"/callback")
	cmd.Env = append(os.Environ(), "SECRET="+id.secret)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	awaitProvider(t, id.issuer+"/.well-known/openid-configuration", 20*time.Second)
	signsIn(t, id, site)
}
