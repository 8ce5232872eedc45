package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/patgate/patgate/token"
)

// askWithCertificate requests one decision over mTLS and returns why it got none.
func askWithCertificate(t *testing.T, addr string, a *authority, certificate string) error {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certificate+".crt", certificate+".key")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "patgate", Certificates: []tls.Certificate{pair}}
	config.RootCAs.AppendCertsFromPEM(a.pem)
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err = authv3.NewAuthorizationClient(conn).Check(ctx, &authv3.CheckRequest{})
	return err
}

// TestClientNames admits the clients that --tls-client-name lists and no others of the same
// authority, names them in their events, and reports the handshakes that fail and the
// certificates that expire.
func TestClientNames(t *testing.T) {
	files := t.TempDir()
	file := func(name string) string { return filepath.Join(files, name) }
	ca := newAuthority(t, "authority")
	write(t, file("ca.crt"), string(ca.pem))
	issue := func(name string, edit func(*x509.Certificate)) {
		ca.issue(name, file(name+".crt"), file(name+".key"), edit)
	}
	usage := func(usages ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
	}
	issue("patgate", usage(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth))
	issue("envoy", usage(x509.ExtKeyUsageClientAuth))
	issue("other", usage(x509.ExtKeyUsageClientAuth))
	ca.issue("envoy", file("unusable.crt"), file("unusable.key"), usage())
	ca.issue("envoy", file("expired.crt"), file("expired.key"), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+tokenManifest("ci", token.Mint().Reveal(), ""))
	p := startPatgate(t, dir, "--tls-cert", file("patgate.crt"), "--tls-key", file("patgate.key"), "--tls-client-ca", file("ca.crt"),
		"--tls-client-name", "envoy", "--tls-client-name", "patgate")

	if err := askWithCertificate(t, p.addr, ca, file("envoy")); err != nil {
		t.Errorf("envoy: %v", err)
	}
	p.find("with the client's name", func(e *event) bool { return e.Kind == "decision" && e.PeerName == "envoy" })
	for _, client := range []string{"other", "patgate", "unusable", "expired"} {
		if err := askWithCertificate(t, p.addr, ca, file(client)); err == nil {
			t.Errorf("the certificate %s was admitted", client)
		}
	}
	metrics := statusText(t, p, "/metrics")
	for _, want := range []string{"patgate_certificate_expiry_timestamp_seconds{file=\"" + file("ca.crt") + "\"}", "patgate_tls_handshake_failures_total "} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	logs := p.log()
	for _, want := range []string{"a TLS handshake failed", "--tls-client-name", "a certificate expires soon"} {
		if !strings.Contains(logs, want) {
			t.Errorf("the log has no %q", want)
		}
	}
}

// statusText returns what a path of the status port answers.
func statusText(t *testing.T, p *patgate, path string) string {
	t.Helper()
	response, err := http.Get("http://" + p.status + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
