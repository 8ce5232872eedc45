// Package output collects what a process writes, for tests that read it while the process runs.
package output

import (
	"bytes"
	"sync"
)

// Buffer holds everything that was written to it. Its zero value is empty and ready to use, by any number of goroutines.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
