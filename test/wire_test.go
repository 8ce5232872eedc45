package test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// message is a request as it goes onto the wire, byte for byte.
type message struct {
	method, target, host string
	headers              [][2]string // besides Host; in their order, duplicates kept
	body                 []byte
	scheme               string // of HTTP/2; empty: http
}

// reply is an answer.
type reply struct {
	statuses []int
	raw      string // heads and bodies as text
	grpc     int    // grpc-status, or -1
}

func (r *reply) status() int {
	if len(r.statuses) == 0 {
		return 0
	}
	return r.statuses[0]
}

// header returns the first value of a header of the reply.
func (r *reply) header(name string) string {
	for _, v := range fieldsOf(r.raw, name) {
		return v
	}
	return ""
}

// reached is how many of the requests the upstream answered.
func (r *reply) reached() int { return strings.Count(strings.ToLower(r.raw), "x-upstream: 1") }

var headJSON = regexp.MustCompile(`\{"head":"(?:[^"\\]|\\.)*"\}`)

// heads returns the heads that the upstream saw.
func (r *reply) heads(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, text := range headJSON.FindAllString(r.raw, -1) {
		var v struct{ Head string }
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v.Head)
	}
	return list
}

// http1 writes a message as HTTP/1.1.
func (m *message) http1() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", m.method, m.target, m.host)
	chunked := false
	for _, h := range m.headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
		chunked = chunked || strings.EqualFold(h[0], "transfer-encoding")
	}
	if len(m.body) > 0 && !chunked {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(m.body))
	}
	b.WriteString("\r\n")
	b.Write(m.body)
	return b.String()
}

const wireTimeout = 10 * time.Second

// dialer makes a connection.
type dialer func() (net.Conn, error)

func dialTCP(addr string) dialer {
	return func() (net.Conn, error) { return net.DialTimeout("tcp", addr, wireTimeout) }
}

// sendRaw sends bytes over one connection and reads as many final answers as are
// expected, or until the other side closes.
func sendRaw(addr, raw string, want int) reply { return dialTCP(addr).sendRaw(raw, want) }

func (dial dialer) sendRaw(raw string, want int) reply {
	r := reply{grpc: -1}
	c, err := dial()
	if err != nil {
		r.raw = err.Error()
		return r
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(wireTimeout))
	go func() { _, _ = io.WriteString(c, raw) }()
	var got bytes.Buffer
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		got.Write(buf[:n])
		r.raw = got.String()
		var whole bool
		r.statuses, whole = parseAnswers(r.raw, strings.HasPrefix(raw, "HEAD "))
		if err != nil || whole && len(r.statuses) >= want {
			return r
		}
	}
}

// parseAnswers splits a stream of HTTP/1.1 answers. whole is false while the last one
// is not complete.
func parseAnswers(stream string, head bool) (statuses []int, whole bool) {
	for stream != "" {
		top, rest, ok := strings.Cut(stream, "\r\n\r\n")
		if !ok || !strings.HasPrefix(top, "HTTP/1.1 ") {
			return statuses, false
		}
		status, _ := strconv.Atoi(top[len("HTTP/1.1 "):][:3])
		stream = rest
		if status == 100 {
			continue
		}
		length := 0
		if l := fieldsOf(top, "content-length"); len(l) > 0 && !head {
			length, _ = strconv.Atoi(l[0])
		}
		if len(stream) < length {
			return statuses, false
		}
		statuses, stream = append(statuses, status), stream[length:]
	}
	return statuses, len(statuses) > 0
}

// send1 sends a message as HTTP/1.1.
func send1(addr string, m *message) reply { return sendRaw(addr, m.http1(), 1) }

// send2 sends a message as HTTP/2 with prior knowledge, even one that a library would
// refuse.
func send2(addr string, m *message) reply { return dialTCP(addr).send2(m) }

func (dial dialer) send2(m *message) reply {
	r := reply{grpc: -1}
	c, err := dial()
	if err != nil {
		r.raw = err.Error()
		return r
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(wireTimeout))
	_, _ = io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	f.AllowIllegalWrites = true
	_ = f.WriteSettings()
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: m.hpack(), EndHeaders: true, EndStream: len(m.body) == 0})
	if len(m.body) > 0 {
		_ = f.WriteData(1, true, m.body)
	}
	var out strings.Builder
	decoder := hpack.NewDecoder(4096, func(h hpack.HeaderField) {
		fmt.Fprintf(&out, "%s: %s\r\n", h.Name, h.Value)
		switch n, _ := strconv.Atoi(h.Value); h.Name {
		case ":status":
			if n != 100 {
				r.statuses = append(r.statuses, n)
			}
		case "grpc-status":
			r.grpc = n
		}
	})
	for done := false; !done; {
		frame, err := f.ReadFrame()
		if err != nil {
			break
		}
		switch frame := frame.(type) {
		case *http2.HeadersFrame:
			_, _ = decoder.Write(frame.HeaderBlockFragment())
			out.WriteString("\r\n")
			done = frame.StreamEnded()
		case *http2.DataFrame:
			out.Write(frame.Data())
			done = frame.StreamEnded()
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			done = true
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		}
	}
	r.raw = out.String()
	return r
}

func (m *message) hpack() []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	field := func(name, value string) { _ = e.WriteField(hpack.HeaderField{Name: name, Value: value}) }
	field(":method", m.method)
	field(":scheme", cmp.Or(m.scheme, "http"))
	field(":authority", m.host)
	field(":path", m.target)
	for _, h := range m.headers {
		field(strings.ToLower(h[0]), h[1])
	}
	return b.Bytes()
}
