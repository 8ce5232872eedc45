//go:build unix && !linux

package audit

import (
	"errors"
	"os"
)

// enlargePipe does nothing: only Linux lets a process choose a pipe's size.
func enlargePipe(*os.File) {}

// writeNoWait is Linux's alone.
func writeNoWait(int, []byte) (int, error) { return 0, errors.ErrUnsupported }
