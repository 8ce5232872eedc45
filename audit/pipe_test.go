package audit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newReadLog returns a log into a pipe, with a reader that keeps up.
func newReadLog(t testing.TB) *Log {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 1<<20)
		for {
			if _, err := r.Read(buf); err != nil {
				return
			}
		}
	}()
	sink, err := NewFile(w)
	if err != nil {
		t.Fatal(err)
	}
	return New(sink, Options{Wait: time.Minute})
}

func BenchmarkRecord(b *testing.B) {
	l := newReadLog(b)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		e := allow("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
		for p.Next() {
			if err := l.Record(context.Background(), e); err != nil {
				b.Error(err)
			}
		}
	})
}

// A pipe takes what there is room for at once, and reports when it is full; by
// non-blocking writes where the kernel has them, and by polling before each write where not.
func TestFullPipe(t *testing.T) {
	for name, open := range map[string]func(*testing.T) (r, w *os.File, eager bool){
		"non-blocking writes": func(t *testing.T) (r, w *os.File, eager bool) { return anonymousPipe(t, true) },
		"polled before":       func(t *testing.T) (r, w *os.File, eager bool) { return anonymousPipe(t, false) },
		"named":               namedPipe, // some of which the kernel writes to in no other way than the second
	} {
		t.Run(name, func(t *testing.T) {
			r, w, eager := open(t)
			sink, err := NewFile(w)
			if err != nil {
				t.Fatal(err)
			}
			sink.eager = eager
			line := bytes.Repeat([]byte("x"), pipeChunk)
			var written int
			for sink.Await(10 * time.Millisecond) {
				n, err := sink.Write(line)
				if err != nil {
					t.Fatal(err)
				}
				if written += n; written > 64<<20 {
					t.Fatal("a pipe without an end")
				}
			}
			if written < 64<<10 {
				t.Fatalf("full after %d bytes", written)
			}
			got := make([]byte, written)
			if _, err := io.ReadFull(r, got); err != nil {
				t.Fatal(err)
			}
			if !sink.Await(time.Second) {
				t.Error("the pipe is empty, and takes nothing")
			}
			if n, err := sink.Write(line); n != len(line) || err != nil {
				t.Errorf("a write to an empty pipe: %d, %v", n, err)
			}
			_ = r.Close()
			if _, err := sink.Write(line); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("a write without a reader: %v, want EPIPE", err)
			}
		})
	}
}

// Where non-blocking writes are refused for whatever reason, the audit is written by ordinary ones.
func TestNonBlockingWritesAreRefused(t *testing.T) { bothWays(t, testNonBlockingWritesAreRefused) }

func testNonBlockingWritesAreRefused(t *testing.T, record recorder) {
	for _, refusal := range []error{syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EINVAL, syscall.EPERM, syscall.ESPIPE} {
		r, w, _ := anonymousPipe(t, true)
		sink, err := NewFile(w)
		if err != nil {
			t.Fatal(err)
		}
		sink.noWait = func(int, []byte) (int, error) { return -1, refusal }
		l := New(sink, Options{Wait: 5 * time.Second})
		if err := record(l, context.Background(), allow("ABCDEFGHIJKLMNOPQRSTUVWXYZ")); err != nil {
			t.Errorf("%v: %v", refusal, err)
		}
		_ = r.Close()
		if _, err := sink.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("a write without a reader: %v, want EPIPE", err)
		}
		_ = l.Close(context.Background())
	}
}

func anonymousPipe(t *testing.T, eager bool) (*os.File, *os.File, bool) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	return r, w, eager
}

func namedPipe(t *testing.T) (r, w *os.File, eager bool) {
	path := filepath.Join(t.TempDir(), "audit")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		var err error
		r, err = os.Open(path)
		opened <- err
	}()
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err := errors.Join(err, <-opened); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	return r, w, true
}

// TestARefusedAllowIsNoShadow makes the sink stall for an allow of an observing gate: its
// event records the refusal that was answered, and no shadow.
func TestARefusedAllowIsNoShadow(t *testing.T) {
	g := &gated{}
	l := New(g, Options{Wait: time.Millisecond})
	e := allow("1")
	e.Reason, e.Shadow, e.Severity = "forwarded", "token_revoked", Notice
	if err := l.Record(context.Background(), e); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	g.set(true)
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := string(g.got); !strings.Contains(got, `"decision":"deny","reason":"audit_unavailable"`) || strings.Contains(got, "shadow") {
		t.Errorf("%s", got)
	}
	if e.Shadow != "token_revoked" {
		t.Error("the caller's event was changed")
	}
}
