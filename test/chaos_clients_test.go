package test

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/patgate/patgate/extauthz"
	"github.com/patgate/patgate/token"
)

// maxResident is how much memory patgate may take (bytes), whatever its clients do (P9).
const maxResident = 512 << 20

// maxConnection is how much memory one connection may make the process take, with our own
// transport.
const maxConnection = 32 << 20

// An attack is what a hostile client does to patgate. It returns when that is done; the
// connections stay open until close.
type attack struct {
	name string
	run  func(t *testing.T, h *hostile)
}

var attacks = []attack{
	{"streams that send nothing", func(t *testing.T, h *hostile) {
		for range 8 {
			f := h.dial(t)
			for range 1000 {
				_, _ = f.open()
			}
		}
	}},
	{"more streams than are allowed", func(t *testing.T, h *hostile) {
		f := h.dial(t)
		for range 10_000 {
			_, _ = f.open()
		}
	}},
	{"one byte at a time", func(t *testing.T, h *hostile) {
		f := h.dial(t)
		streams := make([]uint32, 100)
		for i := range streams {
			streams[i], _ = f.open()
		}
		for _, c := range h.framed {
			for _, stream := range streams {
				_ = f.WriteData(stream, false, []byte{c})
			}
		}
	}},
	{"answers that are never read", func(t *testing.T, h *hostile) {
		for range 4 {
			f := h.dial(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			for range 1000 {
				_ = f.check(h.framed)
			}
		}
	}},
	{"rapid reset", func(t *testing.T, h *hostile) {
		for range 4 {
			f := h.dial(t)
			for range 5000 {
				stream, err := f.open()
				if err != nil {
					break
				}
				_ = f.WriteRSTStream(stream, http2.ErrCodeCancel)
			}
		}
	}},
	{"checks that are reset", func(t *testing.T, h *hostile) {
		for range 2 {
			f := h.dial(t)
			for range 2000 {
				if f.check(h.framed) != nil {
					break
				}
				_ = f.WriteRSTStream(f.next-2, http2.ErrCodeCancel)
			}
		}
	}},
	{"messages over the limit", func(t *testing.T, h *hostile) {
		f := h.dial(t)
		for _, size := range []byte{0x00, 0x7f, 0xff} { // 4 MiB, 2 GiB, 4 GiB
			stream, _ := f.open()
			_ = f.WriteData(stream, false, append([]byte{0, size, 0x40, 0, 0}, bytes.Repeat([]byte{1}, 16<<10)...))
		}
		for range 4 {
			stream, _ := f.open()
			for range 64 {
				_ = f.WriteData(stream, false, make([]byte, 16<<10)) // whatever the window says
			}
		}
	}},
	{"headers without an end", func(t *testing.T, h *hostile) {
		f := h.dial(t)
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.head})
		for range 1000 {
			if f.WriteContinuation(1, false, bytes.Repeat([]byte{0x88}, 16<<10)) != nil {
				break
			}
		}
	}},
	{"pings and settings", func(t *testing.T, h *hostile) {
		f := h.dial(t)
		for range 10_000 {
			if f.WritePing(false, [8]byte{}) != nil || f.WriteSettings() != nil {
				break
			}
		}
	}},
	{"calls that never end", func(t *testing.T, h *hostile) { // of 1.27 of 1.29 MB each, whatever the windows say
		f := h.dial(t)
		part := bytes.Repeat([]byte{1}, 16<<10)
		for range 400 {
			stream, err := f.open()
			if err != nil || f.WriteData(stream, false, append([]byte{0, 0, 0x13, 0xaf, 0x10}, part[5:]...)) != nil {
				break
			}
			for range 77 {
				_ = f.WriteData(stream, false, part)
			}
		}
	}},
	{"calls that never end, within their windows", func(t *testing.T, h *hostile) {
		for range 4 {
			f := h.dial(t)
			for range 200 {
				stream, err := f.open()
				if err != nil {
					break
				}
				for _, part := range [][]byte{append([]byte{0, 0, 0x13, 0xaf, 0x10}, make([]byte, 16000)...), make([]byte, 16000), make([]byte, 16000), make([]byte, 16000)} {
					_ = f.WriteData(stream, false, part)
				}
			}
		}
	}},
	{"headers of 7.8 MB", func(t *testing.T, h *hostile) {
		for range 60 {
			f := h.dial(t)
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.head})
			field := append([]byte{0, 1, 'x', 0x7f, 0x80, 0x7d}, bytes.Repeat([]byte{'y'}, 16_127)...) // a literal of 16,127 bytes
			for range 480 {
				if f.WriteContinuation(1, false, field) != nil {
					break
				}
			}
		}
	}},
	{"200,000 resets", func(t *testing.T, h *hostile) {
		for range 10 {
			f := h.dial(t)
			_ = f.SetDeadline(time.Now().Add(20 * time.Second))
			for range 20_000 {
				stream, err := f.open()
				if err != nil || f.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
					break
				}
			}
		}
	}},
	{"a thousand connections", func(t *testing.T, h *hostile) {
		for range 1000 {
			h.dial(t)
		}
	}},
	{"a thousand connections that say nothing", func(t *testing.T, h *hostile) {
		for range 1000 {
			h.raw(t)
		}
	}},
	{"noise", func(t *testing.T, h *hostile) {
		for range 100 {
			_, _ = h.raw(t).Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n\xff\x00"), 100))
		}
	}},
}

// TestHostileClients lets clients misbehave during an ordinary load through Envoy, which
// must continue. Memory stays within its bound, and falls back when they are gone.
func TestHostileClients(t *testing.T) { onBothTransports(t, testHostileClients) }

func testHostileClients(t *testing.T) {
	value := token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+tokenManifest("ci", value, ""))
	s := behindEnvoy(t, startBinary(t, plainBinary(t), dir), nil)
	l := startLoad(t, 2, "http://"+s.clients+"/rest/x", "Bearer "+value)
	l.awaitMore(t)
	before := s.usage()
	t.Logf("at first %d MiB, %d goroutines, %d descriptors", before.resident>>20, before.goroutines, before.descriptors)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			refused, calm := l.refused.Load(), s.usage().resident
			h := &hostile{addr: s.addr, framed: (&message{method: "GET", target: "/", host: "h"}).framed(t)}
			a.run(t, h)
			during := s.usage()
			l.awaitMore(t)
			h.close()
			l.awaitMore(t)
			s.wantNoLeaks(before)
			t.Logf("%d MiB, %d goroutines, %d descriptors; %d ordinary calls were refused",
				during.resident>>20, during.goroutines, during.descriptors, l.refused.Load()-refused)
			most := int64(maxResident)
			if os.Getenv("PATGATE_TRANSPORT") != extauthz.TransportH2 {
				most *= 2 // the promise is the default transport's
			}
			if during.resident > most {
				t.Errorf("%d MiB", during.resident>>20)
			}
			// What was measured of grpc-go is bounded by what it allows a connection, not by us.
			if bound := calm + int64(len(h.open))*maxConnection; os.Getenv("PATGATE_TRANSPORT") == extauthz.TransportH2 && during.resident > bound {
				t.Errorf("%d MiB, before it were %d, for %d connections", during.resident>>20, calm>>20, len(h.open))
			}
		})
	}
	l.end()
	s.wantInvariants(l)
	if n := s.metrics()["patgate_check_faults_total"]; n > 0 {
		t.Errorf("%v faults", n)
	}
}

// hostile is a client of many connections.
type hostile struct {
	addr   string
	framed []byte // a check
	open   []io.Closer
}

// attackTime is the timeout of a write that the server does not read.
const attackTime = 2 * time.Second

func (h *hostile) dial(t *testing.T, settings ...http2.Setting) *frames {
	t.Helper()
	f := dialFrames(t, h.addr, settings...)
	_ = f.SetDeadline(time.Now().Add(attackTime))
	h.open = append(h.open, f)
	return f
}

func (h *hostile) raw(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", h.addr, wireTimeout)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(attackTime))
	h.open = append(h.open, c)
	return c
}

func (h *hostile) close() {
	for _, c := range h.open {
		_ = c.Close()
	}
}

var plain sync.Once

// plainBinary builds patgate without the race detector, which takes many times the memory.
func plainBinary(t *testing.T) string {
	t.Helper()
	out := filepath.Join(filepath.Dir(binary), "patgate-plain")
	plain.Do(func() { build(t, out, "./cmd/patgate") })
	return out
}
