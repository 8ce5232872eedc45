package extauthz

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/extauthz/httpfront"
)

// unreadableChecks are what net/http answers by itself, by what the refusal says.
var unreadableChecks = map[string]string{
	"NONSENSE":                                      "no request of HTTP/1.1",
	"GET /check":                                    "no request of HTTP/1.1",
	"GET /check HTTP/9.9":                           "no request of HTTP/1.1",
	"GET  /check HTTP/1.1":                          "no request of HTTP/1.1",
	"GET /check HTTP/1.1":                           "no request of HTTP/1.1", // without a Host
	"GET /check HTTP/1.1\nHost: a\nHost: b":         "no request of HTTP/1.1",
	"GET /check HTTP/1.1\nHost: pat gate":           "no request of HTTP/1.1",
	"GET /check HTTP/1.1\nHost: patgate\nX Y: 1":    "no request of HTTP/1.1",
	"GET /check HTTP/1.1\nHost: patgate\nX-Y: \x00": "no request of HTTP/1.1",
	"GET /%zz HTTP/1.1\nHost: patgate":              "no request of HTTP/1.1",
	"POST /check HTTP/1.1\nHost: patgate\nContent-Length: 1\nContent-Length: 2":   "no request of HTTP/1.1",
	"POST /check HTTP/1.1\nHost: patgate\nContent-Length: -1":                     "no request of HTTP/1.1",
	"POST /check HTTP/1.1\nHost: patgate\nTransfer-Encoding: gzip":                "transfer coding is unknown",
	"GET /check HTTP/1.1\nHost: patgate\nExpect: gold":                            "expects something else",
	"GET /check HTTP/1.1\nHost: patgate\nX-Long: " + strings.Repeat("x", 200<<10): "larger than 128 KiB",
	"GET /" + strings.Repeat("x", 200<<10) + " HTTP/1.1\nHost: patgate":           "larger than 128 KiB",
	"PRI * HTTP/2.0\n\nSM": "",
	"OPTIONS * HTTP/1.1\nHost: jira.example.com\nAuthorization: Bearer nobody":     "",
	"OPTIONS * HTTP/1.1\nHost: jira.example.com":                                   "",
	"OPTIONS /check HTTP/1.1\nHost: jira.example.com\nAuthorization: Bearer other": "",
}

// TestFrontUnreadable holds every answer on the listener to the rules: a refusal is a problem with an id and an event,
// whether or not net/http could read the check.
func TestFrontUnreadable(t *testing.T) {
	for _, kind := range []httpfront.Kind{httpfront.Nginx, httpfront.Envoy} {
		for head, want := range unreadableChecks {
			p, ask := newFrontTest(t, kind)
			got := ask(head, "")
			if got.status < 400 || got.header.Get("content-type") != "application/problem+json" || got.header.Get("cache-control") != "no-store" ||
				len(got.header.Get("x-patgate-id")) != 26 || want != "" && got.status != 400 {
				t.Errorf("%s: %.60q: %+v", kind, head, got)
			}
			if len(p.events) != 1 || p.events[0].ID != got.header.Get("x-patgate-id") || p.events[0].Decision != "deny" {
				t.Fatalf("%s: %.60q: %d events: %+v", kind, head, len(p.events), p.events)
			}
			if e := p.events[0]; want != "" && (e.Reason != "bad_target" || !strings.Contains(e.Detail, want)) {
				t.Errorf("%s: %.60q: %s: %s", kind, head, e.Reason, e.Detail)
			} else if kind == httpfront.Envoy && strings.HasPrefix(head, "OPTIONS ") && e.Method != "OPTIONS" {
				t.Errorf("%.60q: the event has the method %q", head, e.Method)
			}
		}
	}
}

// TestFrontUnreadableLater sends what can't be read after a check on one connection, and closes others without a
// request: only checks have events.
func TestFrontUnreadableLater(t *testing.T) {
	p, dial := dialFront(t, nil)
	c := dial()
	head := strings.ReplaceAll(checkOf[httpfront.Nginx], "\n", "\r\n") + "\r\nAuthorization: Bearer " + secret.Reveal() + "\r\n\r\n"
	_, _ = io.WriteString(c, head+head+"NONSENSE\r\n\r\n")
	answers, err := io.ReadAll(c)
	if err != nil || strings.Count(string(answers), "HTTP/1.1 200 OK") != 2 || strings.Count(string(answers), "HTTP/1.1 400 Bad Request") != 1 {
		t.Fatalf("%v\n%s", err, answers)
	}
	dial().Close()
	half := dial()
	_, _ = io.WriteString(half, "GET /check HT")
	_ = half.(*net.TCPConn).CloseWrite()
	if answer, err := io.ReadAll(half); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 Bad Request") {
		t.Errorf("half a line: %v\n%s", err, answer)
	}
	if n := p.count(); n != 4 {
		t.Errorf("%d events, want one for each answer, 4", n)
	}
}

// TestFrontTLS has TLS connections behave as plain ones: a certificate's name is in the event of a check that can't be
// read too, HTTP/2 is not offered, and what is no TLS gets no answer and has no event.
func TestFrontTLS(t *testing.T) {
	server, client := testTLS(t)
	server.NextProtos = []string{"http/1.1"}
	p, dial := dialFront(t, server)
	for _, head := range []string{checkOf[httpfront.Nginx] + "\nAuthorization: Bearer " + secret.Reveal(), "NONSENSE"} {
		config := client.Clone()
		config.NextProtos = []string{"h2", "http/1.1"}
		c := tls.Client(dial(), config)
		_, _ = io.WriteString(c, strings.ReplaceAll(head, "\n", "\r\n")+"\r\nConnection: close\r\n\r\n")
		answer, err := io.ReadAll(c)
		if err != nil || !strings.Contains(strings.ToLower(string(answer)), "x-patgate-id: ") || c.ConnectionState().NegotiatedProtocol != "http/1.1" {
			t.Errorf("%q: %v: %s", head, err, answer)
		}
	}
	if n := p.count(); n != 2 || p.events[0].PeerName != "envoy" || p.events[1].PeerName != "envoy" {
		t.Fatalf("%d events: %+v", n, p.events)
	}
	c := dial()
	_, _ = io.WriteString(c, "GET /check HTTP/1.1\r\nHost: patgate\r\n\r\n")
	if answer, _ := io.ReadAll(c); strings.Contains(string(answer), "HTTP/") {
		t.Errorf("plain text is answered: %s", answer)
	}
	if n := p.count(); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

// dialFront serves checks of nginx, and returns what connects to it.
func dialFront(t *testing.T, config *tls.Config) (p *parts, dial func() net.Conn) {
	t.Helper()
	s, p := newServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := NewFront(s, FrontOptions{Kind: httpfront.Nginx, TLS: config})
	served := make(chan error, 1)
	go func() { served <- f.Serve(l) }()
	t.Cleanup(func() {
		f.Stop(t.Context())
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return p, func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
}

func (p *parts) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.events)
}

// testTLS has a server and a client named envoy trust one certificate.
func testTLS(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"envoy"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	pairs := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	return &tls.Config{Certificates: pairs, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert},
		&tls.Config{Certificates: pairs, RootCAs: pool, ServerName: "envoy"}
}
