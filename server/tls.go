package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/patgate/patgate/extauthz"
)

// newCertificates returns the TLS of the check listener, or nil without TLS. It returns a
// *UsageError for files that can't be used.
func newCertificates(o *Options) (*certificates, error) {
	if o.TLSCert == "" {
		return nil, nil
	}
	c := &certificates{certFile: o.TLSCert, keyFile: o.TLSKey, caFile: o.TLSClientCA, names: o.TLSClientNames, now: o.Now, logger: o.Logger}
	if err := c.load(); err != nil {
		return nil, &UsageError{err.Error()}
	}
	if c.caFile != "" && len(c.names) == 0 {
		c.logger.Warn("any client certificate of this authority may call patgate; --tls-client-name restricts callers by name", "authority", c.caFile)
	}
	return c, nil
}

// certificates are the files of the listener's TLS. A handshake looks at them again, at most
// once a second, so that a renewed one needs no restart. Files that can't be loaded leave the
// last good ones in place.
type certificates struct {
	certFile, keyFile, caFile string
	names                     []string // of clients that may ask; empty: every client of the authority
	now                       func() time.Time
	logger                    *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	content []byte // of the files, to see a change
	current *tls.Config
	expiry  []expiry
	warned  time.Time // when the log last heard of an end
}

// expiry is when the first of a file's certificates ends.
type expiry struct {
	file string
	ends time.Time
}

// lookEvery is the minimum time between two looks of handshakes at the files.
const lookEvery = time.Second

// config is the listener's configuration: each handshake gets the files of now.
func (c *certificates) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, GetConfigForClient: c.forClient}
}

func (c *certificates) forClient(*tls.ClientHelloInfo) (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	return c.current, nil
}

// look loads the files where the last look is long ago, and warns of certificates that end.
func (c *certificates) look() {
	if time.Since(c.looked) <= lookEvery {
		return
	}
	if err := c.load(); err != nil {
		c.logger.Error("certificates can't be loaded, the last good ones stay", "error", err)
	}
	if time.Since(c.warned) > warnEvery {
		c.warn()
	}
}

// load reads the files and replaces the configuration where they changed.
func (c *certificates) load() error {
	c.looked = time.Now()
	cert, err1 := os.ReadFile(c.certFile)
	key, err2 := os.ReadFile(c.keyFile)
	var ca []byte
	var err3 error
	if c.caFile != "" {
		ca, err3 = os.ReadFile(c.caFile)
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	content := bytes.Join([][]byte{cert, key, ca}, []byte{0})
	if bytes.Equal(content, c.content) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", c.certFile, c.keyFile, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}}
	if c.caFile != "" {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(ca) {
			return fmt.Errorf("%s: no certificate in it, expected PEM", c.caFile)
		}
		config.VerifyConnection = extauthz.ClientVerifier(c.names, pair.Leaf)
	}
	if c.current != nil {
		c.logger.Info("certificates reloaded", "certificate", c.certFile)
	}
	c.content, c.current = content, config
	c.expiry = expiries(c.certFile, cert, c.caFile, ca)
	c.warn()
	return nil
}

// expiries returns when the certificates of PEM files end: of each file the first to end. The
// arguments are pairs of a file's name and its content.
func expiries(certFile string, cert []byte, caFile string, ca []byte) (list []expiry) {
	for _, f := range []struct {
		name string
		data []byte
	}{{certFile, cert}, {caFile, ca}} {
		var ends time.Time
		for block, rest := pem.Decode(f.data); block != nil; block, rest = pem.Decode(rest) {
			if parsed, err := x509.ParseCertificate(block.Bytes); err == nil && (ends.IsZero() || parsed.NotAfter.Before(ends)) {
				ends = parsed.NotAfter
			}
		}
		if !ends.IsZero() {
			list = append(list, expiry{f.name, ends})
		}
	}
	return list
}

const (
	// warnBefore is how long before its end the log warns of a certificate.
	warnBefore = 7 * 24 * time.Hour
	// warnEvery is how often it does.
	warnEvery = time.Hour
)

// warn logs certificates that have expired or expire soon.
func (c *certificates) warn() {
	c.warned = time.Now()
	now := c.now()
	for _, e := range c.expiry {
		switch left := e.ends.Sub(now); {
		case left <= 0:
			c.logger.Error("a certificate has expired: Envoy refuses the connection, or is refused", "file", e.file, "expired", e.ends.UTC().Format(time.RFC3339))
		case left < warnBefore:
			c.logger.Warn("a certificate expires soon", "file", e.file, "expires", e.ends.UTC().Format(time.RFC3339), "left", left.Round(time.Minute).String())
		}
	}
}

// ends returns when each file's certificates end, by the files of now.
func (c *certificates) ends() []expiry {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	return c.expiry
}
