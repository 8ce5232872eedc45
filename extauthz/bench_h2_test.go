package extauthz

import (
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	"bytes"

	"github.com/patgate/patgate/audit"
)

// BenchmarkServe measures whole checks over one connection, 64 at a time, with the audit on
// a pipe: the client's cost is in it.
func BenchmarkServe(b *testing.B) {
	for _, name := range Transports {
		b.Run(name, func(b *testing.B) { benchmarkServe(b, name) })
	}
}

func benchmarkServe(b *testing.B, name string) {
	s, _ := newServer(b)
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	sink, err := audit.NewFile(w)
	if err != nil {
		b.Fatal(err)
	}
	s.Audit, s.Logger = audit.New(sink, audit.Options{Wait: time.Minute}), slog.New(slog.DiscardHandler)
	s.Observer = unobserved{}
	transport, err := NewTransport(s, TransportOptions{Name: name})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = transport.Serve(l) }()
	transport.SetServing(true)
	wire, err := proto.Marshal(typicalRequest())
	if err != nil {
		b.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var head bytes.Buffer
	e := hpack.NewEncoder(&head)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/envoy.service.auth.v3.Authorization/Check"}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true})
	}
	message := append([]byte{0, 0, 0, byte(len(wire) >> 8), byte(len(wire))}, wire...)
	_, _ = io.WriteString(c, http2.ClientPreface)
	in, out := http2.NewFramer(nil, c), new(bytes.Buffer)
	fr := http2.NewFramer(out, nil)
	_ = fr.WriteSettings()
	_ = fr.WriteWindowUpdate(0, 1<<30)
	in.SetReuseFrames()
	b.ReportAllocs()
	b.ResetTimer()
	next := uint32(1)
	for sent := 0; sent < b.N; {
		n := min(64, b.N-sent)
		for range n {
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: next, BlockFragment: head.Bytes(), EndHeaders: true})
			_ = fr.WriteData(next, true, message)
			next += 2
		}
		_, _ = c.Write(out.Bytes())
		out.Reset()
		for got := 0; got < n; {
			f, err := in.ReadFrame()
			if err != nil {
				b.Fatal(err)
			}
			if f.Header().Type == http2.FrameHeaders && f.Header().Flags.Has(http2.FlagHeadersEndStream) {
				got++
			}
		}
		sent += n
	}
}
