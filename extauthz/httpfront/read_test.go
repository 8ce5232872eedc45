package httpfront

import (
	"bufio"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// good are the headers of a whole check of each kind.
var good = map[Kind][]string{
	Nginx: {"X-Original-Method: GET", "X-Original-URI: /rest/a%2fb?x=1", "X-Original-Host: api.example.com", "X-Real-IP: 203.0.113.5",
		"X-Original-Proto: https", "X-Original-Body: body=,HTTP/1.1"},
	IngressNginx: {"X-Original-Method: GET", "X-Original-URL: https://api.example.com/rest/a%2fb?x=1", "X-Real-IP: 203.0.113.5"},
	Traefik: {"X-Forwarded-Method: GET", "X-Forwarded-Uri: /rest/a%2fb?x=1", "X-Forwarded-Host: api.example.com", "X-Forwarded-For: 203.0.113.5",
		"X-Forwarded-Proto: https", "X-Forwarded-Server: edge-1", "X-Forwarded-Port: 443"},
	Caddy: {"X-Forwarded-Method: GET", "X-Forwarded-Uri: /rest/a%2fb?x=1", "X-Forwarded-Host: api.example.com", "X-Forwarded-For: 10.0.0.1, 203.0.113.5",
		"X-Forwarded-Proto: https"},
	HAProxy: {"x-forwarded-method: GET", "x-forwarded-uri: /rest/a%2fb?x=1", "x-forwarded-host: api.example.com", "x-forwarded-for: 203.0.113.5",
		"x-forwarded-proto: https", "x-forwarded-body: body=,HTTP/1.1"},
	Envoy:      {"X-Envoy-External-Address: 203.0.113.5", "X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https"},
	GatewayAPI: {"X-Envoy-External-Address: 203.0.113.5", "X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https"},
}

// parse reads a check off the wire, as a server does.
func parse(t *testing.T, kind Kind, lines ...string) *http.Request {
	t.Helper()
	line, host := "GET /check?q=1 HTTP/1.1", "patgate"
	if families[kind].isRequest() {
		line, host = "GET /rest/a%2fb?x=1 HTTP/1.1", "api.example.com"
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + "\r\nHost: " + host + "\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func values(c *Check, name string) (list []string) {
	for _, h := range c.Header {
		if h.Name == name {
			list = append(list, h.Value)
		}
	}
	return list
}

// TestHeadersOfAnotherFamily reads a whole check of each kind, beside forged headers of all other families.
func TestHeadersOfAnotherFamily(t *testing.T) {
	for _, kind := range Kinds() {
		lines := slices.Clone(good[kind])
		for _, forged := range []string{"X-Original-Method: PUT", "X-Original-URI: /forged", "X-Original-Host: forged", "X-Original-URL: ftp://forged/forged",
			"X-Original-Proto: ftp", "X-Forwarded-Method: PUT", "X-Forwarded-Uri: /forged", "X-Forwarded-Host: forged", "X-Forwarded-For: 6.6.6.6",
			"X-Forwarded-Proto: ftp", "X-Real-IP: 6.6.6.6", "X-Envoy-External-Address: 6.6.6.6", "X-Envoy-Original-Path: /forged", "Forwarded: host=forged"} {
			name, _, _ := strings.Cut(forged, ":")
			if !families[kind].owns(http.CanonicalHeaderKey(name)) {
				lines = append(lines, forged)
			}
		}
		c := Read(kind, parse(t, kind, lines...))
		if c.Problem != "" || c.Method != "GET" || c.Target != "/rest/a%2fb?x=1" || c.Host != "api.example.com" || c.Address != "203.0.113.5" {
			t.Errorf("%s: %+v", kind, c)
		}
		if got := values(&c, "x-forwarded-proto"); !slices.Equal(got, []string{"https"}) {
			t.Errorf("%s: x-forwarded-proto is %q", kind, got)
		}
		if got := strings.Join(values(&c, "x-forwarded-for"), ";"); !strings.HasSuffix(got, "203.0.113.5") || strings.Contains(got, "6.6.6.6") {
			t.Errorf("%s: x-forwarded-for is %q", kind, got)
		}
		if kind != Envoy && kind != GatewayAPI && slices.Contains(values(&c, "x-real-ip"), "6.6.6.6") {
			t.Errorf("%s: x-real-ip is the client's", kind)
		}
		// Policies see the forged ones that ask for another host or URL.
		if !slices.Equal(values(&c, "forwarded"), []string{"host=forged"}) || kind != IngressNginx && len(values(&c, "x-original-url")) != 1 {
			t.Errorf("%s: what asks for another URL is gone: %v", kind, c.Header)
		}
	}
}

// TestOneOfEach leaves each header of a family out, and sends it twice.
func TestOneOfEach(t *testing.T) {
	for _, kind := range Kinds() {
		for i, line := range good[kind] {
			name, _, _ := strings.Cut(line, ":")
			without := Read(kind, parse(t, kind, slices.Delete(slices.Clone(good[kind]), i, i+1)...))
			f, key := families[kind], http.CanonicalHeaderKey(name)
			switch required := key == f.method || key == f.target || key == f.host || key == f.url; {
			case required != (without.Problem != ""):
				t.Errorf("%s without %s: %q", kind, name, without.Problem)
			case key == f.address && without.Address != "":
				t.Errorf("%s without %s: the address is %q", kind, name, without.Address)
			case key == f.proto && len(values(&without, "x-forwarded-proto")) > 0:
				t.Errorf("%s without %s: TLS is known", kind, name)
			}
			for _, twice := range []string{line, name + ": other", strings.ToLower(name) + ":", strings.ToUpper(line)} {
				if c := Read(kind, parse(t, kind, append(slices.Clone(good[kind]), twice)...)); c.Problem == "" {
					t.Errorf("%s with %s twice (%s): no problem", kind, name, twice)
				}
			}
			alike := strings.ReplaceAll(name, "-", ".")
			if c := Read(kind, parse(t, kind, append(slices.Clone(good[kind]), alike+": other")...)); c.Problem == "" {
				t.Errorf("%s with %s: no problem", kind, alike)
			}
			if c := Read(kind, parse(t, kind, append(slices.Clone(good[kind]), strings.ReplaceAll(name, "-", "_")+": other")...)); c.Problem == "" {
				t.Errorf("%s with %s and underscores: no problem", kind, name)
			}
		}
	}
}

// TestOddChecks holds what is odd in one header to what is read.
func TestOddChecks(t *testing.T) {
	for _, c := range []struct {
		what    string
		kind    Kind
		change  string // replaces the line of its name
		problem bool
		want    func(c *Check) bool
	}{
		{"two methods", Nginx, "X-Original-Method: GET,POST", true, nil},
		{"no method", Nginx, "X-Original-Method:", true, nil},
		{"a method with a blank", HAProxy, "x-forwarded-method: GET /x", true, nil},
		{"an unknown scheme", Nginx, "X-Original-Proto: HTTPS", false, func(c *Check) bool { return len(values(c, "x-forwarded-proto")) == 0 }},
		{"two schemes", Caddy, "X-Forwarded-Proto: https, http", false, func(c *Check) bool { return len(values(c, "x-forwarded-proto")) == 0 }},
		{"a URL without a scheme", IngressNginx, "X-Original-URL: /rest", false, func(c *Check) bool { return c.Target == "" && c.Host == "" }},
		{"a URL without a path", IngressNginx, "X-Original-URL: https://api.example.com", false, func(c *Check) bool { return c.Target == "" }},
		{"a URL with a query at once", IngressNginx, "X-Original-URL: https://api.example.com?x", false, func(c *Check) bool { return c.Target == "?x" }},
		{"a user in the URL", IngressNginx, "X-Original-URL: https://a@b/rest", false, func(c *Check) bool { return c.Host == "a@b" }},
		{"the last of several addresses", Traefik, "X-Forwarded-For: 1.1.1.1, 2.2.2.2", false, func(c *Check) bool { return c.Address == "2.2.2.2" }},
		{"Connection names an identity header", Caddy, "Connection: Upgrade, X-Forwarded-User", true, nil},
		{"Connection names Authorization", HAProxy, "Connection: authorization", true, nil},
		{"the client's Connection names one", HAProxy, "x-forwarded-connection: close,X-Forwarded-User", true, nil},
		{"the client's Connection is ordinary", HAProxy, "x-forwarded-connection: Upgrade", false, nil},
		{"Connection is ordinary", Caddy, "Connection: keep-alive, Upgrade, HTTP2-Settings", false, func(c *Check) bool { return c.Method == "GET" }},
		{"the request has a body", Nginx, "X-Original-Body: body=12,HTTP/1.1", false, func(c *Check) bool { return c.Framing == Framing{true, "12"} }},
		{"the request has none", Nginx, "X-Original-Body: body=,HTTP/1.1", false, func(c *Check) bool { return c.Framing == Framing{Known: true} }},
		{"the request has one of HTTP/2", Nginx, "X-Original-Body: body=12,HTTP/2.0", false, func(c *Check) bool { return c.Framing == Framing{true, "12"} }},
		{"one of HTTP/2 may have one", Nginx, "X-Original-Body: body=,HTTP/2.0", false, func(c *Check) bool { return c.Framing == Framing{} }},
		{"one of HTTP/3 may have one", Caddy, "X-Forwarded-Body: body=,HTTP/3.0", false, func(c *Check) bool { return c.Framing == Framing{} }},
		{"no protocol is said", HAProxy, "X-Forwarded-Body: body=", false, func(c *Check) bool { return c.Framing == Framing{} }},
		{"nothing is said of a body", Nginx, "X-Original-Body: 0", false, func(c *Check) bool { return !c.Framing.Known }},
		{"lengths are the check's", Envoy, "Content-Length: 0", false, func(c *Check) bool { return len(values(c, "content-length")) == 0 }},
	} {
		name, _, _ := strings.Cut(c.change, ":")
		lines := slices.DeleteFunc(slices.Clone(good[c.kind]), func(line string) bool { return strings.HasPrefix(strings.ToLower(line), strings.ToLower(name)+":") })
		got := Read(c.kind, parse(t, c.kind, append(lines, c.change)...))
		if (got.Problem != "") != c.problem || c.want != nil && !c.want(&got) {
			t.Errorf("%s: %+v", c.what, got)
		}
	}
	if c := Read("apache", parse(t, Nginx, good[Nginx]...)); c.Problem == "" {
		t.Error("an unknown kind has no problem")
	}
}

// FuzzRead holds every check that is read to the rules: what it is about comes from one header of the kind's own
// family each, and never from another.
func FuzzRead(f *testing.F) {
	for i, kind := range Kinds() {
		f.Add(i, strings.Join(good[kind], "\r\n"))
		f.Add(i, strings.Join(append(slices.Clone(good[kind]), "x_forwarded.uri: /x", "Connection: close, x-a"), "\r\n"))
	}
	f.Fuzz(func(t *testing.T, number int, lines string) {
		kind := Kinds()[uint(number)%uint(len(Kinds()))]
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET /raw HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n\r\n")))
		if err != nil {
			return
		}
		c := Read(kind, r)
		if c.Problem != "" {
			return
		}
		own := families[kind]
		for _, part := range []struct{ key, got string }{{own.method, c.Method}, {own.target, c.Target}, {own.host, c.Host}} {
			if part.key != "" && !slices.Equal(r.Header[part.key], []string{part.got}) {
				t.Errorf("%s: %q is read of %q", kind, part.got, r.Header[part.key])
			}
		}
		if own.isRequest() && (c.Target != r.RequestURI || c.Method != r.Method || c.Host != r.Host) {
			t.Errorf("%s: %+v", kind, c)
		}
		if own.url != "" && !strings.HasSuffix(r.Header[own.url][0], c.Host+c.Target) {
			t.Errorf("%s: %+v of %q", kind, c, r.Header[own.url])
		}
		if got := values(&c, headerProto); len(got) > 1 || len(got) == 1 && got[0] != "https" && got[0] != "http" {
			t.Errorf("%s: x-forwarded-proto %q", kind, got)
		}
		if c.Address != "" && !strings.HasSuffix(strings.TrimRight(first(r.Header, own.address), " \t"), c.Address) {
			t.Errorf("%s: the address %q is of no header of its own", kind, c.Address)
		}
	})
}
