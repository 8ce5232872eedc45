package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
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

// TestABlockIsGatheredDuringASlowDecision has a call whose last frame is a CONTINUATION, and a decision that takes long: the header
// block of the next call, half of which has come when that decision ends, stays whole.
func TestABlockIsGatheredDuringASlowDecision(t *testing.T) {
	release := make(chan struct{})
	f := &fake{decide: func(m string) {
		if strings.Contains(m, "slow") {
			<-release
		}
	}}
	_, c := start(t, f, Options{}, nil)
	c.call(1, "first")
	c.awaitEnd(1)
	goroutines := runtime.NumGoroutine()
	for id := uint32(3); id < 30; id += 6 {
		c.open(id)
		_ = c.WriteData(id, false, frameOf(messageOf(id, "slow")))
		_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: true, BlockFragment: encodeHeaders("a", "b")})
		_ = c.WriteContinuation(id, true, encodeHeaders("c", "d"))
		c.call(id+2, "next")
		c.awaitEnd(id + 2) // by another goroutine
		last, block := id+4, encodeHeaders(callHeaders...)
		c.mu.Lock()
		c.opened[last] = true
		c.mu.Unlock()
		_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: last, BlockFragment: block[:20]})
		var rest bytes.Buffer
		_ = http2.NewFramer(&rest, nil).WriteContinuation(last, true, block[20:])
		_, _ = c.nc.Write(rest.Next(1)) // is read once the first half was
		release <- struct{}{}
		c.awaitEnd(id)
		for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(deadline); { // until who decided is done
			runtime.Gosched()
		}
		_, _ = c.nc.Write(rest.Bytes())
		_ = c.WriteData(last, true, frameOf(messageOf(last, "quick")))
		c.awaitEnd(last)
	}
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

// TestCancellationsDoNotCountAsNoise resets far more calls than there may be frames of noise.
func TestCancellationsDoNotCountAsNoise(t *testing.T) {
	_, c := start(t, &fake{}, Options{}, nil)
	for i := range uint32(2 * maxNoise) {
		c.open(2*i + 1)
		_ = c.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
	}
	id := uint32(4*maxNoise + 1)
	c.call(id, "still here")
	c.awaitEnd(id)
}
