//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dir

import (
	"os"
	"syscall"
)

// lockDir keeps other writers of a directory away until unlock is called.
func lockDir(path string) (unlock func(), err error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil && err != syscall.EWOULDBLOCK && err != syscall.ENOTSUP && err != syscall.ENOLCK {
		_ = dir.Close()
		return nil, err
	}
	return func() { _ = dir.Close() }, nil
}
