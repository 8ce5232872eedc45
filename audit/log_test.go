package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func allow(id string) *Event {
	return &Event{Time: at, Kind: Decision, Severity: Info, ID: id, Decision: Allow, Reason: "ok", Path: "/" + strings.Repeat("x", 400)}
}

func deny(id string) *Event {
	return &Event{Time: at, Kind: Decision, Severity: Notice, ID: id, Decision: Deny, Reason: "token_unknown", Status: 401}
}

// recorder has an event written, and waits as an allow does.
type recorder func(l *Log, ctx context.Context, e *Event) error

func oneByOne(l *Log, ctx context.Context, e *Event) error { return l.Record(ctx, e) }

func inBatches(l *Log, ctx context.Context, e *Event) error {
	b := l.NewBatch()
	b.Add(e)
	for _, late := range b.Commit() {
		if err := late.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// bothWays runs a test with events that are recorded one by one, and in batches.
func bothWays(t *testing.T, run func(t *testing.T, record recorder)) {
	t.Run("one by one", func(t *testing.T) { run(t, oneByOne) })
	t.Run("in batches", func(t *testing.T) { run(t, inBatches) })
}

// event is what a reader of the log sees.
type event struct {
	Seq      uint64
	Kind     string
	ID       string
	Decision string
	Reason   string
	Count    int
}

// pipe returns a log on a real pipe and the end to read it from.
func pipe(t *testing.T, o Options) (*Log, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	sink, err := NewFile(w)
	if err != nil {
		t.Fatal(err)
	}
	l := New(sink, o)
	t.Cleanup(func() {
		r.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.Close(ctx)
		w.Close()
	})
	return l, r
}

// read collects events from a pipe until it ends.
func read(t *testing.T, r *os.File, each func(event)) *sync.WaitGroup {
	var done sync.WaitGroup
	done.Go(func() {
		s := bufio.NewScanner(r)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			var e event
			if err := json.Unmarshal(s.Bytes(), &e); err != nil {
				t.Errorf("%v in %q", err, s.Text())
			}
			each(e)
		}
	})
	return &done
}

func TestEveryEventIsWrittenOnceInOrder(t *testing.T) {
	bothWays(t, testEveryEventIsWrittenOnceInOrder)
}

func testEveryEventIsWrittenOnceInOrder(t *testing.T, record recorder) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	sink, err := NewFile(w)
	if err != nil {
		t.Fatal(err)
	}
	l := New(sink, Options{Wait: 30 * time.Second})
	seen := map[string]int{}
	last := uint64(0)
	reader := read(t, r, func(e event) {
		if e.Seq != last+1 {
			t.Errorf("seq %d after %d", e.Seq, last)
		}
		last = e.Seq
		seen[e.ID]++
	})
	const callers, each = 32, 200
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				e := allow(fmt.Sprint(c, "-", i))
				if i%3 == 0 {
					e = deny(e.ID)
				}
				if err := record(l, context.Background(), e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := l.Close(context.Background()); err != nil {
		t.Error(err)
	}
	w.Close()
	reader.Wait()
	if len(seen) != callers*each {
		t.Errorf("%d events, want %d", len(seen), callers*each)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s appears %d times", id, n)
		}
	}
}

// gated is a sink that takes bytes on demand.
type gated struct {
	mu   sync.Mutex
	open bool
	got  []byte
}

func (g *gated) Await(d time.Duration) bool {
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		if open {
			return true
		}
	}
	return false
}

func (g *gated) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.got = append(g.got, b...)
	return len(b), nil
}

func (g *gated) Chunk() int { return 4096 }

func (g *gated) set(open bool) { g.mu.Lock(); g.open = open; g.mu.Unlock() }

func TestAnAllowWaitsForItsLine(t *testing.T) { bothWays(t, testAnAllowWaitsForItsLine) }

func testAnAllowWaitsForItsLine(t *testing.T, record recorder) {
	g := &gated{}
	l := New(g, Options{Wait: 10 * time.Second})
	answered := make(chan error)
	go func() { answered <- record(l, context.Background(), allow("a")) }()
	if err := record(l, context.Background(), deny("b")); err != nil {
		t.Errorf("a refusal waited: %v", err)
	}
	select {
	case err := <-answered:
		t.Fatalf("answered before the line was written: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	g.set(true)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !strings.Contains(string(g.got), `"id":"a"`) {
		t.Error("answered before the line was written")
	}
}

// TestAStalledReader fills a real pipe without a reader: allows must turn into
// refusals in time, and what the pipe yields in the end must be what was answered.
func TestAStalledReader(t *testing.T) { bothWays(t, testAStalledReader) }

func testAStalledReader(t *testing.T, record recorder) {
	const wait = 100 * time.Millisecond
	l, r := pipe(t, Options{Wait: wait})
	answers := map[string]string{}
	refused := 0
	for i := 0; refused < 5; i++ {
		id := fmt.Sprint(i)
		start := time.Now()
		err := record(l, context.Background(), allow(id))
		answers[id] = Allow
		if err != nil {
			if !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			answers[id] = Deny
			refused++
			if took := time.Since(start); took < wait || took > wait+2*time.Second {
				t.Errorf("refused after %v", took)
			}
		}
		if i > 20_000 {
			t.Fatal("the pipe never fills")
		}
	}
	if s := l.Stats(); !s.Stalled || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
	seen := map[string]string{}
	var mu sync.Mutex
	reader := read(t, r, func(e event) {
		mu.Lock()
		defer mu.Unlock()
		seen[e.ID] = e.Decision
		if e.Decision == Deny && e.Reason != "audit_unavailable" {
			t.Errorf("refused for %s", e.Reason)
		}
	})
	if err := record(l, context.Background(), allow("recovered")); err != nil {
		t.Errorf("after the reader came back: %v", err)
	}
	answers["recovered"] = Allow
	if err := l.Close(context.Background()); err != nil {
		t.Error(err)
	}
	_ = l.sink.(*File).f.Close() // the reader sees the end
	reader.Wait()
	for id, want := range answers {
		if seen[id] != want {
			t.Errorf("%s was answered %s, its event records %q", id, want, seen[id])
		}
	}
}

func TestAClosedReader(t *testing.T) { bothWays(t, testAClosedReader) }

func testAClosedReader(t *testing.T, record recorder) {
	for _, overflow := range []Overflow{Refuse, Drop} {
		l, r := pipe(t, Options{Wait: 20 * time.Millisecond, Overflow: overflow})
		if err := record(l, context.Background(), allow("a")); err != nil {
			t.Fatal(err)
		}
		r.Close()
		// Tests ignore SIGPIPE as the Go runtime does for descriptors above 2.
		err := record(l, context.Background(), allow("b"))
		if overflow == Refuse != errors.Is(err, ErrUnavailable) {
			t.Errorf("overflow %d: %v", overflow, err)
		}
		start := time.Now()
		if err := record(l, context.Background(), allow("c")); overflow == Drop && (err != nil || time.Since(start) > 15*time.Millisecond) {
			t.Errorf("a dropping log that is stalled: %v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if err := l.Close(ctx); err == nil || !strings.Contains(err.Error(), "events were lost") {
			t.Errorf("overflow %d: closed with %v", overflow, err)
		}
		cancel()
	}
}

func TestAFullDevice(t *testing.T) { bothWays(t, testAFullDevice) }

func testAFullDevice(t *testing.T, record recorder) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sink, err := NewFile(f)
	if err != nil {
		t.Fatal(err)
	}
	l := New(sink, Options{Wait: 20 * time.Millisecond})
	if err := record(l, context.Background(), allow("a")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an allow: %v", err)
	}
	if err := record(l, context.Background(), deny("b")); err != nil {
		t.Errorf("a refusal: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := l.Close(ctx); err == nil {
		t.Error("closed without an error, though nothing was written")
	}
}

func TestGapIsCountedAndReported(t *testing.T) { bothWays(t, testGapIsCountedAndReported) }

func testGapIsCountedAndReported(t *testing.T, record recorder) {
	g := &gated{}
	l := New(g, Options{Wait: time.Millisecond, QueueBytes: 2000})
	const refusals = 100
	for i := range refusals {
		if err := record(l, context.Background(), deny(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := record(l, context.Background(), allow("full")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an allow with a full queue: %v", err)
	}
	lost := int(l.Stats().Lost)
	if lost == 0 {
		t.Fatal("nothing was lost")
	}
	g.set(true)
	if err := l.Close(context.Background()); err == nil {
		t.Error("closed without an error, though events were lost")
	}
	events, counted := 0, 0
	for i, text := range strings.Split(strings.TrimSpace(string(g.got)), "\n") {
		var e event
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		if e.Seq != uint64(i+1) {
			t.Errorf("seq %d in line %d", e.Seq, i+1)
		}
		if e.Kind == string(Gap) {
			counted += e.Count
			continue
		}
		events++
	}
	if counted != lost || events+lost != refusals+1 {
		t.Errorf("%d events, %d lost, %d counted in gaps, want %d in all", events, lost, counted, refusals+1)
	}
}

func TestACancelledCallIsNotAnAllow(t *testing.T) { bothWays(t, testACancelledCallIsNotAnAllow) }

func testACancelledCallIsNotAnAllow(t *testing.T, record recorder) {
	g := &gated{}
	l := New(g, Options{Wait: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := record(l, ctx, allow("a")); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	g.set(true)
	if err := l.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(string(g.got), `"decision":"deny","reason":"audit_unavailable","status":503`) {
		t.Errorf("%s", g.got)
	}
}

func TestLongLinesAreWrittenWhole(t *testing.T) { bothWays(t, testLongLinesAreWrittenWhole) }

func testLongLinesAreWrittenWhole(t *testing.T, record recorder) {
	l, r := pipe(t, Options{})
	seen := 0
	reader := read(t, r, func(e event) { seen++ })
	for i := range 50 {
		e := allow(fmt.Sprint(i))
		e.Path, e.Query, e.Source = strings.Repeat("p", 2000), strings.Repeat("q", 2000), strings.Repeat("s", 2000)
		if err := record(l, context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(context.Background()); err != nil {
		t.Error(err)
	}
	_ = l.sink.(*File).f.Close() // the reader sees the end
	reader.Wait()
	if seen != 50 {
		t.Errorf("%d events", seen)
	}
}
