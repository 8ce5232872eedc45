package wire

import (
	"io"
	"net"
	"sync"
)

const (
	frameHeader = 9
	maxFrame    = 16 << 10 // payload of a frame that we take: the least that HTTP/2 allows

	tinyInput  = 4 << 10
	smallInput = maxFrame + frameHeader
	largeInput = 64 << 10
)

var largeInputs = sync.Pool{New: func() any { return new([largeInput]byte) }}

// input holds the bytes that were read from a connection and not yet taken as frames. It knows whether
// a whole frame is there, which an io.Reader does not.
type input struct {
	nc   net.Conn
	buf  []byte
	r, w int // what is unread is buf[r:w]
}

// frameReady reports whether the next frame is here as a whole, or is one that is too long.
func (in *input) frameReady() bool {
	if in.w-in.r < frameHeader {
		return false
	}
	size := in.frameSize()
	return size > maxFrame || in.w-in.r >= frameHeader+size
}

func (in *input) frameSize() int {
	h := in.buf[in.r:]
	return int(h[0])<<16 | int(h[1])<<8 | int(h[2])
}

// Read gives the Framer what is here. It does not read from the connection.
func (in *input) Read(p []byte) (int, error) {
	if in.r == in.w {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, in.buf[in.r:in.w])
	in.r += n
	return n, nil
}

// fill reads from the connection, once. Before, it must have been given room.
func (in *input) fill() error {
	n, err := in.nc.Read(in.buf[in.w:])
	in.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// makeRoom moves what is unread to the beginning.
func (in *input) makeRoom() {
	if in.buf == nil {
		in.buf = make([]byte, tinyInput)
	}
	if in.r > 0 {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
}

// isFull reports whether a larger buffer would let more be read at a time.
func (in *input) isFull() bool { return in.w == len(in.buf) }

// replace goes on with another buffer.
func (in *input) replace(buf []byte) {
	in.w = copy(buf, in.buf[in.r:in.w])
	in.r = 0
	in.release()
	in.buf = buf
}

// release gives a large buffer back.
func (in *input) release() {
	if len(in.buf) == largeInput {
		largeInputs.Put((*[largeInput]byte)(in.buf))
	}
	in.buf = nil
}
