package test

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

// TestFailingClients guesses through Envoy: the metrics count the clients, the log names them,
// and no good token is locked out.
func TestFailingClients(t *testing.T) {
	value, guess := token.Mint().Reveal(), token.Mint().Reveal()
	dir := t.TempDir()
	gate := strings.Replace(gateManifest, "spec: {", "spec: {clientIP: {source: xff, trustedHops: 1}, ", 1)
	write(t, filepath.Join(dir, "m.yaml"), gate+"---\n"+tokenManifest("ci", value, ""))
	s := startSystem(t, dir, replacing(t, "xff_num_trusted_hops: 0", "xff_num_trusted_hops: 1"))
	from := func(addr, value string) int {
		return s.http(t, ask{path: "/rest/x", authorization: "Bearer " + value, header: map[string]string{"x-forwarded-for": addr}}).status
	}
	for range 11 {
		if status := from("2001:db8::7", guess); status != http.StatusUnauthorized {
			t.Fatalf("a guess: status %d", status)
		}
	}
	for range 20 {
		if status := from("192.0.2.9", value); status != http.StatusOK {
			t.Fatalf("a good token: status %d", status)
		}
	}
	if status := from("2001:db8::7", value); status != http.StatusOK {
		t.Errorf("a good token from the address that guesses: status %d", status)
	}
	s.wantPage("/metrics", "patgate_failing_clients 1\n", "patgate_client_failures_max 11\n")
	if log := s.log(); !strings.Contains(log, `"client":"2001:db8::/64","failures":10`) {
		t.Errorf("the log does not name the client: %s", log)
	}
	answer, err := http.Get("http://" + s.status + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{value, guess, "2001:db8", "192.0.2", "alice", `"ci"`, "/rest/x"} {
		if strings.Contains(string(page), secret) {
			t.Errorf("the metrics hold %s", secret)
		}
	}
}
