package audit

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
)

// Input is one log to read. The name is for places and errors alone.
type Input struct {
	Name   string
	Reader io.Reader
}

// pieceBytes is the size of the piece of a log that one goroutine reads at a time.
const pieceBytes = 1 << 20

// piece is some lines of a log on their way through the workers.
type piece[T any] struct {
	lines  []logLine
	file   string
	stats  ReadStats
	result T
	done   chan struct{}
}

// Scan reads logs on all cores, in one pass and in constant memory: work sees the events of a piece of a log, on any
// goroutine, and must not keep the entries, nor pointers into them; deliver gets what work returned in the order of the logs, with what was read so far, on the caller's. It
// returns what the logs held, and the first error of deliver, of ctx or of reading; a log that is cut
// does not keep the next from being read, and its *CutError is returned at the end.
func Scan[T any](ctx context.Context, inputs []Input, work func([]Entry) T, deliver func(T, ReadStats) error) (ReadStats, error) {
	return scan(ctx, inputs, false, work, deliver)
}

// ScanTorn is Scan for who looks for damage: work sees torn lines too. A torn line begins as an event does, and does
// not end as one; only Torn, JSON, File and Line of its Entry are set.
func ScanTorn[T any](ctx context.Context, inputs []Input, work func([]Entry) T, deliver func(T, ReadStats) error) (ReadStats, error) {
	return scan(ctx, inputs, true, work, deliver)
}

func scan[T any](ctx context.Context, inputs []Input, torn bool, work func([]Entry) T, deliver func(T, ReadStats) error) (ReadStats, error) {
	workers := runtime.GOMAXPROCS(0)
	todo := make(chan *piece[T], workers)
	order := make(chan *piece[T], 2*workers)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			var entries []Entry
			for b := range todo {
				clear(entries) // the lines of the last piece are not kept
				entries = entries[:0]
				for _, line := range b.lines {
					entries = appendEntries(entries, b.file, line, &b.stats)
					if torn {
						entries = appendTorn(entries, b.file, line)
					}
				}
				b.lines, b.result = nil, work(entries)
				close(b.done)
			}
		})
	}
	var cut error
	running.Go(func() {
		defer close(order)
		defer close(todo)
		for _, in := range inputs {
			if err := feed(ctx, in, todo, order); err != nil {
				cut = errors.Join(cut, err)
			}
		}
	})
	stats, err := collect(ctx, order, deliver)
	cancel()
	for range order { // let the reader end
	}
	running.Wait()
	if err == nil {
		err = cut
	}
	return stats, err
}

// feed cuts a log into batches, for the workers and for the collector.
func feed[T any](ctx context.Context, in Input, todo, order chan<- *piece[T]) error {
	plain, finish, err := decompress(in.Name, in.Reader)
	if err != nil {
		return err
	}
	defer finish()
	lines := newLineReader(in.Name, plain)
	for {
		b := &piece[T]{file: in.Name, done: make(chan struct{})}
		var end error
		for b.stats.Bytes < pieceBytes && end == nil {
			var line logLine
			if line, end = lines.next(); end == nil {
				b.lines = append(b.lines, line)
				b.stats.Bytes += int64(len(line.text)) + 1
			}
		}
		if len(b.lines) > 0 {
			select {
			case order <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
			todo <- b // a worker takes it: they run until todo is closed
		}
		switch {
		case errors.Is(end, io.EOF):
			return nil
		case end != nil:
			return end
		}
	}
}

// collect delivers the results in their order.
func collect[T any](ctx context.Context, order <-chan *piece[T], deliver func(T, ReadStats) error) (ReadStats, error) {
	var stats ReadStats
	for b := range order {
		<-b.done
		stats.add(b.stats)
		if err := deliver(b.result, stats); err != nil {
			return stats, err
		}
		if err := ctx.Err(); err != nil {
			return stats, err
		}
	}
	return stats, nil
}
