package test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	loaderdir "github.com/patgate/patgate/loader/dir"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/patgate/patgate/policy"
)

// corpusPeer is in place of Envoy's TCP peer.
const corpusPeer = "127.0.0.1"

// envoysOwn are cases that Envoy refuses itself, or rewrites before the check: nothing
// of them is left to be decided without it.
var envoysOwn = []string{
	"limits-open-04-header-60k",                // 431
	"path-misc-open-14-abs-form",               // the absolute form is Envoy's to take apart
	"path-misc-open-15-abs-form-ok",            //
	"path-misc-more-059-abs-port",              //
	"protocol-open-08-h2-authority-host",       // two hosts are Envoy's to make one
	"auth-parse-more-062-connection-nominated", // Connection takes the header off before the check
	"limits-more-009-headers-150",              // 431
	"protocol-more-031-h2-connection",          // what HTTP/2 has no place for
	"protocol-more-034-h2-transfer",
	"protocol-more-035-h2-dup-path",
	"protocol-more-036-h2-dup-method",
	"protocol-more-037-h2-dup-authority",
	"protocol-more-038-h2-protocol",
	"protocol-more-039-h2-foo-pseudo",
	"protocol-more-040-h2-crlf",
	"protocol-more-041-h2-nul",
	"protocol-more-042-h2-upper",
	"protocol-more-060-nominate-content-type", // Connection takes it off, too
}

// corpusLayers runs the cases without Envoy: at the engine, and over gRPC with the
// CheckRequest that Envoy without normalization would send.
func corpusLayers(t *testing.T, cases []corpusCase, table *layerTable) {
	secrets := corpusSecrets()
	dir := corpusManifests(t, secrets)
	f := &templates{t, secrets}
	set := loaderdir.Load([]string{dir})
	rows, problems := set.Rows, set.Problems
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	index := policy.NewIndex()
	if _, err := index.Replace(rows, time.Now()); err != nil {
		t.Fatal(err)
	}
	p := startPatgate(t, dir)
	client := dial(t, p.addr)
	run := 0
	for i := range cases {
		c := &cases[i]
		if c.Raw != "" || slices.Contains(envoysOwn, c.Name) {
			continue
		}
		run++
		raw := i%2 == 0
		e := c.expected(t, "lax", raw)
		m := c.message(t, f)
		d := policy.Evaluate(index.Snapshot(), m.policyRequest(), nil)
		if traced := policy.Evaluate(index.Snapshot(), m.policyRequest(), &policy.Trace{}); traced.Effect != d.Effect || traced.Reason != d.Reason || traced.Rule != d.Rule {
			t.Errorf("%s: %v, and %v where it is explained", c.Name, d.Reason, traced.Reason)
		}
		table.set(c.Name, "engine", d.Reason.String())
		if !e.fitsDecision(d.Effect == policy.Allow, d.Status()) {
			t.Errorf("%s at the engine: %v %v", c.Name, d.Effect, d.Reason)
		}
		answer, err := client.Check(context.Background(), m.checkRequest(raw))
		if err != nil {
			t.Fatalf("%s over gRPC: %v", c.Name, err)
		}
		status := int(answer.GetDeniedResponse().GetStatus().GetCode())
		allowed := answer.GetStatus().GetCode() == 0
		table.set(c.Name, "grpc", fmt.Sprintf("%d %s", status, answer.GetDynamicMetadata().GetFields()["reason"].GetStringValue()))
		if !e.fitsDecision(allowed, status) {
			t.Errorf("%s over gRPC: %v", c.Name, answer)
		}
	}
	t.Logf("%d of %d cases ran without Envoy", run, len(cases))
	p.wantDecisions(run)
	p.holdsNo(secrets)
}

// fitsDecision compares a decision without its HTTP form: a gRPC client gets its refusal
// as status 200 from Envoy, which is not used here.
func (e *expectation) fitsDecision(allowed bool, status int) bool {
	if allowed {
		status = 200
	}
	return (e.Verdict == "either" || allowed == (e.Verdict == "allow")) && (e.isGRPC || e.accepts(status))
}

func dial(t *testing.T, addr string) authv3.AuthorizationClient {
	t.Helper()
	c, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return authv3.NewAuthorizationClient(c)
}

// laxLimit is where the lax profile cuts a body.
const laxLimit = 1024

// seen returns the headers as Envoy hands them on: lower case, blanks trimmed, its own
// added, credentials joined.
func (m *message) seen() (list [][2]string, body []byte) {
	joined := map[string]int{}
	for _, h := range append([][2]string{{"host", m.host}}, m.headers...) {
		name, value := strings.ToLower(h[0]), strings.Trim(h[1], " \t")
		if at, twice := joined[name]; twice && (name == "authorization" || name == "content-type" || name == "x-forwarded-for") {
			list[at][1] += "," + value
			continue
		}
		if name == "host" || name == "x-envoy-auth-partial-body" {
			continue
		}
		joined[name] = len(list)
		if name == "x-forwarded-for" {
			value += "," + corpusPeer
		}
		list = append(list, [2]string{name, value})
	}
	// The peer is there once, at the end.
	for i := range list {
		if list[i][0] == "x-forwarded-for" {
			list[i][1] = strings.ReplaceAll(list[i][1], ","+corpusPeer, "") + "," + corpusPeer
		}
	}
	if len(m.body) > 0 {
		partial := "false"
		if body = m.body; len(body) > laxLimit {
			body, partial = body[:laxLimit], "true"
		}
		list = append(list, [2]string{"x-envoy-auth-partial-body", partial})
	}
	return list, body
}

// policyRequest is the engine's request for a message.
func (m *message) policyRequest() *policy.Request {
	list, body := m.seen()
	h := headerList(list)
	r := &policy.Request{
		Time: time.Now(), Method: m.method, Target: policy.NewTarget(m.target), Host: m.host,
		Peer: netip.MustParseAddr(corpusPeer), Header: h,
	}
	r.Credential = policy.ParseAuthorization(h.Get("authorization"))
	switch {
	case len(body) == len(m.body) && len(body) > 0:
		r.Body = policy.Body{State: policy.BodyWhole, Bytes: body}
	case len(body) > 0:
		r.Body = policy.Body{State: policy.BodyPartial, Bytes: body}
	}
	return r
}

type headerList [][2]string

func (l headerList) Get(name string) (string, int) {
	var values []string
	for _, h := range l {
		if h[0] == name {
			values = append(values, h[1])
		}
	}
	return strings.Join(values, ","), len(values)
}

func (l headerList) Len() int { return len(l) }

func (l headerList) At(i int) (name, value string) { return l[i][0], l[i][1] }

// sanitized is text as Envoy puts it into a message: `!` for each byte that is not UTF-8.
func sanitized(s string) string {
	var b strings.Builder
	for i, r := range s {
		if r == utf8.RuneError && s[i] != 0xef {
			r = '!'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// checkRequest is the CheckRequest of a message, with its headers in one of the two forms.
func (m *message) checkRequest(raw bool) *authv3.CheckRequest {
	list, body := m.seen()
	http := &authv3.AttributeContext_HttpRequest{
		Method: m.method, Path: sanitized(m.target), Host: m.host, Protocol: "HTTP/2", Size: int64(len(m.body)), RawBody: body,
	}
	if raw {
		http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":path", RawValue: []byte(m.target)}}}
		for _, h := range list {
			http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: h[0], RawValue: []byte(h[1])})
		}
	} else {
		http.Headers = map[string]string{}
		for _, h := range list {
			value := sanitized(h[1])
			if before, twice := http.Headers[h[0]]; twice {
				value = before + "," + value
			}
			http.Headers[h[0]] = value
		}
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: corpusPeer},
		}}},
		Request: &authv3.AttributeContext_Request{Http: http},
	}}
}
