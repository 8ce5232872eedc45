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
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/envoy"
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
	runWith(t, &syncBuffer{}, name, cmd, address)
}

// runWith runs a program as run does, with a log of the caller's.
func runWith(t *testing.T, log *syncBuffer, name string, cmd *exec.Cmd, address string) {
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

// bootNginx wraps the printed file as /etc/nginx/nginx.conf does.
func bootNginx(t *testing.T, b *behind) *exec.Cmd {
	write(t, filepath.Join(b.dir, "patgate.conf"), b.config(t, "nginx"))
	return nginx(t, b, "include patgate.conf;")
}

// nginx runs Debian's nginx with what is within http {}.
func nginx(t *testing.T, b *behind, http string) *exec.Cmd {
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "  %s_temp_path %s;\n", kind, filepath.Join(b.dir, kind))
	}
	if b.trusting {
		http = "set_real_ip_from 127.0.0.1;\n  real_ip_header X-Forwarded-For;\n  " + http
	}
	write(t, filepath.Join(b.dir, "nginx.conf"), "daemon off;\nmaster_process off;\npid "+filepath.Join(b.dir, "pid")+";\nerror_log stderr;\n"+
		"events { worker_connections 512; }\nhttp {\n  access_log off;\n"+temp.String()+
		"  "+http+"\n}\n")
	return exec.Command(installed(t, "debian", "root", "usr", "sbin", "nginx"), "-p", b.dir, "-e", "stderr", "-c", filepath.Join(b.dir, "nginx.conf"))
}

// bootIngressNginx runs what the controller's template makes of the printed annotations: its own location for
// auth-url, and the headers of its ConfigMap.
func bootIngressNginx(t *testing.T, b *behind) *exec.Cmd {
	text := frontConfig(t, "--for", "ingress-nginx", "--manifests", b.manifests, "--upstream", b.api, "--patgate", b.checks)
	var annotations struct {
		Metadata struct{ Annotations map[string]string }
	}
	var settings struct{ Data map[string]string }
	d := yaml.NewDecoder(strings.NewReader(text))
	if err := errors.Join(d.Decode(&annotations), d.Decode(&settings)); err != nil {
		t.Fatal(err)
	}
	const prefix = "nginx.ingress.kubernetes.io/"
	var set, headers strings.Builder
	for i, name := range strings.Split(annotations.Metadata.Annotations[prefix+"auth-response-headers"], ",") {
		variable := strings.ReplaceAll(strings.ToLower(name), "-", "_")
		fmt.Fprintf(&set, "auth_request_set $authHeader%d $upstream_http_%s;\n", i, variable)
		fmt.Fprintf(&headers, "proxy_set_header '%s' $authHeader%d;\n", name, i)
	}
	for name, value := range settings.Data {
		fmt.Fprintf(&headers, "proxy_set_header %s %q;\n", name, value)
	}
	template, err := os.ReadFile("fronts/ingress-nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("LISTEN", b.clients, "UPSTREAM", b.api, "AUTH-URL", annotations.Metadata.Annotations[prefix+"auth-url"],
		"AUTH-SET", set.String(), "HEADERS", headers.String()).Replace(string(template))
	return nginx(t, b, config)
}

func bootCaddy(t *testing.T, b *behind) *exec.Cmd {
	config := b.config(t, "caddy")
	if b.trusting {
		if b.keys != "" {
			config = replacing(t, "\t\tprotocols h1 h2\n", "\t\tprotocols h1 h2\n\t\ttrusted_proxies static 127.0.0.0/8\n")(config)
		} else {
			config = replacing(t, "{\n\tadmin off\n", "{\n\tadmin off\n\tservers {\n\t\ttrusted_proxies static 127.0.0.0/8\n\t}\n")(config)
		}
	}
	write(t, filepath.Join(b.dir, "Caddyfile"), config)
	cmd := exec.Command(installed(t, "caddy", "caddy"), "run", "--config", filepath.Join(b.dir, "Caddyfile"), "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+b.dir, "XDG_DATA_HOME="+b.dir, "XDG_CONFIG_HOME="+b.dir)
	return cmd
}

// bootTraefik runs the two printed files.
func bootTraefik(t *testing.T, b *behind) *exec.Cmd {
	return traefik(t, b, b.config(t, "traefik", "--max-request-bytes", "8192"))
}

// traefik runs Traefik with the two files of a text.
func traefik(t *testing.T, b *behind, config string) *exec.Cmd {
	const dynamic = "/etc/traefik/patgate.yaml"
	static, rules, found := strings.Cut(config, "\n---\n")
	if !found {
		t.Fatal("front-config --for traefik does not print two files")
	}
	file := filepath.Join(b.dir, "patgate.yaml")
	static = replacing(t, dynamic, file)(static)
	if b.trusting {
		static = replacing(t, "    forwardedHeaders: {insecure: false}\n", "    forwardedHeaders: {insecure: false}\n    proxyProtocol: {trustedIPs: [127.0.0.0/8]}\n")(static)
	}
	write(t, filepath.Join(b.dir, "traefik.yaml"), static)
	write(t, file, rules)
	return exec.Command(installed(t, "traefik", "traefik"), "--configfile", filepath.Join(b.dir, "traefik.yaml"))
}

func bootHAProxy(t *testing.T, b *behind) *exec.Cmd {
	script := filepath.Join(b.dir, "patgate.lua")
	write(t, script, frontConfig(t, "--for", "haproxy-lua", "--manifests", b.manifests))
	config := b.config(t, "haproxy")
	config = replacing(t, "/etc/haproxy/patgate.lua", script)(config)
	if b.trusting {
		config = replacing(t, "    http-request lua.patgate\n", "    http-request set-src hdr_ip(x-forwarded-for,-1)\n    http-request lua.patgate\n")(config)
	}
	write(t, filepath.Join(b.dir, "haproxy.cfg"), config)
	return haproxy(t, "-W", "-f", filepath.Join(b.dir, "haproxy.cfg"))
}

// haproxy runs Debian's HAProxy with the libraries that came with it.
func haproxy(t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.Command(installed(t, "debian", "root", "usr", "sbin", "haproxy"), args...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+installed(t, "debian", "root", "usr", "lib", runtimeTriple()))
	return cmd
}

// runtimeTriple names Debian's folder of libraries.
func runtimeTriple() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64-linux-gnu"
	}
	return "x86_64-linux-gnu"
}

func bootEnvoy(t *testing.T, b *behind) *exec.Cmd {
	write(t, filepath.Join(b.dir, "envoy.yaml"), b.config(t, "envoy", "--admin", freeAddr(t), "--max-request-bytes", "8192"))
	program, err := envoy.Binary()
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(program, "-c", filepath.Join(b.dir, "envoy.yaml"), "--disable-hot-restart", "--log-level", "error", "--concurrency", "1")
}

// syncBuffer takes what a process writes.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *syncBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

// String returns what was written so far.
func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
