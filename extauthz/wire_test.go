package extauthz

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// sameAttributes compares what the wire and the message say. A map's entries have no
// order.
func sameAttributes(a, b Attributes) bool {
	for _, list := range []headers{a.headers, b.headers} {
		if !a.rawHeaders {
			slices.SortFunc(list, func(x, y header) int { return cmp.Compare(x.name, y.name) })
		}
	}
	if len(a.headers) == 0 && len(b.headers) == 0 {
		a.headers, b.headers = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

// TestWire checks that what Envoy sends is read without the stock decoder, in both forms of
// headers.
func TestWire(t *testing.T) {
	joined := typicalRequest()
	http := joined.Attributes.Request.Http
	http.Headers = map[string]string{}
	for _, h := range http.HeaderMap.Headers {
		http.Headers[h.Key] = string(h.RawValue)
	}
	http.HeaderMap = nil
	http.Body, http.Size = "x", -1
	named := typicalRequest()
	named.Attributes.ContextExtensions = map[string]string{"a": "b", gateExtension: "jira"}
	named.Attributes.TlsSession = &authv3.AttributeContext_TLSSession{Sni: "jira.example.com"}
	named.Attributes.Source.Principal = "spiffe://x"
	named.Attributes.Request.Http.RawBody, named.Attributes.Request.Http.Size = []byte("{}"), 2
	for name, in := range map[string]*authv3.CheckRequest{"raw": typicalRequest(), "joined": joined, "everything": named, "empty": {}} {
		b, err := proto.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := parseWire(string(b))
		if !ok || !sameAttributes(got, readAttributes(in)) {
			t.Errorf("%s: %v\n%+v\n%+v", name, ok, got, readAttributes(in))
		}
	}
}

// TestWireLeavesUnusualMessages checks that everything out of the ordinary is left to the stock
// decoder.
func TestWireLeavesUnusualMessages(t *testing.T) {
	message := func(n protowire.Number, content ...[]byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), slices.Concat(content...))
	}
	http := func(content ...[]byte) []byte { return message(1, message(4, message(2, content...))) }
	text := func(n protowire.Number, s string) []byte { return message(n, []byte(s)) }
	for name, b := range map[string][]byte{
		"a field twice":            http(text(2, "GET"), text(2, "PUT")),
		"a message twice":          slices.Concat(http(text(2, "GET")), http(text(4, "/"))),
		"an unknown field":         http(text(14, "x")),
		"a high field":             http(text(200, "x")),
		"another wire type":        http(protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), 1)),
		"a group":                  protowire.AppendTag(protowire.AppendTag(nil, 1, protowire.StartGroupType), 1, protowire.EndGroupType),
		"text that is not UTF-8":   http(text(2, "\xff")),
		"the end is missing":       http(text(2, "GET"))[:5],
		"the same header twice":    http(message(3, text(1, "a")), message(3, text(1, "a"))),
		"both forms of headers":    http(message(3, text(1, "a")), message(13, message(1, text(1, "b")))),
		"the other way round":      http(message(13, message(1, text(1, "b"))), message(3, text(1, "a"))),
		"the gate's name twice":    message(1, message(10, text(1, gateExtension)), message(10, text(1, gateExtension))),
		"metadata":                 message(1, message(11, text(1, "x"))),
		"a peer on a unix socket":  message(1, message(1, message(1, message(2, text(1, "/x"))))),
		"field 0":                  {0, 0},
		"a tag without its number": {8},
	} {
		if a, ok := parseWire(string(b)); ok {
			t.Errorf("%s was read: %+v", name, a)
		}
	}
}

// TestManyJoinedHeaders has more headers than are compared with each other: in a message of a megabyte that would take a
// minute.
func TestManyJoinedHeaders(t *testing.T) {
	for n, want := range map[int]bool{maxJoined: true, maxJoined + 1: false, 20_000: false} {
		in := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Headers: map[string]string{}}}}}
		for i := range n {
			in.Attributes.Request.Http.Headers[strconv.Itoa(i)] = "x"
		}
		b, err := proto.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := parseWire(string(b)); ok != want {
			t.Errorf("%d headers are read in place: %v, want %v", n, ok, want)
		}
		if got := readMessage(string(b)); !sameAttributes(got, readAttributes(in)) {
			t.Errorf("%d headers: %d are read", n, len(got.headers))
		}
	}
}

// FuzzWire feeds both decoders the same bytes: what the quick one takes, the stock one
// takes too, and sees the same in it.
func FuzzWire(f *testing.F) {
	for _, in := range []*authv3.CheckRequest{withToken(), request(), {}, typicalRequest()} {
		b, err := proto.Marshal(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	joined := typicalRequest()
	joined.Attributes.Request.Http.HeaderMap = &corev3.HeaderMap{}
	joined.Attributes.Request.Http.Headers = map[string]string{"authorization": "Bearer x", "a": ""}
	joined.Attributes.ContextExtensions = map[string]string{gateExtension: "jira"}
	b, err := proto.Marshal(joined)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		quick, ok := parseWire(string(b))
		if !ok {
			return
		}
		in := &authv3.CheckRequest{}
		if err := proto.Unmarshal(b, in); err != nil {
			t.Fatalf("only the quick decoder takes %x: %v", b, err)
		}
		if stock := readAttributes(in); !sameAttributes(quick, stock) {
			t.Fatalf("%x:\n%+v\n%+v", b, quick, stock)
		}
		if strings.Contains(quick.method, "\xff") {
			t.Fatal("text that is not UTF-8")
		}
	})
}
