//go:build fronts

package test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/patgate/patgate/test/output"
)

// front is a real proxy that asks patgate over HTTP, with the configuration that `patgate front-config` prints.
type front struct {
	name string // as the tables call it
	kind string // of --http-front
	hops int    // entries of X-Forwarded-For that the front adds to what a proxy in front of it said

	normalizes bool // paths, before it asks
	silent     bool // of whether there is a body, unless it sends that
	proxied    bool // learns of clients' addresses by the PROXY protocol: what is in X-Forwarded-For never counts

	secure bool // clients come over TLS, by HTTP/2 where it is offered; the front asks over mTLS
	unix   bool // the front asks at a unix socket
	boot   func(t *testing.T, b *behind) *exec.Cmd
}

// behind is where a front is: between clients and an API, with a patgate to ask.
type behind struct {
	dir       string // for the front's files
	manifests string
	clients   string
	api       string
	checks    string // of patgate, over HTTP
	keys      string // a directory with certificates, for clients and for patgate; empty: no TLS
	roots     *x509.CertPool
	trusting  bool // the front believes a proxy before it, which says the client's address in X-Forwarded-For
}

// everyFront lists the fronts in the order of the tables.
func everyFront() []front {
	return []front{
		{name: "nginx 1.22", kind: "nginx", boot: bootNginx},
		{name: "ingress-nginx's template", kind: "ingress-nginx", silent: true, boot: bootIngressNginx},
		{name: "Caddy 2.11", kind: "caddy", hops: 1, boot: bootCaddy},
		{name: "HAProxy 2.6", kind: "haproxy", boot: bootHAProxy},
		{name: "Envoy http_service", kind: "envoy", hops: 1, normalizes: true, silent: true, boot: bootEnvoy},
		{name: "Traefik 3.7", kind: "traefik", normalizes: true, silent: true, proxied: true, boot: bootTraefik},
	}
}

// fronts lists the fronts of this run: Traefik, which takes minutes to build, has one of its own.
func fronts() []front {
	return slices.DeleteFunc(everyFront(), func(f front) bool { return (f.kind == "traefik") != runsTraefik() })
}

// secureFronts lists those that have TLS of their own, with it.
func secureFronts() (list []front) {
	for _, f := range fronts() {
		if f.secure = true; f.kind != "ingress-nginx" {
			list = append(list, f)
		}
	}
	return list
}

func runsTraefik() bool { return os.Getenv("PATGATE_TEST_FRONTS_TRAEFIK") != "" }

// installed is a path in the folder that test/fronts/install.py printed.
func installed(t *testing.T, elements ...string) string {
	t.Helper()
	dir := os.Getenv("PATGATE_TEST_FRONTS")
	if dir == "" {
		t.Fatal("PATGATE_TEST_FRONTS is not set: run `make test-fronts`")
	}
	return filepath.Join(append([]string{dir}, elements...)...)
}

// frontConfig runs `patgate front-config`.
func frontConfig(t *testing.T, flags ...string) string {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"front-config"}, flags...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil { // on stderr may be what is doubtful
		t.Fatalf("front-config %s: %v\n%s", strings.Join(flags, " "), err, errs.String())
	}
	return out.String()
}

// config prints the configuration of a kind for what is on both sides of the front.
func (b *behind) config(t *testing.T, kind string, flags ...string) string {
	t.Helper()
	patgate := b.checks
	if b.keys != "" {
		patgate = strings.Replace(patgate, "127.0.0.1", checksName, 1)
		flags = append(flags, "--tls", b.keys, "--patgate-tls", b.keys)
	}
	return frontConfig(t, append([]string{"--for", kind, "--manifests", b.manifests, "--listen", b.clients, "--upstream", b.api, "--patgate", patgate}, flags...)...)
}

// checksName is patgate's name in its certificate.
const checksName = "localhost"

// places makes what is on both sides of a front.
func (f front) places(t *testing.T, manifests, api string, trusting bool) *behind {
	t.Helper()
	b := &behind{dir: t.TempDir(), manifests: manifests, clients: freeAddr(t), api: api, checks: freeAddr(t), trusting: trusting}
	if f.unix {
		b.checks = "unix://" + filepath.Join(b.dir, "checks.sock")
	}
	if f.secure {
		ours := newAuthority(t, "ours")
		b.keys, b.roots = t.TempDir(), x509.NewCertPool()
		b.roots.AppendCertsFromPEM(ours.pem)
		file := func(name string) string { return filepath.Join(b.keys, name) }
		write(t, file("ca.crt"), string(ours.pem))
		ours.issue(checksName, file("tls.crt"), file("tls.key"), func(c *x509.Certificate) {
			c.DNSNames = append(c.DNSNames, corpusHost, "jira.example.com", "*.example.com")
		})
		ours.issue(checksName, file("patgate.crt"), file("patgate.key"))
		var both []byte
		for _, name := range []string{"tls.crt", "tls.key"} {
			text, err := os.ReadFile(file(name))
			if err != nil {
				t.Fatal(err)
			}
			both = append(both, text...)
		}
		write(t, file("tls.pem"), string(both))
	}
	return b
}

// serve starts the patgate that the front asks.
func (b *behind) serve(t *testing.T, kind string) *patgate {
	t.Helper()
	flags := []string{"--http-listen", b.checks, "--http-front", kind}
	if b.keys != "" {
		file := func(name string) string { return filepath.Join(b.keys, name) }
		flags = append(flags, "--tls-cert", file("patgate.crt"), "--tls-key", file("patgate.key"), "--tls-client-ca", file("ca.crt"), "--tls-client-name", checksName)
	}
	return startPatgate(t, b.manifests, flags...)
}

// standing is a running front with a patgate.
type standing struct {
	*patgate
	front
	*behind
}

// send sends a message as a client at an address; empty: the tests' own. With TLS it goes by HTTP/2, where the front
// offers it.
func (s *standing) send(m *message, source string) reply {
	if !s.secure {
		return s.dial(source).sendRaw(m.http1(), 1)
	}
	over := *m
	over.scheme = "https"
	return s.dialTLS(source, "h2").send2(&over)
}

// dialTLS connects as dial does, with TLS and one protocol.
func (s *standing) dialTLS(source, protocol string) dialer {
	return func() (net.Conn, error) {
		c, err := s.dial(source)()
		if err != nil {
			return nil, err
		}
		secure := tls.Client(c, &tls.Config{RootCAs: s.roots, ServerName: corpusHost, NextProtos: []string{protocol}})
		if err := secure.Handshake(); err != nil {
			c.Close()
			return nil, err
		}
		if got := secure.ConnectionState().NegotiatedProtocol; got != protocol {
			c.Close()
			return nil, fmt.Errorf("the front speaks %q, want %s", got, protocol)
		}
		return secure, nil
	}
}

// dial connects as a client at an address; empty: the tests' own.
func (s *standing) dial(source string) dialer {
	return func() (net.Conn, error) {
		c, err := net.DialTimeout("tcp", s.clients, wireTimeout)
		if err != nil || source == "" {
			return c, err
		}
		version, here := "TCP4", "127.0.0.1"
		if strings.Contains(source, ":") {
			version, here = "TCP6", "::1"
		}
		_, err = fmt.Fprintf(c, "PROXY %s %s %s 40000 80\r\n", version, source, here)
		return c, err
	}
}

// stand starts a patgate, and a front between clients and an API.
func (f front) stand(t *testing.T, manifests, api string, trusting bool) *standing {
	t.Helper()
	b := f.places(t, manifests, api, trusting)
	p := b.serve(t, f.kind)
	f.run(t, b)
	return &standing{p, f, b}
}

// run runs the front until the test ends, and waits until it knows its routes: Traefik listens before.
func (f front) run(t *testing.T, b *behind) {
	t.Helper()
	run(t, f.name, f.boot(t, b), b.clients)
	if f.kind != "traefik" {
		return
	}
	host := "any.example.com"
	rules, err := os.ReadFile(filepath.Join(b.dir, "patgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile("Host\\(`([^`]+)`\\)").FindSubmatch(rules); m != nil {
		host = string(m[1])
	}
	dial := dialTCP(b.clients)
	if b.keys != "" {
		dial = (&standing{front: f, behind: b}).dialTLS("", "http/1.1")
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if r := dial.sendRaw("GET / HTTP/1.1\r\nHost: "+host+"\r\nUser-Agent: waiting\r\n\r\n", 1); r.status() != 0 && r.status() != 404 || r.header("x-patgate-id") != "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("Traefik has no routes")
		}
	}
}

// run runs a program until the test ends, and waits until it listens.
func run(t *testing.T, name string, cmd *exec.Cmd, address string) {
	t.Helper()
	runWith(t, &output.Buffer{}, name, cmd, address)
}

// runWith runs a program as run does, with a log of the caller's.
func runWith(t *testing.T, log *output.Buffer, name string, cmd *exec.Cmd, address string) {
	t.Helper()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			t.Errorf("%s did not end", name)
		}
		if t.Failed() {
			text := log.String()
			t.Logf("%s: …%s", name, text[max(0, len(text)-4000):])
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return
		}
		select {
		case err := <-exited:
			exited <- errors.New("ended")
			t.Fatalf("%s ended: %v\n%s", name, err, log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen on %s\n%s", name, address, log.String())
		}
	}
}
