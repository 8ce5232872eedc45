package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// program is what a client does, as bytes tell: a few legal streams at a time in any order,
// with everything that HTTP/2 knows between, and now and then a frame that breaks a rule.
type program struct {
	c    *client
	in   *bytes.Reader
	next uint32
	out  bytes.Buffer // frames that are written at once

	messages map[uint32][]byte // what is still to be sent on a stream
	sent     map[uint32]bool   // whole, and not reset
	order    []uint32          // streams that were opened
	broken   bool              // a rule was broken: answers are not owed any more
	calls    int
}

func (p *program) byte() byte {
	b, _ := p.in.ReadByte()
	return b
}

// pick returns one of the streams that are still being sent.
func (p *program) pick() (id uint32, ok bool) {
	var list []uint32
	for id := range p.messages {
		list = append(list, id)
	}
	slices.Sort(list)
	if len(list) == 0 {
		return 0, false
	}
	return list[int(p.byte())%len(list)], true
}

func (p *program) frames() *http2.Framer {
	f := http2.NewFramer(&p.out, nil)
	f.AllowIllegalWrites = true
	return f
}

func (p *program) open(split bool) uint32 {
	id := p.next
	p.next += 2
	p.c.mu.Lock()
	p.c.opened[id] = true
	p.c.mu.Unlock()
	block := encodeHeaders(callHeaders...)
	first := len(block)
	if split {
		first = int(p.byte()) % len(block)
	}
	_ = p.frames().WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:first], EndHeaders: first == len(block)})
	if first < len(block) {
		_ = p.frames().WriteContinuation(id, true, block[first:])
	}
	p.calls++
	p.messages[id] = frameOf(messageOf(id, fmt.Sprintf("call %d", p.byte())))
	p.order = append(p.order, id)
	return id
}

func (p *program) data(id uint32, n int, end bool) {
	rest := p.messages[id]
	n = min(n, len(rest))
	if end {
		n = len(rest)
	}
	_ = p.frames().WriteData(id, end, rest[:n])
	p.messages[id] = rest[n:]
	if end {
		delete(p.messages, id)
		p.sent[id] = true
	}
}

// step does one thing.
func (p *program) step() {
	switch op := p.byte(); op % 16 {
	case 0, 1, 2:
		if len(p.messages) < 100 {
			p.data(p.open(false), 0, true)
		}
	case 3:
		if len(p.messages) < 100 {
			p.open(op > 128)
		}
	case 4:
		if id, ok := p.pick(); ok {
			p.data(id, int(p.byte())%16, false)
		}
	case 5, 6:
		if id, ok := p.pick(); ok {
			p.data(id, 0, true)
		}
	case 7:
		if len(p.order) > 0 {
			id := p.order[int(p.byte())%len(p.order)]
			delete(p.messages, id)
			delete(p.sent, id)
			_ = p.frames().WriteRSTStream(id, http2.ErrCodeCancel)
		}
	case 8:
		_ = p.frames().WritePing(false, [8]byte{op})
	case 9:
		size := []uint32{0, 1, 10, 65_535, 1 << 20}[int(p.byte())%5]
		_ = p.frames().WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: size})
	case 10:
		id := uint32(0)
		if len(p.order) > 0 && p.byte()%2 == 0 {
			id = p.order[int(p.byte())%len(p.order)]
		}
		_ = p.frames().WriteWindowUpdate(id, 1+uint32(p.byte()))
	case 11:
		_ = p.frames().WritePriority(1+uint32(p.byte())*2, http2.PriorityParam{Weight: op})
	case 12:
		p.flush()
	case 13:
		if id, ok := p.pick(); ok { // trailers end it
			rest := p.messages[id]
			_ = p.frames().WriteData(id, false, rest)
			_ = p.frames().WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: encodeHeaders("x", "y"), EndHeaders: true, EndStream: true})
			delete(p.messages, id)
			p.sent[id] = true
		}
	case 14:
		_ = p.frames().WriteRawFrame(http2.FrameType(0xf0), 0, uint32(p.byte()), []byte{op})
	case 15:
		if op < 200 {
			return
		}
		p.broken = true
		payload := make([]byte, int(p.byte())%64)
		_, _ = p.in.Read(payload)
		id := uint32(p.byte())
		p.c.mu.Lock()
		for n := uint32(0); n < 256; n++ { // it may be an opened stream now
			p.c.opened[n] = true
		}
		p.c.mu.Unlock()
		_ = p.frames().WriteRawFrame(http2.FrameType(p.byte()%11), http2.Flags(p.byte()), id, payload)
	}
}

func (p *program) flush() {
	if p.out.Len() > 0 {
		if _, err := p.c.nc.Write(p.out.Bytes()); err != nil {
			p.broken = true // the server has closed
		}
		p.out.Reset()
	}
}

// FuzzStreams runs a client against a server. Never are there two answers, an answer on
// another stream, or one before its line (client.take); every call that was sent whole and
// is legal has its answer in the end.
func FuzzStreams(f *testing.F) {
	f.Add([]byte{0, 1, 12, 0, 2, 7, 0, 12, 8, 9, 0, 0, 5, 10, 0, 7, 1})
	f.Add([]byte{3, 3, 3, 4, 0, 5, 4, 1, 3, 12, 5, 0, 5, 0, 13, 0, 7, 0, 12, 6, 0})
	f.Add(bytes.Repeat([]byte{0, 7, 0, 0, 12, 1, 7, 3, 3, 9, 0, 5, 0}, 30))
	f.Add([]byte{0, 255, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 1, 4, 0, 12})
	f.Add(bytes.Repeat([]byte{0}, 400))
	f.Fuzz(func(t *testing.T, script []byte) { runProgram(t, script) })
}

func runProgram(t testing.TB, script []byte) {
	script = script[:min(len(script), 2000)]
	late := byte(0)
	if len(script) > 0 {
		late = script[0] % 4
	}
	fk := &fake{late: func(m string) bool { return late == 3 && len(m)%3 == 0 }, slow: func(n int) bool { return late == 2 && n%2 == 0 }}
	if late == 1 { // long enough for another goroutine to read on
		fk.decide = func(m string) {
			if len(m)%7 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}
	_, dial := serve(t, fk, Options{}, func(s *Server) { s.times.takeover = 200 * time.Microsecond })
	c := newClient(t, fk, dial())
	defer c.nc.Close()
	c.hello()
	p := &program{c: c, in: bytes.NewReader(script), next: 1, messages: map[uint32][]byte{}, sent: map[uint32]bool{}}
	for p.in.Len() > 0 {
		p.step()
	}
	p.flush()
	_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	_ = c.WriteWindowUpdate(0, 1<<24)
	if p.broken {
		_ = c.WriteGoAway(0, http2.ErrCodeNo, nil)
		return
	}
	for id := range p.sent {
		c.await(fmt.Sprintf("the answer of stream %d", id), func() bool {
			st := c.streams[id]
			return st != nil && (st.ended && st.code == "0" || st.reset)
		})
		if st := c.stream(id); st.reset && len(p.sent) <= maxStreams && p.calls <= maxStreams {
			t.Errorf("stream %d was reset", id)
		}
	}
}

// TestRandomPrograms runs programs of any bytes.
func TestRandomPrograms(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		script := make([]byte, r.IntN(600))
		for i := range script {
			script[i] = byte(r.IntN(256))
		}
		if seed%2 == 0 { // without a rule that is broken
			for i := range script {
				script[i] = script[i]%15 + script[i]&^15%240
			}
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runProgram(t, script) })
	}
}
