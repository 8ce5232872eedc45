//go:build !unix

package audit

import (
	"errors"
	"os"
	"time"
)

// File is a Sink on a file descriptor. This system has no poll(2), by which it writes without
// blocking, so that none can be made.
type File struct{}

var errNoPoll = errors.New("the audit log is written by poll(2), which this system does not have: run patgate serve on Linux, macOS or in a container")

// NewFile returns an error: there is no such sink here.
func NewFile(*os.File) (*File, error) { return nil, errNoPoll }

// Await implements Sink.
func (*File) Await(time.Duration) bool { return false }

// Write implements Sink.
func (*File) Write([]byte) (int, error) { return 0, errNoPoll }

// WriteNow writes nothing.
func (*File) WriteNow([]byte) (n int, ok bool) { return 0, false }

// Chunk implements Sink.
func (*File) Chunk() int { return 1 }
