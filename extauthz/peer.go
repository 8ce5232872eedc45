package extauthz

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// ClientVerifier returns a check of the client's certificate for tls.Config.VerifyConnection,
// which runs after the chain was verified (RFC 5280, 4.2.1.12 and 4.2.1.6). The certificate must
// list the usage clientAuth by name, must not be the server's own, and, where names are
// given, must have one of them as a DNS name, URI (SPIFFE ID), email or IP address among its subject
// alternative names. A name that begins with `*.` matches one label in its place.
func ClientVerifier(names []string, own *x509.Certificate) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("no client certificate")
		}
		leaf := state.PeerCertificates[0]
		switch {
		case !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
			return fmt.Errorf("the client certificate of %s is not for client authentication, expected the extended key usage clientAuth", certificateName(leaf))
		case own != nil && bytes.Equal(leaf.RawSubjectPublicKeyInfo, own.RawSubjectPublicKeyInfo):
			return errors.New("the client presents the server's own key, expected a certificate of its own")
		case len(names) > 0 && !slices.ContainsFunc(certificateNames(leaf), func(have string) bool { return named(names, have) }):
			return fmt.Errorf("the client certificate of %s has none of the names that --tls-client-name lists", certificateName(leaf))
		}
		return nil
	}
}

// named reports whether a name of a certificate is one of the wanted names.
func named(want []string, have string) bool {
	return slices.ContainsFunc(want, func(name string) bool {
		if suffix, wild := strings.CutPrefix(name, "*."); wild {
			label, rest, ok := strings.Cut(have, ".")
			return ok && label != "" && strings.EqualFold(rest, suffix)
		}
		if strings.Contains(name, "://") {
			return name == have
		}
		return strings.EqualFold(name, have)
	})
}

// certificateNames returns the subject alternative names of a certificate, URIs first.
func certificateNames(c *x509.Certificate) (names []string) {
	for _, uri := range c.URIs {
		names = append(names, uri.String())
	}
	names = append(append(names, c.DNSNames...), c.EmailAddresses...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// certificateName is the name that logs and events give a certificate's holder: its first
// subject alternative name, or else its common name.
func certificateName(c *x509.Certificate) string {
	if names := certificateNames(c); len(names) > 0 {
		return names[0]
	}
	return c.Subject.CommonName
}

// PeerName returns the name of a connection's client by its verified certificate, or "" without one.
func PeerName(state tls.ConnectionState) string {
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return ""
	}
	return certificateName(state.PeerCertificates[0])
}

// handshakes are gRPC's TLS credentials which report handshakes that fail and keep the
// client's name with the connection.
type handshakes struct {
	credentials.TransportCredentials
	failed func(error)
}

// namedInfo is gRPC's TLS information with the client's name.
type namedInfo struct {
	credentials.TLSInfo
	name string
}

// ServerHandshake implements credentials.TransportCredentials.
func (h handshakes) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		if h.failed != nil {
			h.failed(err)
		}
		return nil, nil, err
	}
	if secured, ok := info.(credentials.TLSInfo); ok {
		return conn, namedInfo{secured, PeerName(secured.State)}, nil
	}
	return conn, info, nil
}

// Clone implements credentials.TransportCredentials.
func (h handshakes) Clone() credentials.TransportCredentials {
	return handshakes{h.TransportCredentials.Clone(), h.failed}
}

// connectionName returns the client's name of a gRPC call's connection.
func connectionName(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(namedInfo); ok {
			return info.name
		}
	}
	return ""
}
