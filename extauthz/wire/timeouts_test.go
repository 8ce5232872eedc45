package wire

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

func TestTimeouts(t *testing.T) {
	short := func(change func(*times)) func(*Server) {
		return func(s *Server) {
			s.times.sweep = 5 * time.Millisecond
			change(&s.times)
		}
	}
	t.Run("a request that is not finished", func(t *testing.T) {
		_, c := start(t, &fake{}, Options{}, short(func(x *times) { x.request = 50 * time.Millisecond }))
		c.open(1)
		c.awaitEnd(1)
		c.call(3, "next")
		c.awaitEnd(3)
		if !c.stream(1).reset || c.stream(3).code != "0" {
			t.Errorf("%+v, %+v", c.stream(1), c.stream(3))
		}
	})
	t.Run("an answer that is not read", func(t *testing.T) {
		_, c := start(t, &fake{}, Options{}, short(func(x *times) { x.write = 50 * time.Millisecond }))
		_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		c.call(1, "blocked")
		c.await("the end of the connection", func() bool { return len(c.goAway) > 0 })
	})
	t.Run("a peer that reads nothing", func(t *testing.T) {
		s, dial := serve(t, &fake{}, Options{}, short(func(x *times) { x.write = 50 * time.Millisecond }))
		nc := dial()
		_, _ = io.WriteString(nc, http2.ClientPreface)
		for deadline := time.Now().Add(10 * time.Second); len(s.connections()) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the connection is still there")
			}
		}
	})
	t.Run("no settings", func(t *testing.T) {
		_, dial := serve(t, &fake{}, Options{}, short(func(x *times) { x.handshake = 50 * time.Millisecond }))
		c := newClient(t, &fake{}, dial())
		_, _ = io.WriteString(c.nc, http2.ClientPreface)
		c.await("the end of the connection", func() bool { return len(c.goAway) > 0 && c.goAway[0] == http2.ErrCodeSettingsTimeout })
	})
	t.Run("a peer that does not answer PING", func(t *testing.T) {
		_, c := start(t, &fake{}, Options{}, short(func(x *times) { x.idlePing, x.pingWait = 30*time.Millisecond, 50*time.Millisecond }))
		c.await("the end of the connection", func() bool { return c.pings > 0 && len(c.goAway) > 0 })
	})
	t.Run("buffers at rest", func(t *testing.T) {
		s, c := start(t, &fake{}, Options{}, short(func(x *times) { x.rest = 20 * time.Millisecond }))
		for i := range uint32(50) {
			c.call(2*i+1, strings.Repeat("x", 4000))
		}
		c.awaitEnd(99)
		for deadline := time.Now().Add(10 * time.Second); s.connBudget.used.Load() != connCost; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d bytes are held", s.connBudget.used.Load())
			}
		}
		c.call(101, "next")
		c.awaitEnd(101)
	})
	t.Run("an old connection", func(t *testing.T) {
		_, c := start(t, &fake{}, Options{}, short(func(x *times) { x.age, x.goAway = 50*time.Millisecond, 30*time.Millisecond }))
		c.await("both steps", func() bool { return len(c.goAway) == 2 })
	})
}

// TestDrain ends a server: calls that come before the second GOAWAY are answered, and a
// watcher is notified.
func TestDrain(t *testing.T) {
	s, c := start(t, &fake{}, Options{}, nil)
	c.open(1, ":method", "POST", ":scheme", "http", ":path", pathHealthWatch, "content-type", "application/grpc")
	_ = c.WriteData(1, true, frameOf(""))
	c.await("the first status", func() bool { return c.streams[1] != nil && len(c.streams[1].data) == 7 })
	stopped := make(chan struct{})
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.Stop(ctx)
		close(stopped)
	}()
	c.await("the first GOAWAY", func() bool { return len(c.goAway) == 1 && c.lastIDs[0] == 1<<31-1 })
	c.call(3, "in between")
	c.awaitEnd(3)
	_ = c.WritePing(true, drainPing)
	c.await("the second GOAWAY", func() bool { return len(c.goAway) == 2 && c.lastIDs[1] == 3 })
	c.awaitEnd(1)
	if st := c.stream(1); st.code != "14" || !bytes.Equal(st.data, []byte{0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 2, 8, 2}) {
		t.Errorf("the watcher got %v and status %s", st.data, st.code)
	}
	<-stopped
}

// TestAnswersWithoutADecision covers what is answered without a decision.
func TestAnswersWithoutADecision(t *testing.T) {
	post := func(path, contentType string, more ...string) []string {
		return append([]string{":method", "POST", ":scheme", "http", ":path", path, "content-type", contentType}, more...)
	}
	for name, c := range map[string]struct {
		headers []string
		body    []byte
		status  string
		code    string
		reset   bool
	}{
		"GET":                     {[]string{":method", "GET", ":scheme", "http", ":path", "/"}, nil, "405", "", false},
		"no gRPC":                 {post(method, "application/json"), nil, "415", "", false},
		"another method":          {post("/a.B/C", "application/grpc"), nil, "200", "12", false},
		"no message":              {post(method, "application/grpc"), nil, "200", "13", false},
		"two messages":            {post(method, "application/grpc"), append(frameOf("stream 1 x"), frameOf("stream 1 y")...), "200", "13", false},
		"half a message":          {post(method, "application/grpc"), frameOf("stream 1 x")[:8], "200", "13", false},
		"compressed":              {post(method, "application/grpc"), append([]byte{1, 0, 0, 0, 1}, 'x'), "200", "12", false},
		"a broken timeout":        {post(method, "application/grpc", "grpc-timeout", "soon"), frameOf("stream 1 x"), "200", "13", false},
		"a timeout":               {post(method, "application/grpc", "grpc-timeout", "99999999H"), frameOf("stream 1 x"), "200", "0", false},
		"with a subtype":          {post(method, "application/grpc+proto"), frameOf("stream 1 x"), "200", "0", false},
		"health":                  {post(pathHealthCheck, "application/grpc"), frameOf("\x0a\x0ctest.Service"), "200", "0", false},
		"health of something":     {post(pathHealthCheck, "application/grpc"), frameOf("\x0a\x01x"), "200", "5", false},
		"health, broken":          {post(pathHealthCheck, "application/grpc"), frameOf("\x0a\x05x"), "200", "13", false},
		"health, too long":        {post(pathHealthCheck, "application/grpc"), frameOf(strings.Repeat("x", 5000))[:300], "200", "8", false},
		"a length that is wrong":  {post(method, "application/grpc", "content-length", "3"), frameOf("stream 1 x"), "", "", true},
		"a header of connections": {post(method, "application/grpc", "connection", "close"), nil, "", "", true},
		"upper case":              {post(method, "application/grpc", "X-A", "b"), nil, "", "", true},
		"a pseudo-header twice":   {append([]string{":method", "POST"}, post(method, "application/grpc")...), nil, "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, client := start(t, &fake{}, Options{}, nil)
			client.open(1, c.headers...)
			if len(c.body) > 0 && !bytes.HasPrefix(c.body, frameOf(strings.Repeat("x", 5000))[:5]) {
				_ = client.WriteData(1, false, c.body[:3])
				_ = client.WriteData(1, true, c.body[3:])
			} else {
				_ = client.WriteData(1, len(c.body) == 0, c.body)
			}
			client.awaitEnd(1)
			if st := client.stream(1); st.status != c.status || st.code != c.code || c.reset && !st.reset {
				t.Errorf("status %s, code %s, reset %v; want %s, %s, %v", st.status, st.code, st.reset, c.status, c.code, c.reset)
			}
			client.call(3, "next")
			client.awaitEnd(3)
			if st := client.stream(3); st.code != "0" {
				t.Errorf("the next call: %+v", st)
			}
		})
	}
}

func TestHeaderBlocksThatLeaveTheTable(t *testing.T) {
	for name, c := range map[string]struct {
		block []byte
		want  bool
	}{
		"never indexed": {encodeHeaders(callHeaders...), true},
		"indexed":       {[]byte{0x82, 0xbe}, true},
		"added":         {append([]byte{0x40}, "\x01a\x01b"...), false},
		"a size":        {[]byte{0x20, 0x82}, true},
		"two sizes":     {[]byte{0x20, 0x3f, 0xe1, 0x1f, 0x82}, true},
		"a late size":   {[]byte{0x82, 0x20}, false},
		"half a size":   {[]byte{0x3f, 0xe1}, false},
		"size, added":   {append([]byte{0x20, 0x40}, "\x01a\x01b"...), false},
		"not whole":     {[]byte{0x00, 0x05, 'a'}, false},
		"a long number": {[]byte{0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, false},
	} {
		if got := leavesTable(c.block); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestKnownHeaderBlocks decodes random blocks, most of them twice in a row, and compares with a decoder that remembers none.
func TestKnownHeaderBlocks(t *testing.T) {
	pieces := [][]byte{
		{0x20}, {0x3f, 0xe1, 0x1f}, {0x30}, // sizes: 0, 4096, 16
		{0x83}, {0x87}, {0xbe}, {0xbf}, // two fields of the static table, two of the dynamic one
		append([]byte{0x40}, "\x01a\x02bc"...), append([]byte{0x44}, "\x02/a"...), // added
		append([]byte{0x10}, "\x02te\x08trailers"...), append([]byte{0x0f, 0x10}, "\x10application/grpc"...), // not added
	}
	random := rand.New(rand.NewPCG(1, 2))
	known := 0
connections:
	for range 2000 {
		var with, without heads
		with.init(1 << 10)
		without.init(1 << 10)
		for range 10 {
			var block []byte
			for range 1 + random.IntN(4) {
				block = append(block, pieces[random.IntN(len(pieces))]...)
			}
			for range 1 + random.IntN(3) {
				if bytes.Equal(block, with.known) {
					known++
				}
				without.known = nil
				got, ok := with.decode(block, false)
				want, wantOK := without.decode(block, false)
				if got != want || ok != wantOK {
					t.Fatalf("%x: %+v %v, want %+v %v", block, got, ok, want, wantOK)
				}
				if !ok {
					continue connections
				}
			}
		}
	}
	if known < 1000 {
		t.Errorf("only %d blocks were known", known)
	}
}

// TestAStuckPeerDelaysNoOthers has a peer that reads nothing: neither the end of the server
// nor the care for other connections waits for it.
func TestAStuckPeerDelaysNoOthers(t *testing.T) {
	s, dial := serve(t, &fake{}, Options{}, func(s *Server) {
		s.times.sweep, s.times.request, s.times.idlePing = 5*time.Millisecond, 50*time.Millisecond, 10*time.Millisecond
	})
	stuck := dial()
	defer stuck.Close()
	_, _ = io.WriteString(stuck, http2.ClientPreface)
	_ = http2.NewFramer(stuck, nil).WriteSettings()
	other := newClient(t, &fake{}, dial())
	defer other.nc.Close()
	other.hello()
	other.open(1)
	other.awaitEnd(1) // its time is over
	s.SetServing(false)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	s.Stop(ctx)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
}

// TestReadingGoesOnDuringAWrite has a peer that reads only after it has written all.
func TestReadingGoesOnDuringAWrite(t *testing.T) {
	f := &fake{lines: map[string]bool{}}
	_, dial := serve(t, f, Options{}, nil)
	nc := dial() // without a buffer: what is not read blocks
	defer nc.Close()
	_, _ = io.WriteString(nc, http2.ClientPreface)
	fr := http2.NewFramer(nc, nc)
	_ = fr.WriteSettings()
	for i := range uint32(100) {
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: encodeHeaders(callHeaders...), EndHeaders: true})
		if err := fr.WriteData(2*i+1, true, frameOf(messageOf(2*i+1, "x"))); err != nil {
			t.Fatal(err)
		}
	}
	for ended := 0; ended < 100; {
		frame, err := fr.ReadFrame()
		if err != nil {
			t.Fatalf("%d answers, and then %v", ended, err)
		}
		if h, ok := frame.(*http2.HeadersFrame); ok && h.StreamEnded() {
			ended++
		}
	}
}
