package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// growing reads a file, and waits at its end for what is appended. Where a rotation puts another file in its place, or
// empties it, it goes on with that.
type growing struct {
	ctx  context.Context
	name string
	file *os.File

	opened bool // file is its own
}

// followEvery is how often the end of a file is looked at.
const followEvery = 200 * time.Millisecond

// Read implements io.Reader. It ends when the user interrupts it.
func (g *growing) Read(p []byte) (int, error) {
	for {
		rotated := g.rotated() // asked before the last read, so that nothing of the old file is lost
		n, err := g.file.Read(p)
		if n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		if rotated && g.next() == nil {
			return copy(p, "\n"), nil // what was cut does not go on in another file
		}
		select {
		case <-g.ctx.Done():
			return 0, io.EOF
		case <-time.After(followEvery):
		}
	}
}

// rotated reports whether the name has another file, or the file is shorter than what was read.
func (g *growing) rotated() bool {
	now, err := os.Stat(g.name)
	if err != nil {
		return false // the next file is yet to come
	}
	read, err := g.file.Stat()
	if err != nil {
		return false
	}
	at, err := g.file.Seek(0, io.SeekCurrent)
	return !os.SameFile(now, read) || err == nil && now.Size() < at
}

// next goes on with the file that has the name now, from its beginning.
func (g *growing) next() error {
	file, err := os.Open(g.name)
	if err != nil {
		return err
	}
	g.close()
	g.file, g.opened = file, true
	return nil
}

// close closes a file that it opened.
func (g *growing) close() {
	if g.opened {
		_ = g.file.Close() // it was only read
	}
}
