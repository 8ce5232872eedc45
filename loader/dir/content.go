package dir

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"
)

var (
	errTooLarge   = errors.New("too large")
	errNotRegular = errors.New("not a regular file, expected one")
	errTooSlow    = errors.New("it can't be read in time, expected a file on a disk that answers")
)

// readWithin is the time limit for reading one file.
const readWithin = 2 * time.Second

// contentReader reads files one after another, in bounded memory and time. It reads all of them into one buffer, because
// most files of a large directory are unchanged. The zero value is ready.
type contentReader struct {
	worker *contentWorker
}

// contentWorker reads in its own goroutine, which is abandoned if a file system does not answer.
type contentWorker struct {
	requests chan contentRequest
	results  chan contentResult
	buffer   bytes.Buffer
}

type contentRequest struct {
	path string
	max  int64
}

type contentResult struct {
	data  []byte
	stamp int64
	err   error
}

// read returns what a file holds, until the next call, and when it was written, in nanoseconds.
// It returns errTooLarge for more than max bytes, and errNotRegular for what is no file,
// which is not read at all: a pipe, a device.
func (c *contentReader) read(path string, max int64) (data []byte, stamp int64, err error) {
	if c.worker == nil {
		c.worker = &contentWorker{requests: make(chan contentRequest), results: make(chan contentResult, 1)}
		go c.worker.run()
	}
	c.worker.requests <- contentRequest{path, max}
	late := time.NewTimer(readWithin)
	defer late.Stop()
	select {
	case r := <-c.worker.results:
		return r.data, r.stamp, r.err
	case <-late.C:
		c.close() // it goes away when the file system answers
		return nil, 0, errTooSlow
	}
}

func (c *contentReader) close() {
	if c.worker != nil {
		close(c.worker.requests)
		c.worker = nil
	}
}

func (w *contentWorker) run() {
	for r := range w.requests {
		data, stamp, err := w.read(r.path, r.max)
		w.results <- contentResult{data, stamp, err}
	}
}

func (w *contentWorker) read(path string, max int64) (data []byte, stamp int64, err error) {
	info, err := os.Lstat(path)
	if err = readable(info, err, max); err != nil {
		return nil, 0, err // a device is not even opened
	}
	in, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = in.Close() }()
	info, err = in.Stat()
	if err = readable(info, err, max); err != nil {
		return nil, 0, err
	}
	w.buffer.Reset()
	w.buffer.Grow(int(info.Size()) + bytes.MinRead)
	if n, err := w.buffer.ReadFrom(io.LimitReader(in, max+1)); err != nil {
		return nil, 0, err
	} else if n > max {
		return nil, 0, errTooLarge // it grew, or its size was not known
	}
	return w.buffer.Bytes(), info.ModTime().UnixNano(), nil
}

// readable returns why something can't be read, as far as its description shows it.
func readable(info os.FileInfo, err error, max int64) error {
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errNotRegular
	case info.Size() > max:
		return errTooLarge
	}
	return nil
}
