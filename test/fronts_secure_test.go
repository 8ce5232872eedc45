//go:build fronts

package test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestFrontsSecure asks over TLS and at unix sockets, with clients that come over TLS by both protocols. patgate knows the
// front by its certificate, and that the client had TLS; a front without that certificate lets nothing through.
func TestFrontsSecure(t *testing.T) {
	var list []front
	for _, f := range secureFronts() {
		list = append(list, f)
	}
	for _, f := range fronts() {
		if f.unix = true; slices.Contains([]string{"nginx", "caddy", "haproxy", "envoy"}, f.kind) {
			list = append(list, f)
		}
	}
	for _, f := range list {
		name := f.name + " over TLS"
		if f.unix {
			name = f.name + " at a unix socket"
		}
		t.Run(name, func(t *testing.T) { f.asks(t) })
	}
}

func (f front) asks(t *testing.T) {
	dir, value := tokenDirectory(t)
	up := startUpstream(t)
	s := f.stand(t, dir, up.addr, false)
	m := &message{method: "GET", target: "/rest/x", host: corpusHost, headers: [][2]string{{"Authorization", "Bearer " + value}, {"X-Forwarded-User", "root"}}}
	closed := &message{method: "GET", target: "/rest/x", host: corpusHost}
	replies := []reply{s.send(m, ""), s.send(closed, "")}
	if f.secure {
		replies = append(replies, s.dialTLS("", "http/1.1").sendRaw(m.http1(), 1), s.dialTLS("", "http/1.1").sendRaw(closed.http1(), 1))
	}
	for i, r := range replies {
		if i%2 == 1 {
			if r.status() != 401 || r.reached() > 0 {
				t.Errorf("without a credential: %s", r.raw)
			}
			continue
		}
		if r.reached() != 1 {
			t.Fatalf("with a token: %s", r.raw)
		}
		if got := fieldsOf(r.heads(t)[0], "x-forwarded-user"); !slices.Equal(got, []string{"alice"}) {
			t.Errorf("the API sees the user %q", got)
		}
		e := s.byID(fieldsOf(r.heads(t)[0], "x-patgate-id")[0])
		if e.TLS != f.secure || f.secure && e.PeerName != checksName {
			t.Errorf("TLS %t, asked by %q", e.TLS, e.PeerName)
		}
	}
	checks := len(replies)
	if f.kind == "traefik" {
		checks++ // the one that waited for its routes
	}
	s.wantDecisions(checks)
	s.stop(syscall.SIGTERM)
	if r := s.send(m, ""); r.reached() > 0 || r.status() < 400 || strings.Contains(r.raw, value) {
		t.Errorf("without patgate: %s", r.raw)
	}
}
