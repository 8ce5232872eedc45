package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// stutter is a sink that takes a few bytes at a time, and now and then none.
type stutter struct {
	mu  sync.Mutex
	got []byte
}

func (s *stutter) take(b []byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	if rand.IntN(3) > 0 {
		n = rand.IntN(len(b) + 1)
	}
	s.got = append(s.got, b[:n]...)
	return n
}

func (s *stutter) Await(time.Duration) bool           { return rand.IntN(4) > 0 }
func (s *stutter) Write(b []byte) (int, error)        { return s.take(b), nil }
func (s *stutter) WriteNow(b []byte) (n int, ok bool) { return s.take(b), true }
func (s *stutter) Chunk() int                         { return 1000 }

// lines returns the events that were written, which must be whole lines without a gap.
func (s *stutter) lines(t *testing.T) (list []event) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, text := range strings.Split(strings.TrimSuffix(string(s.got), "\n"), "\n") {
		var e event
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		if e.Seq != uint64(i+1) {
			t.Fatalf("seq %d in line %d", e.Seq, i+1)
		}
		list = append(list, e)
	}
	return list
}

// TestBatchesThatAreCut checks that no line is lost, doubled or torn if the sink takes any
// number of bytes at a time, and that every allow that may be answered has its line then.
func TestBatchesThatAreCut(t *testing.T) {
	s := &stutter{}
	l := New(s, Options{Wait: time.Minute})
	const goroutines, batches = 4, 60
	var wg sync.WaitGroup
	var total sync.Map
	for g := range goroutines {
		wg.Go(func() {
			b := l.NewBatch()
			for i := range batches {
				var ids []string
				for k := range 1 + rand.IntN(20) {
					e := allow(fmt.Sprint(g, "-", i, "-", k))
					if k%3 == 2 {
						e = deny(e.ID)
					}
					b.Add(e)
					ids = append(ids, e.ID)
					total.Store(e.ID, true)
				}
				late := slices.Clone(b.Commit())
				waits := map[int]bool{}
				for _, p := range late {
					waits[p.Index] = true
				}
				for k, id := range ids {
					if k%3 != 2 && !waits[k] {
						s.wantLine(t, id)
					}
				}
				for _, p := range late {
					if err := p.Wait(context.Background()); err != nil {
						t.Error(err)
					}
					s.wantLine(t, ids[p.Index])
				}
			}
		})
	}
	wg.Wait()
	if err := l.Close(context.Background()); err != nil {
		t.Error(err)
	}
	seen := map[string]bool{}
	for _, e := range s.lines(t) {
		if seen[e.ID] {
			t.Errorf("%s is written twice", e.ID)
		}
		seen[e.ID] = true
	}
	total.Range(func(id, _ any) bool {
		if !seen[id.(string)] {
			t.Errorf("%s is not written", id)
		}
		return true
	})
}

func (s *stutter) wantLine(t *testing.T, id string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	_, rest, found := strings.Cut(string(s.got), `"id":"`+id+`",`)
	if !found || !strings.Contains(rest, "}\n") {
		t.Errorf("%s may be answered before its line is written", id)
	}
}

// TestABatchOnAStalledPipe fills a real pipe: the allows of a batch wait together, and not
// one after the other; what they become is what the pipe yields in the end.
func TestABatchOnAStalledPipe(t *testing.T) {
	const wait = 100 * time.Millisecond
	l, r := pipe(t, Options{Wait: wait})
	answers := map[string]string{}
	b := l.NewBatch()
	var late []Late
	for i := 0; len(late) == 0; i++ {
		for k := range 50 {
			id := fmt.Sprint(i, "-", k)
			b.Add(allow(id))
			answers[id] = Allow
		}
		late = slices.Clone(b.Commit())
		if i > 10_000 {
			t.Fatal("the pipe never fills")
		}
	}
	if len(late) < 2 {
		for k := range 5 {
			id := fmt.Sprint("more-", k)
			b.Add(allow(id))
			answers[id] = Allow
		}
		late = append(late, b.Commit()...)
	}
	start := time.Now()
	for _, p := range late {
		if err := p.Wait(context.Background()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a late allow: %v", err)
		}
		answers[p.event.ID] = Deny
	}
	if took := time.Since(start); took > wait+2*time.Second {
		t.Errorf("%d allows waited for %v", len(late), took)
	}
	torn := 0
	reader := read(t, r, func(e event) {
		if want := answers[e.ID]; e.Decision != want {
			torn++ // an allow that was never answered, whose line had begun
			if e.Decision != Allow || want != Deny {
				t.Errorf("%s was answered %s, its event records %s", e.ID, want, e.Decision)
			}
		}
		delete(answers, e.ID)
	})
	if err := l.Close(context.Background()); err != nil {
		t.Error(err)
	}
	_ = l.sink.(*File).f.Close()
	reader.Wait()
	if torn > 1 || len(answers) > 0 {
		t.Errorf("%d lines say allow though the call was refused, %d are missing", torn, len(answers))
	}
}

// TestABatchCountsWhatItLoses commits more refusals than the queue holds.
func TestABatchCountsWhatItLoses(t *testing.T) {
	g := &gated{}
	l := New(g, Options{Wait: time.Millisecond, QueueBytes: 2000})
	b := l.NewBatch()
	const n = 100
	for i := range n {
		b.Add(deny(fmt.Sprint(i)))
	}
	if late := b.Commit(); len(late) != 0 {
		t.Errorf("%d refusals wait", len(late))
	}
	s := l.Stats()
	if s.Lost == 0 || int(s.Lost)+s.Queued != n {
		t.Errorf("%+v", s)
	}
	g.set(true)
	_ = l.Close(context.Background())
	if !strings.Contains(string(g.got), fmt.Sprintf(`"kind":"audit.gap","severity":"alert","count":%d`, s.Lost)) {
		t.Errorf("no gap event: %s", g.got)
	}
}

// TestADroppingBatchDoesNotWait checks --audit-overflow drop on a sink that is stalled.
func TestADroppingBatchDoesNotWait(t *testing.T) {
	l := New(&gated{}, Options{Wait: time.Minute, Overflow: Drop})
	_ = l.Record(context.Background(), deny("first"))
	for !l.Stats().Stalled {
		time.Sleep(time.Millisecond)
	}
	b := l.NewBatch()
	b.Add(allow("a"))
	if late := b.Commit(); len(late) != 0 {
		t.Error("an allow waits for a stalled sink, though the rule is to drop")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_ = l.Close(ctx)
}

// BenchmarkBatch measures the events of a batch, with a reader that keeps up.
func BenchmarkBatch(b *testing.B) {
	l := newReadLog(b)
	batch, e := l.NewBatch(), allow("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		batch.Add(e)
		if n%32 == 31 {
			for _, late := range slices.Clone(batch.Commit()) {
				if err := late.Wait(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}
