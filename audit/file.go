package audit

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pipeChunk is what a pipe that is ready takes without blocking, as one piece
// (POSIX: PIPE_BUF; 4096 on Linux).
const pipeChunk = 4096

// fileChunk is how much one write to a file has at the most.
const fileChunk = 64 << 10

// File is a Sink on a file descriptor: a pipe, a file or a terminal. It never blocks
// in a write to a pipe, so that a stalled reader leaves every queued event in reach.
type File struct {
	f     *os.File
	chunk int
}

// NewFile returns a sink that writes to f. A pipe is enlarged as far as the system lets.
func NewFile(f *os.File) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := &File{f: f, chunk: fileChunk}
	if info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0 {
		s.chunk = pipeChunk
		enlargePipe(f)
	}
	return s, nil
}

// Await implements Sink.
func (s *File) Await(d time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(s.f.Fd()), Events: unix.POLLOUT}}
	for deadline := time.Now().Add(d); ; {
		n, err := unix.Poll(fds, int(max(0, time.Until(deadline).Milliseconds())))
		if !errors.Is(err, unix.EINTR) {
			// An error or a hang-up counts as ready: the write tells what is wrong.
			return err == nil && n > 0
		}
	}
}

// Write implements Sink.
func (s *File) Write(b []byte) (int, error) {
	n, err := unix.Write(int(s.f.Fd()), b)
	if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
		err = nil // nothing is wrong, Await tells when to go on
	}
	return max(n, 0), err
}

// Chunk implements Sink.
func (s *File) Chunk() int { return s.chunk }
