package server

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOptionsThatAreRefused(t *testing.T) {
	good := Options{Manifests: []string{"m"}, Listen: "127.0.0.1:0"}
	for _, c := range []struct {
		name   string
		change func(*Options)
		want   string // empty: good
	}{
		{"loopback", func(*Options) {}, ""},
		{"IPv6 loopback", func(o *Options) { o.Listen = "[::1]:0" }, ""},
		{"localhost", func(o *Options) { o.Listen = "localhost:0" }, ""},
		{"a unix socket", func(o *Options) { o.Listen = "unix:///run/p.sock" }, ""},
		{"beyond loopback with mTLS", func(o *Options) { o.Listen, o.TLSCert, o.TLSKey, o.TLSClientCA = "0.0.0.0:1", "c", "k", "a" }, ""},
		{"beyond loopback with --insecure-listen", func(o *Options) { o.Listen, o.InsecureListen = "0.0.0.0:1", true }, ""},
		{"beyond loopback", func(o *Options) { o.Listen = "0.0.0.0:1" }, "beyond loopback"},
		{"every address", func(o *Options) { o.Listen = ":1" }, "beyond loopback"},
		{"a name", func(o *Options) { o.Listen = "gate.example.com:1" }, "beyond loopback"},
		{"beyond loopback, TLS without clients' certificates", func(o *Options) { o.Listen, o.TLSCert, o.TLSKey = "0.0.0.0:1", "c", "k" }, "beyond loopback"},
		{"no manifests", func(o *Options) { o.Manifests = nil }, "expected Manifests"},
		{"no port", func(o *Options) { o.Listen = "127.0.0.1" }, "HOST:PORT"},
		{"a relative socket", func(o *Options) { o.Listen = "unix://p.sock" }, "absolute path"},
		{"a certificate without its key", func(o *Options) { o.TLSCert = "c" }, "go together"},
		{"clients' certificates without a server certificate", func(o *Options) { o.TLSClientCA = "a" }, "needs"},
	} {
		o := good
		c.change(&o)
		err := checkOptions(&o)
		var usage *UsageError
		if (err == nil) != (c.want == "") || err != nil && (!errors.As(err, &usage) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.sock")
	first, err := listen(unixPrefix + path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("%v, %v", info, err)
	}
	if first.Addr().String() != path {
		t.Errorf("the address is %s", first.Addr())
	}
	if _, err := listen(unixPrefix + path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second one: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is left behind")
	}
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	second, err := listen(unixPrefix + path)
	if err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	second.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(unixPrefix + path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
}
