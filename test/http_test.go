package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/patgate/patgate/token"
)

// askOverHTTP makes a check as nginx does.
func askOverHTTP(t *testing.T, client *http.Client, url, value string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url+"/check", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"X-Original-Method": "GET", "X-Original-URI": "/rest/", "X-Original-Host": "jira.example.com", "Authorization": "Bearer " + value} {
		r.Header.Set(name, text)
	}
	answer, err := client.Do(r)
	if err == nil {
		answer.Body.Close()
	}
	return answer, err
}

// tokenDirectory has a gate and a token.
func tokenDirectory(t *testing.T) (dir, value string) {
	t.Helper()
	dir, value = t.TempDir(), token.Mint().Reveal()
	write(t, filepath.Join(dir, "m.yaml"), kind("all", "Gate", "schemes: [basic, bearer]\n")+
		kind("ci", "APIToken", "user: alice\ndigest: "+digestOf(value)+"\nissued: 2026-01-01T00:00:00Z\nunrestricted: true\n"))
	return dir, value
}

// TestHTTPMutualTLS has a front ask over mTLS: it is named in the audit, and others are refused and counted.
func TestHTTPMutualTLS(t *testing.T) {
	files := t.TempDir()
	file := func(name string) string { return filepath.Join(files, name) }
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	write(t, file("ca.crt"), string(ours.pem))
	ours.issue("patgate", file("tls.crt"), file("tls.key"))
	ours.issue("nginx", file("nginx.crt"), file("nginx.key"))
	ours.issue("other", file("other.crt"), file("other.key"))
	others.issue("nginx", file("stranger.crt"), file("stranger.key"))
	dir, value := tokenDirectory(t)
	checks := freeAddr(t)
	p := startPatgate(t, dir, "--http-listen", checks, "--http-front", "nginx", "--tls-cert", file("tls.crt"), "--tls-key", file("tls.key"),
		"--tls-client-ca", file("ca.crt"), "--tls-client-name", "nginx")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ours.pem)
	for name, allowed := range map[string]bool{"nginx": true, "other": false, "stranger": false, "": false} {
		config := &tls.Config{RootCAs: roots, ServerName: "patgate"}
		if name != "" {
			pair, err := tls.LoadX509KeyPair(file(name+".crt"), file(name+".key"))
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		answer, err := askOverHTTP(t, client, "https://"+checks, value)
		if (err == nil) != allowed || allowed && answer.StatusCode != http.StatusOK {
			t.Errorf("a client with the certificate %q: %v %v", name, answer, err)
		}
	}
	if e := p.find("of the front", func(e *event) bool { return e.Kind == "decision" }); e.PeerName != "nginx" {
		t.Errorf("the event names %q", e.PeerName)
	}
	p.wantDecisions(1)
}

// TestHTTPSocket asks at a unix socket beside gRPC, and ends while a connection is kept.
func TestHTTPSocket(t *testing.T) {
	dir, value := tokenDirectory(t)
	path := filepath.Join(t.TempDir(), "checks.sock")
	p := startPatgate(t, dir, "--http-listen", "unix://"+path, "--http-front", "nginx", "--drain-delay", "50ms")
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	for range 3 {
		if answer, err := askOverHTTP(t, client, "http://patgate", value); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", answer, err)
		}
	}
	p.wantDecisions(3)
	p.stop(syscall.SIGTERM)
	if _, err := askOverHTTP(t, client, "http://patgate", value); err == nil {
		t.Error("a server that ended answers")
	}
	p.holdsNo(map[string]string{"ci": value})
}
