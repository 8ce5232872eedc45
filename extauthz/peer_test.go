package extauthz

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"strings"
	"testing"
)

// TestClientVerifier holds who may ask over mTLS.
func TestClientVerifier(t *testing.T) {
	spiffe, err := url.Parse("spiffe://example.org/ns/edge/sa/envoy")
	if err != nil {
		t.Fatal(err)
	}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	own := &x509.Certificate{RawSubjectPublicKeyInfo: []byte("server")}
	for _, test := range []struct {
		what  string
		names []string
		leaf  x509.Certificate
		wrong string // part of the error; "": admitted
	}{
		{"any name of the authority", nil, x509.Certificate{DNSNames: []string{"x"}, ExtKeyUsage: client}, ""},
		{"a DNS name", []string{"envoy"}, x509.Certificate{DNSNames: []string{"a", "Envoy"}, ExtKeyUsage: both}, ""},
		{"a SPIFFE ID", []string{"spiffe://example.org/ns/edge/sa/envoy"}, x509.Certificate{URIs: []*url.URL{spiffe}, ExtKeyUsage: both}, ""},
		{"another SPIFFE ID", []string{"spiffe://example.org/ns/edge/sa/ENVOY"}, x509.Certificate{URIs: []*url.URL{spiffe}, ExtKeyUsage: both}, "none of the names"},
		{"one label of a wildcard", []string{"*.edge.example"}, x509.Certificate{DNSNames: []string{"a.edge.example"}, ExtKeyUsage: client}, ""},
		{"two labels of a wildcard", []string{"*.edge.example"}, x509.Certificate{DNSNames: []string{"a.b.edge.example"}, ExtKeyUsage: client}, "none of the names"},
		{"an address", []string{"192.0.2.1"}, x509.Certificate{IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}, ExtKeyUsage: client}, ""},
		{"a common name alone", []string{"envoy"}, x509.Certificate{Subject: pkix.Name{CommonName: "envoy"}, ExtKeyUsage: client}, "none of the names"},
		{"a server's certificate", []string{"envoy"}, x509.Certificate{DNSNames: []string{"envoy"}, ExtKeyUsage: both[:1]}, "clientAuth"},
		{"no usage", nil, x509.Certificate{DNSNames: []string{"envoy"}}, "clientAuth"},
		{"any usage", nil, x509.Certificate{DNSNames: []string{"envoy"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}, "clientAuth"},
		{"the server's own key", nil, x509.Certificate{DNSNames: []string{"patgate"}, ExtKeyUsage: both, RawSubjectPublicKeyInfo: []byte("server")}, "own key"},
	} {
		err := ClientVerifier(test.names, own)(tls.ConnectionState{PeerCertificates: []*x509.Certificate{&test.leaf}})
		if (err == nil) != (test.wrong == "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
			t.Errorf("%s: %v, want an error with %q", test.what, err, test.wrong)
		}
	}
	if err := ClientVerifier(nil, own)(tls.ConnectionState{}); err == nil {
		t.Error("a connection without a certificate was admitted")
	}
}
