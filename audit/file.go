//go:build unix

package audit

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// pipeChunk is what a pipe that is ready takes without blocking, as one piece
// (POSIX: PIPE_BUF; 4096 on Linux).
const pipeChunk = 4096

// File is a Sink on a file descriptor: a pipe, a file or a terminal. It never blocks
// in a write to a pipe, so that a stalled reader leaves every queued event in reach.
type File struct {
	f     *os.File
	pipe  bool
	eager bool // a write that would block returns an error: no need to poll before
	full  bool // the last one did

	noWait func(fd int, b []byte) (int, error)
}

// NewFile returns a sink that writes to f. A pipe is enlarged as far as the system lets.
func NewFile(f *os.File) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := &File{f: f, pipe: info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0, noWait: writeNoWait}
	if s.pipe {
		s.eager = true // until a write fails as unsupported
		enlargePipe(f)
	}
	return s, nil
}

// Await implements Sink.
func (s *File) Await(d time.Duration) bool {
	if s.eager && !s.full {
		return true
	}
	fds := []unix.PollFd{{Fd: int32(s.f.Fd()), Events: unix.POLLOUT}}
	for deadline := time.Now().Add(d); ; {
		n, err := unix.Poll(fds, int(max(0, time.Until(deadline).Milliseconds())))
		if !errors.Is(err, unix.EINTR) {
			// An error or a hang-up counts as ready: the write returns what is wrong.
			s.full = err != nil || n == 0
			return !s.full
		}
	}
}

// Write implements Sink.
func (s *File) Write(b []byte) (int, error) {
	if s.eager {
		n, err := s.noWait(int(s.f.Fd()), b)
		if err == nil || isAny(err, unix.EAGAIN, unix.EINTR, unix.EPIPE) {
			s.full = errors.Is(err, unix.EAGAIN)
			return done(n, err)
		}
		// A kernel without such writes, or a sandbox: which error it is varies (EOPNOTSUPP,
		// ENOSYS, EINVAL, EPERM by a seccomp profile). An ordinary write returns what is wrong, if anything.
		s.eager = false
		return 0, nil // call Await first
	}
	return done(unix.Write(int(s.f.Fd()), b))
}

// WriteNow writes as much as a pipe takes at once. ok is false for anything else, whose
// writes may block.
func (s *File) WriteNow(b []byte) (n int, ok bool) {
	if !s.pipe {
		return 0, false
	}
	for n < len(b) && s.Await(0) {
		eager, part := s.eager, b[n:min(len(b), n+s.Chunk())]
		written, err := s.Write(part)
		n += written
		if err != nil || written < len(part) && eager == s.eager {
			break
		}
	}
	return n, true
}

// isAny reports whether an error is one of several.
func isAny(err error, of ...error) bool {
	return slices.ContainsFunc(of, func(other error) bool { return errors.Is(err, other) })
}

// done turns the result of a write into a Sink's. A write that was interrupted, or
// found a full pipe, is no error: Await waits until it can go on.
func done(n int, err error) (int, error) {
	if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
		err = nil
	}
	return max(n, 0), err
}

// Chunk implements Sink.
func (s *File) Chunk() int {
	if s.pipe && !s.eager {
		return pipeChunk
	}
	return fileChunk
}
