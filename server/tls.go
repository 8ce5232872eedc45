package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// tlsConfig returns the configuration of the check listener, or nil without TLS.
func tlsConfig(o *Options) (*tls.Config, error) {
	if o.TLSCert == "" {
		return nil, nil
	}
	c := &certificates{certFile: o.TLSCert, keyFile: o.TLSKey, caFile: o.TLSClientCA, logger: o.Logger}
	if err := c.load(); err != nil {
		return nil, &UsageError{err.Error()}
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: c.config}, nil
}

// certificates are the files of the listener's TLS. They are looked at again at a
// handshake, at most once a second, so that a renewed one needs no restart. What can't
// be loaded leaves the last good ones in place.
type certificates struct {
	certFile, keyFile, caFile string
	logger                    *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	content []byte // of the files, to see a change
	current *tls.Config
}

// lookEvery is how often a handshake looks at the files.
const lookEvery = time.Second

func (c *certificates) config(*tls.ClientHelloInfo) (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) > lookEvery {
		if err := c.load(); err != nil {
			c.logger.Error("certificates can't be loaded, the last good ones stay", "error", err)
		}
	}
	return c.current, nil
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
	}
	if c.current != nil {
		c.logger.Info("certificates reloaded", "certificate", c.certFile)
	}
	c.content, c.current = content, config
	return nil
}
