package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// start serves a fake and returns a client that has sent its preface.
func start(t testing.TB, f *fake, o Options, change func(*Server)) (*Server, *client) {
	t.Helper()
	s, dial := serve(t, f, o, change)
	c := newClient(t, f, dial())
	c.hello()
	t.Cleanup(func() { _ = c.nc.Close() })
	return s, c
}

// TestOthersAreAnsweredDuringASlowDecision blocks one decision: those of its batch, and
// those that come later on the same connection, are answered meanwhile.
func TestOthersAreAnsweredDuringASlowDecision(t *testing.T) {
	release := make(chan struct{})
	f := &fake{decide: func(m string) {
		if strings.Contains(m, "slow") {
			<-release
		}
	}}
	_, c := start(t, f, Options{}, nil)
	var out bytes.Buffer
	fr := http2.NewFramer(&out, nil)
	for id := uint32(1); id <= 19; id += 2 { // the sixth is slow
		c.opened[id] = true
		text := "quick"
		if id == 11 {
			text = "slow"
		}
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: encodeHeaders(callHeaders...), EndHeaders: true})
		_ = fr.WriteData(id, true, frameOf(messageOf(id, text)))
	}
	_, _ = c.nc.Write(out.Bytes())
	c.awaitEnd(1, 3, 5, 7, 9, 13, 15, 17, 19)
	c.call(21, "slow")
	c.call(23, "quick")
	c.awaitEnd(23)
	if st := c.stream(11); st.headers {
		t.Error("the slow call was answered before its decision")
	}
	close(release)
	c.awaitEnd(11, 21)
}

// TestDecisionsOfStreamsThatAreReset resets streams while their decisions are on their
// way, and opens others: no answer goes astray, and each stream's place comes back.
func TestDecisionsOfStreamsThatAreReset(t *testing.T) {
	f := &fake{
		decide: func(m string) {
			if strings.HasSuffix(m, "7") {
				time.Sleep(2 * time.Millisecond)
			}
		},
		late: func(m string) bool { return strings.HasSuffix(m, "3") },
		slow: func(n int) bool { return n%5 == 0 },
	}
	s, dial := serve(t, f, Options{}, nil)
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			c := newClient(t, f, dial())
			defer c.nc.Close()
			c.hello()
			r := rand.New(rand.NewPCG(seed, 2))
			id := uint32(1)
			for range 60 {
				var kept []uint32
				var out bytes.Buffer
				fr := http2.NewFramer(&out, nil)
				for range 1 + r.IntN(30) {
					c.mu.Lock()
					c.opened[id] = true
					c.mu.Unlock()
					_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: encodeHeaders(callHeaders...), EndHeaders: true})
					_ = fr.WriteData(id, true, frameOf(messageOf(id, fmt.Sprint(r.IntN(100)))))
					if r.IntN(2) == 0 {
						_ = fr.WriteRSTStream(id, http2.ErrCodeCancel)
					} else {
						kept = append(kept, id)
					}
					id += 2
				}
				_, _ = c.nc.Write(out.Bytes())
				for _, id := range kept {
					c.awaitEnd(id)
					if st := c.stream(id); st.reset {
						t.Errorf("stream %d was reset", id)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, c := range s.connections() {
		c.mu.Lock()
		if len(c.streams) > 0 {
			t.Errorf("%d streams are left", len(c.streams))
		}
		c.mu.Unlock()
	}
}

// TestMessagesThatAreTooLarge announces more than the limit: the answer comes before the
// message does, and the connection goes on.
func TestMessagesThatAreTooLarge(t *testing.T) {
	f := &fake{}
	_, c := start(t, f, Options{MaxMessage: 100 << 10}, nil)
	c.open(1)
	_ = c.WriteData(1, false, append([]byte{0, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 1000)...))
	c.awaitEnd(1)
	if st := c.stream(1); !strings.Contains(string(st.data), "not received") || st.code != "0" {
		t.Errorf("%+v", st)
	}
	for range 20 {
		_ = c.WriteData(1, false, make([]byte, 1000)) // what was in flight
	}
	c.call(3, "next")
	c.awaitEnd(3)
	if st := c.stream(3); st.code != "0" || f.refused != 1 {
		t.Errorf("%+v, %d refused", st, f.refused)
	}
}

// TestManyLargeMessages sends more than is admitted at a time: all are answered in turn.
func TestManyLargeMessages(t *testing.T) {
	f := &fake{slow: func(n int) bool { return n > 64<<10 }}
	s, c := start(t, f, Options{MaxMessage: 2 << 20, MaxReceive: 32 << 20}, nil)
	const n, size = 24, 1 << 20
	peak := int64(0)
	messages := map[uint32][]byte{}
	for i := range uint32(n) {
		id := 1 + 2*i
		c.open(id)
		messages[id] = frameOf(messageOf(id, strings.Repeat("x", size)))
	}
	sent := map[uint32]int{}
	for len(messages) > 0 {
		var id uint32
		var k int
		c.await("room on any stream", func() bool {
			for candidate, m := range messages {
				if k = min(streamWindow+c.windows[candidate]-sent[candidate], maxFrame, len(m)-sent[candidate]); k > 0 {
					id = candidate
					return true
				}
			}
			return false
		})
		m := messages[id]
		_ = c.WriteData(id, sent[id]+k == len(m), m[sent[id]:sent[id]+k])
		if sent[id] += k; sent[id] == len(m) {
			delete(messages, id)
		}
		peak = max(peak, s.budget.used.Load())
	}
	for i := range uint32(n) {
		c.awaitEnd(1 + 2*i)
		if st := c.stream(1 + 2*i); st.code != "0" || strings.Contains(string(st.data[:60]), "not received") {
			t.Errorf("stream %d: %.80q", 1+2*i, st.data)
		}
	}
	if peak > maxAdmitted+n*streamWindow+connCost+largeCost+(3<<20) {
		t.Errorf("%d bytes were held at most", peak)
	}
}

// TestUnfinishedCallsAreBounded opens calls on many connections that send a part and wait:
// the server holds no more than its budget, and answers ordinary calls.
func TestUnfinishedCallsAreBounded(t *testing.T) {
	f := &fake{}
	s, dial := serve(t, f, Options{MaxMessage: 2 << 20, MaxReceive: 8 << 20}, nil)
	ordinary := newClient(t, f, dial())
	defer ordinary.nc.Close()
	ordinary.hello()
	for range 8 {
		c := newClient(t, f, dial())
		defer c.nc.Close()
		c.hello()
		for i := range uint32(100) {
			id := 1 + 2*i
			c.open(id)
			_ = c.WriteData(id, false, append([]byte{0, 0, 0, 0xff, 0xff}, make([]byte, 16000)...))
		}
	}
	if used := s.budget.used.Load(); used > s.budget.limit {
		t.Errorf("%d of %d bytes are held", used, s.budget.limit)
	}
	ordinary.call(1, "ordinary")
	ordinary.awaitEnd(1)
	if st := ordinary.stream(1); st.code != "0" {
		t.Errorf("%+v", st)
	}
}

// TestHeadersAreBounded sends a header list without an end, and one that is a little too
// large.
func TestHeadersAreBounded(t *testing.T) {
	f := &fake{}
	_, c := start(t, f, Options{}, nil)
	large := append([]string{}, callHeaders...)
	for i := range 40 {
		large = append(large, fmt.Sprint("x-", i), strings.Repeat("y", 400))
	}
	c.open(1, large...)
	c.awaitEnd(1)
	if st := c.stream(1); st.code != "8" {
		t.Errorf("%+v", st)
	}
	c.call(3, "next")
	c.awaitEnd(3)
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, BlockFragment: encodeHeaders(callHeaders...)})
	for range 100 {
		if c.WriteContinuation(5, false, bytes.Repeat([]byte{0x88}, 4000)) != nil {
			break
		}
	}
	c.await("the end of the connection", func() bool { return len(c.goAway) > 0 && c.goAway[0] == http2.ErrCodeEnhanceYourCalm })
}

func TestNoiseEndsAConnection(t *testing.T) {
	for name, noise := range map[string]func(c *client, i uint32) error{
		"pings":         func(c *client, _ uint32) error { return c.WritePing(false, [8]byte{}) },
		"settings":      func(c *client, _ uint32) error { return c.WriteSettings() },
		"priorities":    func(c *client, i uint32) error { return c.WritePriority(2*i+1, http2.PriorityParam{}) },
		"empty data":    func(c *client, _ uint32) error { return c.WriteData(1, false, nil) },
		"one byte each": func(c *client, i uint32) error { return c.WriteData(1, false, []byte{0}) },
		"unknown":       func(c *client, _ uint32) error { return c.WriteRawFrame(0xf0, 0, 0, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			_, c := start(t, &fake{}, Options{}, nil)
			c.open(1)
			for i := range uint32(3 * maxNoise) {
				if noise(c, i) != nil {
					break
				}
			}
			c.await("the end of the connection", func() bool { return len(c.goAway) > 0 && c.goAway[0] == http2.ErrCodeEnhanceYourCalm })
		})
	}
}

// TestCancellationsAreNoNoise resets far more calls than there may be frames of noise.
func TestCancellationsAreNoNoise(t *testing.T) {
	_, c := start(t, &fake{}, Options{}, nil)
	for i := range uint32(2 * maxNoise) {
		c.open(2*i + 1)
		_ = c.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
	}
	id := uint32(4*maxNoise + 1)
	c.call(id, "still here")
	c.awaitEnd(id)
}

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

// TestWhatIsNoCheck covers what is answered without a decision.
func TestWhatIsNoCheck(t *testing.T) {
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
		"a size":        {[]byte{0x20, 0x82}, false},
		"not whole":     {[]byte{0x00, 0x05, 'a'}, false},
		"a long number": {[]byte{0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, false},
	} {
		if got := leavesTable(c.block); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestAStuckPeerHoldsUpNobody has a peer that reads nothing: neither the end of the server
// nor the care for other connections waits for it.
func TestAStuckPeerHoldsUpNobody(t *testing.T) {
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
