package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/patgate/patgate/token"
)

// authority is a certificate authority of a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	a.key = newKey(t)
	template := certificateFor(name)
	template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func certificateFor(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
}

// issue writes a certificate and its key into files, after edits to it.
func (a *authority) issue(name, certFile, keyFile string, edits ...func(*x509.Certificate)) {
	a.t.Helper()
	key := newKey(a.t)
	template := certificateFor(name)
	for _, edit := range edits {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	write(a.t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})))
	write(a.t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// TestMutualTLS has Envoy call over mTLS, and others be refused; then the server's
// certificate is renewed.
func TestMutualTLS(t *testing.T) { onBothTransports(t, testMutualTLS) }

func testMutualTLS(t *testing.T) {
	files := t.TempDir()
	file := func(name string) string { return filepath.Join(files, name) }
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	write(t, file("ca.crt"), string(ours.pem))
	ours.issue("patgate", file("tls.crt"), file("tls.key"))
	ours.issue("envoy", file("envoy.crt"), file("envoy.key"))
	others.issue("stranger", file("stranger.crt"), file("stranger.key"))
	value := token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+tokenManifest("ci", value, ""))
	s := startSystem(t, dir, func(config string) string {
		return replacing(t, "  - name: patgate\n    type: STATIC\n", `  - name: patgate
    type: STATIC
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context:
          tls_certificates: [{certificate_chain: {filename: `+file("envoy.crt")+`}, private_key: {filename: `+file("envoy.key")+`}}]
          validation_context:
            trusted_ca: {filename: `+file("ca.crt")+`}
            match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: patgate}}]
`)(config)
	}, "--tls-cert", file("tls.crt"), "--tls-key", file("tls.key"), "--tls-client-ca", file("ca.crt"))
	if got := s.http(t, ask{path: "/rest/", authorization: "Bearer " + value}); got.status != 200 {
		t.Errorf("through Envoy: %d", got.status)
	}
	check := func(cert string) error {
		config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "patgate"}
		config.RootCAs.AppendCertsFromPEM(ours.pem)
		if cert != "" {
			pair, err := tls.LoadX509KeyPair(file(cert+".crt"), file(cert+".key"))
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(credentials.NewTLS(config)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err = authv3.NewAuthorizationClient(conn).Check(ctx, &authv3.CheckRequest{})
		return err
	}
	if err := check("envoy"); err != nil {
		t.Errorf("with our certificate: %v", err)
	}
	for _, cert := range []string{"", "stranger"} {
		if err := check(cert); err == nil {
			t.Errorf("with the certificate %q a stranger was answered", cert)
		}
	}
	before := serverCertificate(t, s.addr, ours, file("envoy"))
	ours.issue("patgate", file("tls.crt"), file("tls.key"))
	deadline := time.Now().Add(15 * time.Second)
	for serverCertificate(t, s.addr, ours, file("envoy")) == before {
		if time.Now().After(deadline) {
			t.Fatal("the renewed certificate is not served")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := os.WriteFile(file("tls.crt"), []byte("broken"), 0o644); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // the files are looked at once a second
	if err := check("envoy"); err != nil {
		t.Errorf("with a broken file the last good certificate must stay: %v", err)
	}
	if got := s.http(t, ask{path: "/rest/", authorization: "Bearer " + value}); got.status != 200 {
		t.Errorf("through Envoy, after all: %d", got.status)
	}
}

// serverCertificate returns the serial number of the certificate that is served.
func serverCertificate(t *testing.T, addr string, a *authority, client string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(client+".crt", client+".key")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "patgate", Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}}
	config.RootCAs.AppendCertsFromPEM(a.pem)
	c, err := tls.Dial("tcp", addr, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// TestRequireTLS has a gate that requires TLS: a client's TLS session passes, a plain one
// does not, whatever the client claims.
func TestRequireTLS(t *testing.T) {
	files := t.TempDir()
	ca := newAuthority(t, "ours")
	ca.issue("jira.example.com", filepath.Join(files, "tls.crt"), filepath.Join(files, "tls.key"))
	value := token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), strings.Replace(gateManifest, "schemes: [basic, bearer]", "schemes: [bearer], requireTLS: true", 1)+"---\n"+tokenManifest("ci", value, ""))
	request := ask{path: "/rest/", authorization: "Bearer " + value, header: map[string]string{"X-Forwarded-Proto": "https"}}
	plain := startSystem(t, dir, nil)
	if got := plain.http(t, request); got.status != 403 || got.event.Reason != "tls_required" {
		t.Errorf("plain: %d %s", got.status, got.event.Reason)
	}
	for _, session := range []bool{true, false} { // without include_tls_session, Envoy's x-forwarded-proto says
		s := startSystem(t, dir, func(config string) string {
			config = replacing(t, "    filter_chains:\n    - filters:\n", `    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates: [{certificate_chain: {filename: `+filepath.Join(files, "tls.crt")+`}, private_key: {filename: `+filepath.Join(files, "tls.key")+`}}]
      filters:
`)(config)
			if !session {
				config = replacing(t, "include_tls_session: true", "include_tls_session: false")(config)
			}
			return config
		})
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca.pem)
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
		if got := s.do(t, client, "https://"+s.clients, request); got.status != 200 {
			t.Errorf("TLS, include_tls_session %v: %d %s", session, got.status, got.event.Reason)
		}
		client.CloseIdleConnections()
	}
}
