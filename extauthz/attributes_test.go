package extauthz

import (
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/patgate/patgate/policy"
)

func TestHeadersOfBothForms(t *testing.T) {
	list := &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
		{Key: "x-a", RawValue: []byte("1")}, {Key: "X-A", Value: "2"}, {Key: "x-b", RawValue: []byte("\xff")}, {Key: "x-empty"},
	}}
	h := readHeaders(map[string]string{"x-c": "3", "x-b": "4"}, list)
	for _, c := range []struct {
		name, value string
		count       int
	}{{"x-a", "1,2", 2}, {"x-c", "3", 1}, {"x-b", "4,\xff", 2}, {"x-empty", "", 1}, {"x-none", "", 0}} {
		if value, count := h.Get(c.name); value != c.value || count != c.count {
			t.Errorf("%s: %q, %d", c.name, value, count)
		}
	}
}

func TestACredentialInBothFormsIsMalformed(t *testing.T) {
	in := withToken()
	in.Attributes.Request.Http.Headers = map[string]string{"authorization": "Bearer " + secret.Reveal()}
	if r := readRequest(in, time.Now()); r.Credential.State != policy.CredentialMalformed {
		t.Errorf("%v", r.Credential.State)
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		name, path, query, protocol string
		raw                         []string // :path in the raw headers
		wantPath, wantQuery         string   // no path: refused
	}{
		{"whole", "/a?b=c", "", "HTTP/1.1", nil, "/a", "b=c"},
		{"in two parts", "/a", "b=c", "HTTP/1.1", nil, "/a", "b=c"},
		{"a query in both", "/a?b=c", "d=e", "HTTP/1.1", nil, "", ""},
		{"no path", "", "b=c", "HTTP/1.1", nil, "", "b=c"},
		{"raw, the same", "/a?b=!", "", "HTTP/2", []string{"/a?b=!"}, "/a", "b=!"},
		{"raw, with a byte that Envoy replaced in the query", "/a?b=!", "", "HTTP/2", []string{"/a?b=\xe9"}, "/a", "b=\xe9"},
		{"raw, with one in the path", "/!", "", "HTTP/2", []string{"/\xe9"}, "", ""},
		{"raw, another one", "/a", "", "HTTP/2", []string{"/b"}, "", ""},
		{"raw, two", "/a", "", "HTTP/2", []string{"/a", "/a"}, "", ""},
		{"not raw, where `!` may be any byte", "/a!", "", "HTTP/2", nil, "", ""},
		{"not raw, where `!` is one", "/a!", "", "HTTP/1.1", nil, "/a!", ""},
	} {
		in := &authv3.AttributeContext_HttpRequest{}
		if c.raw != nil {
			in.HeaderMap = &corev3.HeaderMap{}
		}
		for _, raw := range c.raw {
			in.HeaderMap.Headers = append(in.HeaderMap.Headers, &corev3.HeaderValue{Key: ":path", RawValue: []byte(raw)})
		}
		a := Attributes{path: c.path, query: c.query, protocol: c.protocol, headers: readHeaders(nil, in.HeaderMap), rawHeaders: len(c.raw) > 0}
		got := a.target()
		if got.Path != c.wantPath || got.Query != c.wantQuery || (c.wantPath == "") != (got.Problem() != "") {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestTLSSessions(t *testing.T) {
	for name, want := range map[string]bool{"jira.example.com": true, "": false} {
		in := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{TlsSession: &authv3.AttributeContext_TLSSession{Sni: name}}}
		if got := readRequest(in, time.Now()).TLS; got != want {
			t.Errorf("a session with the name %q counts: %v", name, got)
		}
	}
	if readRequest(&authv3.CheckRequest{}, time.Now()).TLS {
		t.Error("no session counts")
	}
}

func TestPeers(t *testing.T) {
	for addr, want := range map[string]string{"192.0.2.7": "192.0.2.7", "2001:db8::1": "2001:db8::1", "": "invalid IP", "@/sock": "invalid IP"} {
		a := Attributes{peer: addr}
		if r := a.request(time.Now()); r.Peer.String() != want {
			got := r.Peer
			t.Errorf("%q: %s", addr, got)
		}
	}
	pipe := &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: "192.0.2.7"}}}}
	if a := readAttributes(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{Source: pipe}}); a.peer != "" {
		t.Error("a pipe has an address")
	}
}

func TestBodies(t *testing.T) {
	for _, c := range []struct {
		name      string
		raw, text string
		size      int64
		partial   []string // x-envoy-auth-partial-body
		want      policy.BodyState
	}{
		{"none", "", "", 0, nil, policy.BodyAbsent},
		{"none, though declared", "", "", 5, []string{"false"}, policy.BodyAbsent},
		{"whole", "12345", "", 5, []string{"false"}, policy.BodyWhole},
		{"whole, size unknown", "12345", "", -1, []string{"false"}, policy.BodyWhole},
		{"whole, without the header", "12345", "", 5, nil, policy.BodyWhole},
		{"neither the header nor the size is given", "12345", "", 0, nil, policy.BodyPartial},
		{"cut", "12345", "", 9, []string{"true"}, policy.BodyPartial},
		{"cut, the header does not agree", "12345", "", 9, []string{"false"}, policy.BodyPartial},
		{"cut, the size does not agree", "12345", "", 5, []string{"true"}, policy.BodyPartial},
		{"another word", "12345", "", 5, []string{"no"}, policy.BodyPartial},
		{"two words", "12345", "", 5, []string{"false", "false"}, policy.BodyPartial},
		{"text", "", "12345", 5, []string{"false"}, policy.BodyWhole},
		{"text with a replaced byte", "", "12!45", 5, []string{"false"}, policy.BodyPartial},
		{"text of another length", "", "1234", 5, []string{"false"}, policy.BodyPartial},
		{"text of unknown length", "", "12345", -1, []string{"false"}, policy.BodyPartial},
	} {
		var h headers
		for _, v := range c.partial {
			h = append(h, header{"x-envoy-auth-partial-body", v})
		}
		a := Attributes{rawBody: c.raw, body: c.text, size: c.size, headers: h}
		got := a.bodyOf()
		if got.State != c.want {
			t.Errorf("%s: %v, want %v", c.name, got.State, c.want)
		}
	}
}

func TestAnUpgradeHasNoBody(t *testing.T) {
	for protocol, want := range map[string]policy.BodyState{"websocket": policy.BodyAbsent, "": policy.BodyAbsent, "h2c": policy.BodyWhole, "H2C": policy.BodyWhole} {
		h := headers{{"upgrade", protocol}, {"x-envoy-auth-partial-body", "false"}}
		a := Attributes{rawBody: "12345", size: 5, headers: h}
		if got := a.bodyOf(); got.State != want {
			t.Errorf("upgrade to %q: %v, want %v", protocol, got.State, want)
		}
	}
}
