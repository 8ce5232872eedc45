package audit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// CutError reports a log that ends in the middle: a compressed file that is not whole. What was read
// before is good.
type CutError struct {
	Name string // of the input
	Err  error
}

// Error names the input that is cut.
func (e *CutError) Error() string {
	return fmt.Sprintf("%s: the file is cut or damaged (%v): only what comes before was read", e.Name, e.Err)
}

// Unwrap returns the error of the decompression.
func (e *CutError) Unwrap() error { return e.Err }

// maxWindow bounds the memory of a zstd stream. `zstd --ultra -22` uses 128 MiB; `zstd --long=31` uses 2 GiB.
const maxWindow = 128 << 20

// decompress returns what a stream holds: gzip (RFC 1952) and zstd (RFC 8878) are found by their first bytes,
// a skippable frame in front of zstd included. Everything else is read as it is.
func decompress(name string, r io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(r, 64<<10)
	start, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b, 8}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, &CutError{name, err}
		}
		return z, func() { _ = z.Close() }, nil
	case bytes.Equal(start, []byte{0x28, 0xb5, 0x2f, 0xfd}),
		len(start) == 4 && start[0]&0xf0 == 0x50 && bytes.Equal(start[1:], []byte{0x2a, 0x4d, 0x18}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, &CutError{name, err}
		}
		return z, z.Close, nil
	}
	return b, func() {}, nil
}

// compressed explains an error of a decompressed stream.
func compressed(name string, err error) error {
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return fmt.Errorf("%s: its zstd window is larger than %d MiB, expected one that zstd makes without --long above 27: decompress it first", name, maxWindow>>20)
	}
	return &CutError{name, err}
}
